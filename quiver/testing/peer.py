"""One client's connection as the test server holds it: QUIC below, HTTP/3 above, routes on top."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import DatagramReceived, DataReceived, H3Event, HeadersReceived
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

from quiver.testing.bodies import BODIES
from quiver.testing.credit import Credit
from quiver.testing.incoming import Incoming
from quiver.testing.ledger import Ledger
from quiver.testing.options import OriginOptions
from quiver.testing.routes import Fields, answer, asked_from
from quiver.testing.settings import OriginH3
from quiver.testing.streaming import ReceiverOf, receiver_of

__all__ = ["Peer"]

_GOAWAY: Final = 0x07
_REMEMBERED: Final = 1000  # paths of streams that have ended
_DATAGRAM_ROOM: Final = 34  # bytes of a packet that hold no payload: headers, tag, stream id
_STEP: Final = 4  # ids of client-initiated bidirectional streams, RFC 9000 2.1


class Peer:
    """A connection. `dirty` is called when there may be datagrams to send.

    `receiver_of` takes requests up at their headers, or leaves them to the routes for whole ones.
    """

    def __init__(
        self,
        quic: QuicConnection,
        options: OriginOptions,
        ledger: Ledger,
        dirty: Callable[[Peer], None],
        receiver_of: ReceiverOf = receiver_of,
    ) -> None:
        self.quic = quic
        self.options = options
        self.ledger = ledger
        self.connection_ids: set[bytes] = set()
        self.gone = False
        self.timer: asyncio.TimerHandle | None = None
        self._dirty = dirty
        self._receiver_of = receiver_of
        self._h3: OriginH3 | None = None
        self._incoming: dict[int, Incoming] = {}
        self._paths: dict[int, str] = {}  # of every stream that QUIC still has
        self._taken = 0
        self._next = 0  # the id after the highest that a request was seen on
        self._limit: int | None = None  # ids from here on are not taken
        self._reject_beyond = False

    def advance(self) -> None:
        """Act on what has been received. Sends nothing yet."""
        while (event := self.quic.next_event()) is not None:
            self._quic_event(event)
        for stream in list(self._incoming.values()):
            stream.advance()
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
        h3.announce()
        payload = encode_uint_var(self._limit or 0 if last is None else last)
        frame = encode_uint_var(_GOAWAY) + encode_uint_var(len(payload)) + payload
        self.quic.send_stream_data(h3._local_control_stream_id, frame)
        self.touched()

    def close(self, code: int, reason: str = "", frame_type: int | None = None) -> None:
        """Close the connection with an application's error code; QUIC's if a frame is to blame."""
        self._limit = None
        self._incoming.clear()
        self.quic.close(error_code=code, reason_phrase=reason, frame_type=frame_type)
        self.touched()

    def allow_streams(self, streams: int) -> None:
        """Raise MAX_STREAMS to `streams` in all."""
        limit = self.quic._local_max_streams_bidi
        assert isinstance(limit, Credit)
        limit.allow(streams)
        self.quic.send_ping(0)  # credit alone makes no packet
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
                self._negotiated()
            case ConnectionTerminated():
                self.gone = True
                self.ledger.closed(event.error_code)
                self._incoming.clear()
            case ConnectionIdIssued():
                self.connection_ids.add(event.connection_id)
            case ConnectionIdRetired():
                self.connection_ids.discard(event.connection_id)
            case StopSendingReceived():
                self._count_reset(event.stream_id, "stop_sending", event.error_code)
                self.forget(event.stream_id)
            case StreamReset():
                self._count_reset(event.stream_id, "reset", event.error_code)
        if self._h3 is None:
            return
        if isinstance(event, StreamDataReceived) and self._refuses(event.stream_id):
            return
        for h3_event in self._h3.handle_event(event):
            self._h3_event(h3_event)
        if isinstance(event, StreamReset) and event.stream_id in self._incoming:
            self.reset(event.stream_id, ErrorCode.H3_REQUEST_CANCELLED)

    def _negotiated(self) -> None:
        self._h3 = OriginH3(self.quic, self.options)
        if self.options.settings_delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self.options.settings_delay, self._announce)

    def _announce(self) -> None:
        if self._h3 is not None and not self.gone:
            self._h3.announce()
            self.touched()

    def _count_reset(self, stream_id: int, kind: str, code: int) -> None:
        if stream_id % _STEP == 0:
            self.ledger.reset(self._paths.get(stream_id, ""), kind, code)

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
        if isinstance(event, DatagramReceived):
            self._datagram(event)
        elif isinstance(event, HeadersReceived):
            stream = self._incoming.get(event.stream_id)
            if event.stream_id not in self._paths:
                self._open(event)
            elif stream is not None:
                stream.trailers = event.headers
                if event.stream_ended:
                    self._end(stream)
        elif isinstance(event, DataReceived):
            self._body(event)

    def _open(self, event: HeadersReceived) -> None:
        stream = Incoming(self, event.stream_id, event.headers)
        self._incoming[stream.id] = stream
        self._next = max(self._next, stream.id + _STEP)
        self._remember(stream)
        stream.receiver = self._receiver_of(stream.asked, stream)
        if stream.receiver is not None:
            self._count(stream)
        if event.stream_ended and self.holds(stream):
            self._end(stream)

    def _remember(self, stream: Incoming) -> None:
        if len(self._paths) > _REMEMBERED + 2 * len(self.quic._streams):
            known = self.quic._streams
            self._paths = {s: path for s, path in self._paths.items() if s in known}
        self._paths[stream.id] = stream.asked.path

    def _body(self, event: DataReceived) -> None:
        stream = self._incoming.get(event.stream_id)
        self.ledger.received[self._paths.get(event.stream_id, "")] += len(event.data)
        if stream is None:
            return
        if stream.receiver is None:
            stream.body += event.data
        elif event.data:
            stream.receiver.body(event.data)
        if event.stream_ended and self.holds(stream):
            self._end(stream)

    def _datagram(self, event: DatagramReceived) -> None:
        stream = self._incoming.get(event.stream_id)
        if stream is not None and stream.receiver is not None:
            stream.receiver.datagram(event.data)

    def _end(self, stream: Incoming) -> None:
        if stream.receiver is not None:
            stream.receiver.ended(stream.trailers)
            return
        asked = stream.asked = asked_from(stream.headers, bytes(stream.body))
        self._count(stream)
        if self.options.delay:
            stream.later(self.options.delay, lambda: answer(asked, stream, BODIES))
        else:
            answer(asked, stream, BODIES)

    def _count(self, stream: Incoming) -> None:
        self.ledger.count(stream.asked.path, stream.asked.id)
        self._taken += 1
        if self._taken == self.options.requests_per_connection:
            self._reached_limit()

    def _reached_limit(self) -> None:
        if self.options.at_limit == "goaway":
            self.goaway()
        else:
            self._limit = self._next

    def send(self, stream_id: int, headers: Fields, *, ended: bool) -> None:
        """Send a header block on a stream, unless the client has stopped it."""
        if self._h3 is not None and self._writable(stream_id):
            self._h3.send_headers(stream_id, list(headers), ended)

    def send_body(self, stream_id: int, content: bytes, *, ended: bool) -> None:
        """Send a DATA frame on a stream, unless the client has stopped it."""
        if self._h3 is not None and self._writable(stream_id):
            self.ledger.sent[self._paths.get(stream_id, "")] += len(content)
            self._h3.send_data(stream_id, content, ended)

    def send_datagram(self, stream_id: int, payload: bytes) -> None:
        """Send an HTTP datagram; dropped when it fits no packet, or the client takes none."""
        quic = self.quic
        fits = len(payload) + _DATAGRAM_ROOM <= quic._max_datagram_size
        if self._h3 is not None and fits and quic._remote_max_datagram_frame_size is not None:
            self._h3.send_datagram(stream_id, payload)

    def unsent(self, stream_id: int) -> int:
        """How many bytes QUIC holds that the client has not acknowledged."""
        stream = self.quic._streams.get(stream_id)
        return stream.sender._buffer_stop - stream.sender._buffer_start if stream else 0

    def stop(self, stream_id: int, code: int) -> None:
        """Send STOP_SENDING, unless the whole request has come."""
        stream = self.quic._streams.get(stream_id)
        if stream is not None and not stream.receiver.is_finished:
            self.quic.stop_stream(stream_id, code)

    def _writable(self, stream_id: int) -> bool:
        """STOP_SENDING resets a stream inside QUIC before its event is read."""
        stream = self.quic._streams.get(stream_id)
        return stream is not None and stream.sender._reset_error_code is None

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
