"""One HTTP/3 connection of a client, without sockets and clocks.

Its owner carries datagrams both ways and calls `tick` when `timer` is due. After each `receive`,
`tick` or `close` it takes `events`, and after whatever it did it sends `datagrams`, once:

    session.connect(address, now)
    loop: session.receive(datagram, now) | session.tick(now) | session.open_request(...)
          for event in session.events(): ...
          send(session.datagrams(now)); wake at session.timer()

`now` is any clock in seconds that does not go back. When Closed has come out, one more call of
`datagrams` yields what the server is to be told; after that the session is empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from aioquic.buffer import encode_uint_var, size_uint_var
from aioquic.quic import events as quic_events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnectionState

from quiver.errors import QuiverError
from quiver.h3 import events, terminations
from quiver.h3.codes import ErrorCode
from quiver.h3.connection import Connection
from quiver.h3.control import ControlFault, ControlReader
from quiver.h3.headers import Fields
from quiver.h3.purpose import refused_by_purpose
from quiver.h3.quic import Quic
from quiver.origin import Origin

__all__ = ["Session"]

_LONGEST_REASON: Final = 200
"""Characters of a CONNECTION_CLOSE's reason: aioquic fails on what does not fit a packet."""

_ROUNDING: Final = 1e-6
"""Seconds after the moment that aioquic names. At the moment itself, floats may round so that
nothing is due yet, and one who ticks exactly then would do so for ever."""


class Session:
    """One connection to `origin`. Nothing is sent before `connect`."""

    def __init__(
        self, configuration: QuicConfiguration, origin: Origin, *, max_header_size: int
    ) -> None:
        self._quic = Quic(configuration=configuration)
        self._h3: Connection | None = None  # from the end of the handshake on
        self._origin = str(origin)
        self._max_header_size = max_header_size
        self._address: Any = None
        self._control = ControlReader()
        self._events: list[events.Event] = []
        self._max_streams = 0  # as last reported
        self._sending: set[int] = set()  # requests whose body is not ended
        self._settled = False  # the server's SETTINGS are known
        self._closed = False
        self._finished = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open" if self._h3 is not None else "connecting"
        return f"<Session {self._origin} {state}>"

    # what its owner may ask -----------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Closed has been reported, or is about to be."""
        return self._closed

    @property
    def max_streams(self) -> int:
        """How many requests may be opened in the connection's whole life, as of now."""
        return self._quic._remote_max_streams_bidi if self._h3 is not None else 0

    @property
    def streams_opened(self) -> int:
        """How many requests have been opened."""
        return self._quic._local_next_stream_id_bidi // 4

    @property
    def idle_timeout(self) -> float:
        """Seconds of silence that end the connection: the shorter of both sides' limits."""
        ours, theirs = self._quic.configuration.idle_timeout, self._quic._remote_max_idle_timeout
        return min(ours, theirs) if theirs else ours

    def timer(self) -> float | None:
        """When `tick` is due, None for never."""
        if self._closed or self._address is None:
            return None
        due = self._quic.get_timer()
        return None if due is None else due + _ROUNDING

    def events(self) -> list[events.Event]:
        """What has happened since the last call."""
        happened, self._events = self._events, []
        return happened

    # what passes through --------------------------------------------------------------------

    def connect(self, address: Any, now: float) -> None:
        """Begin the handshake with the server at `address`, a tuple as sockets have it."""
        self._address = address
        self._quic.connect(address, now)

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram from the server. When it is all over, it is ignored."""
        self.receive_all((datagram,), now)

    def receive_all(self, datagrams: Iterable[bytes], now: float) -> None:
        """Take datagrams that came together: what they hold of one stream is one event."""
        if self._closed or self._address is None:
            return
        forgotten = False
        try:
            forgotten = self._quic.receive_all(datagrams, self._address, now)
        finally:
            self._advance()
        if forgotten and not self._closed:
            self._finished = True  # nothing more is sent
            self._end(terminations.forgotten(self._origin))

    def tick(self, now: float) -> None:
        """Do what was due at `timer()`."""
        if not self._closed and self._address is not None:
            self._quic.handle_timer(now)
            self._advance()

    def datagrams(self, now: float) -> list[bytes]:
        """What is to be sent now, to the address given to `connect`."""
        if self._finished or self._address is None:
            return []
        pending = [datagram for datagram, _ in self._quic.datagrams_to_send(now)]
        if self._closed:
            self._finish()
        return pending

    # requests -------------------------------------------------------------------------------

    def open_request(
        self, fields: Fields, body: bytes | None, ended: bool = True, window: int | None = None
    ) -> int:
        """Send a request's header section, and its body or the first part of it.

        Args:
            window: bytes of content that the server may send ahead of `consumed`; None takes all
                content for consumed as it comes.

        Returns its stream id, which names it in events.

        Raises:
            ValueError: `max_streams` are opened already, or the session is not ready or closed.
        """
        h3, stream_id = self._h3, self._quic.get_next_available_stream_id()
        if h3 is None or self._closed or stream_id // 4 >= self.max_streams:
            raise ValueError(f"{self!r} has no room: {self.streams_opened} of {self.max_streams}")
        h3.expect(stream_id)
        self._quic.credits.open(stream_id, window)
        if ended:
            h3.send_request(stream_id, fields, body)
        else:
            self._sending.add(stream_id)
            h3.send_section(stream_id, fields, False)
            if body:
                h3.send_content(stream_id, body, False)
        return stream_id

    def send_body(self, stream_id: int, content: bytes, ended: bool) -> None:
        """Send more of the body. Ignored when the request was ended, by either side."""
        if self._h3 is None or self._closed or stream_id not in self._sending:
            return
        if content or ended:
            self._h3.send_content(stream_id, content, ended)
        if ended:
            self._sending.discard(stream_id)

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Send the trailer section, which ends the request. Ignored as in `send_body`."""
        if self._h3 is not None and not self._closed and stream_id in self._sending:
            self._sending.discard(stream_id)
            self._h3.send_section(stream_id, fields, True)

    def unacknowledged(self, stream_id: int) -> int:
        """Bytes of a request that are held until the server has acknowledged them."""
        return self._quic.unacknowledged(stream_id)

    def consumed(self, stream_id: int, size: int) -> None:
        """The reader has taken so many bytes of content; the server may send as many more."""
        self._quic.credits.consumed(stream_id, size)

    def abort_body(self, stream_id: int, code: int) -> None:
        """End an unfinished request body; the response goes on. Ignored when it was ended."""
        if self._h3 is not None and not self._closed and stream_id in self._sending:
            self._sending.discard(stream_id)
            self._quic.reset_stream(stream_id, code)

    def cancel(self, stream_id: int, code: int) -> None:
        """Give up a request: both directions are ended, and no event of it comes any more.

        What is in `events()` already stays there. Ignored when both had ended.
        """
        h3 = self._h3
        if h3 is None or self._closed:
            return
        receiving = stream_id in h3.open
        if receiving or stream_id in self._sending:
            self._sending.discard(stream_id)
            h3.forget(stream_id)
            self._quic.credits.close(stream_id)
            self._quic.reset_stream(stream_id, code)
        if receiving:
            self._quic.stop_stream(stream_id, code)

    # datagrams ------------------------------------------------------------------------------

    def max_datagram_size(self, stream_id: int) -> int:
        """Bytes of one HTTP datagram of this stream (RFC 9297 2.1), 0 when there are none."""
        agreed = self._h3 is not None and self._h3.datagrams_agreed
        return max(0, self._quic.datagram_room() - size_uint_var(stream_id // 4)) if agreed else 0

    def send_datagram(self, stream_id: int, payload: bytes) -> bool:
        """Send one HTTP datagram, which may be lost. False when it was dropped here already."""
        if self._h3 is None or self._closed or len(payload) > self.max_datagram_size(stream_id):
            return False
        return self._quic.offer_datagram(stream_id, encode_uint_var(stream_id // 4) + payload)

    def ping(self, uid: int) -> None:
        """Send a PING; PingAcknowledged(uid) comes when the server has answered."""
        if not self._closed:
            self._quic.send_ping(uid)

    def close(self, code: int = ErrorCode.H3_NO_ERROR, reason: str = "") -> None:
        """End the connection. Closed is reported at once; `datagrams` tells the server."""
        if self._closed:
            return
        self._quic.close(error_code=code, reason_phrase=reason[:_LONGEST_REASON])
        self._end(terminations.ended_by_us(code, reason, self._origin))

    # what QUIC reports ----------------------------------------------------------------------

    def _advance(self) -> None:
        quic = self._quic
        for event in quic.happened():
            take = _TAKEN.get(type(event))
            if take is not None:
                take(self, event)
        if self._knows_too_little():
            self._max_streams = self.max_streams
            self._events.append(events.CapacityChanged(self._max_streams))
        if quic._close_event is not None:
            self._terminated(quic._close_event)

    def _knows_too_little(self) -> bool:
        """Whether the owner knows of no more than half the room: not of each stream allowed."""
        known, opened, grown = self._max_streams, self.streams_opened, self.max_streams
        return grown > known and 2 * (known - opened) <= grown - opened

    def _take_stream_data(self, event: Any) -> None:
        h3, stream_id = self._h3, event.stream_id
        if h3 is None:
            return
        if stream_id & 3:
            h3.handle_event(event)
            if stream_id & 3 == 3 and self._quic._close_event is None:
                self._read_control(stream_id, event.data)
            return
        for each in h3.receive(stream_id, event.data, event.end_stream):
            if type(each) is events.Body:
                self._quic.credits.passed_on(stream_id, len(each.content))
            self._events.append(each)
        if stream_id not in h3.open:
            self._quic.credits.close(stream_id)

    def _read_control(self, stream_id: int, chunk: bytes) -> None:
        self._take_settings()
        try:
            for limit in self._control.feed(stream_id, chunk):
                self._events.append(events.GoAway(limit))
        except ControlFault as fault:
            self._quic.close(error_code=fault.code, reason_phrase=fault.reason)

    def _take_settings(self) -> None:
        h3 = self._h3
        if not self._settled and h3 is not None and h3.received_settings is not None:
            self._settled = True
            self._events.append(events.Settings(h3.connect_enabled, h3.datagrams_agreed))

    def _take_handshake(self, event: quic_events.HandshakeCompleted) -> None:
        quic = self._quic
        if refused_by_purpose(quic):
            return
        quic.forget_handshake()
        self._h3 = Connection(quic, max_header_size=self._max_header_size)
        self._max_streams = quic._remote_max_streams_bidi
        self._events.append(events.Ready(self._max_streams, event.session_resumed))

    def _take_reset(self, event: quic_events.StreamReset) -> None:
        if self._h3 is None:
            return
        self._events += self._h3.handle_event(event)
        if event.stream_id in self._h3.open:
            self._h3.forget(event.stream_id)
            self._quic.credits.close(event.stream_id)
            self._sending.discard(event.stream_id)
            # Nobody will read what is left of the request.
            self._quic.reset_stream(event.stream_id, ErrorCode.H3_REQUEST_CANCELLED)
            self._events.append(events.StreamReset(event.stream_id, event.error_code))

    def _take_stop_sending(self, event: quic_events.StopSendingReceived) -> None:
        if self._h3 is None:
            return
        self._events += self._h3.handle_event(event)
        self._sending.discard(event.stream_id)
        if event.stream_id in self._h3.open:
            self._events.append(events.StopSending(event.stream_id, event.error_code))

    def _take_datagram(self, event: quic_events.DatagramFrameReceived) -> None:
        if self._h3 is not None:
            self._events += self._h3.handle_event(event)

    def _take_ping(self, event: quic_events.PingAcknowledged) -> None:
        self._events.append(events.PingAcknowledged(event.uid))

    # its end --------------------------------------------------------------------------------

    def _terminated(self, event: quic_events.ConnectionTerminated) -> None:
        """QUIC knows how it ends long before it says so, when the closing period is over."""
        ready = self._h3 is not None
        by_peer = self._quic._state is QuicConnectionState.DRAINING
        mapped = terminations.ended_by_peer if by_peer else terminations.ended_here
        error = mapped(event, self._origin, ready=ready)
        event.reason_phrase = event.reason_phrase[:_LONGEST_REASON]
        self._end(error)

    def _end(self, error: QuiverError) -> None:
        self._closed = True
        self._sending.clear()
        self._events.append(events.Closed(error))

    def _finish(self) -> None:
        """Skip the closing period: nothing would be sent in it, and a qlog is written after it."""
        self._finished = True
        due = self._quic.get_timer()
        if due is not None:
            self._quic.handle_timer(due)


_TAKEN: Final[dict[type, Any]] = {
    quic_events.StreamDataReceived: Session._take_stream_data,
    quic_events.HandshakeCompleted: Session._take_handshake,
    quic_events.StreamReset: Session._take_reset,
    quic_events.StopSendingReceived: Session._take_stop_sending,
    quic_events.DatagramFrameReceived: Session._take_datagram,
    quic_events.PingAcknowledged: Session._take_ping,
}
