"""Windows that grow where a path is long, on both ways of the engine; its clock is the test's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aioquic.quic import events as theirs

from quiver.config import PoolConfig
from quiver.quic.engine import StreamDataReceived
from quiver.quic.flow_control import GROWTH
from quiver.testing import Authority
from tests.support.engines.quic_wire import EngineWire, LongWire

KIB = 1024
MIB = 1024 * KIB
WINDOW = 64 * KIB

ROUND_TRIP = 0.03  # seconds: in that a server of aioquic sends half a mebibyte at most

Connect = Callable[..., EngineWire]


@pytest.fixture(params=[True, False], ids=["short", "plain"])
def connect(request: pytest.FixtureRequest, authority: Authority) -> Connect:
    """Connect to a server that answers with `size` bytes, by windows that may grow to `most`."""
    certificate = authority.issue()

    def make(size: int, most: int = WINDOW) -> EngineWire:
        def act(server: Any, event: Any) -> None:
            if isinstance(event, theirs.StreamDataReceived) and event.end_stream:
                server.send_stream_data(event.stream_id, b"x" * size, True)

        config = PoolConfig(cafile=authority.cafile, receive_window=WINDOW, receive_window_max=most)
        wire = LongWire(config, certificate, act, fast_paths=request.param, one_way=ROUND_TRIP / 2)
        return wire.connect()

    return make


class Reader:
    """One who takes what has come at once; with None for `window` it is consumed as it comes."""

    def __init__(self, wire: EngineWire, window: int | None = WINDOW) -> None:
        self.wire = wire
        self.stream_id = wire.engine.open_stream(b"GET", True, window)
        self._counts = window is not None
        self._began = wire.now
        self.came = 0
        self.ended = False

    def step(self) -> int:
        """A millisecond; what has come in it."""
        known, before = len(self.wire.events), self.came
        self.wire.step()
        for event in self.wire.events[known:]:
            if isinstance(event, StreamDataReceived) and event.stream_id == self.stream_id:
                self.came += len(event.data)
                self.ended = event.ended
        return self.came - before

    def read(self) -> None:
        size = self.step()
        if self._counts and size:
            self.wire.engine.consumed(self.stream_id, size)

    def to_the_end(self) -> float:
        """The seconds that it took."""
        while not self.ended:
            self.read()
        return self.wire.now - self._began


def growth(wire: EngineWire) -> int:
    """By how much the windows of its connection have grown."""
    return GROWTH - wire.engine.connection.flow_control.growth_left


@pytest.mark.long
@pytest.mark.one_in(2)
def test_a_reader_who_keeps_up_gets_it_as_soon_as_one_without_a_window(connect: Connect) -> None:
    size = 4 * MIB
    at_once = Reader(connect(size), None).to_the_end()
    assert Reader(connect(size)).to_the_end() > 2 * at_once
    assert 0.9 * Reader(connect(size, most=4 * MIB)).to_the_end() <= at_once


def test_one_who_stops_holds_what_was_granted(connect: Connect) -> None:
    wire = connect(4 * MIB, most=4 * WINDOW)
    reader = Reader(wire)
    while reader.came < MIB:
        reader.read()
    assert growth(wire) == 3 * WINDOW
    consumed = reader.came
    for _ in range(500):
        reader.step()
    assert 3 * WINDOW < reader.came - consumed <= 4 * WINDOW
    wire.engine.forget_stream(reader.stream_id)
    assert growth(wire) == 0


def test_one_who_never_begins_holds_one_window(connect: Connect) -> None:
    wire = connect(4 * MIB, most=MIB)
    reader = Reader(wire)
    for _ in range(500):
        reader.step()
    assert (reader.came, growth(wire)) == (WINDOW, 0)


def test_a_slow_reader_makes_nothing_grow(connect: Connect) -> None:
    """It takes a quarter of a window in a round trip."""
    wire = connect(MIB, most=MIB)
    reader = Reader(wire)
    while not reader.ended:
        if reader.step() and reader.came == WINDOW:
            break
    step = WINDOW // 4 // round(ROUND_TRIP / 0.001)
    for _ in range(500):
        reader.step()
        wire.engine.consumed(reader.stream_id, step)
    assert growth(wire) == 0


def test_others_get_theirs_beside_one_that_has_grown_and_stalls(connect: Connect) -> None:
    wire = connect(2 * MIB, most=MIB)
    stalled = Reader(wire)
    while stalled.came < MIB:
        stalled.read()
    took = [Reader(wire, window).to_the_end() for window in (None, WINDOW)]
    assert max(took) < 2.0  # seconds of the wire's
    assert not wire.ended(stalled.stream_id)
