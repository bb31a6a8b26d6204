"""The seam under HTTP/3: what a QUIC engine does for a client, and what it reports.

An engine is one connection of a client (RFC 9000), sans-IO. Its owner carries datagrams both ways:

    engine.connect(now)
    loop: engine.receive(datagrams, now) | engine.tick(now) | engine.open_stream(...) ...
          for event in engine.events(): ...
          send(engine.datagrams(now)); wake at engine.timer()

    connect ---> HandshakeCompleted ---> ConnectionClosed
        \\__________________________________/

* `now` is any clock in seconds that does not go back.
* After `receive`, `tick` or `close` the owner takes `events`; after whatever it did, `datagrams`.
* ConnectionClosed is the last event, and comes exactly once, as soon as the engine knows: it waits
  for no closing period. One more call of `datagrams` yields what the peer is to be told.
* Before HandshakeCompleted the peer is nobody: its certificate has been verified by then, in full.
  Early data goes out before, for whoever has the keys of the session that the ticket is of; anybody
  on the path may send it to the peer again (RFC 9001 9.2).
* Streams are named by their ids (RFC 9000 2.1). An event of a stream that the owner has given up is
  legitimate, and is dropped by the owner.
* Credit follows consumption (RFC 9000 4): what a stream's reader has not taken stays counted, so
  that no more than its window is ever held. See `quiver.quic.flow_control`.
* What the peer or time brings is raised nowhere: whatever the library under an engine raises there
  ends the connection by a ConnectionClosed that says whose fault it was. What the owner asks for in
  the name of one stream (`open_stream`, `send_stream`) may raise, and costs that stream alone.

`aioquic/` holds the engine that is used; tests have a small one in memory.
"""

from __future__ import annotations

import enum
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Protocol

import attrs

from quiver.models import Handshake

__all__ = [
    "Cause",
    "ConnectionClosed",
    "DatagramReceived",
    "Engine",
    "Event",
    "HandshakeCompleted",
    "Obstacle",
    "PathFailed",
    "PathValidated",
    "PingAcknowledged",
    "SessionTicket",
    "StopSendingReceived",
    "StreamDataReceived",
    "StreamResetReceived",
    "TicketReceived",
    "Trace",
]


# Events: what happened, in that order ---------------------------------------------------------


@attrs.define
class HandshakeCompleted:
    """The handshake is done, and the server is who it should be.

    Attributes:
        resumed: a TLS session was resumed (RFC 8446 2.2).
        early: whether the peer has accepted early data; None when there was none. If not, all
            streams are gone, as if there had never been any, and their ids begin anew.
    """

    resumed: bool
    early: bool | None = None


@attrs.frozen(eq=False)
class SessionTicket:
    """What the server gave to resume this session by (RFC 8446 4.6.1): a secret, once and alone.

    Times are seconds since the epoch, as certificates have them.

    Attributes:
        trust: by what the server was judged, and who we said we are. It resumes no connection that
            would be judged otherwise.
        issued, until: when it holds.
        proved_until: until when any ticket of this session may: seven days after the server has
            shown its certificate, and not past the end of that.
        chain: what it has shown then, in DER.
        size: bytes that it takes.
        early: it may carry early data (RFC 9001 4.6.1).
        version: of QUIC, which alone it may be used with (RFC 9369 5).
        content: as the engine needs it.
        application: what the application has to know of the server when it sends early data (RFC
            9001 4.6.3); the application's to put in.
    """

    trust: Hashable
    issued: float
    until: float
    proved_until: float
    chain: tuple[bytes, ...] = attrs.field(repr=False)
    size: int
    early: bool
    content: object = attrs.field(repr=False)
    version: int = 1
    application: bytes = attrs.field(default=b"", repr=False)


@attrs.define
class TicketReceived:
    """The server has given a ticket; it may come at any time, and several may."""

    ticket: SessionTicket


@attrs.define
class StreamDataReceived:
    """Bytes of a stream, in order; those that came in a row may be joined.

    Attributes:
        data: may be empty, when `ended` comes alone.
        ended: with the last of them (FIN).
    """

    stream_id: int
    data: bytes
    ended: bool


@attrs.define
class StreamResetReceived:
    """The peer has given up its sending half of a stream (RESET_STREAM, RFC 9000 19.4)."""

    stream_id: int
    code: int


@attrs.define
class StopSendingReceived:
    """The peer wants no more of a stream (STOP_SENDING, RFC 9000 19.5)."""

    stream_id: int
    code: int


@attrs.define
class DatagramReceived:
    """The payload of a DATAGRAM frame (RFC 9221)."""

    payload: bytes


@attrs.define
class PingAcknowledged:
    """The peer has answered the PING sent with this number."""

    uid: int


@attrs.define
class PathValidated:
    """The peer has answered from the path that `migrate` went over to, after so many seconds."""

    seconds: float


@attrs.define
class PathFailed:
    """Nothing of that path has been answered for so many seconds (RFC 9000 8.2.4)."""

    seconds: float


class Obstacle(enum.Enum):
    """Why a connection cannot migrate to another local address."""

    UNCONFIRMED = "its handshake was not confirmed yet"  # RFC 9000 9
    FORBIDDEN = "its server forbids it (disable_active_migration)"  # RFC 9000 18.2
    NO_CONNECTION_ID = "its server has given no spare connection id"  # RFC 9000 9.5
    UNABLE = "this release of the QUIC library cannot"
    TCP = "TCP has no migration"
    ENDED = "it has ended"


class Cause(enum.Enum):
    """Who or what has ended a connection."""

    OWNER = "closed by its owner"
    PEER = "the peer sent CONNECTION_CLOSE"
    VIOLATION = "the peer did what it must not, or the handshake failed"
    IDLE = "nothing came for the idle timeout"
    STATELESS_RESET = "the peer knows nothing of this connection (RFC 9000 10.3)"
    RAISED = "the library raised what it should not"


@attrs.define
class ConnectionClosed:
    """The connection is over.

    Attributes:
        cause: by what.
        code: that it was closed with, by whichever side.
        transport: the code is QUIC's own (RFC 9000 20.1) or TLS's (RFC 9001 4.8), not the
            application's.
        reason: the words that came with it, by whichever side.
        confirmed: the handshake was confirmed (RFC 9001 4.1.2) before.
        error: what was raised, if that was the cause.
        by_peer: it was raised on what the peer had sent.
        of_certificate: it was raised while the peer's certificate was judged.
    """

    cause: Cause
    code: int = 0
    transport: bool = True
    reason: str = ""
    confirmed: bool = False
    error: BaseException | None = None
    by_peer: bool = False
    of_certificate: bool = False


Event = (
    HandshakeCompleted
    | StreamDataReceived
    | StreamResetReceived
    | StopSendingReceived
    | DatagramReceived
    | PingAcknowledged
    | PathValidated
    | PathFailed
    | TicketReceived
    | ConnectionClosed
)


# The engine -----------------------------------------------------------------------------------


class Trace(Protocol):
    """Where HTTP/3 notes its frames, beside the packets: a qlog."""

    def headers(
        self, event: str, stream_id: int, size: int, fields: Sequence[tuple[bytes, bytes]]
    ) -> None:
        """A HEADERS frame of `size` bytes; `event` is "frame_created" or "frame_parsed"."""

    def content(self, event: str, stream_id: int, size: int) -> None:
        """A DATA frame of `size` bytes."""

    def stream_type(self, stream_id: int, name: str) -> None:
        """The type of a unidirectional stream, ours or the peer's, is known."""


class Engine(Protocol):
    """One QUIC connection of a client. Nothing is sent before `connect`."""

    # facts ----------------------------------------------------------------------------------

    @property
    def answered(self) -> bool:
        """Whether any packet has come that only the server can have sent."""

    @property
    def early(self) -> bool:
        """Whether what is sent now is early data (RFC 9001 4.6): streams may be opened before
        HandshakeCompleted, within the limits that the peer had when it gave the ticket. No longer
        when the peer has accepted or rejected it, which may be known before that."""

    @property
    def handshake(self) -> Handshake:
        """What both sides have agreed on. To be asked from HandshakeCompleted on."""

    @property
    def heard(self) -> float:
        """When the last packet of the peer's came that was not forged; -inf for never."""

    @property
    def idle_timeout(self) -> float:
        """Seconds of silence that end the connection: the shorter of both sides' limits, but three
        probe timeouts at least (RFC 9000 10.1)."""

    @property
    def probe_timeout(self) -> float:
        """Seconds in which an answer should have come, PTO (RFC 9002 6.2.1), without backoff."""

    @property
    def max_streams(self) -> int:
        """Bidirectional streams that the peer lets be opened in all (RFC 9000 4.6); grows."""

    @property
    def next_stream_id(self) -> int:
        """The bidirectional stream that is opened next."""

    @property
    def sends_datagrams(self) -> bool:
        """Whether we have offered to take DATAGRAM frames (RFC 9221 3)."""

    @property
    def max_datagram_size(self) -> int:
        """Bytes of the largest payload of a DATAGRAM frame on any path; 0 when there are none."""

    @property
    def trace(self) -> Trace | None:
        """Where to note HTTP/3's frames, if anywhere."""

    # what passes through --------------------------------------------------------------------

    def connect(self, now: float, address: tuple[str, int] = ...) -> None:
        """Begin the handshake.

        Args:
            address: host and port that the owner sends the datagrams to, and all come from. An
                engine never asks for another one: a preferred address (RFC 9000 9.6) is declined.
        """

    def receive(self, datagrams: Iterable[bytes], now: float) -> None:
        """Take datagrams of the peer's. What iterating over them raises comes out."""

    def tick(self, now: float) -> None:
        """Do what was due at `timer()`."""

    def timer(self) -> float | None:
        """When `tick` is due: never for None, and at once for -inf: there is something to tell."""

    def events(self) -> Iterator[Event]:
        """What has happened and was not taken yet, also what came just before the end.

        After ConnectionClosed nothing follows. What was not taken when the owner closes is lost.
        """

    def datagrams(self, now: float) -> list[bytes]:
        """What is to be sent now."""

    # streams --------------------------------------------------------------------------------

    def open_stream(self, content: bytes, ended: bool, window: int | None) -> int:
        """Open the next bidirectional stream, and send its first bytes.

        Args:
            window: bytes that the peer may send ahead of `consumed`; None takes all of them for
                consumed as they come.

        Returns its id, which was `next_stream_id`.

        Raises:
            ValueError: the peer lets no more be opened.
        """

    def open_unidirectional(self, content: bytes) -> int:
        """Open a stream on which only we send, and send its first bytes. Returns its id."""

    def send_stream(self, stream_id: int, content: bytes | memoryview, ended: bool) -> None:
        """Send more, and with `ended` the end (FIN).

        Args:
            content: it may be kept as it is, until it is acknowledged.

        Raises:
            RuntimeError: our half has ended, was reset, or the peer wants no more of it.
        """

    def reset_stream(self, stream_id: int, code: int) -> None:
        """Give up our half. Ignored when it has ended, or the engine knows no such stream."""

    def stop_sending(self, stream_id: int, code: int) -> None:
        """Ask the peer to give up its half. Ignored as in `reset_stream`."""

    def unacknowledged(self, stream_id: int) -> int:
        """Bytes that are held because the peer has not acknowledged them."""

    def send_credit(self, stream_id: int) -> int:
        """Bytes that the peer lets follow at once what was written to a stream of ours; 0 also
        while it does not let the stream be opened. From HandshakeCompleted on."""

    # credit ---------------------------------------------------------------------------------

    def passed_on(self, stream_id: int, size: int) -> None:
        """So many bytes have gone to the stream's reader, and wait for it to consume them."""

    def consumed(self, stream_id: int, size: int) -> None:
        """The reader has taken so many of them: the peer may send as many more."""

    def forget_stream(self, stream_id: int) -> None:
        """Nobody reads the stream any more: it gets no more credit, and holds none.

        What is sent on it goes on, until it ends or is reset.
        """

    # datagrams and signs of life ------------------------------------------------------------

    def send_datagram(self, stream_id: int, payload: bytes) -> bool:
        """Queue a DATAGRAM frame, to go after the stream's first bytes.

        Returns False when too many wait, and this one is dropped.
        """

    def ping(self, uid: int) -> None:
        """Send a PING, within the congestion window; PingAcknowledged(uid) is its answer."""

    def probe(self) -> None:
        """Send a PING at once, beyond the congestion window (RFC 9002 6.2.4)."""

    def migrate(self, now: float) -> Obstacle | None:
        """Go on from another local address (RFC 9000 9): what `datagrams` yields from here on is
        sent from there. PathValidated or PathFailed follows, unless it migrates again before.

        What was on its way is sent again; congestion control, round trip times and the size of
        datagrams begin anew. What still comes to the old address is taken.

        Returns why it cannot, and nothing has changed then; None when it does.
        """

    def shorten(self) -> None:
        """Our own link takes no datagrams as long as the last ones were: send shorter ones."""

    # its end --------------------------------------------------------------------------------

    def close(self, code: int, reason: str = "") -> None:
        """End the connection with a code of the application's. Ignored when it has ended.

        Of a reason too long for a packet the beginning is sent.
        """
