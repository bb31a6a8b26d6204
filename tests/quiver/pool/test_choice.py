"""Choices: over what an origin is dialled, by what was found out before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from quiver.origin import Origin
from quiver.pool.choice import HEAD_START, HTTP3, TCP, Choices, Lane
from quiver.pool.fallback_table import FIRST_PAUSE, LONGEST_PAUSE

A, B = Origin.parse("https://a.example"), Origin.parse("https://b.example")
BOTH = HTTP3, TCP
QUIC_FIRST = Lane(HTTP3, 0.0), Lane(TCP, HEAD_START)
TCP_FIRST = Lane(TCP, 0.0), Lane(HTTP3, HEAD_START)


def test_quic_begins_where_nothing_is_known() -> None:
    choices = Choices()
    assert choices.lanes(A, BOTH, 0.0) == QUIC_FIRST
    assert choices.asks_again(A, 0.0)


def test_a_lane_alone_is_no_choice() -> None:
    choices = Choices()
    choices.won(A, TCP, [(HTTP3, "it was silent")], 0.0)
    assert choices.lanes(A, (HTTP3,), 1.0) == (Lane(HTTP3, 0.0),)
    assert choices.lanes(A, ("http/1.1",), 1.0) == (Lane("http/1.1", 0.0),)


def test_what_has_lost_goes_behind_for_a_growing_while() -> None:
    choices, now, pause = Choices(), 0.0, FIRST_PAUSE
    for _ in range(20):
        choices.won(A, TCP, [(HTTP3, "it was silent")], now)
        assert choices.lanes(A, BOTH, now) == TCP_FIRST
        assert not choices.asks_again(A, now + pause - 1e-6)
        now += pause
        assert choices.asks_again(A, now) and choices.lanes(A, BOTH, now) == QUIC_FIRST
        pause = min(2 * pause, LONGEST_PAUSE)
    assert pause == LONGEST_PAUSE
    assert choices.lanes(B, BOTH, 0.0) == QUIC_FIRST, "it was of one origin"


def test_one_success_forgets_all_failures() -> None:
    choices = Choices()
    for now in (0.0, 100.0, 200.0):
        choices.won(A, TCP, [(HTTP3, "")], now)
    choices.won(A, HTTP3, [(TCP, "")], 201.0)
    assert choices.lanes(A, BOTH, 201.0) == QUIC_FIRST
    choices.won(A, TCP, [(HTTP3, "")], 300.0)
    assert choices.asks_again(A, 300.0 + FIRST_PAUSE)


def test_where_quic_had_not_begun_it_has_not_failed() -> None:
    choices = Choices()
    choices.won(A, TCP, [], 0.0)
    assert choices.lanes(A, BOTH, 0.0) == QUIC_FIRST


def test_another_network_is_another_chance() -> None:
    choices, here, there = Choices(), "192.0.2.1", "198.51.100.1"
    choices.won(A, TCP, [(HTTP3, "")], 0.0, here)
    assert choices.lanes(A, BOTH, 0.0, here) == TCP_FIRST
    assert choices.lanes(A, BOTH, 0.0, there) == QUIC_FIRST
    choices.won(A, HTTP3, [], 1.0, there)
    assert not choices.asks_again(A, 2.0, here) and choices.asks_again(A, 2.0, there)


wins = st.tuples(
    st.sampled_from([A, B]), st.sampled_from([HTTP3, TCP]), st.booleans(), st.floats(0.0, 5_000.0)
)


@given(st.lists(wins, max_size=30))
def test_both_lanes_are_always_there_and_one_of_them_at_once(
    found: list[tuple[Origin, str, bool, float]],
) -> None:
    choices, now = Choices(), 0.0
    for origin, lane, began, seconds in found:
        now += seconds
        other = TCP if lane == HTTP3 else HTTP3
        choices.won(origin, lane, [(other, "")] if began else [], now)
        lanes = choices.lanes(origin, BOTH, now)
        assert sorted(each.name for each in lanes) == sorted(BOTH)
        assert [each.after for each in lanes] == [0.0, HEAD_START]
        assert choices.lanes(origin, BOTH, now + LONGEST_PAUSE)[0].name == HTTP3
