"""The window: slow start and its end, losses, the curve of CUBIC, and when it is not used."""

from __future__ import annotations

import math
from collections import deque

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from quiver.quic.congestion import Cubic, Reno, RoundTrips, SlowStartExit
from tests.support.short_form import examples

SIZE = 1_200  # bytes of a datagram
ROUND_TRIP = 0.1  # seconds


def cubic(datagrams: float) -> Cubic:
    """One of so many datagrams, whose slow start has ended."""
    made = Cubic(max_datagram_size=SIZE)
    made.congestion_window = made.ssthresh = int(datagrams * SIZE)
    return made


@attrs.frozen
class Packet:
    """A full one."""

    sent_time: float
    sent_bytes: int = SIZE


def growth(window: Reno, size: int, now: float) -> float:
    """Bytes by which it grows for a packet of that size."""
    return window.growth(size, now)(window.congestion_window)


def grow(window: Reno, seconds: float, began: float = 0.0, round_trip: float = ROUND_TRIP) -> float:
    """Have it used for so long, datagram by datagram. Returns its datagrams then."""
    now = began
    window.on_rtt_measurement(now=now, rtt=round_trip)
    while now < began + seconds - 1e-9:
        now += round_trip * SIZE / window.congestion_window
        window.congestion_window += round(growth(window, SIZE, now))
    return window.congestion_window / SIZE


# CUBIC (RFC 9438) ---------------------------------------------------------------------------


def test_it_begins_with_ten_datagrams_in_slow_start() -> None:
    window = Cubic(max_datagram_size=SIZE)
    assert (window.congestion_window, window.ssthresh) == (10 * SIZE, None)


def test_it_is_back_where_it_was_lost_after_k_seconds() -> None:
    window = cubic(1_000)
    window.shrink()
    assert window.congestion_window == window.ssthresh == 700 * SIZE
    level = math.cbrt(300 / 0.4)  # 9.1 s
    # It aims at where the curve is a round trip later, and gets there in one.
    halfway = 1_000 - 0.4 * (level / 2) ** 3
    assert grow(window, level / 2) == pytest.approx(halfway, rel=0.01)
    assert grow(window, level / 2, level / 2) == pytest.approx(1_000, rel=0.002)


def test_it_stands_still_there_and_then_goes_on() -> None:
    window = cubic(1_000)
    window.shrink()
    level = math.cbrt(300 / 0.4)
    grow(window, level)
    assert grow(window, 1.0, level) == pytest.approx(1_000, rel=0.003)
    assert grow(window, level - 1.0, level + 1.0) == pytest.approx(1_300, rel=0.02)


def test_it_is_half_as_large_again_after_a_round_trip_at_most() -> None:
    window = cubic(100)
    growth(window, SIZE, 0.0)
    whole = window.congestion_window
    assert growth(window, whole, 1_000.0) == whole / 2  # the curve is far above by then


def test_where_the_curve_is_slower_it_grows_as_reno_does() -> None:
    """A window that is small, or a short path: the curve's K seconds are many round trips."""
    window, reno = cubic(20), Reno(max_datagram_size=SIZE)
    window.shrink()
    reno.congestion_window = window.congestion_window
    round_trip = 0.01
    assert grow(window, 0.1, round_trip=round_trip) > 14 + 9  # by the curve: less than one
    grow(reno, 0.1, round_trip=round_trip)
    assert window.congestion_window == pytest.approx(reno.congestion_window, rel=0.01)


def test_who_loses_sooner_than_before_leaves_room() -> None:
    """Fast convergence (RFC 9438 4.7)."""
    window = cubic(1_000)
    window.shrink()
    window.shrink()  # at 700 of 1000
    assert window.congestion_window == 490 * SIZE
    level = math.cbrt((700 * 0.85 - 490) / 0.4)
    assert grow(window, level) == pytest.approx(700 * 0.85, rel=0.01)


def test_time_that_passes_unused_brings_nothing() -> None:
    window = cubic(1_000)
    window.shrink()
    grow(window, 2.0)
    window.hold()
    assert growth(window, SIZE, 100.0) < SIZE / 50  # else a half, which is the most


@pytest.mark.parametrize(("kind", "left"), [(Cubic, 0.7), (Reno, 0.5)])
def test_what_a_loss_leaves(kind: type[Reno], left: float) -> None:
    window = kind(max_datagram_size=SIZE)
    window.shrink()
    assert window.congestion_window == window.ssthresh == left * 10 * SIZE
    for _ in range(20):
        window.shrink()
    assert window.congestion_window == 2 * SIZE
    window.max_datagram_size = 1_452  # the path takes more by now
    window.on_persistent_congestion()
    assert window.congestion_window == 2 * 1_452


def test_reno_grows_by_a_datagram_in_a_round_trip() -> None:
    window = Reno(max_datagram_size=SIZE)
    assert grow(window, 10 * ROUND_TRIP) == pytest.approx(20, abs=0.5)


# HyStart++ (RFC 9406) -----------------------------------------------------------------------


class SlowStart:
    """Rounds of packets that all take as long."""

    def __init__(self) -> None:
        self.exit = SlowStartExit()
        self._round_trips = RoundTrips()

    def measure(self, *round_trips: float) -> None:
        for each in round_trips:
            self._round_trips.measured(each)
            self.exit.judge(self._round_trips)

    def take(self, *round_trips: float, samples: int = 8) -> list[bool]:
        """Take a round for each; whether slow start ended with it."""
        ended = []
        for each in round_trips:
            self.measure(*[each] * samples)
            self._round_trips.round_ended()
            ended.append(self.exit.round_ended())
        return ended


@pytest.mark.parametrize(
    ("before", "rise"),
    [(0.01, 0.004), (0.02, 0.004), (0.1, 0.0125), (0.2, 0.016), (1.0, 0.016)],
)
def test_it_slows_down_when_round_trips_rise(before: float, rise: float) -> None:
    for share, divisor in ((0.99, 1), (1.01, 4)):
        made = SlowStart()
        made.take(before, before + share * rise)
        assert made.exit.divisor == divisor


def test_slow_start_ends_after_five_rounds_at_the_slow_pace() -> None:
    assert SlowStart().take(0.1, 0.12, 0.12, 0.12, 0.12, 0.12) == [False] * 5 + [True]


def test_it_goes_on_when_round_trips_fall_again() -> None:
    made = SlowStart()
    made.take(0.1, 0.12, 0.12)
    assert made.exit.divisor == 4
    assert made.take(*[0.1] * 11) == [False] * 11
    assert made.exit.divisor == 1


def test_a_few_measurements_say_nothing() -> None:
    made = SlowStart()
    made.take(0.1)
    made.take(0.2, 0.3, samples=7)
    assert made.exit.divisor == 1


def test_one_late_packet_says_nothing() -> None:
    made = SlowStart()
    made.take(0.1)
    made.measure(0.5, 0.9, 0.1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5)
    assert made.exit.divisor == 1


# both, on a path ----------------------------------------------------------------------------


class Path:
    """Carries `rate` datagrams a second, each for ROUND_TRIP and what it waits, in order."""

    def __init__(self, rate: float = math.inf) -> None:
        self.table = Cubic(max_datagram_size=SIZE)
        self.now = self._free_at = 0.0
        self.round_trip = ROUND_TRIP  # of the last one that has arrived
        self._rate = rate
        self._out: deque[tuple[float, Packet]] = deque()  # each with when it is acknowledged

    @property
    def window(self) -> float:
        return self.table.congestion_window / SIZE

    @property
    def in_slow_start(self) -> bool:
        threshold = self.table.ssthresh
        return threshold is None or self.table.congestion_window < threshold

    def send(self, most: float = math.inf) -> None:
        """As many as may be on their way, or as there are."""
        table = self.table
        while table.bytes_in_flight + SIZE <= min(table.congestion_window, most * SIZE):
            packet = Packet(self.now)
            table.on_packet_sent(packet=packet)
            self._free_at = max(self.now, self._free_at) + 1 / self._rate
            self._out.append((self._free_at + ROUND_TRIP, packet))

    def acknowledge(self) -> None:
        """Have the next one arrive."""
        self.now, packet = self._out.popleft()
        self.round_trip = self.now - packet.sent_time
        self.table.on_packet_acked(now=self.now, packet=packet)
        self.table.on_rtt_measurement(now=self.now, rtt=self.round_trip)

    def lose(self) -> None:
        """Have the next one be missed when it would have been acknowledged."""
        self.now, packet = self._out.popleft()
        self.table.on_packets_lost(now=self.now, packets=[packet])

    def run(self, seconds: float, most: float = math.inf) -> None:
        until = self.now + seconds
        while self.now < until:
            self.send(most)
            self.acknowledge()


def test_slow_start_doubles_the_window_in_a_round_trip() -> None:
    path = Path()
    for round_trip in range(4):
        assert path.window == 10 * 2**round_trip
        path.send()
        for _ in range(10 * 2**round_trip):
            path.acknowledge()


def test_slow_start_ends_by_a_queue_before_there_is_a_loss() -> None:
    path = Path(rate=1_000)  # datagrams a second: a hundred in a round trip
    windows = [path.window]
    while path.in_slow_start:
        path.run(path.round_trip)
        windows.append(path.window)
    assert 100 < path.window < 1_000
    assert max(windows[-1] / windows[-2], windows[-2] / windows[-3]) < 1.3
    assert path.table.slow_start_exit is None


def test_a_window_that_is_not_used_does_not_grow() -> None:
    path = Path()
    path.run(10 * ROUND_TRIP, most=4)  # of ten
    assert path.window == 10
    path.run(10 * ROUND_TRIP, most=30)
    assert path.window <= 2 * 30 / 0.9 + 1
    path.table.ssthresh = path.table.congestion_window
    before = path.window
    path.run(100 * ROUND_TRIP, most=30)
    assert path.window == before


def test_it_shrinks_once_in_a_round_trip() -> None:
    path = Path()
    path.run(4.5 * ROUND_TRIP)
    path.send()
    before = path.window
    for _ in range(10):
        path.lose()
    after = path.window
    assert after < before
    assert path.table.slow_start_exit is None
    path.run(0.9 * ROUND_TRIP)
    path.lose()  # what was out when it shrank says nothing new
    assert path.window == after
    path.run(2 * ROUND_TRIP)
    path.lose()
    assert path.window < after


@pytest.mark.parametrize(("rate", "left"), [(math.inf, 0.85), (1_000, 0.7)])
def test_a_loss_by_chance_takes_half_as_much(rate: float, left: float) -> None:
    """Where a hundred are taken in a round trip, and more are out, they wait in a queue."""
    path = Path(rate)
    while path.window < 200:
        path.run(path.round_trip)
    path.run(path.round_trip)
    path.send()
    before = path.window
    path.lose()
    assert path.window == pytest.approx(left * before, abs=1 / SIZE)


@pytest.mark.parametrize("kind", [Reno, Cubic])
def test_where_all_that_was_lost_arrives_the_window_stands_as_it_did(kind: type[Reno]) -> None:
    """RFC 9438 4.9.2."""
    window = kind(max_datagram_size=SIZE)
    out = [Packet(0.1 * number) for number in range(8)]
    for each in out:
        window.on_packet_sent(packet=each)
    window.on_packets_lost(now=1.0, packets=out[:3])
    window.on_packets_lost(now=1.0, packets=out[3:5])
    assert window.congestion_window < 10 * SIZE and window.slow_start_exit is None
    window.on_packets_found(packets=out[:4])
    assert window.congestion_window < 10 * SIZE
    window.on_packets_found(packets=out[4:5])
    assert (window.congestion_window, window.ssthresh) == (10 * SIZE, None)
    assert window.slow_start_exit is not None
    assert window.bytes_in_flight == 3 * SIZE
    window.on_packets_lost(now=1.0, packets=out[5:])  # which is a loss of its own
    assert window.congestion_window < 10 * SIZE


def test_the_curve_goes_on_after_a_loss_that_was_none() -> None:
    window = cubic(1_000)
    window.shrink()
    grow(window, 3.0)
    before = window.congestion_window
    window.on_packets_lost(now=3.0, packets=[Packet(2.9)])
    assert window.congestion_window < before
    window.on_packets_found(packets=[Packet(2.9)])
    assert window.congestion_window == before
    level = math.cbrt(300 / 0.4)
    assert grow(window, level - 3.0, 3.0) == pytest.approx(1_000, rel=0.003)


def test_what_arrives_of_an_earlier_loss_does_not_undo_the_last_one() -> None:
    window = cubic(1_000)
    window.on_packets_lost(now=1.0, packets=[Packet(0.9)])
    window.on_packets_lost(now=1.2, packets=[Packet(1.1)])
    left = window.congestion_window
    window.on_packets_found(packets=[Packet(0.9)])
    assert window.congestion_window == left
    window.on_packets_found(packets=[Packet(1.1)])
    assert window.congestion_window > left


def test_a_collapse_is_not_undone() -> None:
    window = cubic(1_000)
    window.on_packets_lost(now=1.0, packets=[Packet(0.9)])
    window.on_persistent_congestion()
    window.on_packets_found(packets=[Packet(0.9)])
    assert window.congestion_window == 2 * SIZE


def test_variation_is_how_far_round_trips_are_from_the_smoothed_one() -> None:
    """RFC 9002 5.3: a queue that stands is none, however long it is."""
    trips = RoundTrips()
    trips.measured(0.1)
    assert trips.variation == 0.05
    trips.measured(0.18)
    assert trips.variation == pytest.approx(0.05 * 3 / 4 + 0.08 / 4)
    for _ in range(200):
        trips.measured(0.3)
    assert trips.variation < 0.001


def test_what_is_taken_back_is_no_loss() -> None:
    path = Path()
    path.send()
    path.table.on_packets_expired(packets=[Packet(0.0)])
    assert (path.table.bytes_in_flight, path.window) == (9 * SIZE, 10)


def test_after_a_collapse_it_doubles_up_to_the_threshold() -> None:
    path = Path()
    path.run(4.5 * ROUND_TRIP)
    path.send()
    before = path.window
    path.lose()
    path.table.on_persistent_congestion()
    assert path.window == 2 and path.in_slow_start
    path.run(10 * ROUND_TRIP)
    assert 0.85 * before - 1 <= path.window < before
    assert not path.in_slow_start


class Anything(RuleBasedStateMachine):
    """Whatever a path does, the window is never below its least, and what is out is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.table = Cubic(max_datagram_size=SIZE)
        self.now = 0.0
        self.out: list[Packet] = []
        self.lost: list[Packet] = []
        self.most = self.table.congestion_window

    @rule(count=st.integers(1, 50))
    def send(self, count: int) -> None:
        for _ in range(count):
            self.out.append(Packet(self.now))
            self.table.on_packet_sent(packet=self.out[-1])

    @rule(seconds=st.floats(0.0001, 100.0))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.out)
    @rule(round_trip=st.floats(0.0001, 10.0))
    def acknowledge(self, round_trip: float) -> None:
        before = self.table.congestion_window
        self.table.on_packet_acked(now=self.now, packet=self.out.pop(0))
        self.table.on_rtt_measurement(now=self.now, rtt=round_trip)
        assert before <= self.table.congestion_window <= 1.5 * before + SIZE

    @precondition(lambda self: self.out)
    @rule(again=st.booleans())
    def lose(self, again: bool) -> None:
        before = self.table.congestion_window
        self.lost.append(self.out.pop(0))
        self.table.on_packets_lost(now=self.now, packets=self.lost[-1:])
        if again:
            self.table.on_persistent_congestion()
        assert self.table.congestion_window <= before

    @precondition(lambda self: self.lost)
    @rule(first=st.booleans())
    def find(self, first: bool) -> None:
        before = self.table.congestion_window
        self.table.on_packets_found(packets=[self.lost.pop(0 if first else -1)])
        assert before <= self.table.congestion_window <= self.most

    @invariant()
    def it_is_whole(self) -> None:
        self.most = max(self.most, self.table.congestion_window)
        assert self.table.bytes_in_flight == SIZE * len(self.out)
        assert self.table.congestion_window >= 2 * SIZE


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=examples(100), deadline=None)


@given(st.floats(2, 1e5), st.floats(0.001, 2.0), st.floats(0.0, 1e4))
def test_the_curve_never_takes_the_window_down(
    datagrams: float, round_trip: float, waited: float
) -> None:
    window = cubic(datagrams)
    window.shrink()
    window.on_rtt_measurement(now=0.0, rtt=round_trip)
    assert growth(window, SIZE, 0.0) >= 0
    assert growth(window, SIZE, waited) >= 0
