"""Alternatives: learned, used, forgotten, bounded, kept."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.origin import Origin
from quiver.pool.alt_svc import LONGEST_AGE, Alternative
from quiver.pool.alternatives import Alternatives

A, B, C = (Origin.parse(f"https://{name}.example") for name in "abc")


def found(known: Alternatives, origin: Origin, now: float) -> int | None:
    alternative = known.find(origin, now)
    return None if alternative is None else alternative.port


def test_it_is_good_for_its_time() -> None:
    known = Alternatives()
    assert known.learn(A, 'h3=":1"; ma=60', 100.0)
    assert found(known, A, 159.9) == 1
    assert found(known, B, 159.9) is None
    assert found(known, A, 160.0) is None
    assert len(known) == 0


def test_the_first_that_is_still_good() -> None:
    known = Alternatives()
    known.learn(A, 'h3=":1"; ma=10, h3=":2"; ma=60', 0.0)
    assert [found(known, A, now) for now in (5.0, 20.0, 60.0)] == [1, 2, None]


@pytest.mark.parametrize("field", ["clear", 'h2=":443"', 'h3=":1"; ma=0'])
def test_a_field_replaces_what_was_said_before(field: str) -> None:
    known = Alternatives()
    known.learn(A, 'h3=":1"', 0.0)
    assert known.learn(A, field, 1.0)
    assert found(known, A, 1.0) is None
    assert not known.learn(A, field, 2.0)


def test_one_that_cannot_be_read_does_not() -> None:
    known = Alternatives()
    known.learn(A, 'h3=":1"', 0.0)
    assert not known.learn(A, "nonsense", 1.0)
    assert found(known, A, 1.0) == 1


def test_what_is_news() -> None:
    known = Alternatives()
    said = 'h3=":1"; ma=100'
    assert [known.learn(A, said, now) for now in (0.0, 10.0, 20.0)] == [True, False, False]
    assert known.learn(A, 'h3=":2"; ma=100', 30.0)
    assert not known.learn(A, 'h3=":2"; ma=100', 80.0)
    assert known.learn(A, 'h3=":2"; ma=100', 131.0), "its time was half over"


def test_a_change_of_network() -> None:
    known = Alternatives()
    known.learn(A, 'h3=":1", h3=":2"; persist=1', 0.0)
    known.learn(B, 'h3=":1"', 0.0)
    assert known.network_changed()
    assert not known.network_changed()
    assert (found(known, A, 1.0), found(known, B, 1.0)) == (2, None)


def test_the_one_used_longest_ago_goes() -> None:
    known = Alternatives(limit=2)
    known.learn(A, 'h3=":1"', 0.0)
    known.learn(B, 'h3=":1"', 0.0)
    known.find(A, 1.0)
    known.learn(C, 'h3=":1"', 2.0)
    assert [found(known, each, 3.0) for each in (A, B, C)] == [1, None, 1]


def test_no_more_than_a_few_each() -> None:
    known = Alternatives()
    known.learn(A, ", ".join(f'h3=":{port}"' for port in range(1, 100)), 0.0)
    assert len(json.loads(known.dump(0.0, 0.0))[0][1]) == 4


WALL = 1.8e9  # seconds since the epoch


def test_dumped_and_loaded() -> None:
    known, again = Alternatives(), Alternatives()
    known.learn(A, 'h3="b.example:1"; ma=60; persist=1', 100.0)
    again.learn(B, 'h3=":9"', 7.0)
    again.load(known.dump(110.0, WALL), 7.0, WALL + 10)
    assert again.find(A, 7.0) == Alternative("b.example", 1, 40.0, True)
    assert found(again, A, 46.9) == 1
    assert found(again, A, 47.1) is None
    assert found(again, B, 110.0) == 9


@pytest.mark.parametrize("ends", [WALL * 10, 10**400, 1e308, float("inf")])
def test_none_is_good_for_longer_than_the_bound_whatever_the_clocks_say(ends: float) -> None:
    known = Alternatives()
    known.load(json.dumps([[str(A), [["", 1, ends, False]]]]), 5.0, WALL)
    assert found(known, A, 5.0 + LONGEST_AGE - 1) == 1
    assert found(known, A, 5.0 + LONGEST_AGE + 1) is None


@pytest.mark.parametrize("ends", [0, -1.0, WALL - 1, -(10**400), float("-inf")])
def test_what_is_over_is_not_taken(ends: float) -> None:
    known = Alternatives()
    known.load(json.dumps([[str(A), [["", 1, ends, False]]]]), 5.0, WALL)
    assert len(known) == 0


def test_one_that_is_told_again_and_again_is_kept_now_and_then() -> None:
    known = Alternatives()
    news = [known.learn(A, 'h3=":1"; ma=100', float(now)) for now in range(0, 1_000, 10)]
    assert sum(news) == 17 and news[0], "each time half of its time is over"
    assert known.learn(A, 'h3=":1"; ma=5', 1_000.0), "it ends sooner than what was kept"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        "nonsense",
        "[" * 100_000,
        '[["https://a.example", [["", 0, 2e9, false]]]]',
        '[["https://a.example", [["", 1, 2e9, false]]], ["ftp://x", []]]',
        '[["https://a.example", "x"]]',
        '[["https://a.example/x", []]]',
        '[["https://a.example", [["b c", 1, 2e9, false]]]]',
        '[["https://a.example", [["B.example", 1, 2e9, false]]]]',
        '[["https://a.example", [[0, 1, 2e9, false]]]]',
        '[["https://a.example", [["", true, 2e9, false]]]]',
        '[["https://a.example", [["", 1, true, false]]]]',
        '[["https://a.example", [["", 1, NaN, false]]]]',
        '[["https://a.example", [["", 1, "2e9", false]]]]',
        '[["https://a.example", [["", 1, 2e9, 1]]]]',
        '[["https://a.example", [["", 1, 2e9]]]]',
        '[["https://a.example", 1.0, [["", 1, 60, false]]]]',
        f'[["https://a.example", [["", 1, 1{"0" * 5_000}, false]]]]',
    ],
    ids=lambda text: text[:60],
)
def test_what_was_never_dumped(text: str) -> None:
    known = Alternatives()
    with pytest.raises(ValueError) as caught:
        known.load(text, 0.0, WALL)
    assert len(known) == 0 and len(str(caught.value)) < 300


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5),
)


@pytest.mark.long
@given(anything | st.lists(st.tuples(st.just(str(A)), st.lists(st.lists(anything, max_size=5)))))
def test_nothing_else_is_raised(rows: object) -> None:
    known = Alternatives()
    with contextlib.suppress(ValueError):
        known.load(json.dumps(rows), 0.0, WALL)
    for origin in (A, B):
        alternative = known.find(origin, 0.0)
        assert alternative is None or 0 < alternative.max_age <= LONGEST_AGE
