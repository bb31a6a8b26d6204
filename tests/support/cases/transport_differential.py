"""The same call through two transports: what is compared, and the server that both speak with."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlencode

import brotli  # type: ignore[import-untyped]

from quiver.testing import Authority
from tests.support.servers.http1_backend import backend
from tests.support.servers.independent import Caddy

__all__ = ["Place", "compared_caddy", "encoded", "fields_of", "outcome", "silent_port"]

_MORE: Final = """
  handle /back/gzip {{
    encode gzip
    rewrite * /back/plain
    reverse_proxy {proxy}
  }}
  handle /back/zstd {{
    encode zstd
    rewrite * /back/plain
    reverse_proxy {proxy}
  }}
  handle /back/* {{
    reverse_proxy {proxy}
  }}
  handle /deaf {{
    reverse_proxy 127.0.0.1:{deaf}
  }}
"""
# Unbuffered, Caddy now and then cuts a response short: it looks for more of a small request body
# when that is closed already.
_BLOCK: Final = """127.0.0.1:{port} {{
      buffer_requests
      flush_interval -1
      transport http {{
        compression off
      }}
    }}"""

# What says which protocol it was, or when.
_OF_THE_WAY: Final = frozenset(
    {"date", "alt-svc", "connection", "keep-alive", "transfer-encoding", "content-length"}
)


class Place:
    """Where a case goes: the server, and ports where nobody answers."""

    def __init__(self, caddy: Caddy, closed: int, silent: int, other: Authority) -> None:
        self.url = caddy.url
        self.by_address = f"https://127.0.0.1:{caddy.port}"
        self.cafile = caddy.cafile
        self.closed = f"https://127.0.0.1:{closed}"
        self.silent = f"https://127.0.0.1:{silent}"
        self.stranger = other.cafile


@contextmanager
def compared_caddy(authority: Authority) -> Iterator[Place]:
    """Caddy before a `backend`, and before one that never reads."""
    with (
        backend() as port,
        _deaf_port() as deaf,
        Caddy(authority, more=_MORE.format(proxy=_BLOCK.format(port=port), deaf=deaf)) as caddy,
        Authority("somebody else") as other,
        silent_port() as silent,
        _closed_port() as closed,
    ):
        yield Place(caddy, closed, silent, other)


@contextmanager
def _closed_port() -> Iterator[int]:
    """Held by a socket that does not listen, so that nobody else gets it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@contextmanager
def _deaf_port() -> Iterator[int]:
    """Takes connections, and a little of what is sent there, but nobody reads it."""
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(100)
        yield deaf.getsockname()[1]


@contextmanager
def silent_port() -> Iterator[int]:
    """Of TCP and UDP, that takes no connection: the queue of those it has not accepted is full."""
    with socket.socket() as full, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        datagrams.bind(("127.0.0.1", port))
        queued = [socket.socket() for _ in range(4)]
        for each in queued:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        yield port
        for each in queued:
            each.close()


def fields_of(headers: Any) -> list[tuple[str, str]]:
    """The fields of a response that have to be the same over every protocol."""
    pairs = ((name.lower(), value) for name, value in headers.items())
    return sorted(pair for pair in pairs if pair[0] not in _OF_THE_WAY)


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the name of what it raises."""
    try:
        return call()
    except Exception as error:
        return f"raises {type(error).__module__}.{type(error).__qualname__}"


def encoded(kind: str, content: bytes) -> str:
    """Where a backend serves text in this content-encoding, br or deflate."""
    compressed = zlib.compress(content) if kind == "deflate" else brotli.compress(content)
    named = {"name": "content-encoding", "value": kind, "body": compressed.decode("latin-1")}
    return f"/back/named?{urlencode(named)}"
