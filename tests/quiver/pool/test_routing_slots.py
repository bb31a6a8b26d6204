"""ConnectionSlots: room is what is left of the credit, and of the cap."""

from __future__ import annotations

import pytest

from quiver.pool.connection_slots import ConnectionSlots


def slots(limit: int, cap: int) -> ConnectionSlots:
    made = ConnectionSlots(1, cap)
    made.allow(limit)
    return made


def test_credit_is_cumulative() -> None:
    one = slots(limit=2, cap=10)
    one.lend(1)
    one.give_back(1, unused=False)
    assert one.room == 1
    one.lend(2)
    one.give_back(2, unused=False)
    assert one.room == 0
    one.allow(5)
    assert one.room == 3


def test_a_stream_not_used_gives_its_credit_back() -> None:
    one = slots(limit=1, cap=10)
    one.lend(1)
    one.give_back(1, unused=True)
    assert one.room == 1


def test_the_cap_is_on_what_is_open() -> None:
    one = slots(limit=100, cap=1)
    one.lend(1)
    assert one.room == 0
    one.give_back(1, unused=False)
    assert one.room == 1


@pytest.mark.parametrize("suspended", [False, True])
@pytest.mark.parametrize(("limit", "cap"), [(0, 1), (1, 0), (1, 1), (2, 1), (1, 2), (2, 2)])
def test_it_has_room_if_there_is_any(limit: int, cap: int, suspended: bool) -> None:
    one = slots(limit, cap)
    one.suspended = suspended
    assert one.has_room is (one.room > 0)
    one.lend(1)
    assert one.has_room is (one.room > 0)


def test_a_smaller_limit_is_void() -> None:
    one = slots(limit=5, cap=10)
    one.allow(3)
    assert one.limit == 5
