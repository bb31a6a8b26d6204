"""Alternatives: learned, used, forgotten, bounded, kept."""

from __future__ import annotations

import pytest

from quiver.adapters.alternatives import Alternatives
from quiver.adapters.altsvc import Alternative
from quiver.origin import Origin

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
    known.network_changed()
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
    assert known.dump().count("86400") == 4


def test_dumped_and_loaded() -> None:
    known, again = Alternatives(), Alternatives()
    known.learn(A, 'h3="b.example:1"; ma=60; persist=1', 100.0)
    again.learn(B, 'h3=":9"', 100.0)
    again.load(known.dump())
    assert again.find(A, 110.0) == Alternative("b.example", 1, 60, True)
    assert found(again, A, 161.0) is None
    assert found(again, B, 110.0) == 9


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        "nonsense",
        '[["https://a.example", 0, [["", 0, 60, false]]]]',
        '[["https://a.example", 0, [["", 1, 60, false]]], ["ftp://x", 0, []]]',
        '[["https://a.example", "x", []]]',
    ],
)
def test_what_was_never_dumped(text: str) -> None:
    known = Alternatives()
    with pytest.raises(ValueError):
        known.load(text)
    assert len(known) == 0
