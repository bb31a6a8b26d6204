"""One request on its stream in the test server: what a route may do with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from aioquic.h3.connection import ErrorCode

from quiver.testing.routes.receiver import Receiver
from quiver.testing.routes.request import Asked, Fields, asked_from

if TYPE_CHECKING:
    from quiver.testing.server.connection import ServerConnection

__all__ = ["IncomingRequest"]

_UNSENT: Final = 256 * 1024  # bytes of one body that may wait in QUIC's send buffer


class IncomingRequest:
    """A request and its stream (`routes.RequestStream`)."""

    def __init__(self, peer: ServerConnection, stream_id: int, headers: Fields) -> None:
        self.peer = peer
        self.id = stream_id
        self.headers = headers
        self.body = bytearray()
        self.trailers: Fields = ()
        self.asked: Asked = asked_from(headers, b"")
        self.receiver: Receiver | None = None
        self._pieces: Iterator[bytes] | None = None
        self._drained: Callable[[], None] | None = None

    def answer(
        self, status: int, headers: Fields, body: bytes = b"", trailers: Fields = ()
    ) -> None:
        if not self.peer.holds(self):
            return
        fields = [(b":status", b"%d" % status), *headers]
        if status not in (204, 304):
            fields.append((b"content-length", b"%d" % len(body)))
        if self.asked.method == "HEAD":
            body, trailers = b"", ()
        self.peer.send(self.id, fields, ended=not body and not trailers)
        if body:
            self.peer.send_body(self.id, body, ended=not trailers)
        if trailers:
            self.peer.send(self.id, trailers, ended=True)
        self._done()

    def send_headers(self, headers: Fields, *, ended: bool = False) -> None:
        self.peer.send(self.id, headers, ended=ended)
        if ended:
            self._done()

    def send_body(self, content: bytes, *, ended: bool) -> None:
        self.peer.send_body(self.id, content, ended=ended)
        if ended:
            self._done()

    def pour(self, pieces: Iterator[bytes], drained: Callable[[], None] | None = None) -> None:
        self._pieces, self._drained = pieces, drained

    def advance(self) -> None:
        """Hand QUIC as much of a poured body as its send buffer should hold."""
        while self._pieces is not None and self.peer.unsent(self.id) < _UNSENT:
            piece = next(self._pieces, None)
            if piece is not None:
                self.send_body(piece, ended=False)
                continue
            self._pieces = None
            if self._drained is None:
                self.send_body(b"", ended=True)
        if self._pieces is None and self._drained is not None and not self.peer.unsent(self.id):
            step, self._drained = self._drained, None
            step()

    def send_datagram(self, payload: bytes) -> None:
        self.peer.send_datagram(self.id, payload)

    def stop(self, code: int) -> None:
        self.peer.stop(self.id, code)

    def reset(self, code: int) -> None:
        self.peer.reset(self.id, code)

    def reject_once(self, key: str) -> bool:
        counts = self.peer.counts
        if not counts.first_time(key):
            return False
        counts.withdraw(self.asked.path, self.asked.id)
        self.reset(ErrorCode.H3_REQUEST_REJECTED)
        return True

    def close(self, code: int) -> None:
        self.peer.close(code, "as asked")

    def goaway(self, last: int | None) -> None:
        self.peer.goaway(last)

    def later(self, seconds: float, step: Callable[[], None]) -> None:
        asyncio.get_running_loop().call_later(seconds, self._step, step)

    def _step(self, step: Callable[[], None]) -> None:
        if self.peer.holds(self) and not self.peer.gone:
            step()
            self.peer.touched()

    def _done(self) -> None:
        self.peer.forget(self.id)
