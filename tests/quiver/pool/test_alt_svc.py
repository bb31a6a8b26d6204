"""Alt-Svc fields by RFC 7838: what they say, and what is no such field."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.pool.alt_svc import DAY, LONGEST_AGE, Alternative, parse


@pytest.mark.parametrize(
    ("field", "found"),
    [
        ('h3=":443"', [Alternative("", 443)]),
        ('h3=":443"; ma=60', [Alternative("", 443, 60)]),
        ('h3=":443";ma=60 ; persist=1', [Alternative("", 443, 60, True)]),
        ('h3=":443"; persist=0', [Alternative("", 443)]),
        ('h3=":443"; ma="60"', [Alternative("", 443, 60)]),
        ('h3=":443"; ma=0', [Alternative("", 443, 0)]),
        ('h3=":443"; ma=soon', [Alternative("", 443, DAY)]),
        ('h3=":443"; ma=99999999999', [Alternative("", 443, LONGEST_AGE)]),
        ('h3="bücher.example:443"', []),
        ('h3=":443"; unknown="a;b,c"; ma=9', [Alternative("", 443, 9)]),
        ('h3="alt.Example:8443"', [Alternative("alt.example", 8443)]),
        ('h3="[::1]:8443"', [Alternative("::1", 8443)]),
        ('h2=":443", h3=":8443"', [Alternative("", 8443)]),
        ('h3=":1", h3=":2"; ma=5', [Alternative("", 1), Alternative("", 2, 5)]),
        ('h3-29=":443"', []),
        ('h2="alt.example:443"', []),
        ("clear", []),
        (" clear ", []),
        ('nonsense, h3=":443"', [Alternative("", 443)]),
        ('h3=":443", h3="no place"', [Alternative("", 443)]),
        ('h3=":0", h3=":65536", h3="a b:1"', []),
    ],
)
def test_what_it_says(field: str, found: list[Alternative]) -> None:
    assert parse(field) == tuple(found)


@pytest.mark.parametrize("field", ["", "CLEAR", "h3", "=", "h3=:443", '"h3"', 'h3=":443', ";", ","])
def test_what_cannot_be_read_changes_nothing(field: str) -> None:
    assert parse(field) is None


PARTS = ['h3="', ":", "[", "]", "::1", "a", ".", "1", "99999", '"', "\\", ";", ",", " ", "ma", "="]
ALMOST = st.lists(st.sampled_from(PARTS), max_size=40).map("".join)


@pytest.mark.long
@given(st.text(max_size=200) | ALMOST)
def test_nothing_of_it_raises(field: str) -> None:
    for each in parse(field) or ():
        assert 1 <= each.port <= 65_535 and each.max_age >= 0


PORTS = st.integers(1, 65_535)


@given(st.lists(st.tuples(PORTS, st.integers(0, 10**9), st.booleans()), min_size=1, max_size=8))
def test_what_is_written_is_read(given: list[tuple[int, int, bool]]) -> None:
    said = ", ".join(f'h3=":{port}"; ma={age}; persist={int(keep)}' for port, age, keep in given)
    found = tuple(Alternative("", port, min(age, LONGEST_AGE), keep) for port, age, keep in given)
    assert parse(said) == found


@pytest.mark.parametrize(
    "unit",
    ['"', '"\\', '\\"', ",;", "a", "a=", '""', '"a', 'h3=":1";', "[", 'h3="[', "\\", " ", "h3=a,"],
)
def test_it_takes_time_in_proportion_to_the_length(unit: str) -> None:
    """By the steps that it takes: a field eight times as long takes ten times as many at most."""
    short, long = (took(unit * (length // len(unit))) for length in (1_000, 8_000))
    assert long < 30 * short + 0.05, (short, long)


def took(field: str) -> float:
    """The processor's seconds for ten of them, the least of three tries."""

    def once() -> float:
        begun = time.thread_time()
        for _ in range(10):
            parse(field)
        return time.thread_time() - begun

    return min(once() for _ in range(3))
