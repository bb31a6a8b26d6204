"""LookUpTable: who shares which look-up, and how many there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.pool import look_up_table
from quiver.pool.look_up_table import PER_NAME, STALE, LookUp, LookUpTable, Name, TooManyLookUps

A, B = Name("a.example", 443, 0), Name("b.example", 443, 0)


@pytest.fixture
def table() -> LookUpTable[str]:
    return LookUpTable()


def test_one_serves_all_who_come_soon(table: LookUpTable[str]) -> None:
    first, new = table.join(A, 0.0)
    assert new
    assert table.join(A, STALE - 0.1) == (first, False)
    assert table.ended(first, "found", found=True) == [first]
    assert first.outcome == "found"
    assert len(table) == 0


def test_one_that_takes_long_is_given_one_beside_it_and_no_more(table: LookUpTable[str]) -> None:
    first, _ = table.join(A, 0.0)
    second, new = table.join(A, STALE)
    assert new
    assert second is not first
    assert table.join(A, 1e6) == (second, False)
    assert table.ended(second, "found", found=True) == [second, first], "it answers for both"
    assert len(table) == 1, "the first runs still"
    third, new = table.join(A, 1e6)
    assert new, "an answer of before is nobody's"
    assert table.ended(first, "late", found=True) == [third]
    assert (first.outcome, third.outcome) == ("found", "late")


def test_an_error_is_for_those_who_waited_for_that_look_up(table: LookUpTable[str]) -> None:
    first, _ = table.join(A, 0.0)
    second, _ = table.join(A, STALE)
    assert table.ended(first, "failed", found=False) == [first]
    assert second.outcome is None


def test_a_name_has_its_own(table: LookUpTable[str]) -> None:
    first, _ = table.join(A, 0.0)
    other, new = table.join(B, 0.0)
    assert new
    assert table.ended(first, "found", found=True) == [first]
    assert other.outcome is None


def test_all_together_are_bounded(monkeypatch: pytest.MonkeyPatch, table: LookUpTable[str]) -> None:
    monkeypatch.setattr(look_up_table, "TOTAL", 2)
    first, _ = table.join(A, 0.0)
    table.join(B, 1.0)
    with pytest.raises(TooManyLookUps):
        table.join(Name("c.example", 443, 0), 2.0)
    assert table.join(A, 1e6) == (first, False), "who can share one does, from the half on"
    assert [each.name.host for each in table.all()] == ["a.example", "b.example"]
    table.ended(first, "failed", found=False)
    assert table.join(Name("c.example", 443, 0), 2.0)[1]


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.booleans(), st.floats(0, 3)), max_size=60))
def test_whatever_happens(steps: list[tuple[Name, bool, float]]) -> None:
    """Of each name at most PER_NAME run, and nobody waits for one that has been answered."""
    table: LookUpTable[str] = LookUpTable()
    running: list[LookUp[str]] = []
    now = 0.0
    for name, begins, seconds in steps:
        now += seconds
        mine = [each for each in running if each.name == name]
        if begins:
            joined, new = table.join(name, now)
            assert joined.outcome is None
            running += [joined] if new else []
        elif mine:
            running.remove(mine[0])
            for each in table.ended(mine[0], f"{now}", found=seconds > 1):
                assert each.outcome == f"{now}"
            assert mine[0].outcome is not None
            assert table.ended(mine[0], "twice", found=True) == []
        assert len(table) == len(running)
        assert all(sum(each.name == at for each in running) <= PER_NAME for at in (A, B))
