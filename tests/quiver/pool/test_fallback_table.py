"""FallbackTable: HTTP/3 or TCP, decided by what is known and what has failed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.origin import Origin
from quiver.pool.fallback_table import (
    FIRST_PAUSE,
    LONGEST_PAUSE,
    MOST,
    FallbackTable,
    Route,
)

A, B = Origin.parse("https://a.example"), Origin.parse("https://b.example:8443")


def test_always() -> None:
    table = FallbackTable("always")
    route = table.route(A, 0.0)
    assert route == Route(A, A) and not route.elsewhere


def test_only_what_is_known() -> None:
    table = FallbackTable("alt-svc", hints=[B])
    assert table.route(A, 0.0) is None
    assert table.route(B, 0.0) == Route(B, B)
    table.alternatives.learn(A, 'h3=":8443"; ma=60', 0.0)
    route = table.route(A, 1.0)
    assert route == Route(A, Origin.parse("https://a.example:8443")) and route.elsewhere
    assert table.route(A, 60.0) is None


def test_another_host() -> None:
    table = FallbackTable("alt-svc")
    table.alternatives.learn(A, 'h3="c.example:1"', 0.0)
    assert table.route(A, 0.0) == Route(A, Origin.parse("https://c.example:1"))


def test_no_such_policy() -> None:
    given: Any = "sometimes"
    with pytest.raises(ValueError, match=r"'sometimes'.*always or alt-svc"):
        FallbackTable(given)


@pytest.mark.parametrize("policy", ["always", "alt-svc"])
def test_a_growing_while(policy: Any) -> None:
    table = FallbackTable(policy, hints=[A, B])
    now = 1_000.0
    for failures in range(12):
        table.failed(A, now)
        assert table.route(B, now) is not None, "another origin is left alone for it"
        pause = min(FIRST_PAUSE * 2**failures, LONGEST_PAUSE)
        assert table.route(A, now + pause - 0.01) is None
        now += pause
        assert table.route(A, now) is not None
    table.succeeded(A)
    table.failed(A, now)
    assert table.route(A, now + FIRST_PAUSE) is not None


def test_failures_side_by_side_count_once() -> None:
    table = FallbackTable()
    for moment in range(5):
        table.failed(A, float(moment))
    assert table.route(A, FIRST_PAUSE - 0.1) is None
    assert table.route(A, FIRST_PAUSE) is not None


def test_why_is_told_while_it_is_left_alone() -> None:
    table = FallbackTable()
    assert table.why(A, 0.0) is None
    table.failed(A, 0.0, "the port is closed")
    table.failed(A, 1.0, "told by another request, of the same round")
    assert table.why(A, FIRST_PAUSE - 0.1) == "the port is closed"
    assert table.why(A, FIRST_PAUSE) is None
    assert table.why(B, 1.0) is None
    table.succeeded(A)
    assert table.why(A, 1.0) is None


def test_a_failure_of_one_trust_is_of_that_alone() -> None:
    table = FallbackTable()
    table.failed(A, 0.0, "refused", "mine")
    assert (table.route(A, 1.0, "mine"), table.why(A, 1.0, "mine")) == (None, "refused")
    assert table.route(A, 1.0, "other") == table.route(A, 1.0) == Route(A, A)
    table.succeeded(A, "other")
    assert table.route(A, 1.0, "mine") is None
    table.failed(A, 2.0, "nobody answers")
    assert table.route(A, 3.0, "other") is None
    table.succeeded(A, "mine")
    assert table.route(A, 3.0, "mine") == table.route(A, 3.0, "other") == Route(A, A)


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1e4), st.booleans()), max_size=60))
def test_a_pause_is_never_longer_than_the_longest(
    events: list[tuple[int, float, bool]],
) -> None:
    table, now = FallbackTable(), 0.0
    origins = [Origin("https", f"o{n}.example") for n in range(4)]
    for number, seconds, good in events:
        now += seconds
        table.succeeded(origins[number]) if good else table.failed(origins[number], now)
        assert table.route(origins[number], now + LONGEST_PAUSE) is not None


def test_it_is_bounded() -> None:
    table = FallbackTable()
    for number in range(MOST + 10):
        table.failed(Origin("https", f"o{number}.example"), 0.0)
    assert table.route(Origin("https", "o0.example"), 0.0) is not None
    assert table.route(Origin("https", f"o{MOST}.example"), 0.0) is None
