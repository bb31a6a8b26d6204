"""Choices: over what an origin is dialled, by what was found out before."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from quiver.origin import Origin
from quiver.pool.choice import HEAD_START, HTTP1, HTTP3, PATIENCE, TCP, Choices, Lane
from quiver.pool.fallback_table import FIRST_PAUSE, LONGEST_PAUSE

A, B = Origin.parse("https://a.example"), Origin.parse("https://b.example")
BOTH = HTTP3, TCP
QUIC, OVER_TCP = Lane(HTTP3), Lane(TCP)
QUIC_FIRST = Lane(HTTP3, 0.0), Lane(TCP, HEAD_START)
TCP_FIRST = Lane(TCP, 0.0), Lane(HTTP3, HEAD_START)


def asks_again(choices: Choices, now: float, local: str | None = None) -> bool:
    return now >= choices.asks_at(A, now, local)


def test_quic_begins_where_nothing_is_known() -> None:
    choices = Choices()
    assert choices.lanes(A, BOTH, 0.0) == QUIC_FIRST
    assert asks_again(choices, 0.0)


def test_a_lane_alone_is_no_choice() -> None:
    choices = Choices()
    choices.won(A, OVER_TCP, [(QUIC, "it was silent")], 0.0)
    assert choices.lanes(A, (HTTP3,), 1.0) == (Lane(HTTP3, 0.0),)
    assert choices.lanes(A, ("http/1.1",), 1.0) == (Lane("http/1.1", 0.0),)


def test_what_has_lost_goes_behind_for_a_growing_while() -> None:
    choices, now, pause = Choices(), 0.0, FIRST_PAUSE
    for _ in range(20):
        choices.won(A, OVER_TCP, [(QUIC, "it was silent")], now)
        assert choices.lanes(A, BOTH, now) == TCP_FIRST
        assert not asks_again(choices, now + pause - 1e-6)
        now += pause
        assert asks_again(choices, now) and choices.lanes(A, BOTH, now) == QUIC_FIRST
        pause = min(2 * pause, LONGEST_PAUSE)
    assert pause == LONGEST_PAUSE
    assert choices.lanes(B, BOTH, 0.0) == QUIC_FIRST, "it was of one origin"


def test_one_success_forgets_all_failures() -> None:
    choices = Choices()
    for now in (0.0, 100.0, 200.0):
        choices.won(A, OVER_TCP, [(QUIC, "")], now)
    choices.won(A, QUIC, [(OVER_TCP, "")], 201.0)
    assert choices.lanes(A, BOTH, 201.0) == QUIC_FIRST
    choices.won(A, OVER_TCP, [(QUIC, "")], 300.0)
    assert asks_again(choices, 300.0 + FIRST_PAUSE)


def test_where_quic_had_not_begun_it_has_not_failed() -> None:
    choices = Choices()
    choices.won(A, OVER_TCP, [], 0.0)
    assert choices.lanes(A, BOTH, 0.0) == QUIC_FIRST


def test_another_network_is_another_chance() -> None:
    choices, here, there = Choices(), "192.0.2.1", "198.51.100.1"
    choices.won(A, OVER_TCP, [(QUIC, "")], 0.0, here)
    assert choices.lanes(A, BOTH, 0.0, here) == TCP_FIRST
    assert choices.lanes(A, BOTH, 0.0, there) == QUIC_FIRST
    choices.won(A, QUIC, [], 1.0, there)
    assert not asks_again(choices, 2.0, here) and asks_again(choices, 2.0, there)


# other places ---------------------------------------------------------------------------------

THERE, ON = Origin.parse("https://edge.example:8443"), Origin.parse("https://a.example:9443")
NAMED = 'h3="edge.example:8443"; ma=100, h3=":9443"; ma=50; persist=1'
AT_THERE, AT_ON = Lane(HTTP3, 0.0, THERE), Lane(HTTP3, 0.0, ON)
LAST = Lane(HTTP3, math.inf)


def test_where_the_origin_says_goes_first_and_its_own_port_last() -> None:
    choices = Choices()
    choices.heard(A, NAMED, 0.0)
    assert choices.lanes(A, BOTH, 1.0) == (AT_THERE, Lane(TCP, HEAD_START), LAST)
    assert choices.lanes(B, BOTH, 1.0) == QUIC_FIRST
    assert choices.lanes(A, BOTH, 100.0) == QUIC_FIRST, "that was long ago"
    choices.heard(A, NAMED, 200.0)
    choices.heard(A, "clear", 200.0)
    assert choices.lanes(A, BOTH, 200.0) == QUIC_FIRST


def test_its_own_port_is_no_other_place() -> None:
    choices = Choices()
    choices.heard(A, 'h3=":443"', 0.0)
    lanes = choices.lanes(A, BOTH, 0.0)
    assert lanes == QUIC_FIRST and lanes[0].why == "its Alt-Svc field says so"
    choices.won(A, OVER_TCP, [(QUIC, "it was silent")], 0.0)
    choices.heard(A, 'h3=":443"', 1.0)
    assert choices.lanes(A, BOTH, 1.0) == TCP_FIRST, "what failed there is not made good by a word"


def test_each_place_is_left_alone_by_itself() -> None:
    choices = Choices()
    choices.heard(A, NAMED, 0.0)
    choices.won(A, OVER_TCP, [(AT_THERE, "it was silent")], 0.0)
    assert asks_again(choices, 0.0), "there is another place"
    assert choices.lanes(A, BOTH, 0.0)[0] == AT_ON
    choices.won(A, OVER_TCP, [(AT_ON, "")], 0.0)
    assert choices.lanes(A, BOTH, 0.0) == QUIC_FIRST, "the origin itself goes on"
    choices.won(A, OVER_TCP, [(QUIC, "")], 0.0)
    assert choices.lanes(A, BOTH, 0.0) == TCP_FIRST and not asks_again(choices, 0.0)
    assert "it was silent" in choices.lanes(A, BOTH, 0.0)[0].why
    assert choices.lanes(A, BOTH, FIRST_PAUSE)[0] == AT_THERE and asks_again(choices, FIRST_PAUSE)
    choices.won(A, AT_THERE, [], FIRST_PAUSE)
    choices.won(A, OVER_TCP, [(AT_THERE, "")], FIRST_PAUSE)
    assert choices.lanes(A, BOTH, 2 * FIRST_PAUSE)[0] == AT_THERE, "it is the first failure again"


def test_who_does_not_answer_for_the_origin_is_forgotten() -> None:
    choices = Choices()
    choices.heard(A, NAMED, 0.0)
    choices.misdirected(A, "edge.example:8443", 0.0)
    choices.misdirected(B, "edge.example:8443", 0.0)
    assert choices.lanes(A, BOTH, 0.0)[0] == AT_ON
    choices.misdirected(A, "a.example:9443", 0.0)
    assert choices.lanes(A, BOTH, FIRST_PAUSE) == QUIC_FIRST


def test_who_is_named_again_is_left_alone_for_a_growing_while() -> None:
    """Its handshakes go well, and that is no success."""
    choices, now, pause = Choices(), 0.0, FIRST_PAUSE
    for _ in range(5):
        choices.heard(A, 'h3="edge.example:8443"', now)
        assert choices.lanes(A, BOTH, now)[0] == AT_THERE
        choices.won(A, AT_THERE, [], now)
        choices.misdirected(A, "edge.example:8443", now)
        choices.heard(A, 'h3="edge.example:8443"', now)
        assert choices.lanes(A, BOTH, now + pause - 1e-6) == QUIC_FIRST
        now, pause = now + pause, pause * 2


def test_in_another_network_what_persists_is_believed() -> None:
    choices, here, there = Choices(), "192.0.2.1", "198.51.100.1"
    choices.heard(A, NAMED, 0.0, here)
    assert choices.lanes(A, BOTH, 1.0, here)[0] == AT_THERE
    assert choices.lanes(A, BOTH, 1.0, there)[0] == AT_ON
    assert choices.lanes(A, BOTH, 1.0, None)[0] == AT_THERE, "nobody knows"
    assert choices.lanes(A, BOTH, 1.0, here)[0] == AT_THERE


def test_by_the_policy_alt_svc_what_is_not_said_is_not_tried() -> None:
    choices = Choices("alt-svc", [B])
    lanes = choices.lanes(A, BOTH, 0.0)
    assert lanes == (OVER_TCP,) and "nobody has said" in lanes[0].why
    assert not asks_again(choices, 0.0)
    lanes = choices.lanes(B, BOTH, 0.0)
    assert lanes == QUIC_FIRST and lanes[0].why == "by a hint"
    choices.heard(A, 'h3=":9443"', 0.0)
    assert asks_again(choices, 0.0)
    assert choices.lanes(A, BOTH, 0.0) == (AT_ON, Lane(TCP, HEAD_START))
    choices.won(A, OVER_TCP, [(AT_ON, "")], 0.0)
    assert choices.lanes(A, BOTH, 0.0) == (OVER_TCP, Lane(HTTP3, HEAD_START, ON))


def test_who_asks_for_http_1_1_is_dialled_for_that_first_for_a_growing_while() -> None:
    choices, now, pause = Choices(), 0.0, FIRST_PAUSE
    for _ in range(3):
        choices.http1_required(A, now)
        first, *others = choices.lanes(A, BOTH, now + pause - 1e-6)
        assert first.name == HTTP1 and first.why == "it asks for HTTP/1.1"
        assert [each.name for each in others] == [HTTP3, TCP]
        assert [each.after for each in others] == [PATIENCE, PATIENCE + HEAD_START]
        assert [each.name for each in choices.lanes(A, (TCP,), now)] == [HTTP1, TCP]
        assert not asks_again(choices, now + pause - 1e-6) and asks_again(choices, now + pause)
        assert choices.lanes(A, BOTH, now + pause) == QUIC_FIRST
        assert choices.lanes(B, BOTH, now) == QUIC_FIRST
        choices.won(A, QUIC, [], now + pause)
        now, pause = now + pause, pause * 2


def test_what_is_remembered_is_bounded() -> None:
    choices = Choices()
    for number in range(1_100):
        origin = Origin.parse(f"https://h{number}.example")
        choices.heard(origin, 'h3=":9443"', 0.0)
        choices.won(origin, OVER_TCP, [(Lane(HTTP3, 0.0, origin), "")], 0.0)
    table = choices._table
    assert len(table.alternatives) == len(table._pauses) == 1_000


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
        choices.won(origin, Lane(lane), [(Lane(other), "")] if began else [], now)
        lanes = choices.lanes(origin, BOTH, now)
        assert sorted(each.name for each in lanes) == sorted(BOTH)
        assert [each.after for each in lanes] == [0.0, HEAD_START]
        assert choices.lanes(origin, BOTH, now + LONGEST_PAUSE)[0].name == HTTP3
