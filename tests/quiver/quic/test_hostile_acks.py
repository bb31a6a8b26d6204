"""Acknowledgements as a hostile server sends them: many, in ranges, or none at all."""

from __future__ import annotations

import gc
import time
from typing import Any

import pytest
from aioquic.buffer import encode_uint_var

from quiver.config import PoolConfig
from quiver.errors import ProtocolViolation
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.request import Request
from quiver.testing import Authority
from tests.support.cases.fast_path_differential import crafted, quic_of, silent, space_of
from tests.support.engines.http3_wire import EngineName, Server, Wire, connected

POST = request_fields(Request("POST", "/"), Origin("https", "localhost", 4433))
PING = b"\x01\x00\x00\x00"


@pytest.fixture(params=["aioquic", "plain"])
def wire(request: pytest.FixtureRequest, authority: Authority) -> Wire:
    engine: EngineName = request.param
    server = Server(
        authority.issue(), silent, engine=engine, max_data=1 << 30, max_stream_data=1 << 30
    )
    made = connected(PoolConfig(cafile=authority.cafile), server)
    made.settle()
    return made


def ack(largest: int, ranges: int = 0) -> bytes:
    """Of one packet, and of every second one below it."""
    head = b"".join(map(encode_uint_var, (largest, 0, ranges, 0)))
    return b"\x02" + head + b"\x00\x00" * ranges


def take(wire: Wire, payload: bytes) -> list[bytes]:
    """What is sent then."""
    wire.h3.receive(crafted(wire, payload), wire.now)
    wire.events += wire.h3.events()
    sent = wire.h3.datagrams(wire.now)
    wire.now += 0.001
    return sent


def uploading(wire: Wire, packets: int) -> list[int]:
    """The numbers of as many packets that are out, and of which nothing has come back."""
    loss: Any = quic_of(wire)._loss
    loss._cc.congestion_window = 1 << 30
    loss._rtt_min = 0.1  # a longer path: on a short one no more is out than a server holds
    loss._pacer.packet_time = None  # nothing is held back for a time
    loss._pacer.update_rate = lambda **_: None
    content = bytes(1_500 * packets)
    stream_id = wire.h3.open_request(POST, content, False)
    space = space_of(wire)
    for _ in range(100):
        wire.h3.datagrams(wire.now)
    assert len(space.sent_packets) >= packets
    assert quic_of(wire).unacknowledged(stream_id) >= 1_500 * packets
    return list(space.sent_packets)


def test_one_packet_has_some_acknowledgements_at_the_most(wire: Wire) -> None:
    largest = space_of(wire).largest_acked_packet
    take(wire, ack(largest) * 16)
    take(wire, ack(largest) * 16)
    assert wire.error is None
    take(wire, ack(largest) * 17)
    assert isinstance(wire.error, ProtocolViolation)
    assert "more than 16 ACK frames are in one packet" in str(wire.error)


@pytest.mark.one_in(2)
def test_who_never_acknowledges_has_us_remember_a_bounded_number_of_packets(wire: Wire) -> None:
    before, sent = quic_of(wire)._packet_number, space_of(wire).sent_packets
    while quic_of(wire)._packet_number < before + 4_000:
        take(wire, PING)
    assert wire.error is None
    assert len(sent) < 2_200
    assert list(sent) == sorted(sent), "aioquic counts on that"
    assert max(sent) == quic_of(wire)._packet_number - 1


def test_every_second_packet_costs_the_same_beside_many(wire: Wire) -> None:
    """A walk over what is acknowledged, and what is to be sent again, would cost ten times that."""

    def cost(packets: int) -> float:
        numbers = uploading(wire, packets)
        datagram = crafted(wire, ack(numbers[-1], min(1_990, packets // 2 - 1)))
        gc.disable()  # it would look at all that the process has
        try:
            begun = time.thread_time()
            wire.h3.receive(datagram, wire.now)
            return (time.thread_time() - begun) / packets
        finally:
            gc.enable()

    cost(300)
    few = min(cost(300) for _ in range(3))
    assert cost(4_000) < 4 * few
    assert wire.error is None
