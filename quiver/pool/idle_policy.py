"""IdlePolicy: when a pool that nobody uses may end. Pure.

A pool is **idle** while nobody waits and nothing is lent, **vacant** when it has no connection
either. A vacant one ends `limit` seconds after it was used last. Two things make that sooner:

- It has never had a connection. Then it holds nothing that was worth the dial, and an origin that
  refuses leaves nothing behind.
- It is **unneeded**: its client is gone, or more pools are idle than are kept. Then its idle
  connections close, and it ends when the last is down. A request that comes meanwhile makes it
  needed again, unless it is unneeded for good.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from typing import Final, TypeVar

K = TypeVar("K", bound=Hashable)

IDLE_POOLS: Final = 256  # of one client that are kept; beyond these the least recently used end
UNPROVEN: Final = 1.0  # seconds that a pool is kept which has had no connection yet
HELD: Final = 1.0  # seconds after which a pool that somebody holds is looked at again, at the least


class IdlePolicy:
    """Of one pool. Times are seconds on the caller's clock.

    Args:
        limit: seconds until a vacant pool ends; None never ends it.
        now: when it is started.
    """

    def __init__(self, limit: float | None, now: float) -> None:
        self._limit = limit
        self._since = now
        self._unneeded = self._held_until = -math.inf
        self.for_good = False

    def unneeded(self, now: float, *, for_good: bool) -> None:
        """Nobody is expected to use the pool; `for_good`: nobody can."""
        self._unneeded = now
        self.for_good = self.for_good or for_good

    def put_off(self, now: float) -> None:
        """Somebody holds on to the pool: begin to count anew."""
        self._since, self._held_until = now, now + HELD

    def used(self, last: float) -> float:
        """The time of its last use; its start counts."""
        return max(last, self._since)

    def until(self, last: float, *, proven: bool, refused_until: float = -math.inf) -> float | None:
        """The time at which it may end if it stays vacant: at once if past. None for never.

        Args:
            last: when the table was used last.
            proven: whether there has been a connection.
            refused_until: while a refusal is told without a dial; else each would be dialled for.
        """
        used = self.used(last)
        if self.for_good or used <= self._unneeded:
            return max(used, self._held_until)
        if self._limit is None:
            return None
        wanted = used + (self._limit if proven else min(self._limit, UNPROVEN))
        return max(wanted, refused_until)


def surplus(idle: Iterable[tuple[float, K]], most: int) -> list[K]:
    """Those beyond `most`, of pools that are idle, each with when it was used: the oldest first."""
    oldest = sorted(idle, key=lambda each: each[0])
    return [name for _, name in oldest[: max(0, len(oldest) - most)]]
