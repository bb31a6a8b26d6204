"""The seam under a pool: what it asks of an HTTP connection, and of what carries that.

    HttpConnection   sans-IO: what came and `now` in, events out; requests and their bodies
    Transport        its socket, and what goes between the two
    ProtocolStack    makes the transports of one pool, and has the name of what they speak

A connection actor has one Transport, and by that one HttpConnection. What it does with them is the
same whatever they speak:

    transport.open(address, now)
    loop: transport.receive(now) | http.tick(now) | http.open_request(...) | http.consumed(...) ...
          for event in http.events(): ...
          transport.flush(); wake at http.timer()

* Events are those of `quiver.h3.events`, in their order: of each stream `Informational*, Headers,
  Body*, TrailersReceived?`, or where it breaks off. Ready is the first of a connection that comes
  about, ConnectionEnded the last of all, exactly once.
* Streams are named by their ids, which grow: what has an id of `next_stream_id` or above was never
  opened, and a GOAWAY hands back what has the id that it names or a higher one.
* Room is `max_streams` in the connection's whole life; Ready and CapacityChanged may also say how
  many of them at a time (`concurrent`). One that `is_full` has less room than it last said, and
  opens nothing just now: what is meant for it goes back to the pool, unused.
* Credit follows consumption, see `quiver.quic.flow_control`: of a stream with a `window` the
  server may send that much ahead of `consumed`.
* Codes are HTTP/3's (RFC 9114 8.1); others say what they mean by them in their own (RFC 9114 A.4).
* What the peer or time brings is raised nowhere: it ends a stream or the connection by an event.
  What is asked in the name of one request may raise, and costs that request alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, Self

from quiver.config import PoolConfig
from quiver.h3 import events
from quiver.h3.headers import Fields
from quiver.models import Handshake
from quiver.origin import Origin
from quiver.pool.address_attempts import Address
from quiver.pool.session_tickets import SessionTickets
from quiver.pool.socket_errors import SocketError
from quiver.proxies import Proxy
from quiver.quic.engine import Obstacle

__all__ = ["ConnectedSocket", "HttpConnection", "ProtocolStack", "Transport"]


class HttpConnection(Protocol):
    """One HTTP connection of a client. Nothing is sent before its transport has opened it."""

    # facts ----------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """ConnectionEnded has been reported, or is among the next `events`."""

    @property
    def answered(self) -> bool:
        """Whether anything has come that only the server can have sent."""

    @property
    def handshake(self) -> Handshake:
        """What both sides have agreed on. To be asked from Ready on."""

    @property
    def settings(self) -> dict[str, int]:
        """The server's SETTINGS by name, empty until they have come."""

    @property
    def max_streams(self) -> int:
        """How many requests may be opened in the connection's whole life, as of now."""

    @property
    def early_streams(self) -> int:
        """How many requests may be opened now, before Ready, in the first flight."""

    @property
    def streams_opened(self) -> int:
        """How many requests have been opened."""

    @property
    def is_full(self) -> bool:
        """Whether no request can be opened now, whatever its last word on room was."""

    @property
    def next_stream_id(self) -> int:
        """The stream that the next request will have."""

    @property
    def idle_timeout(self) -> float:
        """Seconds of silence that end the connection; infinity where silence ends none."""

    @property
    def pings_in_silence(self) -> bool:
        """Whether a silent path is to be kept open by PINGs while requests are open."""

    @property
    def probe_timeout(self) -> float:
        """Seconds in which an answer to `probe` should have come."""

    # what passes through --------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what was due at `timer()`."""

    def timer(self) -> float | None:
        """When `tick` is due: never for None, and at once for -inf: there is something to tell."""

    def events(self) -> list[events.Event]:
        """What has happened since the last call."""

    # requests -------------------------------------------------------------------------------

    def check_section(self, fields: Fields) -> None:
        """Refuse a section that exceeds the server's limit. Raises InvalidRequest."""

    def open_request(
        self, fields: Fields, body: bytes | None, ended: bool = True, window: int | None = None
    ) -> int:
        """Send a request's header section, and its body or the first part of it.

        Returns its stream id, which was `next_stream_id`. Raises as HTTP/3's does.
        """

    def announce_trailers(self, fields: Fields) -> Fields:
        """The fields of a request that has trailers, as they are to be sent."""

    def send_body(self, stream_id: int, content: bytes | memoryview, ended: bool) -> None:
        """Send more of the body. Ignored when the request was ended, by either side."""

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Send the trailer section, which ends the request. Ignored as in `send_body`."""

    def abort_body(self, stream_id: int, code: int) -> None:
        """End an unfinished request body; the response goes on. Ignored when it was ended."""

    def cancel(self, stream_id: int, code: int) -> None:
        """Give up a request: no event of it comes any more. Ignored when both sides had ended."""

    def unacknowledged(self, stream_id: int) -> int:
        """Bytes of the request that are held because the server has not taken them."""

    def consumed(self, stream_id: int, size: int) -> None:
        """The reader has taken so many bytes: the server may send as many more."""

    # datagrams and signs of life ------------------------------------------------------------

    def max_datagram_size(self, stream_id: int) -> int:
        """Bytes of one HTTP datagram of this stream (RFC 9297 2.1), 0 when there are none."""

    def send_datagram(self, stream_id: int, payload: bytes) -> bool:
        """Send one HTTP datagram, which may be lost. False when it was dropped here already."""

    def ping(self, uid: int) -> None:
        """Send a PING, if the protocol has one."""

    def probe(self) -> None:
        """Send a PING at once, to a server that may be gone."""

    def shorten(self) -> None:
        """Our own link takes no datagrams as long as the last ones were."""


class ConnectedSocket(Protocol):
    """A socket to one address, as far as the pool looks at it."""

    @property
    def to(self) -> Address:
        """The address that it was made for."""

    @property
    def name(self) -> tuple[Any, ...]:
        """Its own, as `socket.getsockname` has it."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server."""

    @property
    def local(self) -> tuple[str, int]:
        """Host and port of ours."""


class Transport(Protocol):
    """A socket and an HTTP connection, and what goes between them. See `UdpTransport`."""

    @property
    def http(self) -> HttpConnection:
        """The connection; there is none before it is opened or adopted."""

    @property
    def socket(self) -> ConnectedSocket | None:
        """None when it is closed, and before it is opened."""

    @property
    def left(self) -> int:
        """Requests from this stream on have never left."""

    @property
    def more(self) -> bool:
        """Whether there may be more than what was received last."""

    def open(self, address: Address, now: float) -> None:
        """Begin to shake hands. Raises OSError: the server cannot be reached from here."""

    def adopt(self, other: Self) -> None:
        """Take over what another one has opened, which is closed from then on."""

    def has_moved(self) -> bool:
        """Whether the handshake is to begin anew, from another address of ours. Raises OSError."""

    def begin_anew(self, now: float) -> None:
        """Begin it. Raises OSError: then nothing has changed."""

    def begin_without_ticket(self, now: float) -> bool:
        """Begin a full handshake, if one has failed that would have resumed a session.

        Returns whether it was begun. Raises OSError: then it cannot be.
        """

    def receive(self, now: float) -> bool:
        """Take what is there, a share of it. Returns whether it was the server's beyond doubt."""

    def may_go_on(self, seconds: float) -> bool:
        """Whether to receive again in this turn of the loop, after what has cost so much."""

    def may_be_lent(self) -> bool:
        """Look whether the server has closed it. Asked after some silence, before it is lent."""

    def migrate(self, now: float) -> Obstacle | None:
        """Go on from another address of ours, or say why it cannot be. Raises OSError."""

    def forget_former(self) -> None:
        """Free the socket from before the last migration."""

    def flush(self, *, uploads: bool = False) -> None:
        """Send what there is to send, as far as it is taken.

        Args:
            uploads: there is more of bodies than the HTTP connection was handed.
        """

    def get_ready(self) -> None:
        """Do what can be done for the handshake while the server has not answered."""

    def take_error(self) -> SocketError | None:
        """An error that the socket has met, each once; None when there are no more."""

    def hang_up(self) -> None:
        """Tell the server of the end if it has not ended, and close."""

    def close(self) -> None:
        """Free the sockets. The connection stays, for what is asked of it later."""


class ProtocolStack(Protocol):
    """What a pool speaks.

    Attributes:
        name: "http/3", say; what `protocol_of` tells.
        schemes: of the origins that it is for.
    """

    name: ClassVar[str]
    schemes: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        origin: Origin,
        config: PoolConfig,
        tickets: SessionTickets,
        proxy: Proxy | None = None,
    ) -> None:
        """Read what the options name, roots of trust for one. Raises InvalidOptions.

        Args:
            tickets: of all origins, by which TLS sessions may be resumed.
            proxy: that is gone through; over QUIC there is none.
        """

    def transport(self, tell: Callable[[object], None], *, early: bool = False) -> Transport:
        """A transport that is not opened yet; `tell` sends its owner a message.

        With `early` its first handshake may take requests along, see `early_streams`.
        """

    def over_http1(self) -> ProtocolStack | None:
        """The same of HTTP/1.1 alone; None where that is not to be spoken."""
