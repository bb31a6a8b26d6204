"""One client's connection as the test server holds it: QUIC below, HTTP/3 above, routes on top."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import ErrorCode, H3Connection
from aioquic.h3.events import DataReceived, H3Event, HeadersReceived
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import (
    ConnectionIdIssued,
    ConnectionIdRetired,
    ConnectionTerminated,
    ProtocolNegotiated,
    QuicEvent,
    StopSendingReceived,
    StreamDataReceived,
    StreamReset,
)

from quiver.testing.ledger import Ledger
from quiver.testing.options import OriginOptions
from quiver.testing.routes import Asked, Fields, answer, asked_from

__all__ = ["Incoming", "Peer"]

_GOAWAY: Final = 0x07
_STEP: Final = 4  # ids of client-initiated bidirectional streams, RFC 9000 2.1


class Peer:
    """A connection. `dirty` is called when there may be datagrams to send."""

    def __init__(
        self,
        quic: QuicConnection,
        options: OriginOptions,
        ledger: Ledger,
        dirty: Callable[[Peer], None],
    ) -> None:
        self.quic = quic
        self.options = options
        self.ledger = ledger
        self.connection_ids: set[bytes] = set()
        self.gone = False
        self.timer: asyncio.TimerHandle | None = None
        self._dirty = dirty
        self._h3: H3Connection | None = None
        self._incoming: dict[int, Incoming] = {}
        self._taken = 0
        self._next = 0  # the id after the highest that a request was seen on
        self._limit: int | None = None  # ids from here on are not taken
        self._reject_beyond = False

    def advance(self) -> None:
        """Act on what has been received. Sends nothing yet."""
        while (event := self.quic.next_event()) is not None:
            self._quic_event(event)
        if self._limit is not None and self._drained():
            self.close(ErrorCode.H3_NO_ERROR)

    def touched(self) -> None:
        """Something was queued to be sent outside `advance`."""
        self._dirty(self)

    def goaway(self, last: int | None = None) -> None:
        """Send GOAWAY (RFC 9114 5.2): `last` as it stands, or the next id and then drain."""
        h3 = self._h3
        if h3 is None or h3._local_control_stream_id is None or self.gone:
            return
        if last is None:
            if self._limit is not None and self._reject_beyond:
                return
            self._limit, self._reject_beyond = self._next, True
        payload = encode_uint_var(self._limit or 0 if last is None else last)
        frame = encode_uint_var(_GOAWAY) + encode_uint_var(len(payload)) + payload
        self.quic.send_stream_data(h3._local_control_stream_id, frame)
        self.touched()

    def close(self, code: int, reason: str = "") -> None:
        """Close the connection with an application error code."""
        self._limit = None
        self._incoming.clear()
        self.quic.close(error_code=code, reason_phrase=reason)
        self.touched()

    def forget(self, stream_id: int) -> None:
        """The response has been handed to QUIC, or the stream was given up."""
        self._incoming.pop(stream_id, None)

    def _drained(self) -> bool:
        """Whether everything below the limit is answered and acknowledged, GOAWAY as well."""
        if self._limit is None or self._h3 is None:
            return False
        streams = self.quic._streams
        if any(s % _STEP == 0 and s < self._limit for s in streams):
            return False
        control = streams.get(self._h3._local_control_stream_id or 0)
        return control is None or control.sender._buffer_start == control.sender._buffer_stop

    def _quic_event(self, event: QuicEvent) -> None:
        match event:
            case ProtocolNegotiated():
                self._h3 = H3Connection(self.quic)
            case ConnectionTerminated():
                self.gone = True
                self._incoming.clear()
            case ConnectionIdIssued():
                self.connection_ids.add(event.connection_id)
            case ConnectionIdRetired():
                self.connection_ids.discard(event.connection_id)
            case StopSendingReceived() | StreamReset():
                self.forget(event.stream_id)
        if self._h3 is None:
            return
        if isinstance(event, StreamDataReceived) and self._refuses(event.stream_id):
            return
        for h3_event in self._h3.handle_event(event):
            self._h3_event(h3_event)

    def _refuses(self, stream_id: int) -> bool:
        """A request beyond the limit is not read; after GOAWAY it is also told so (5.2)."""
        if self._limit is None or stream_id % _STEP or stream_id < self._limit:
            return False
        if self._reject_beyond and stream_id in self.quic._streams:
            self.ledger.refused += 1
            self.quic.reset_stream(stream_id, ErrorCode.H3_REQUEST_REJECTED)
            self.quic.stop_stream(stream_id, ErrorCode.H3_REQUEST_REJECTED)
        return True

    def _h3_event(self, event: H3Event) -> None:
        if isinstance(event, HeadersReceived):
            stream = self._incoming.get(event.stream_id)
            if stream is None:
                stream = Incoming(self, event.stream_id, event.headers)
                self._incoming[event.stream_id] = stream
                self._next = max(self._next, event.stream_id + _STEP)
        elif isinstance(event, DataReceived):
            stream = self._incoming.get(event.stream_id)
            if stream is None:
                return
            stream.body += event.data
        else:
            return
        if event.stream_ended:
            self._take(stream)

    def _take(self, stream: Incoming) -> None:
        asked = asked_from(stream.headers, bytes(stream.body))
        stream.asked = asked
        self.ledger.count(asked.path, asked.id)
        self._taken += 1
        if self._taken == self.options.requests_per_connection:
            self._reached_limit()
        if self.options.delay:
            stream.later(self.options.delay, lambda: answer(asked, stream))
        else:
            answer(asked, stream)

    def _reached_limit(self) -> None:
        if self.options.at_limit == "goaway":
            self.goaway()
        else:
            self._limit = self._next

    def send(self, stream_id: int, headers: Fields, *, ended: bool) -> None:
        """Send a header block on a stream."""
        assert self._h3 is not None
        self._h3.send_headers(stream_id, list(headers), ended)

    def send_body(self, stream_id: int, content: bytes, *, ended: bool) -> None:
        """Send a DATA frame on a stream."""
        assert self._h3 is not None
        self._h3.send_data(stream_id, content, ended)

    def reset(self, stream_id: int, code: int) -> None:
        """Abandon a stream in both directions."""
        self.forget(stream_id)
        self.quic.reset_stream(stream_id, code)
        # aioquic's HTTP/3 layer is not told of resets of ours, and would keep the stream for ever.
        stream: Any = self._h3 and self._h3._stream.get(stream_id)
        if stream is not None:
            stream.sending_ended = True
            if stream.is_ended():
                del self._h3._stream[stream_id]  # type: ignore[union-attr]
            else:
                self.quic.stop_stream(stream_id, code)

    def holds(self, stream: Incoming) -> bool:
        """Whether `stream` still waits for its answer."""
        return self._incoming.get(stream.id) is stream


class Incoming:
    """A request on its stream, and what may be done with it (`routes.RequestStream`)."""

    def __init__(self, peer: Peer, stream_id: int, headers: Fields) -> None:
        self.peer = peer
        self.id = stream_id
        self.headers = headers
        self.body = bytearray()
        self.asked: Asked | None = None

    def answer(
        self, status: int, headers: Fields, body: bytes = b"", trailers: Fields = ()
    ) -> None:
        if not self.peer.holds(self):
            return
        fields = [(b":status", b"%d" % status), *headers]
        if status not in (204, 304):
            fields.append((b"content-length", b"%d" % len(body)))
        if self.asked is not None and self.asked.method == "HEAD":
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

    def reset(self, code: int) -> None:
        self.peer.reset(self.id, code)

    def reject_once(self, key: str) -> bool:
        ledger = self.peer.ledger
        if not ledger.first_time(key):
            return False
        if self.asked is not None:
            ledger.withdraw(self.asked.path, self.asked.id)
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
