"""LookUpTable: which dials share a look-up of a name, and how many run at once. Pure.

A look-up cannot be ended from outside: one whose name server is down goes on for as long as the
resolver likes, whoever waits. So all dials of one name share those that run:

    join --> the youngest, while it is younger than STALE
         --> a new one, when there is none, or fewer than PER_NAME
         --> the youngest all the same

Addresses that one of them finds are for all who wait for that name; an error is for those who wait
for that look-up. All names together have TOTAL look-ups at the most; beyond half of them a name
has one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar

import attrs

__all__ = ["PER_NAME", "STALE", "TOTAL", "LookUp", "LookUpTable", "Name", "TooManyLookUps"]

T = TypeVar("T")

PER_NAME: Final = 2  # look-ups of one name at once: one that hangs, and one that may be answered
TOTAL: Final = 512  # look-ups of all names
STALE: Final = 2.0  # seconds after which a look-up that runs is no longer relied on


class TooManyLookUps(Exception):
    """TOTAL look-ups run already."""


class Name(NamedTuple):
    """What is looked up: host and port of an origin, and who is asked, by identity."""

    host: str
    port: int
    asked: int


@attrs.define(eq=False)
class LookUp(Generic[T]):
    """A look-up that runs, or has run.

    Attributes:
        name: what is looked up.
        began: when it began, in seconds.
        outcome: what came of it; None while nothing has.
        wakes: the calls that wake those who wait for it (see `wait_queue`).
    """

    name: Name
    began: float
    outcome: T | None = None
    wakes: list[Callable[[], Any]] = attrs.field(factory=list)


class LookUpTable(Generic[T]):
    """The look-ups that run now, by name in the order of their begin."""

    def __init__(self) -> None:
        self._running: dict[Name, list[LookUp[T]]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def join(self, name: Name, now: float) -> tuple[LookUp[T], bool]:
        """Return the look-up to wait for, and whether it is new: then it is to be begun.

        Raises:
            TooManyLookUps: it would be a new one, and no more may run.
        """
        running = self._running.get(name, [])
        # One that was answered by another is of no use: its answer may be old by now.
        waited_for = [each for each in running if each.outcome is None]
        young = bool(waited_for) and now - waited_for[-1].began < STALE
        full = len(running) >= PER_NAME or self._count >= TOTAL // 2  # the rest is for other names
        if waited_for and (young or full):
            return waited_for[-1], False
        if self._count >= TOTAL:
            raise TooManyLookUps
        look_up: LookUp[T] = LookUp(name, now)
        self._running.setdefault(name, []).append(look_up)
        self._count += 1
        return look_up, True

    def ended(self, look_up: LookUp[T], outcome: T, *, found: bool) -> list[LookUp[T]]:
        """Note that a look-up has ended, and whether it has found addresses.

        Returns:
            Those whose waiting is over: itself, unless it was answered before; and others.
        """
        running = self._running.get(look_up.name, [])
        if look_up not in running:
            return []
        running.remove(look_up)
        self._count -= 1
        if not running:
            del self._running[look_up.name]
        over = [look_up, *(running if found else ())]
        told = [each for each in over if each.outcome is None]
        for each in told:
            each.outcome = outcome
        return told

    def all(self) -> list[LookUp[T]]:
        """Every look-up that runs, the oldest first."""
        return sorted(
            (each for row in self._running.values() for each in row), key=lambda each: each.began
        )
