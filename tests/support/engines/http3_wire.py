"""A client's connection and a server, joined by a wire in memory with a clock of its own.

HTTP/3 stands on one of two engines: aioquic's, with aioquic's server at the far end, or the one of
`memory_quic`, with its server's end. At both far ends HTTP/3 is aioquic's.

The wire carries datagrams after a delay, and may drop, duplicate or reorder them as a plan says.
Nothing waits: `run` steps from one thing due to the next.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal, cast

import attrs
import pylsqpack
from aioquic._buffer import Buffer
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import H3Connection
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted, QuicEvent
from aioquic.quic.packet import pull_quic_header

from quiver.config import PoolConfig
from quiver.h3 import events
from quiver.h3.client_connection import ClientConnection
from quiver.origin import Origin
from quiver.quic.aioquic.configuration import make_configuration
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.quic.flow_control import FlowControl
from tests.support.engines.memory_quic import Limits, MemoryEngine, MemoryServer
from tests.support.engines.parameters import Change, tell
from tests.support.servers.frames import frame

EngineName = Literal["aioquic", "plain", "memory"]
"""aioquic's by the fast paths, or by aioquic's own, and the one in memory."""

ENGINES: Final[tuple[EngineName, ...]] = ("aioquic", "plain", "memory")
CLIENT: Final = ("192.0.2.1", 50000)
SERVER: Final = ("192.0.2.2", 443)
DELAY: Final = 0.01  # seconds, one way


@attrs.frozen
class Fate:
    """What becomes of one datagram: so many copies, each with so much more delay."""

    extra: tuple[float, ...] = (0.0,)


ARRIVES: Final = Fate()
LOST: Final = Fate(())


class Tableless(H3Connection):
    """Allows no dynamic table, as quic-go does: then requests are all that a client sends."""

    def _init_connection(self) -> None:
        self._max_table_capacity = self._blocked_streams = 0
        self._decoder = pylsqpack.Decoder(0, 0)
        super()._init_connection()


class Server:
    """The far end: QUIC and HTTP/3 by aioquic. `answer(server, h3_event)` is the application.

    `parameters` are said in place of aioquic's transport parameters; aioquic's hold all the same.
    """

    def __init__(
        self,
        certificate: tuple[str, str] | None,  # None: for the engine in memory only
        answer: Callable[[Server, Any], None] | None = None,
        *,
        max_streams: int = 128,
        h3: type[H3Connection] = H3Connection,
        engine: EngineName = "aioquic",
        parameters: Change | bytes | None = None,
        **options: Any,
    ) -> None:
        self.engine = engine
        self._parameters = parameters
        self._make_h3 = h3
        self.configuration = QuicConfiguration(
            **{"is_client": False, "alpn_protocols": ["h3"], "idle_timeout": 60.0, **options}
        )
        if certificate is not None:
            self.configuration.load_cert_chain(*certificate)
        self.quic: QuicConnection | None = None
        self.h3: H3Connection | None = None
        self.seen: list[QuicEvent] = []
        self.sent: list[bytes] = []  # every datagram
        self.requests: list[Any] = []  # every event of HTTP/3
        self._answer = answer
        self._max_streams = max_streams

    def receive(self, datagram: bytes, now: float) -> None:
        if self.quic is None:
            self.quic = self._accept(datagram)
        self.quic.receive_datagram(datagram, CLIENT, now)
        self.advance()

    def advance(self) -> None:
        assert self.quic is not None
        while (event := self.quic.next_event()) is not None:
            self.seen.append(event)
            if isinstance(event, HandshakeCompleted):
                datagrams = self.configuration.max_datagram_frame_size is not None
                # aioquic offers H3_DATAGRAM with WebTransport only.
                self.h3 = self._make_h3(self.quic, enable_webtransport=datagrams)
            if self.h3 is not None:
                self._take(self.h3.handle_event(event))

    def _take(self, happened: Iterable[Any]) -> None:
        for each in happened:
            self.requests.append(each)
            if self._answer is not None:
                self._answer(self, each)

    def _accept(self, datagram: bytes) -> QuicConnection:
        if self.engine == "memory":
            return cast(QuicConnection, MemoryServer(self.configuration, self._max_streams))
        header = pull_quic_header(Buffer(data=datagram), host_cid_length=8)
        quic = QuicConnection(
            configuration=self.configuration,
            original_destination_connection_id=header.destination_cid,
        )
        limit = quic._local_max_streams_bidi
        limit.value = limit.sent = self._max_streams
        if self._parameters is not None:
            tell(quic, self._parameters)
        return quic

    @property
    def terminated(self) -> ConnectionTerminated | None:
        """How it ended, as soon as QUIC knows."""
        return None if self.quic is None else self.quic._close_event

    def may_send(self, stream_id: int) -> int:
        """How far it may send on a stream, as it knows."""
        assert self.quic is not None
        stream: Any = self.quic._streams[stream_id]
        limit: int = stream.may_send if self.engine == "memory" else stream.max_stream_data_remote
        return limit

    def withhold_credit(self) -> None:
        """Never let the client send more than it may from the beginning."""
        quic: Any = self.quic
        if self.engine == "memory":
            quic.peer.gives_credit = False
        else:
            quic._write_stream_limits = lambda **_: None

    # what a server may do behind aioquic's back ---------------------------------------------

    def send_raw(self, stream_id: int, octets: bytes, ended: bool = False) -> None:
        assert self.quic is not None
        self.quic.send_stream_data(stream_id, octets, ended)

    def send_frame(self, stream_id: int, kind: int, payload: bytes, ended: bool = False) -> None:
        self.send_raw(stream_id, frame(kind, payload), ended)

    def send_section(
        self, stream_id: int, fields: list[tuple[bytes, bytes]], ended: bool = False
    ) -> None:
        """A HEADERS frame with whatever fields, unchecked."""
        assert self.h3 is not None
        self.send_frame(stream_id, 1, self.h3._encode_headers(stream_id, fields), ended)

    def control(self, octets: bytes) -> None:
        assert self.h3 is not None
        assert self.h3._local_control_stream_id is not None
        self.send_raw(self.h3._local_control_stream_id, octets)

    def goaway(self, stream_id: int) -> None:
        self.control(frame(7, encode_uint_var(stream_id)))


class Wire:
    """Connection and server with the datagrams between them. `now` is the only clock there is.

    Attributes:
        sizes: of the datagrams to the server, in bytes.
        largest: bytes of a datagram that the path to the server takes; longer ones are lost.
    """

    def __init__(
        self, h3: ClientConnection, server: Server | None, fates: Iterable[Fate] = ()
    ) -> None:
        self.h3 = h3
        self.server = server
        self.now = 0.0
        self.events: list[events.Event] = []
        self.steps = 0
        self.sizes: list[int] = []
        self.largest = 65_535
        self._fates: Iterator[Fate] = iter(fates)
        self._order = itertools.count()
        self._flying: list[tuple[float, int, bool, bytes]] = []  # True: to the server
        h3.connect(self.now, SERVER)
        self.flush()

    def flush(self) -> None:
        """Let both sides send, and take what the connection has to say."""
        self.events += self.h3.events()
        for datagram in self.h3.datagrams(self.now):
            self._launch(True, datagram)
        if self.server is not None and self.server.quic is not None:
            for datagram, _ in self.server.quic.datagrams_to_send(self.now):
                self.server.sent.append(datagram)
                self._launch(False, datagram)

    def step(self) -> bool:
        """Do the next thing that is due. False when there is none, and never will be."""
        arrival = self._flying[0][0] if self._flying else None
        due = [moment for moment in (arrival, self.h3.timer(), self._servers()) if moment]
        if not due:
            return False
        self.steps += 1
        self.now = max(self.now, min(due))
        while self._flying and self._flying[0][0] <= self.now:
            self._land(*heapq.heappop(self._flying)[2:])
        self._tick()
        self.flush()
        return True

    def run(self, until: Callable[[], bool] = lambda: False, *, limit: int = 20_000) -> None:
        """Step until `until` holds, or nothing is left to do. Fails after `limit` steps."""
        self.flush()
        for _ in range(limit):
            if until() or not self.step():
                return
        raise AssertionError(f"not done after {limit} steps, at {self.now:.3f} s")

    def settle(self, seconds: float = 1.0, until: Callable[[], bool] = lambda: False) -> None:
        """Let some time pass, or less when `until` holds before."""
        end = self.now + seconds
        self.run(lambda: until() or (not self._flying and self._next() > end))
        if not until():
            self.now = max(self.now, end)

    def _next(self) -> float:
        moments = (self.h3.timer(), self._servers())
        return min((moment for moment in moments if moment), default=float("inf"))

    def _servers(self) -> float | None:
        if self.server is None or self.server.quic is None:
            return None
        due = self.server.quic.get_timer()
        return None if due is None else due + 1e-6  # as AioquicEngine.timer has it

    def _tick(self) -> None:
        timer = self.h3.timer()
        if timer is not None and timer <= self.now:
            self.h3.tick(self.now)
        moment = self._servers()
        if moment is not None and moment <= self.now:
            assert self.server is not None
            assert self.server.quic is not None
            self.server.quic.handle_timer(self.now)
            self.server.advance()

    def _launch(self, to_server: bool, datagram: bytes) -> None:
        if to_server:
            self.sizes.append(len(datagram))
            if len(datagram) > self.largest:
                return
        for extra in next(self._fates, ARRIVES).extra:
            flight = (self.now + DELAY + extra, next(self._order), to_server, datagram)
            heapq.heappush(self._flying, flight)

    def _land(self, to_server: bool, datagram: bytes) -> None:
        if not to_server:
            self.h3.receive(datagram, self.now)
        elif self.server is not None:
            self.server.receive(datagram, self.now)

    # what tests ask -------------------------------------------------------------------------

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def on(self, stream_id: int) -> list[Any]:
        """The events of one stream so far."""
        return [event for event in self.events if getattr(event, "stream_id", None) == stream_id]

    @property
    def responses(self) -> dict[int, Any]:
        """Those that the connection still reads."""
        return self.h3._responses

    @property
    def flow_control(self) -> FlowControl:
        """The client's accounts of credit."""
        engine: Any = self.h3._engine
        in_memory = isinstance(engine, MemoryEngine)
        return cast(
            FlowControl, engine.peer.accounts if in_memory else engine.connection.flow_control
        )

    @property
    def error(self) -> Any:
        """What the connection closed with, None as long as it has not."""
        closed = self.of(events.ConnectionEnded)
        return closed[0].error if closed else None


def dial(
    config: PoolConfig,
    server: Server | None,
    *,
    host: str = "localhost",
    fates: Iterable[Fate] = (),
    max_header_size: int | None = None,
    engine: EngineName = "aioquic",
) -> Wire:
    """A wire with a connection to https://host:4433 that has begun; on the server's engine."""
    origin = Origin("https", host, 4433)
    size = config.max_header_size if max_header_size is None else max_header_size
    return Wire(client(server.engine if server else engine, config, origin, size), server, fates)


def client(engine: EngineName, config: PoolConfig, origin: Origin, size: int) -> ClientConnection:
    """A connection that has not begun."""
    if engine != "memory":
        engine_of_aioquic = AioquicEngine(
            make_configuration(config, origin), fast_paths=engine == "aioquic"
        )
        return ClientConnection(engine_of_aioquic, origin, max_header_size=size)
    idle = 600.0 if config.idle_timeout is None else config.idle_timeout + 5.0
    limits = Limits(
        max_stream_data=config.receive_window,
        max_datagram_frame_size=65_536 if config.datagrams else None,
        idle_timeout=idle,
    )
    in_memory = MemoryEngine(limits, receive_window_max=config.receive_window_max)
    return ClientConnection(in_memory, origin, max_header_size=size)


def connected(config: PoolConfig, server: Server, **options: Any) -> Wire:
    """A wire whose handshake is done."""
    wire = dial(config, server, **options)
    wire.run(lambda: bool(wire.of(events.Ready)))
    wire.settle(0.2)
    assert wire.error is None
    return wire
