"""Servers of HTTP/2 and of HTTP/1.1 over TLS by one face, and the name of what they speak.

/ok         "ok"
/bytes/N    N bytes
/held       nothing until `release`, then "released"

A query changes nothing but what is counted.
"""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from typing import Final

from quiver.testing import Authority
from tests.support.servers.http1_server import Http1Handler, serving
from tests.support.servers.http2_origin import Http2Origin

__all__ = ["SPOKEN", "Served", "serving_over_tcp"]

SPOKEN: Final = {"h2": "HTTP/2", "http/1.1": "HTTP/1.1"}  # by ALPN's name


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


class _Http1(Served):
    def __init__(self, cafile: str) -> None:
        self.url, self.cafile = "", cafile
        self.seen: Counter[str] = Counter()
        self._open: set[object] = set()
        self._held = 0
        self._released = threading.Event()
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
                size = path.removeprefix("/bytes/")
                content = b"x" * int(size) if size.isdigit() else b"ok"
                if path == "/held":
                    served._hold()
                    content = b"released"
                with contextlib.suppress(OSError):
                    self.send(200, content)

        return Handler
