"""Data in pieces, out of order: nothing grows with their number, and small ones are bounded."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import pytest
from aioquic.buffer import encode_uint_var

from quiver.config import PoolConfig
from quiver.errors import ProtocolViolation
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.quic.codes import TransportCode
from quiver.quic.reassembly import MOST_PIECES
from quiver.request import Request
from quiver.testing import Authority
from tests.support.cases.fast_path_differential import crafted, quic_of, silent
from tests.support.engines.http3_wire import EngineName, Server, Wire, connected
from tests.support.servers.frames import RESPONSE, data
from tests.support.servers.initial_packets import crypto_frame

GET = request_fields(Request("GET", "/"), Origin("https", "localhost", 4433))
WINDOW = 32 << 20
PACKET = 1_100  # bytes of frames in one


@pytest.fixture(params=["aioquic", "plain"])
def wire(request: pytest.FixtureRequest, authority: Authority) -> Wire:
    engine: EngineName = request.param
    made = connected(
        PoolConfig(cafile=authority.cafile, receive_window=WINDOW),
        Server(authority.issue(), silent, engine=engine),
    )
    for _ in range(2):
        made.h3.open_request(GET, None, True, WINDOW)
    made.settle()
    return made


def piece(stream_id: int, offset: int, content: bytes) -> bytes:
    """A STREAM frame (RFC 9000 19.8)."""
    head = encode_uint_var(stream_id) + encode_uint_var(offset) + encode_uint_var(len(content))
    return b"\x0e" + head + content


def packets(wire: Wire, frames: Iterator[bytes]) -> list[bytes]:
    """The frames in as many packets as they take."""
    payloads = [b""]
    for frame in frames:
        if len(payloads[-1]) + len(frame) > PACKET:
            payloads.append(b"")
        payloads[-1] += frame
    return [crafted(wire, payload) for payload in payloads]


def take(wire: Wire, datagrams: list[bytes]) -> float:
    """Seconds of CPU that they cost: this thread's, as others may be about."""
    begun = time.thread_time()
    wire.h3.receive_all(datagrams, wire.now)
    wire.events += wire.h3.events()
    return time.thread_time() - begun


def test_small_pieces_end_their_connection_by_name(wire: Wire) -> None:
    """On two streams: the bound is the connection's."""
    offsets = range(1, MOST_PIECES + 2, 2)
    frames = (piece(stream_id, offset, b"x") for offset in offsets for stream_id in (0, 4))
    take(wire, packets(wire, frames))
    assert isinstance(wire.error, ProtocolViolation)
    assert f"above {MOST_PIECES}" in str(wire.error)
    server = wire.server
    assert server is not None
    wire.settle()
    assert server.terminated is not None
    assert server.terminated.error_code == TransportCode.PROTOCOL_VIOLATION


def test_as_many_as_may_be_are_put_together(wire: Wire) -> None:
    body = random.Random(1).randbytes(2 * MOST_PIECES)
    octets = RESPONSE + data(body)
    for begin in (1, 0):  # every second byte, and then the others
        at = list(range(begin, len(octets), 2)[:MOST_PIECES])
        random.Random(2).shuffle(at)
        take(wire, packets(wire, (piece(0, offset, octets[offset : offset + 1]) for offset in at)))
        assert quic_of(wire).reassembly.pieces == MOST_PIECES * begin
    came = b"".join(each.content for each in wire.on(0)[1:])
    assert came == octets[: 2 * MOST_PIECES][-len(came) :]
    assert len(came) > MOST_PIECES
    assert quic_of(wire).reassembly.held == 0
    assert wire.error is None


def test_what_a_stream_held_is_forgotten_with_its_reset(wire: Wire) -> None:
    take(wire, packets(wire, (piece(4, offset, b"x") for offset in range(1, 200, 2))))
    assert quic_of(wire).reassembly.pieces == 100
    take(wire, [crafted(wire, b"\x04\x04\x41\x0c\x40\xff")])
    assert quic_of(wire).reassembly.pieces == 0


def test_tls_has_bounds_after_the_handshake_too(wire: Wire) -> None:
    take(wire, packets(wire, (crypto_frame(1 << 14, b"x") for _ in range(2))))
    assert isinstance(wire.error, ProtocolViolation)
    assert "CRYPTO_BUFFER_EXCEEDED" in str(wire.error)


def falling(count: int) -> Iterator[int]:
    return iter(range(2 * count, 0, -2))


def rising(count: int) -> Iterator[int]:
    return iter(range(1, 2 * count, 2))


def shuffled(count: int) -> Iterator[int]:
    offsets = list(rising(count))
    random.Random(3).shuffle(offsets)
    return iter(offsets)


@pytest.mark.one_in(3)
@pytest.mark.parametrize("order", [falling, rising, shuffled])
def test_a_piece_costs_the_same_beside_many(
    wire: Wire, order: Callable[[int], Iterator[int]]
) -> None:
    """Pieces as large as that many may wait. A walk over them would cost six times as much."""
    size, few, many = 256, 400, 16_000

    def cost(stream_id: int, count: int) -> float:
        frames = (piece(stream_id, size * each, bytes(size)) for each in order(count))
        return take(wire, packets(wire, frames)) / count

    cost(0, few)
    first = min(cost(0, few) for _ in range(3))
    assert cost(4, many) < 6 * first + 20e-6
    assert quic_of(wire).reassembly.pieces == few + many
    assert wire.error is None
