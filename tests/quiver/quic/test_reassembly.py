"""Ranges as aioquic's are, and the bound on what waits in pieces."""

from __future__ import annotations

from typing import Any

import pytest
from aioquic.quic.rangeset import RangeSet
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from quiver.quic.reassembly import MOST_PIECES, Ranges, Reassembly, TooManyPieces

SPOT, LENGTH = st.integers(0, 60), st.integers(1, 20)


class AsTheirs(RuleBasedStateMachine):
    """Whatever is done to both, ours and aioquic's hold the same."""

    def __init__(self) -> None:
        super().__init__()
        self.ours, self.theirs = Ranges(), RangeSet()

    @rule(start=SPOT, length=LENGTH)
    def add(self, start: int, length: int) -> None:
        for each in (self.ours, self.theirs):
            each.add(start, start + length)

    @rule(number=SPOT)
    def add_one(self, number: int) -> None:
        for each in (self.ours, self.theirs):
            each.add(number)

    @rule(start=SPOT, length=LENGTH)
    def subtract(self, start: int, length: int) -> None:
        for each in (self.ours, self.theirs):
            each.subtract(start, start + length)

    @precondition(lambda self: len(self.theirs) > 0)
    @rule()
    def shift(self) -> None:
        assert self.ours.shift() == self.theirs.shift()

    @rule(number=SPOT)
    def ask(self, number: int) -> None:
        assert (number in self.ours) == (number in self.theirs)

    @invariant()
    def are_alike(self) -> None:
        ours, theirs = self.ours, self.theirs
        assert list(ours) == list(theirs)
        assert len(ours) == len(theirs)
        assert ours.size == sum(map(len, theirs))
        assert Ranges(theirs) == ours
        if len(theirs):
            assert (ours[0], ours[-1], ours.bounds()) == (theirs[0], theirs[-1], theirs.bounds())
        else:
            with pytest.raises(IndexError):  # as aioquic looks whether there are any
                ours[0]


TestAsTheirs: Any = AsTheirs.TestCase


def test_each_piece_costs_the_same() -> None:
    """Steps, not seconds: a list in the place of bisection would take 10^10 for these."""
    ranges = Ranges()
    for at in range(0, 200_000, 2):
        ranges.add(at)
    assert len(ranges) == ranges.size == 100_000
    ranges.add(0, 200_000)
    assert list(ranges) == [range(200_000)]


NOTES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.integers(0, 5_000)))


@given(NOTES)
def test_what_was_noted_last_counts(notes: list[tuple[int, int, int]]) -> None:
    reassembly, last = Reassembly(), dict[int, tuple[int, int]]()
    for stream_id, pieces, held in notes:
        reassembly.note(stream_id, pieces, held if pieces else 0)
        last[stream_id] = (pieces, held if pieces else 0)
        assert reassembly.pieces == sum(each for each, _ in last.values())
        assert reassembly.held == sum(each for _, each in last.values())
        assert set(reassembly) == {each for each, (pieces, _) in last.items() if pieces}


def test_too_many_small_ones_are_refused_on_however_many_streams() -> None:
    reassembly = Reassembly()
    for stream_id in range(MOST_PIECES):
        reassembly.note(stream_id, 1, 1)
    reassembly.note(0, 0, 0)
    reassembly.note(0, 1, 1)
    with pytest.raises(TooManyPieces, match=r"4097 pieces of streams wait .* above 4096"):
        reassembly.note(1, 2, 2)


def test_more_that_are_as_large_as_packets_are_not() -> None:
    """Every second packet of 64 MiB: whatever a path does to a peer that means well."""
    count = (64 << 20) // 1_200 // 2
    Reassembly().note(0, count, count * 1_200)
