"""Who shares what: so many members to each thing, which lasts from its first to its last. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Group", "Groups"]

T = TypeVar("T")


class Group(Generic[T]):
    """One thing, and how many share it."""

    def __init__(self, shared: T) -> None:
        self.shared = shared
        self.members = 0


class Groups(Generic[T]):
    """Groups of a size: a newcomer gets the room that is there, or begins a group.

    Args:
        size: the most members of a group.
        end: called with what a group has shared, when its last member has left.
    """

    def __init__(self, size: int, end: Callable[[T], object]) -> None:
        self._size = size
        self._end = end
        self._with_room: list[Group[T]] = []

    def join(self, make: Callable[[], T]) -> Group[T]:
        """Return the group of one more member; `make` is called for a new one, and may raise."""
        if not self._with_room:
            self._with_room.append(Group(make()))
        group = self._with_room[-1]
        group.members += 1
        if group.members == self._size:
            self._with_room.pop()
        return group

    def leave(self, group: Group[T]) -> None:
        """Take one member out of a group that it has joined."""
        if group.members == self._size:
            self._with_room.append(group)
        group.members -= 1
        if not group.members:
            self._with_room.remove(group)
            self._end(group.shared)
