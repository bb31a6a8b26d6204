"""Packets that come out of order: how far is learnt, and that it costs no window."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from aioquic.quic import events as theirs
from aioquic.quic.rangeset import RangeSet
from aioquic.tls import Epoch

from quiver.config import PoolConfig
from quiver.quic.reordering import Reordering
from quiver.testing import Authority
from tests.support.engines.quic_wire import LongWire
from tests.support.network.link import Link, LinkConditions

RATE, DELAY = 1e6, 0.05  # so 100 kB are on their way in a round trip
SIZE = 1_000_000  # bytes

Connect = Callable[..., LongWire]


class Overtaking(Link):
    """Each packet takes some seconds longer, at random."""

    def __init__(self, conditions: LinkConditions, longer: float) -> None:
        super().__init__(conditions, seed="1")
        self.longer = longer
        self._how_much = random.Random("1").random

    def carry(self, size: int, now: float) -> float | None:
        arrives = super().carry(size, now)
        return None if arrives is None else arrives + self.longer * self._how_much()


@pytest.fixture
def connect(authority: Authority) -> Connect:
    """Connect over a link that has packets overtake each other, by seconds, to one who reads."""
    certificate = authority.issue()

    def connected(longer: float, **conditions: float) -> LongWire:
        link = Overtaking(LinkConditions(rate=RATE, delay=DELAY, **conditions), longer)
        room = {"max_data": 1 << 30, "max_stream_data": 1 << 30}
        config = PoolConfig(cafile=authority.cafile)
        wire = LongWire(config, certificate, one_way=DELAY, up=link, fast_paths=True, **room)
        wire.connect()
        return wire

    return connected


def loss_of(wire: LongWire) -> Any:
    return wire.engine.connection._loss


def uploaded(wire: LongWire, size: int = SIZE) -> float:
    """Upload; the seconds until all has arrived."""
    began, known = wire.now, len(wire.seen)
    stream_id = wire.engine.open_stream(bytes(size), True, None)

    def arrived() -> bool:
        came = wire.seen[known:]
        del wire.seen[known:]
        return any(
            isinstance(each, theirs.StreamDataReceived)
            and each.stream_id == stream_id
            and each.end_stream
            for each in came
        )

    wire.run(arrived, rounds=60_000)
    return wire.now - began


# how far ------------------------------------------------------------------------------------


def test_it_begins_with_the_numbers_of_the_rfc() -> None:
    """RFC 9002 6.1."""
    known = Reordering()
    assert (known.packets, known.wait) == (3, 9 / 8)


def test_what_was_late_would_not_be_taken_for_lost_again() -> None:
    known = Reordering()
    known.arrived(later=7, waited=1.05)
    assert (known.packets, known.wait) == (8, 9 / 8)
    known.arrived(later=4, waited=1.5)
    assert (known.packets, known.wait) == (8, 1.625)
    known.arrived(later=4, waited=1.25)
    assert (known.packets, known.wait) == (8, 1.625)


def test_nothing_is_waited_for_longer_than_two_round_trips() -> None:
    known = Reordering()
    known.arrived(later=4, waited=math.inf)
    assert known.wait == 2.0


# what it costs ------------------------------------------------------------------------------


@pytest.mark.parametrize("longer", [0.02, 0.06])
def test_an_upload_out_of_order_takes_little_more_than_one_in_order(
    connect: Connect, longer: float
) -> None:
    """By the numbers of the RFC alone it takes ten times as long."""
    in_order = uploaded(connect(0.0))
    assert uploaded(connect(longer)) < 1.4 * in_order


def test_what_has_come_late_once_is_not_lost_again(connect: Connect) -> None:
    wire = connect(0.02, queue=50 * RATE)  # so none is lost
    loss, lost = loss_of(wire), list[int]()
    detected = loss._on_packets_lost

    def told(*, packets: Any, **about: Any) -> None:
        lost.append(len(packets))
        detected(packets=packets, **about)

    loss._on_packets_lost = told
    uploaded(wire)
    assert lost  # at first
    assert loss.reordering.packets > 3
    assert loss._cc.ssthresh is None or loss._cc.ssthresh > RATE * 2 * DELAY  # it was undone
    del lost[:]
    uploaded(wire)
    assert sum(lost) < 20  # of 700: the longest way may come last


def test_losses_are_told_from_it(connect: Connect) -> None:
    wire = connect(0.02, loss=0.05)
    before = loss_of(wire).congestion_window
    uploaded(wire, SIZE // 4)
    assert loss_of(wire)._cc.ssthresh is not None
    assert loss_of(wire).congestion_window < 4 * before


def test_another_path_is_another_matter(connect: Connect) -> None:
    wire = connect(0.02)
    uploaded(wire, SIZE // 2)
    wire.engine.open_stream(bytes(SIZE), False, None)
    wire.settle()
    assert loss_of(wire).reordering.packets > 3
    assert wire.engine.migrate(wire.now) is None
    assert (loss_of(wire).reordering.packets, loss_of(wire).reordering.wait) == (3, 9 / 8)
    assert loss_of(wire)._missed == []


def test_what_is_late_may_come_before_a_round_trip_is_known(connect: Connect) -> None:
    """On a path that has just begun, when what came first asks for no acknowledgement."""
    wire = connect(0.0)
    connection: Any = wire.engine.connection
    wire.run(lambda: connection._handshake_confirmed)
    assert wire.engine.migrate(wire.now) is None
    loss, space = connection._loss, connection._spaces[Epoch.ONE_RTT]
    first = connection._packet_number
    wire.engine.open_stream(b"ask", True, None)
    while (last := connection._packet_number - 1) < first + 5:
        space.ack_at = wire.now
        wire.engine.datagrams(wire.now)
    for arrived in (range(last, last + 1), range(first, last + 1)):
        wire.now += 0.01
        about = {"ack_rangeset": RangeSet([arrived]), "ack_delay": 0.0, "now": wire.now}
        assert not loss._rtt_initialized
        loss.on_ack_received(**about, space=space)
    assert loss.reordering.packets > 3
    assert loss.reordering.wait == 9 / 8


def test_what_was_lost_is_not_waited_for_for_ever(connect: Connect) -> None:
    wire = connect(0.0, loss=0.05)
    uploaded(wire, SIZE // 4)
    assert loss_of(wire)._missed
    wire.settle(1_000)
    uploaded(wire, 20_000)
    assert len(loss_of(wire)._missed) <= 4


# when it is probed for ----------------------------------------------------------------------


def test_a_queue_that_stands_does_not_put_probes_off(connect: Connect) -> None:
    """RFC 9002 5.3: from the shortest round trip it would be four more of the queue."""
    wire = connect(0.0, queue=50 * RATE)
    wire.engine.open_stream(bytes(8 * SIZE), False, None)
    loss = loss_of(wire)
    wire.run(lambda: loss._rtt_smoothed > 0.25)
    loss._cc.congestion_window = loss.bytes_in_flight  # and no longer
    loss._cc.ssthresh = loss.congestion_window
    wire.settle(1_500)
    queue = loss._rtt_smoothed - 2 * DELAY
    assert queue > 0.1
    assert wire.engine.probe_timeout - loss._rtt_smoothed < queue
