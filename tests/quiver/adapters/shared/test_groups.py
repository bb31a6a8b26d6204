from __future__ import annotations

import pytest

from quiver.adapters.shared.groups import Group, Groups


class Made:
    """Counts what is made, and keeps what was ended."""

    def __init__(self, size: int) -> None:
        self.count = 0
        self.ended: list[int] = []
        self.groups: Groups[int] = Groups(size, self.ended.append)

    def join(self) -> Group[int]:
        return self.groups.join(self.make)

    def make(self) -> int:
        self.count += 1
        return self.count


def test_a_group_is_as_large_as_it_may_be() -> None:
    made = Made(2)
    assert [made.join().shared for _ in range(5)] == [1, 1, 2, 2, 3]


def test_alone_each_has_its_own() -> None:
    made = Made(1)
    first, second = made.join(), made.join()
    assert (first.shared, second.shared) == (1, 2)
    made.groups.leave(first)
    assert made.ended == [1]
    assert made.join().shared == 3


def test_what_is_shared_ends_with_the_last_one() -> None:
    made = Made(3)
    group = made.join()
    assert made.join() is group
    made.groups.leave(group)
    assert made.ended == []
    made.groups.leave(group)
    assert made.ended == [1]


def test_a_newcomer_takes_the_room_of_one_who_left() -> None:
    made = Made(2)
    groups = [made.join() for _ in range(4)]
    made.groups.leave(groups[0])
    assert made.join() is groups[0]
    assert made.join().shared == 3


def test_none_is_begun_when_nothing_can_be_made() -> None:
    def fail() -> int:
        raise ValueError("no luck")

    made = Made(2)
    with pytest.raises(ValueError, match="no luck"):
        made.groups.join(fail)
    assert made.join().shared == 1
