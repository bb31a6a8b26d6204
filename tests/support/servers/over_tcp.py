"""Servers of HTTP/2 and of HTTP/1.1 over TLS by one face, and the name of what they speak.

/ok         "ok"
/bytes/N    N bytes
/held       nothing until `release`, then "released"
/echo       the body, when it has come
/hints      103, then 200
/trailers   "x", with a trailer
/early      413 before the body has come

A query changes nothing but what is counted.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from typing import Final

import pytest

from quiver.pool.protocols import ALL
from quiver.testing import Authority
from tests.support.servers.http1_server import Http1Handler, serving
from tests.support.servers.http2_origin import Http2Origin

__all__ = ["SPOKEN", "Served", "each_client", "serving_over_tcp"]

SPOKEN: Final = {"h2": "HTTP/2", "http/1.1": "HTTP/1.1"}  # by ALPN's name

_CASES: Final = [(protocol, knows) for protocol in SPOKEN for knows in ((protocol,), ALL)]
each_client = pytest.mark.parametrize(
    ("protocol", "knows"), _CASES, ids=[f"{p}-of-{len(k)}" for p, k in _CASES]
)
"""By what the server speaks, and what the client does: that alone, or all."""


class Served(ABC):
    """A server over TCP.

    Attributes:
        seen: how often each target was asked for, in the order in which they were first.
    """

    url: str
    cafile: str
    seen: Counter[str]

    @property
    @abstractmethod
    def open(self) -> int:
        """Connections that there are."""

    @property
    @abstractmethod
    def held(self) -> int:
        """Requests that wait for `release`."""

    @abstractmethod
    def release(self) -> None:
        """Answer what is held."""

    @abstractmethod
    def deaf(self) -> contextlib.AbstractContextManager[None]:
        """Read no body within: what comes waits."""


@contextlib.contextmanager
def serving_over_tcp(protocol: str, authority: Authority) -> Iterator[Served]:
    """One that speaks what ALPN names."""
    if protocol == "h2":
        with Http2Origin(authority) as server:
            yield _Http2(server)
    else:
        made = _Http1(authority.cafile)
        with serving(made.handler(), authority.issue()) as port:
            made.url = f"https://localhost:{port}"
            try:
                yield made
            finally:
                made.release()


class _Http2(Served):
    def __init__(self, server: Http2Origin) -> None:
        self._server = server
        self.url, self.cafile, self.seen = server.url, server.cafile, server.seen

    @property
    def open(self) -> int:
        return sum(not peer.over.is_set() for peer in self._server.peers)

    @property
    def held(self) -> int:
        return self._server.held

    def release(self) -> None:
        self._server.release()

    def deaf(self) -> contextlib.AbstractContextManager[None]:
        return self._server.deaf()


_WITH_TRAILERS: Final = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-sum: 1\r\n\r\n"
)


class _Http1(Served):
    def __init__(self, cafile: str) -> None:
        self.url, self.cafile = "", cafile
        self.seen: Counter[str] = Counter()
        self._open: set[object] = set()
        self._held = 0
        self._released = threading.Event()
        self._may_read = threading.Event()
        self._may_read.set()
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        return len(self._open)

    @property
    def held(self) -> int:
        return self._held

    def release(self) -> None:
        with self._lock:
            before, self._released = self._released, threading.Event()
        before.set()

    @contextlib.contextmanager
    def deaf(self) -> Iterator[None]:
        self._may_read.clear()
        try:
            yield
        finally:
            self._may_read.set()

    def _hold(self) -> None:
        with self._lock:
            self._held += 1
            released = self._released
        released.wait(60.0)
        with self._lock:
            self._held -= 1

    def handler(self) -> type[Http1Handler]:
        served = self

        class Handler(Http1Handler):
            def setup(self) -> None:
                super().setup()
                served._open.add(self)

            def finish(self) -> None:
                served._open.discard(self)
                with contextlib.suppress(OSError):
                    super().finish()

            def answer(self) -> None:
                with served._lock:
                    served.seen[self.path] += 1
                path = self.path.partition("?")[0]
                with contextlib.suppress(OSError):
                    match path:
                        case "/early":
                            self._refuse()
                        case "/trailers":
                            self.wfile.write(_WITH_TRAILERS)
                        case "/hints":
                            self.wfile.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n")
                            self.send(200, b"ok")
                        case _:
                            self.send(200, self._content(path))

            def _content(self, path: str) -> bytes:
                served._may_read.wait(60.0)
                body, size = self.read(), path.removeprefix("/bytes/")
                if path == "/held":
                    served._hold()
                    return b"released"
                if path == "/echo":
                    return body
                return b"x" * int(size) if size.isdigit() else b"ok"

            def _refuse(self) -> None:
                """And take what still comes: closing takes the answer back (RFC 9112 9.6)."""
                self.send(413, b"", ("connection", "close"))
                while self.rfile.read1(65_536):
                    pass

        return Handler
