"""The cost of one submit and of one assignment in the pure RoutingTable, with many who wait."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from quiver.pool.actions import Forward
from quiver.pool.routing import RoutingTable

__all__ = ["flat"]

_BATCHES, _STEPS = 100, 100  # of each kind of step, at that length of the queue
_SLOTS = 200  # on two connections, all lent


class _Queue:
    """A table behind whose lent slots the same number of callers waits at all times."""

    def __init__(self, waiting: int) -> None:
        self._table = RoutingTable(
            max_connections=2, max_streams_per_connection=_SLOTS // 2, max_waiting=2 * waiting
        )
        self._next = 0  # the next new ticket
        self._last: list[int] = []  # those who came last
        self._lent = deque(range(_SLOTS))  # the tickets that are out, the longest first
        self.submit()
        self.submit()
        self._table.ready(1, 1 << 40, 0.0)
        self._table.ready(2, 1 << 40, 0.0)
        for _ in range(waiting + _SLOTS - 2):
            self.submit()

    def submit(self) -> None:
        """One more caller. Deadlines come in the order of arrival, as a pool's do."""
        self._table.submit(self._next, 1e9 + self._next, 1.0)
        self._last.append(self._next)
        self._next += 1

    def assign(self) -> None:
        """A slot comes free, and the caller whose turn it is gets it."""
        ticket = self._lent.popleft()
        actions = self._table.released(1, ticket, 1.0) or self._table.released(2, ticket, 1.0)
        match actions:
            case (Forward(ticket=following),):
                self._lent.append(following)
            case _:
                raise AssertionError(f"a free slot led to {actions}")

    def cancel(self) -> None:
        """The last who came gives up."""
        self._table.cancel(self._last.pop(), 1.0)

    def sweep(self) -> None:
        """Nobody's deadline has come."""
        self._table.sweep(1.0)


def flat(waiting: int) -> dict[str, float]:
    """CPU microseconds of each kind of step while about `waiting` wait, at least 1,000."""
    queue = _Queue(waiting)
    spent = dict.fromkeys(("submit", "assign", "cancel", "sweep"), 0.0)
    for _ in range(_BATCHES):
        spent["submit"] += _seconds(queue.submit)
        spent["assign"] += _seconds(queue.assign)
        _seconds(queue.submit)
        spent["cancel"] += _seconds(queue.cancel)
        spent["sweep"] += _seconds(queue.sweep)
    return {step: seconds / _BATCHES / _STEPS * 1e6 for step, seconds in spent.items()}


def _seconds(step: Callable[[], None]) -> float:
    began = time.thread_time()
    for _ in range(_STEPS):
        step()
    return time.thread_time() - began
