"""One client's connection as the test server holds it: QUIC below, HTTP/3 above, routes on top."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import ErrorCode
from aioquic.h3.events import DatagramReceived, DataReceived, H3Event, HeadersReceived
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

from quiver.testing.options import OriginOptions
from quiver.testing.routes.dispatch import answer, receiver_of
from quiver.testing.routes.receiver import ReceiverOf
from quiver.testing.routes.request import Fields, asked_from
from quiver.testing.server.aioquic_internals import ServerQuic
from quiver.testing.server.http3 import ServerHTTP3
from quiver.testing.server.incoming_request import IncomingRequest
from quiver.testing.server.request_counts import RequestCounts

__all__ = ["ServerConnection"]

_GOAWAY: Final = 0x07
_TOO_EARLY: Final = 425
_REMEMBERED: Final = 1000  # paths of streams that have ended
_DATAGRAM_ROOM: Final = 34  # bytes of a packet that hold no payload: headers, tag, stream id
_STEP: Final = 4  # ids of client-initiated bidirectional streams, RFC 9000 2.1


class ServerConnection:
    """One client's connection. `dirty` is called when there may be datagrams to send.

    `receiver_of` takes requests up at their headers, or leaves them to the routes for whole ones.
    """

    def __init__(
        self,
        quic: ServerQuic,
        options: OriginOptions,
        counts: RequestCounts,
        dirty: Callable[[ServerConnection], None],
        receiver_of: ReceiverOf = receiver_of,
    ) -> None:
        self.quic = quic
        self.options = options
        self.counts = counts
        self.connection_ids: set[bytes] = set()
        self.gone = False
        self.timer: asyncio.TimerHandle | None = None
        self._dirty = dirty
        self._receiver_of = receiver_of
        self._h3: ServerHTTP3 | None = None
        self._incoming: dict[int, IncomingRequest] = {}
        self._paths: dict[int, str] = {}  # of every stream that QUIC still has
        self._paths_to_keep = _REMEMBERED  # until those of others are dropped
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
        """Have the endpoint send what was queued outside `advance`."""
        self._dirty(self)

    def goaway(self, last: int | None = None) -> None:
        """Send GOAWAY (RFC 9114 5.2): `last` as it stands, or the next id and then drain."""
        h3 = self._h3
        if h3 is None or self.gone:
            return
        if last is None:
            if self._limit is not None and self._reject_beyond:
                return
            self._limit, self._reject_beyond = self._next, True
        h3.announce()
        payload = encode_uint_var(self._limit or 0 if last is None else last)
        frame = encode_uint_var(_GOAWAY) + encode_uint_var(len(payload)) + payload
        self.quic.send_stream_data(h3.control_stream_id, frame)
        self.touched()

    def close(self, code: int, reason: str = "", frame_type: int | None = None) -> None:
        """Close the connection with an application's error code; QUIC's if a frame is to blame."""
        self._limit = None
        self._incoming.clear()
        self.quic.close(error_code=code, reason_phrase=reason, frame_type=frame_type)
        self.touched()

    def allow_streams(self, streams: int) -> None:
        """Raise MAX_STREAMS to `streams` in all."""
        self.quic.allow_streams(streams)
        self.touched()

    def forget(self, stream_id: int) -> None:
        """Drop a stream whose response has been handed to QUIC, or which was given up."""
        self._incoming.pop(stream_id, None)

    def _drained(self) -> bool:
        """Tell whether everything below the limit is answered and acknowledged, GOAWAY as well."""
        if self._limit is None or self._h3 is None:
            return False
        if any(stream_id < self._limit for stream_id in self.quic.request_streams()):
            return False
        return not self.quic.unacknowledged(self._h3.control_stream_id)

    def _quic_event(self, event: QuicEvent) -> None:
        match event:
            case ProtocolNegotiated():
                self._negotiated()
            case ConnectionTerminated():
                self.gone = True
                self.counts.closed(event.error_code)
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
        self._h3 = ServerHTTP3(self.quic, self.options)
        if self.options.settings_delay:
            loop = asyncio.get_running_loop()
            loop.call_later(self.options.settings_delay, self._announce)

    def _announce(self) -> None:
        if self._h3 is not None and not self.gone:
            self._h3.announce()
            self.touched()

    def _count_reset(self, stream_id: int, kind: str, code: int) -> None:
        if stream_id % _STEP == 0:
            self.counts.reset(self._paths.get(stream_id, ""), kind, code)

    def _refuses(self, stream_id: int) -> bool:
        """Leave a request beyond the limit unread; after GOAWAY reject it (RFC 9114 5.2)."""
        if self._limit is None or stream_id % _STEP or stream_id < self._limit:
            return False
        if self._reject_beyond and self.quic.holds(stream_id):
            self.counts.refused += 1
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
        stream = IncomingRequest(self, event.stream_id, event.headers)
        self._incoming[stream.id] = stream
        self._next = max(self._next, stream.id + _STEP)
        self._remember(stream)
        if self.options.early_data == "too_early" and self.quic.came_early(stream.id):
            return stream.answer(_TOO_EARLY, [])
        stream.receiver = self._receiver_of(stream.asked, stream)
        if stream.receiver is not None:
            self._count(stream)
        if event.stream_ended and self.holds(stream):
            self._end(stream)

    def _remember(self, stream: IncomingRequest) -> None:
        if len(self._paths) > self._paths_to_keep:
            known = {s: path for s, path in self._paths.items() if self.quic.holds(s)}
            self._paths, self._paths_to_keep = known, _REMEMBERED + 2 * len(known)
        self._paths[stream.id] = stream.asked.path

    def _body(self, event: DataReceived) -> None:
        stream = self._incoming.get(event.stream_id)
        self.counts.received[self._paths.get(event.stream_id, "")] += len(event.data)
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

    def _end(self, stream: IncomingRequest) -> None:
        if stream.receiver is not None:
            stream.receiver.ended(stream.trailers)
            return
        asked = stream.asked = asked_from(stream.headers, bytes(stream.body))
        self._count(stream)
        if self.options.delay:
            stream.later(self.options.delay, lambda: answer(asked, stream))
        else:
            answer(asked, stream)

    def _count(self, stream: IncomingRequest) -> None:
        self.counts.count(stream.asked.path, stream.asked.id)
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
        if self._h3 is not None and self.quic.writable(stream_id):
            self._h3.send_headers(stream_id, list(headers), ended)

    def send_body(self, stream_id: int, content: bytes, *, ended: bool) -> None:
        """Send a DATA frame on a stream, unless the client has stopped it."""
        if self._h3 is not None and self.quic.writable(stream_id):
            self.counts.sent[self._paths.get(stream_id, "")] += len(content)
            self._h3.send_data(stream_id, content, ended)

    def send_datagram(self, stream_id: int, payload: bytes) -> None:
        """Send an HTTP datagram; dropped when it fits no packet, or the client takes none."""
        fits = len(payload) + _DATAGRAM_ROOM <= self.quic.configuration.max_datagram_size
        if self._h3 is not None and fits and self.quic.takes_datagrams:
            self._h3.send_datagram(stream_id, payload)

    def unsent(self, stream_id: int) -> int:
        """Count the bytes of a stream that the client has not acknowledged."""
        return self.quic.unacknowledged(stream_id)

    def stop(self, stream_id: int, code: int) -> None:
        """Send STOP_SENDING, unless the whole request has come."""
        if self.quic.receiving(stream_id):
            self.quic.stop_stream(stream_id, code)

    def reset(self, stream_id: int, code: int) -> None:
        """Abandon a stream in both directions."""
        self.forget(stream_id)
        self.quic.reset_stream(stream_id, code)
        if self._h3 is not None:
            self._h3.abandon(stream_id, code)
        self.stop(stream_id, code)

    def holds(self, stream: IncomingRequest) -> bool:
        """Tell whether `stream` still waits for its answer."""
        return self._incoming.get(stream.id) is stream
