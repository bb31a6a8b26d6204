"""LaneRace: two lanes to the same addresses; the second begins in time, or when it is needed."""

from __future__ import annotations

import math
import socket

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quiver.errors import (
    CertificateInvalid,
    ConnectionRefused,
    HandshakeFailed,
    NameResolutionFailed,
    QuiverError,
    ResourceExhausted,
)
from quiver.origin import Origin
from quiver.pool.address_attempts import DELAY, Abandon, AddressAttempts, GiveUp, Try
from quiver.pool.choice import HTTP3, TCP, Lane
from quiver.pool.lane_race import LaneRace

ONE = (socket.AF_INET, ("192.0.2.1", 443))
TWO = (socket.AF_INET, ("192.0.2.2", 443))
BOTH = Lane(HTTP3, 0.0), Lane(TCP, 0.3)
QUIC, OVER_TCP = 2, 3  # the first attempts of the lanes: n * 2 + i
REFUSED = ConnectionRefused("nobody listens there")


def race(*addresses: tuple[int, tuple[str, int]], until: float = 5.0) -> LaneRace:
    return LaneRace(BOTH, addresses or (ONE,), until, 0.0)


def test_the_second_begins_in_time() -> None:
    table = race()
    assert table.due() == 0.0 and table.tick(0.0) == (Try(QUIC, ONE, HTTP3),)
    assert table.due() == 0.3 and table.tick(0.29) == ()
    assert table.tick(0.3) == (Try(OVER_TCP, ONE, TCP),)
    assert table.due() == 5.0 and table.tick(1.0) == ()
    assert [table.lane_of(each) for each in (QUIC, OVER_TCP)] == list(BOTH)


def test_the_second_begins_at_once_when_the_first_has_failed() -> None:
    table = race(ONE, TWO)
    assert table.tick(0.0) == (Try(QUIC, ONE, HTTP3),)
    assert table.failed(QUIC, REFUSED, 0.1) == (Try(QUIC + 2, TWO, HTTP3),), "its next address"
    assert table.failed(QUIC + 2, REFUSED, 0.1) == (Try(OVER_TCP, ONE, TCP),)
    assert table.due() == 0.1 + DELAY
    assert table.behind(OVER_TCP) == [(BOTH[0], "nobody listens there")]


def test_who_wins_ends_all_others() -> None:
    table = race(ONE, TWO)
    table.tick(0.0)
    assert table.tick(0.25) == (Try(QUIC + 2, TWO, HTTP3),)
    assert table.tick(0.3) == (Try(OVER_TCP, ONE, TCP),)
    assert set(table.won(OVER_TCP)) == {Abandon(QUIC), Abandon(QUIC + 2)}
    ((lane, why),) = table.behind(OVER_TCP)
    assert lane == BOTH[0] and why.endswith("192.0.2.2:443 answered nothing")
    assert table.due() is None and table.tick(9.0) == ()
    assert table.failed(QUIC, REFUSED, 9.0) == (), "that is late"


def test_where_the_first_wins_alone_nothing_was_behind() -> None:
    table = race()
    table.tick(0.0)
    assert table.won(QUIC) == () and table.behind(QUIC) == []
    assert table.tick(0.3) == ()


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (REFUSED, CertificateInvalid("it is refused"), 1),
        (HandshakeFailed("no common ALPN"), REFUSED, 0),
        (REFUSED, ConnectionRefused("nor here"), 0),
        (ResourceExhausted("no descriptor"), REFUSED, 0),
    ],
)
def test_the_error_that_tells_most_is_told(
    first: QuiverError, second: QuiverError, told: int
) -> None:
    table = race()
    table.tick(0.0)
    assert table.failed(QUIC, first, 0.1) == (Try(OVER_TCP, ONE, TCP),)
    (end,) = table.failed(OVER_TCP, second, 0.2)
    error, other = (first, second) if told == 0 else (second, first)
    assert end == GiveUp(error)
    assert error.__notes__[-1] == f"over {(TCP, HTTP3)[told].upper()}: {other.message}"
    assert table.tick(9.0) == ()


def test_silence_goes_before_a_refusal() -> None:
    table = race()
    table.tick(0.0)
    table.tick(0.3)
    assert table.failed(OVER_TCP, REFUSED, 0.4) == ()
    assert str(table.progress).endswith(
        "192.0.2.1:443 answered nothing; over TCP: nobody listens there"
    )
    assert set(table.tick(5.0)) == {Abandon(QUIC), GiveUp(None)}


def test_the_lane_that_has_answered_tells_the_progress() -> None:
    table = race()
    table.tick(0.0)
    table.tick(0.3)
    assert not table.progress.answered
    table.answered(OVER_TCP)
    assert table.progress.answered
    table.unsent(QUIC, "no route")
    assert table.progress.unsent == ""


def test_time_that_nobody_had_counts_for_all() -> None:
    table = race()
    table.tick(0.0)
    table.excuse(10.0)
    assert table.due() == 10.3
    assert table.tick(10.3) == (Try(OVER_TCP, ONE, TCP),)
    assert table.due() == 15.0


def test_no_time_for_the_second() -> None:
    table = race(until=0.2)
    table.tick(0.0)
    assert table.due() == 0.2
    assert set(table.tick(0.2)) == {Abandon(QUIC), GiveUp(None)}


# another place ----------------------------------------------------------------------------------

PLACE = Origin.parse("https://edge.example:8443")
THERE = (socket.AF_INET, ("192.0.2.9", 8443))
THREE = Lane(HTTP3, 0.0, PLACE), Lane(TCP, 0.3), Lane(HTTP3, math.inf)
UNKNOWN = NameResolutionFailed("it is unknown")


def to_another_place(until: float = 5.0) -> LaneRace:
    return LaneRace(THREE, [ONE], until, 0.0)


def test_a_lane_waits_for_its_name_and_the_others_do_not() -> None:
    table = to_another_place()
    assert table.tick(0.0) == () and table.due() == 0.3
    assert table.tick(0.3) == (Try(4, ONE, TCP),)
    assert table.found(PLACE, [THERE], 0.4) == (Try(3, THERE, HTTP3),)
    assert table.lane_of(3) == THREE[0]
    assert set(table.won(3)) == {Abandon(4)} and table.behind(3)[0][0] == THREE[1]
    assert len(table.behind(3)) == 1, "the last has not begun"


def test_a_name_that_is_found_too_late() -> None:
    table = to_another_place()
    table.tick(0.0)
    table.tick(0.3)
    assert table.won(4) == ()
    assert table.behind(4) == [(THREE[0], "no address was found")]
    assert table.found(PLACE, [THERE], 0.4) == () == table.unfound(PLACE, UNKNOWN, 0.4)


def test_a_name_that_is_unknown_gives_way_at_once() -> None:
    table = to_another_place()
    table.tick(0.0)
    assert table.unfound(PLACE, UNKNOWN, 0.1) == (Try(4, ONE, TCP),)
    assert table.failed(4, REFUSED, 0.2) == (Try(5, ONE, HTTP3),), "the last resort"
    (end,) = table.failed(5, ConnectionRefused("nor here"), 0.2)
    assert end == GiveUp(REFUSED)
    told = REFUSED.__notes__[-2:]
    assert told == [
        "over HTTP/3 at edge.example:8443: it is unknown",
        "over HTTP/3: nor here",
    ]


def test_the_last_resort_waits_for_no_name() -> None:
    table = to_another_place()
    table.tick(0.0)
    table.tick(0.3)
    assert table.failed(4, REFUSED, 0.4) == (Try(5, ONE, HTTP3),)


def test_time_is_up_while_a_name_is_looked_up() -> None:
    table = to_another_place(until=0.2)
    table.tick(0.0)
    assert table.due() == 0.2 and table.tick(0.2) == (GiveUp(None),)


events = st.lists(
    st.tuples(st.sampled_from(["tick", "fail", "found", "unfound", "win"]), st.integers(0, 9)),
    max_size=40,
)


@given(events, st.integers(1, 4))
def test_whatever_happens_it_ends_once_and_in_time(
    did: list[tuple[str, int]], addresses: int
) -> None:
    """Each attempt has a number of its own and an address of its lane; nothing is begun twice."""
    own = [(socket.AF_INET, (f"192.0.2.{n}", 443)) for n in range(1, addresses + 1)]
    table, now = LaneRace(THREE, own, 5.0, 0.0), 0.0
    alive: set[int] = set()
    tried: dict[tuple[Lane, object], int] = {}
    ended: list[object] = []

    def take(actions: tuple[object, ...]) -> None:
        for action in actions:
            match action:
                case Try(attempt, address, name):
                    assert not ended and now < 5.0 and attempt not in tried.values()
                    lane = table.lane_of(attempt)
                    assert lane.name == name and (address == THERE) == (lane.place is not None)
                    assert (lane, address) not in tried
                    tried[lane, address] = attempt
                    alive.add(attempt)
                case Abandon(attempt):
                    alive.discard(attempt)
                case GiveUp():
                    assert not alive and not ended
                    ended.append(action)

    take(table.tick(now))
    for step, number in did:
        now += number / 20
        if step == "tick":
            take(table.tick(now))
        elif step == "found":
            take(table.found(PLACE, [THERE], now))
        elif step == "unfound":
            take(table.unfound(PLACE, UNKNOWN, now))
        elif alive:
            attempt = sorted(alive)[number % len(alive)]
            alive.discard(attempt)
            if step == "fail":
                take(table.failed(attempt, REFUSED, now))
            else:
                take(table.won(attempt))
                ended.append(attempt)
    now = max(now, 6.0)
    take(table.tick(now))
    assert len(ended) == 1 and not alive


steps = st.lists(
    st.tuples(st.sampled_from(["tick", "fail", "answer", "unsent", "excuse"]), st.integers(0, 9)),
    max_size=60,
)


@given(steps, st.integers(1, 8))
@example([("excuse", 0), ("tick", 0)], 1)
def test_one_lane_does_what_its_attempts_do(did: list[tuple[str, int]], addresses: int) -> None:
    hosts = [(socket.AF_INET, (f"192.0.2.{n}", 443)) for n in range(1, addresses + 1)]
    plain, race_of_one = AddressAttempts(hosts, 5.0), LaneRace([Lane("x")], hosts, 5.0, 0.0)
    now, tried, ended = 0.0, 0, False
    for step, number in [("tick", 0), *did]:  # which is how a dial begins
        now += number / 10
        attempt = 1 + number % max(tried, 1)
        if ended or (step in ("fail", "answer", "unsent") and attempt > tried):
            continue
        if step == "tick":
            got, wanted = race_of_one.tick(now), plain.tick(now)
        elif step == "fail":
            got, wanted = (
                each.failed(attempt, ConnectionRefused("x"), now) for each in (race_of_one, plain)
            )
        else:
            got = wanted = ()
            for table in (race_of_one, plain):
                if step == "answer":
                    table.answered(attempt)
                elif step == "unsent":
                    table.unsent(attempt, "why")
                else:
                    table.excuse(0.1)
        named = [each[:2] if isinstance(each, Try) else each for each in got]
        assert str(named) == str([each[:2] if isinstance(each, Try) else each for each in wanted])
        tried += sum(isinstance(each, Try) for each in wanted)
        ended = any(isinstance(each, GiveUp) for each in wanted)
        assert race_of_one.progress == plain.progress or not tried or ended
