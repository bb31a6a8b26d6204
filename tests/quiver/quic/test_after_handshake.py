"""What only the handshake needed is freed when that is confirmed, and nothing misses it."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aioquic._buffer import Buffer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.crypto import CryptoPair
from aioquic.quic.packet import pull_quic_header
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

from quiver.config import PoolConfig
from quiver.quic.aioquic.fast_connection import FastConnection
from quiver.quic.engine import ConnectionClosed, HandshakeCompleted
from quiver.testing import Authority
from tests.support.engines.quic_wire import EngineWire

OVER = (Epoch.INITIAL, Epoch.HANDSHAKE)
FRAMES = (*range(0x1F), 0x30, 0x31)


class Recording(EngineWire):
    """Keeps the server's datagrams as they came."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.came_in: list[bytes] = []
        receive = self.engine.receive

        def recorded(datagrams: Any, now: float) -> None:
            self.came_in += datagrams
            receive(datagrams, now)

        self.engine.receive = recorded  # type: ignore[method-assign]


def wire_of(authority: Authority, **options: Any) -> Recording:
    config = PoolConfig(cafile=authority.cafile, **options)
    return Recording(config, authority.issue(), answer)


def answer(server: QuicConnection, event: Any) -> None:
    if getattr(event, "end_stream", False):
        server.send_stream_data(event.stream_id, b"there you are", end_stream=True)


def finish(wire: EngineWire) -> None:
    """Go on with a handshake that has begun."""
    wire.run(lambda: bool(wire.of(HandshakeCompleted)))
    wire.settle()


def ask(wire: EngineWire) -> None:
    stream_id = wire.engine.open_stream(b"anybody?", True, None)
    wire.run(lambda: wire.ended(stream_id))
    assert wire.came(stream_id) == b"there you are"


def long_packets(datagram: bytes) -> Iterator[bytes]:
    """Those with a long header, which are coalesced (RFC 9000 12.2)."""
    while datagram and datagram[0] & 0x80:
        size = pull_quic_header(Buffer(data=datagram), host_cid_length=8).packet_length
        yield datagram[:size]
        datagram = datagram[size:]


def quic_of(wire: EngineWire) -> Any:
    return wire.engine.connection


def test_keys_streams_and_spaces_of_the_handshake_are_freed(authority: Authority) -> None:
    wire = wire_of(authority)
    quic = quic_of(wire)
    wire.engine.connect(0.0)
    kept: list[weakref.ref[Any]] = [
        weakref.ref(each)
        for epoch in OVER
        for each in (quic._cryptos[epoch], quic._spaces[epoch], quic._crypto_streams[epoch])
    ]
    kept += map(weakref.ref, quic._cryptos_initial.values())
    assert {type(each()) for each in kept} == {CryptoPair, QuicPacketSpace, QuicStream}
    finish(wire)
    gc.collect()
    assert [each() for each in kept if each() is not None] == []


def test_the_keys_that_were_offered_are_freed(authority: Authority) -> None:
    wire = wire_of(authority)
    wire.engine.connect(0.0)
    tls = quic_of(wire).tls
    offered = [*tls._ec_private_keys, tls._x25519_private_key, tls._x448_private_key]
    assert len(offered) == 4
    finish(wire)
    left = [*tls._ec_private_keys, tls._x25519_private_key, tls._x448_private_key]
    assert left == [None, None]


def test_the_certificate_that_was_judged_is_freed(authority: Authority) -> None:
    wire = wire_of(authority)
    wire.engine.connect(0.0)
    finish(wire)
    assert quic_of(wire).tls._peer_certificate is None


@pytest.mark.parametrize("qlog", [False, True])
def test_what_of_the_handshake_comes_late_is_dropped(
    authority: Authority, tmp_path: Path, qlog: bool
) -> None:
    wire = wire_of(authority, qlog_dir=str(tmp_path) if qlog else None)
    wire.connect()
    late = [each for datagram in wire.came_in for each in long_packets(datagram)]
    assert {each[0] >> 4 & 3 for each in late} == {0, 2}, "Initial packets, and of the handshake"
    wire.engine.receive(late, wire.now)
    ask(wire)
    assert not wire.of(ConnectionClosed)


def test_it_is_closed_as_ever(authority: Authority) -> None:
    wire = wire_of(authority)
    wire.connect()
    wire.engine.close(0x100, "enough")
    wire.settle()
    (closed,) = wire.of(ConnectionClosed)
    assert closed.code == 0x100
    server: Any = wire.server
    assert server._close_event.reason_phrase == "enough"
    assert wire.engine.datagrams(wire.now) == []


def test_a_connection_frees_nothing_of_another_one(authority: Authority) -> None:
    """What stands in for the freed is shared by all."""
    first, second = wire_of(authority), wire_of(authority)
    first.connect()
    second.engine.connect(0.0)
    first.engine.close(0x100)
    first.settle()
    finish(second)
    ask(second)


# handlers of frames -----------------------------------------------------------------------------


def handlers_of(kind: type[QuicConnection]) -> Any:
    quic: Any = kind(configuration=QuicConfiguration())
    return quic, quic._QuicConnection__frame_handlers


@pytest.mark.parametrize("frame_type", FRAMES)
def test_a_frame_has_the_handler_and_the_epochs_that_aioquic_has(frame_type: int) -> None:
    _, theirs = handlers_of(QuicConnection)
    quic, ours = handlers_of(FastConnection)
    handler, epochs = ours[frame_type]
    their_handler, their_epochs = theirs[frame_type]
    assert set(epochs) == their_epochs
    assert epochs[0] is Epoch.ONE_RTT
    if 0x08 <= frame_type <= 0x0F:
        assert handler == quic.fast_receive.stream_frame
    else:
        assert handler == getattr(quic, their_handler.__name__)
    assert ours[frame_type][0] is handler, "it is bound once"


def test_there_are_no_other_frames() -> None:
    """As aioquic's own, it raises KeyError, which is what tells of an unknown type."""
    _, theirs = handlers_of(QuicConnection)
    _, ours = handlers_of(FastConnection)
    assert sorted(theirs) == sorted(FRAMES)
    for unknown in (0x1F, 0x32, 0x40):
        with pytest.raises(KeyError):
            ours[unknown]


def test_what_may_never_come_is_not_kept(authority: Authority) -> None:
    wire = wire_of(authority)
    wire.connect()
    ask(wire)
    handlers = quic_of(wire)._QuicConnection__frame_handlers
    assert 0 < len(handlers) < len(FRAMES) // 2


def test_a_subclass_has_its_own_handlers() -> None:
    class Deaf(FastConnection):
        def _handle_ping_frame(self, context: Any, frame_type: int, buf: Any) -> None:
            """Nothing."""

    plain, handlers = handlers_of(FastConnection)
    deaf, others = handlers_of(Deaf)
    assert handlers[0x01][0] == plain._handle_ping_frame
    assert others[0x01][0] == deaf._handle_ping_frame
    assert others[0x01][0].__func__ is Deaf._handle_ping_frame
