"""An origin that attacks: QUIC and TLS by aioquic, the HTTP/3 on top of it written by hand.

It runs in a thread of the test's own process, so that an attack is a plain function, and what
the client did about it is read off `clients`. `/ok` answers well, `/held` answers well when it
is told to, `/attack` does what the test has chosen.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Final, Self

import attrs
import pylsqpack
from aioquic.buffer import encode_uint_var
from aioquic.quic.configuration import QuicConfiguration
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
from aioquic.quic.packet import QuicHeader

import quiver
from quiver.testing import Authority
from quiver.testing.options import OriginOptions
from quiver.testing.server.aioquic_internals import ServerQuic
from quiver.testing.server.connection import ServerConnection
from quiver.testing.server.endpoint import Endpoint
from tests.support.engines.parameters import Change, tell
from tests.support.servers.frames import RESPONSE, SETTINGS, data, first_section

BACKLOG: Final = 256 * 1024  # bytes of a flood that wait at our side, at most
PAUSE: Final = 0.001  # seconds between two looks at the backlog
LIMIT: Final = 60.0  # seconds for anything to come about: it ends what hangs
HEADER_LIMIT: Final = 4096  # bytes, of `limited_client`
BODY_LIMIT: Final = 100_000

_OVER: Final = object()

CONTROL: Final = 3  # the streams that `greet` opens, RFC 9000 2.1
ENCODER: Final = 7
DECODER: Final = 11


@attrs.define
class Seen:
    """What one client did on its connection, as its server saw it. Codes are of RFC 9114 8.1."""

    closed: int | None = None
    reason: str = ""
    by_transport: bool = False  # the code is one of QUIC's own
    resets: dict[int, int] = attrs.field(factory=dict)
    stops: dict[int, int] = attrs.field(factory=dict)
    asked: list[str] = attrs.field(factory=list)


class RawPeer(ServerConnection):
    """One client's connection, and what an attack may do with it. Lives in the origin's thread."""

    def __init__(
        self, origin: HostileOrigin, quic: ServerQuic, dirty: Callable[[ServerConnection], None]
    ) -> None:
        super().__init__(quic, origin.options, origin.counts, dirty)
        self.seen = Seen()
        self._origin = origin
        self._requests: dict[int, bytes | None] = {}  # None: acted upon
        self._decoder = pylsqpack.Decoder(0, 0)

    def advance(self) -> None:
        while (event := self.quic.next_event()) is not None:
            self._quic_event(event)
        ended = self.quic._close_event
        if ended is not None and self.seen.closed is None:
            self.seen.closed = ended.error_code
            self.seen.reason = ended.reason_phrase
            self.seen.by_transport = ended.frame_type is not None
        self._origin.changed()

    def _quic_event(self, event: QuicEvent) -> None:
        match event:
            case ConnectionTerminated():
                self.gone = True
            case ConnectionIdIssued():
                self.connection_ids.add(event.connection_id)
            case ConnectionIdRetired():
                self.connection_ids.discard(event.connection_id)
            case ProtocolNegotiated():
                self._origin.greeting(self)
            case StreamDataReceived() if event.stream_id % 4 == 0:
                self._received(event.stream_id, event.data)
            case StreamReset():
                self.seen.resets[event.stream_id] = event.error_code
            case StopSendingReceived():
                self.seen.stops[event.stream_id] = event.error_code

    def _received(self, stream_id: int, octets: bytes) -> None:
        """Act as soon as the header section is there; of no interest is what else is sent."""
        before = self._requests.get(stream_id, b"")
        if before is None:
            return
        section = first_section(before + octets)
        self._requests[stream_id] = before + octets if section is None else None
        if section is not None:
            _, fields = self._decoder.feed_header(stream_id, section)
            path = dict(fields)[b":path"].decode()
            self.seen.asked.append(path)
            self._origin.answer(self, stream_id, path)

    # what an attack is made of --------------------------------------------------------------

    def write(self, stream_id: int, octets: bytes, ended: bool = False) -> None:
        """Put bytes on a stream, whatever they are."""
        self.quic.send_stream_data(stream_id, octets, ended)
        self.touched()

    def open(self, octets: bytes, ended: bool = False, *, unidirectional: bool = True) -> int:
        """Write on a new stream of ours; its id."""
        fresh = self.quic.get_next_available_stream_id(is_unidirectional=unidirectional)
        self.write(fresh, octets, ended)
        return fresh

    def reset(self, stream_id: int, code: int) -> None:
        self.quic.reset_stream(stream_id, code)
        self.touched()

    def datagram(self, octets: bytes) -> None:
        self.quic.send_datagram_frame(octets)
        self.touched()

    def every(self, seconds: float, steps: Iterator[object]) -> None:
        """One of `steps` now and then, until they or the connection end."""
        self._origin.later(0.0, lambda: self._step(seconds, steps))

    def flood(self, steps: Iterator[object]) -> None:
        """As many `steps` as the client's windows take in, holding little at our side."""
        self._origin.later(0.0, lambda: self._pour(steps))

    def _step(self, seconds: float, steps: Iterator[object]) -> None:
        if self.seen.closed is None and next(steps, _OVER) is not _OVER:
            self.touched()
            self._origin.later(seconds, lambda: self._step(seconds, steps))

    def _pour(self, steps: Iterator[object]) -> None:
        while self.seen.closed is None and self._backlog() < BACKLOG:
            if next(steps, _OVER) is _OVER:
                return
            self.touched()
        if self.seen.closed is None:
            self._origin.later(PAUSE, lambda: self._pour(steps))

    def _backlog(self) -> int:
        streams = sum(len(stream.sender._buffer) for stream in self.quic._streams.values())
        return streams + sum(len(datagram) for datagram in self.quic._datagrams_pending)


def limited_client(authority: Authority) -> quiver.Client:
    """A client with small limits, and with one connection, so that all share it."""
    limits = {"max_header_size": HEADER_LIMIT, "max_body_size": BODY_LIMIT}
    options = {"cafile": authority.cafile, "max_connections": 1, **limits}
    return quiver.Client(pools={"default": options})


Attack = Callable[[RawPeer, int], object]
"""Done to the stream of one request; what it returns is of no account."""


def greet(peer: RawPeer, settings: bytes = SETTINGS) -> None:
    """Open control, QPACK encoder and QPACK decoder streams, as every server does."""
    peer.open(encode_uint_var(0) + settings)
    peer.open(encode_uint_var(2))
    peer.open(encode_uint_var(3))


def answer_well(peer: RawPeer, stream_id: int) -> None:
    peer.write(stream_id, RESPONSE + data(b"ok"), ended=True)


class _Endpoint(Endpoint):
    """Connections of the test server, with nothing of HTTP/3 on them."""

    def __init__(self, origin: HostileOrigin, configuration: QuicConfiguration) -> None:
        super().__init__(origin.options, configuration)
        self._origin = origin
        origin.counts = self.counts

    def _received(self, bound: Any, datagram: bytes, address: Any, now: float) -> None:
        self._origin.longest = max(self._origin.longest, len(datagram))
        super()._received(bound, datagram, address, now)

    def _connection(self, original: bytes, retried: bytes | None) -> ServerQuic:
        quic = super()._connection(original, retried)
        if self._origin.parameters is not None:
            tell(quic, self._origin.parameters)
        return quic

    def _add(self, bound: Any, header: QuicHeader, quic: ServerQuic) -> ServerConnection:
        peer = RawPeer(self._origin, quic, self._touched)
        peer.connection_ids |= {header.destination_cid, quic.host_cid}
        for connection_id in peer.connection_ids:
            self._routes[connection_id] = peer
        self._peers[peer] = bound
        self._origin.clients.append(peer.seen)
        return peer


class HostileOrigin:
    """Started and ended by `with`. `attack` and `greeting` may be exchanged at any time.

    `parameters` are said in place of aioquic's transport parameters.
    """

    def __init__(
        self,
        authority: Authority,
        attack: Attack = answer_well,
        *,
        greeting: Callable[[RawPeer], object] = greet,
        parameters: Change | None = None,
        **options: Any,
    ) -> None:
        certfile, keyfile = authority.issue()
        self.options = OriginOptions(
            **{"listen": ("127.0.0.1",), "certfile": certfile, "keyfile": keyfile, **options}
        )
        self.cafile = authority.cafile
        self.counts: Any = None
        self.attack = attack
        self.greeting = greeting
        self.parameters = parameters
        self.clients: list[Seen] = []  # one for each connection, in their order
        self.port = 0
        self.longest = 0  # bytes of a datagram that came
        self._held: list[tuple[RawPeer, int]] = []
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait(lambda: self.port != 0)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LIMIT)
        assert not self._thread.is_alive()

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    # what tests ask -------------------------------------------------------------------------

    def wait(self, condition: Callable[[], bool], limit: float = LIMIT) -> None:
        """Until `condition` holds, which is looked at whenever something has happened here."""
        with self._changed:
            assert self._changed.wait_for(condition, limit), self.clients

    def wait_held(self, count: int = 1) -> None:
        """Until so many requests wait for `release`."""
        self.wait(lambda: len(self._held) >= count)

    def release(self) -> None:
        """Answer all that asked for /held."""
        self._loop.call_soon_threadsafe(self._release)

    # what its connections call, in its thread -----------------------------------------------

    def answer(self, peer: RawPeer, stream_id: int, path: str) -> None:
        match path:
            case "/held":
                self._held.append((peer, stream_id))
            case "/attack":
                self.attack(peer, stream_id)
            case _:
                answer_well(peer, stream_id)

    def later(self, seconds: float, step: Callable[[], object]) -> None:
        self._loop.call_later(seconds, step)

    def changed(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _release(self) -> None:
        for peer, stream_id in self._held:
            if peer.seen.closed is None:
                answer_well(peer, stream_id)
        self._held.clear()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        configuration = QuicConfiguration(
            is_client=False,
            alpn_protocols=["h3"],
            max_datagram_frame_size=65_536 if self.options.datagrams else None,
        )
        configuration.load_cert_chain(self.options.certfile, self.options.keyfile)
        endpoint = _Endpoint(self, configuration)
        self.port = endpoint.bind()
        self.changed()
        await self._stop.wait()
        endpoint.stop()
