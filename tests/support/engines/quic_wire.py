"""An engine of QUIC and an aioquic server without HTTP, joined in memory; its clock is its own."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Any, Final

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import (
    QuicPacketType,
    encode_quic_version_negotiation,
    pull_quic_header,
)

from quiver.config import PoolConfig
from quiver.origin import Origin
from quiver.quic.aioquic.configuration import make_configuration
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.quic.engine import (
    ConnectionClosed,
    Event,
    HandshakeCompleted,
    Obstacle,
    SessionTicket,
    StreamDataReceived,
)
from tests.support.network.link import Link, LinkConditions

CLIENT: Final = ("192.0.2.1", 50000)
_STEP: Final = 0.005  # seconds, one way
_TICK: Final = 0.001  # seconds, on a long path

_Packet = tuple[float, int, bytes]  # when it arrives, which one it is, and what it says


class EngineWire:
    """`act(server, event)` is called for each of the server's events."""

    def __init__(
        self,
        config: PoolConfig,
        certificate: tuple[str, str],
        act: Callable[[QuicConnection, Any], None] = lambda server, event: None,
        *,
        fast_paths: bool = True,
        max_streams: int = 128,
        host: str = "localhost",
        ticket: SessionTicket | None = None,
        given: dict[bytes, tls.SessionTicket] | None = None,
        early: bool = False,
        **options: Any,
    ) -> None:
        """The engine resumes by `ticket`; the server gives tickets if it knows those `given`."""
        configuration = make_configuration(config, Origin("https", host, 4433))
        self.engine = AioquicEngine(configuration, ticket, early, fast_paths=fast_paths)
        self._given = given
        self.now = 0.0
        self.events: list[Event] = []
        self.seen: list[Any] = []  # the server's
        self.blocked = False  # the server's datagrams are lost
        self.client = CLIENT  # where ours come from
        self.ours = {CLIENT}  # where the server's arrive
        self.server: QuicConnection | None = None
        self._act = act
        self._max_streams = max_streams
        self._configuration = QuicConfiguration(
            **{"is_client": False, "alpn_protocols": ["h3"], "idle_timeout": 60.0, **options}
        )
        self._configuration.load_cert_chain(*certificate)

    def connect(self) -> EngineWire:
        self.engine.connect(self.now)
        self.run(lambda: bool(self.of(HandshakeCompleted) or self.of(ConnectionClosed)))
        self.settle()
        return self

    def run(self, until: Callable[[], bool], *, rounds: int = 2_000) -> None:
        for _ in range(rounds):
            if until():
                return
            self.step()
        raise AssertionError(f"not done after {rounds} rounds")

    def move(self, port: int) -> Obstacle | None:
        """Migrate to another port; nothing arrives at the former one any more."""
        obstacle = self.engine.migrate(self.now)
        if obstacle is None:
            self.client = (CLIENT[0], port)
            self.ours = {self.client}
        return obstacle

    def settle(self, rounds: int = 40) -> None:
        for _ in range(rounds):
            self.step()

    def let_server_send_in_vain(self, seconds: float) -> None:
        """Be away: nothing passes, and the server's timers run."""
        until = self.now + seconds
        while self.server is not None and self.now < until:
            self.now += _STEP
            self._serve()
            self.server.datagrams_to_send(self.now)

    def step(self) -> None:
        """A round trip: what both have to send arrives, then what is due is done."""
        for datagram in self.engine.datagrams(self.now):
            self._to_server(datagram)
        self.now += _STEP
        if self.server is not None:
            self._serve()
            sending = self.server.datagrams_to_send(self.now)
            sent = [datagram for datagram, to in sending if to in self.ours]
            self.engine.receive([] if self.blocked else sent, self.now)
        self.now += _STEP
        due = self.engine.timer()
        if due is not None and due <= self.now:
            self.engine.tick(self.now)
        self.take()

    def take(self) -> list[Event]:
        """The events, whose data all waits for its reader from now on."""
        taken = list(self.engine.events())
        for event in taken:
            if isinstance(event, StreamDataReceived):
                self.engine.passed_on(event.stream_id, len(event.data))
        self.events += taken
        return taken

    def _to_server(self, datagram: bytes) -> None:
        if self.server is None:
            header = pull_quic_header(Buffer(data=datagram), host_cid_length=8)
            if header.packet_type is not QuicPacketType.INITIAL:
                return  # early data whose handshake was lost
            self.server = QuicConnection(
                configuration=self._configuration,
                original_destination_connection_id=header.destination_cid,
                session_ticket_fetcher=None if self._given is None else self._given.get,
                session_ticket_handler=None if self._given is None else self._give,
            )
            limit = self.server._local_max_streams_bidi
            limit.value = limit.sent = self._max_streams
        self.server.receive_datagram(datagram, self.client, self.now)

    def _give(self, ticket: tls.SessionTicket) -> None:
        assert self._given is not None
        self._given[ticket.ticket] = ticket

    def _serve(self) -> None:
        server = self.server
        assert server is not None
        due = server.get_timer()
        if due is not None and due <= self.now:
            server.handle_timer(self.now)
        while (event := server.next_event()) is not None:
            self.seen.append(event)
            self._act(server, event)

    # what tests ask -------------------------------------------------------------------------

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def came(self, stream_id: int) -> bytes:
        """What has come of a stream."""
        of = self.of(StreamDataReceived)
        return b"".join(event.data for event in of if event.stream_id == stream_id)

    def ended(self, stream_id: int) -> bool:
        return any(e.ended for e in self.of(StreamDataReceived) if e.stream_id == stream_id)


class OneVersion(EngineWire):
    """The server speaks one version of QUIC alone, the first of `supported_versions`: it answers
    others by a Version Negotiation packet (RFC 9000 6.1)."""

    def _to_server(self, datagram: bytes) -> None:
        header = pull_quic_header(Buffer(data=datagram), host_cid_length=8)
        spoken = self._configuration.supported_versions[:1]
        if header.version in (None, *spoken):
            return super()._to_server(datagram)
        if header.packet_type is QuicPacketType.INITIAL:
            answer = encode_quic_version_negotiation(
                source_cid=header.destination_cid,
                destination_cid=header.source_cid,
                supported_versions=spoken,
            )
            self.engine.receive([answer], self.now)


class LongWire(EngineWire):
    """As long as `one_way` says, in seconds, or as the link `up`. What is on its way does not wait
    for more to be sent: a step is a millisecond."""

    def __init__(self, *args: Any, one_way: float, up: Link | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._link_up = up or Link(LinkConditions(delay=one_way), seed="up")
        self._link_down = Link(LinkConditions(delay=one_way), seed="down")
        self._up, self._down = list[_Packet](), list[_Packet]()  # heaps: one may overtake others
        self._numbers = count()

    def step(self) -> None:
        self.now += _TICK
        for datagram in self._arrived(self._up):
            self._to_server(datagram)
        if self.server is not None:
            self._serve()
            for datagram, _ in self.server.datagrams_to_send(self.now):
                self._send(self._link_down, self._down, datagram)
        self.engine.receive(self._arrived(self._down), self.now)
        due = self.engine.timer()
        if due is not None and due <= self.now:
            self.engine.tick(self.now)
        self.take()
        for datagram in self.engine.datagrams(self.now):
            self._send(self._link_up, self._up, datagram)

    def _send(self, link: Link, way: list[_Packet], datagram: bytes) -> None:
        if (arrives := link.carry(len(datagram), self.now)) is not None:
            heappush(way, (arrives, next(self._numbers), datagram))

    def _arrived(self, way: list[_Packet]) -> list[bytes]:
        arrived = []
        while way and way[0][0] <= self.now:
            arrived.append(heappop(way)[2])
        return arrived
