"""ClientConnection: HTTP/3 on one QUIC connection of a client (RFC 9114), without input and output.

Its owner carries datagrams both ways and calls `tick` when `timer` is due. After each `receive`,
`tick` or `close` it takes `events`, and after whatever it did it sends `datagrams`, once:

    connection.connect(now)
    loop: connection.receive_all(datagrams, now) | connection.tick(now) | connection.open_request()
          for event in connection.events(): ...
          send(connection.datagrams(now)); wake at connection.timer()

`now` is any clock in seconds that does not go back. When ConnectionEnded has come out, one more
call of `datagrams` yields what the server is to be told; after that the connection is empty.

Its parts: an engine, which does QUIC (`quiver.quic.engine`); `FrameWriter` for requests, a
`ResponseReader` for each response, `PeerStreams` for what the server says of the connection; and
`Qpack` under all three. What is wrong with one response costs its stream; what breaks HTTP/3, the
connection. No push is ever accepted: MAX_PUSH_ID is not sent (RFC 9114 4.6).
"""

from __future__ import annotations

from functools import partial
from typing import Final

from quiver.errors import QuiverError
from quiver.h3 import events
from quiver.h3.close_reasons import close_reason
from quiver.h3.codes import ErrorCode
from quiver.h3.critical_streams import open_critical
from quiver.h3.headers import Fields, Qpack
from quiver.h3.peer_streams import PeerStreams
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.request_stream import FrameWriter, ResponseReader
from quiver.h3.session_settings import SessionSettings
from quiver.h3.settings import ServerSettings
from quiver.models import Handshake
from quiver.origin import Origin
from quiver.quic.engine import (
    Cause,
    ConnectionClosed,
    DatagramReceived,
    Engine,
    Event,
    HandshakeCompleted,
    PathFailed,
    PathValidated,
    PingAcknowledged,
    StopSendingReceived,
    StreamDataReceived,
    StreamResetReceived,
    TicketReceived,
)
from quiver.quic.varint import encode_varint, read_varint, varint_size

__all__ = ["ClientConnection"]

_KIND: Final = 0x03
_REQUEST, _SERVERS_REQUEST, _OURS = 0x00, 0x01, 0x02
"""Kinds of streams, by the last bits of their ids (RFC 9000 2.1)."""

_LARGEST_QUARTER: Final = (1 << 60) - 1
"""The last request's id by 4 (RFC 9297 2.1)."""


class ClientConnection:
    """One connection to `origin`. Nothing is sent before `connect`.

    Args:
        max_header_size: bytes of a header or trailer section that are taken, as RFC 9114 4.2.2
            counts.
        certfile: where the engine has our certificate from, for errors.
        remembered: the server's settings that went along with the engine's ticket.

    Attributes:
        next_stream_id: the stream that the next request will have.
    """

    is_full: Final = False  # MAX_STREAMS does not shrink (RFC 9000 4.6)
    pings_in_silence: Final = True  # they re-open a NAT binding, and validate the path (9.3)

    def __init__(
        self,
        engine: Engine,
        origin: Origin,
        *,
        max_header_size: int,
        certfile: str | None = None,
        remembered: bytes = b"",
    ) -> None:
        self._engine = engine
        self._origin = str(origin)
        self._max_header_size = max_header_size
        self._certfile = certfile
        self._qpack = Qpack()
        self._frames = FrameWriter(engine, self._qpack, self._origin)
        self.check_section = self._frames.check_section
        self._trace = trace = engine.trace
        self._decode = self._qpack.decode if trace is None else self._decode_traced  # bound once
        self._on_content = None if trace is None else partial(trace.content, "frame_parsed")
        self._peer_streams = PeerStreams(self._qpack, self._trace)
        self._ready = self._closed = False
        self._settings: ServerSettings | None = None  # the server's, as soon as they have come
        self._responses: dict[int, ResponseReader] = {}  # those that have not ended
        self._sending: set[int] = set()  # requests whose body is not ended
        self._max_streams = 0  # as last reported
        self.next_stream_id = engine.next_stream_id
        self._events: list[events.Event] = []
        self._session = SessionSettings(remembered)
        self._accepted: bool | None = None  # what went early, by the server
        # QUIC's own, and HTTP/3 has no part in it: see `Engine`.
        self.receive_all, self.tick = engine.receive, engine.tick
        self.timer, self.datagrams = engine.timer, engine.datagrams
        self.ping, self.probe, self.shorten = engine.ping, engine.probe, engine.shorten
        self.migrate = engine.migrate
        self.unacknowledged, self.consumed = engine.unacknowledged, engine.consumed

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._ready else "connecting"
        return f"<ClientConnection {self._origin} {state}>"

    # what its owner may ask -----------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """ConnectionEnded has been reported, or is among the next `events`."""
        return self._closed

    @property
    def answered(self) -> bool:
        """Whether any packet of the server's has come that only it can have sent."""
        return self._engine.answered

    @property
    def handshake(self) -> Handshake:
        """What both sides have agreed on. To be asked from Ready on."""
        return self._engine.handshake

    @property
    def settings(self) -> dict[str, int]:
        """The server's SETTINGS by name, empty until they have come. Reserved ones are left out."""
        return {} if self._settings is None else self._settings.named

    @property
    def max_streams(self) -> int:
        """How many requests may be opened in the connection's whole life, as of now."""
        return self._engine.max_streams if self._ready else 0

    @property
    def streams_opened(self) -> int:
        """How many requests have been opened."""
        return self.next_stream_id // 4

    @property
    def idle_timeout(self) -> float:
        """Seconds of silence that end the connection: the shorter of both sides' limits."""
        return self._engine.idle_timeout

    @property
    def heard(self) -> float:
        """When the last packet of the server came that was not forged; -inf for never."""
        return self._engine.heard

    @property
    def probe_timeout(self) -> float:
        """Seconds in which an answer should have come, PTO (RFC 9002 6.2.1), without backoff."""
        return self._engine.probe_timeout

    # what passes through --------------------------------------------------------------------

    def connect(self, now: float, *address: tuple[str, int]) -> None:
        """Begin the handshake, see `Engine.connect`. Requests may follow: see `early_streams`."""
        self._engine.connect(now, *address)
        if self._engine.early:
            encoder = open_critical(self._engine, self._max_header_size)
            self._frames.begin(encoder, self._session.former.max_field_section_size)

    @property
    def early_streams(self) -> int:
        """Requests that may be opened before Ready, as early data (RFC 9001 4.6)."""
        engine = self._engine
        return max(0, engine.max_streams - self.streams_opened) if engine.early else 0

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram from the server. When it is all over, it is ignored."""
        self.receive_all((datagram,), now)

    def events(self) -> list[events.Event]:
        """What has happened since the last call."""
        if not self._closed:
            self._take_events()
        happened, self._events = self._events, []
        return happened

    def close(self, code: int = ErrorCode.H3_NO_ERROR, reason: str = "") -> None:
        """End the connection. `datagrams` tells the server."""
        if not self._closed:
            self._take_events()  # what came before
        if not self._closed:
            self._end(ConnectionClosed(Cause.OWNER, code, transport=False, reason=reason))

    # requests -------------------------------------------------------------------------------

    def open_request(
        self, fields: Fields, body: bytes | None, ended: bool = True, window: int | None = None
    ) -> int:
        """Send a request's header section, and its body or the first part of it.

        Args:
            window: bytes of content that the server may send ahead of `consumed`; None takes all
                content for consumed as it comes.

        Returns its stream id, which names it in events: what was `next_stream_id`.

        Raises:
            ValueError: `max_streams` are opened already, or the connection is not ready or closed.
            InvalidRequest: the server takes no section that large.
            Exception: what the encoder or the engine raised; `cancel` undoes what had been done.
        """
        engine, stream_id = self._engine, self.next_stream_id
        begun = self._ready or engine.early
        if not begun or self._closed or stream_id >= 4 * engine.max_streams:
            raise ValueError(f"{self!r} has no room: {self.streams_opened} of {self.max_streams}")
        content = self._frames.section(stream_id, fields)
        if body:
            content += self._frames.content(stream_id, body)
        self._responses[stream_id] = ResponseReader(
            stream_id, self._decode, self._max_header_size, engine.passed_on, self._on_content
        )
        if not ended:
            self._sending.add(stream_id)
        try:
            return engine.open_stream(content, ended, window)
        finally:
            self.next_stream_id = engine.next_stream_id

    def send_body(self, stream_id: int, content: bytes | memoryview, ended: bool) -> None:
        """Send more of the body. Ignored when the request was ended, by either side."""
        if stream_id not in self._sending or not (content or ended):
            return
        self._frames.send_content(stream_id, content, ended)
        if ended:
            self._sending.discard(stream_id)

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Send the trailer section, which ends the request. Ignored as in `send_body`.

        Raises InvalidRequest when the server takes no section that large.
        """
        if stream_id in self._sending:
            frame = self._frames.section(stream_id, fields)
            self._sending.discard(stream_id)
            self._engine.send_stream(stream_id, frame, True)

    def announce_trailers(self, fields: Fields) -> Fields:
        """The fields of a request that has trailers: as they are."""
        return fields

    def abort_body(self, stream_id: int, code: int) -> None:
        """End an unfinished request body; the response goes on. Ignored when it was ended."""
        if stream_id in self._sending:
            self._sending.discard(stream_id)
            self._engine.reset_stream(stream_id, code)

    def cancel(self, stream_id: int, code: int) -> None:
        """Give up a request: both directions are ended, and no event of it comes any more.

        What is in `events()` already stays there. Ignored when both had ended.
        """
        if self._closed or not (stream_id in self._responses or stream_id in self._sending):
            return
        if stream_id < self.next_stream_id:  # else it was to be opened, which has failed
            self._engine.reset_stream(stream_id, code)
            if stream_id in self._responses:
                self._engine.stop_sending(stream_id, code)
        self._forget(stream_id)

    def _decode_traced(self, stream_id: int, block: bytes) -> Fields:
        section = self._qpack.decode(stream_id, block)
        assert self._trace is not None
        self._trace.headers("frame_parsed", stream_id, len(block), section)
        return section

    # datagrams ------------------------------------------------------------------------------

    @property
    def _datagrams_agreed(self) -> bool:
        """Both sides do HTTP datagrams (RFC 9297 2.1.1). False before the server's SETTINGS."""
        settings = self._settings
        return settings is not None and settings.takes_datagrams and self._engine.sends_datagrams

    def max_datagram_size(self, stream_id: int) -> int:
        """Bytes of one HTTP datagram of this stream (RFC 9297 2.1), 0 when there are none."""
        if not self._datagrams_agreed:
            return 0
        return max(0, self._engine.max_datagram_size - varint_size(stream_id // 4))

    def send_datagram(self, stream_id: int, payload: bytes) -> bool:
        """Send one HTTP datagram, which may be lost. False when it was dropped here already."""
        if self._closed or len(payload) > self.max_datagram_size(stream_id):
            return False
        return self._engine.send_datagram(stream_id, encode_varint(stream_id // 4) + payload)

    # what QUIC reports ----------------------------------------------------------------------

    def _take_events(self) -> None:
        try:
            for event in self._engine.events():
                if type(event) is StreamDataReceived and not event.stream_id & _KIND:
                    self._take_response(event)
                else:
                    self._take(event)
        except ProtocolError as fault:
            self._end(ConnectionClosed(Cause.VIOLATION, fault.code, False, fault.reason))
        except Exception as raised:  # noqa: BLE001 - nobody knows what it may be
            code, name = ErrorCode.H3_INTERNAL_ERROR, type(raised).__name__
            cause = Cause.RAISED
            self._end(ConnectionClosed(cause, code, False, name, error=raised, by_peer=True))
        if self._ready and not self._closed:
            allowed, known = self._engine.max_streams, self._max_streams
            # Not of each stream allowed: when the owner knows of no more than half the room.
            if allowed > known and allowed + self.next_stream_id // 4 >= 2 * known:
                self._max_streams = allowed
                self._events.append(events.CapacityChanged(allowed))

    def _take_response(self, event: StreamDataReceived) -> None:
        stream_id = event.stream_id
        reader = self._responses.get(stream_id)
        if reader is None:  # it was given up
            return
        self._events += reader.feed(event.data, event.ended)
        if reader.fault is not None:
            self._engine.reset_stream(stream_id, reader.fault)
            if not event.ended:
                self._engine.stop_sending(stream_id, reader.fault)
            self._forget(stream_id)
        elif event.ended:
            del self._responses[stream_id]
            self._engine.forget_stream(stream_id)

    def _take(self, event: Event) -> None:
        if getattr(event, "stream_id", _REQUEST) & _KIND == _SERVERS_REQUEST:  # RFC 9114 6.1
            reason = "a server cannot open bidirectional streams"
            raise ProtocolError(ErrorCode.H3_STREAM_CREATION_ERROR, reason)
        match event:
            case StreamDataReceived(stream_id, data, False) if (
                stream_id == self._peer_streams.decoder_stream and data
            ):
                self._qpack.take_decoder_stream(data)  # a word beside most answers
            case StreamDataReceived(stream_id, data, ended):
                for each in self._peer_streams.receive(stream_id, data, ended):
                    if isinstance(each, ServerSettings):
                        self._take_settings(each)
                    else:
                        self._events.append(each)
            case StreamResetReceived():
                self._take_reset(event)
            case StopSendingReceived():
                self._take_stop_sending(event)
            case DatagramReceived(payload):
                self._take_datagram(payload)
            case PingAcknowledged() | PathValidated() | PathFailed():
                self._events.append(event)
            case HandshakeCompleted(resumed, early):
                self._begin(resumed, early)
            case TicketReceived():
                self._events += self._session.ticket(event)
            case ConnectionClosed():
                self._end(event)

    def _begin(self, resumed: bool, early: bool | None) -> None:
        """The handshake is over: what was opened before stands, or was never opened."""
        self._ready, self._accepted = True, early
        self.next_stream_id = self._engine.next_stream_id
        if not early:
            self._responses.clear()
            self._frames.begin(open_critical(self._engine, self._max_header_size))
        self._max_streams = self._engine.max_streams
        self._events.append(events.Ready(self._max_streams, resumed, early=early))

    def _take_settings(self, settings: ServerSettings) -> None:
        if settings.takes_datagrams and not self._engine.handshake.max_datagram_frame_size:
            reason = "H3_DATAGRAM without the transport parameter max_datagram_frame_size"
            raise ProtocolError(ErrorCode.H3_SETTINGS_ERROR, reason)  # RFC 9297 2.1.1
        tickets = self._session.settled(settings, early=self._accepted)
        self._frames.heed(settings)
        self._settings = settings
        connect = settings.connect_enabled
        self._events += [events.Settings(connect, self._datagrams_agreed), *tickets]

    def _take_reset(self, event: StreamResetReceived) -> None:
        stream_id = event.stream_id
        if stream_id & _KIND != _REQUEST:
            self._peer_streams.reset(stream_id)
        elif stream_id in self._responses:
            # Nobody will read what is left of the request.
            self._engine.reset_stream(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
            self._forget(stream_id)
            self._events.append(event)

    def _take_stop_sending(self, event: StopSendingReceived) -> None:
        stream_id = event.stream_id
        if stream_id & _KIND == _OURS:
            reason = "a critical stream was stopped"
            raise ProtocolError(ErrorCode.H3_CLOSED_CRITICAL_STREAM, reason)
        self._sending.discard(stream_id)
        if stream_id in self._responses:
            self._events.append(event)

    def _take_datagram(self, payload: bytes) -> None:
        quarter, start = read_varint(payload, 0)
        if start > len(payload) or quarter > _LARGEST_QUARTER:  # RFC 9297 2.1
            raise ProtocolError(ErrorCode.H3_DATAGRAM_ERROR, "a datagram for no stream")
        if 4 * quarter in self._responses:  # else it is late, or made up
            self._events.append(events.HttpDatagramReceived(4 * quarter, payload[start:]))

    def _forget(self, stream_id: int) -> None:
        """Drop what is held of an exchange, and whatever still comes of it."""
        self._sending.discard(stream_id)
        if self._responses.pop(stream_id, None) is not None:
            self._engine.forget_stream(stream_id)

    # its end --------------------------------------------------------------------------------

    def _end(self, closed: ConnectionClosed) -> None:
        """Report the end, and bring it about unless the engine has told of it."""
        if self._closed:
            return
        error: QuiverError = close_reason(
            closed, self._origin, ready=self._ready, certfile=self._certfile
        )
        self._closed = True
        self._sending.clear()
        self._responses.clear()
        self._events.append(events.ConnectionEnded(error))
        self._engine.close(closed.code, closed.reason)
        for _ in self._engine.events():  # its own end, once more
            pass
