"""Backoff: how long further dials are held back after one has failed. Pure.

0.1 s and doubling to 10 s, times jitter. Attempts run side by side and fail together, as they do
when the server is down: such a round counts once, or one bad moment would cost ten seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from quiver.pool.actions import Redial

FIRST: Final = 0.1  # seconds
LONGEST: Final = 10.0


class Backoff:
    """When the next dial may be made. Times are seconds on the caller's clock.

    `jitter` gives the factor, above 0 and at most 1, by which each pause is multiplied.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._failures = 0
        self._until = -math.inf
        self._redial_at: float | None = None

    def holds(self, now: float) -> bool:
        """Whether a dial has to wait."""
        return now < self._until

    def failed(self, now: float) -> None:
        """An attempt was of no use. During a pause it belongs to the round that began it."""
        if not self.holds(now):
            pause = min(FIRST * 2.0 ** min(self._failures, 30), LONGEST)
            self._failures += 1
            self._until = now + pause * self._jitter()

    def waive(self) -> None:
        """Let the next dial go ahead; if it fails, the pause is longer than the last."""
        self._until = -math.inf

    def reset(self) -> None:
        """An attempt succeeded."""
        self._failures = 0
        self.waive()

    def arrange(self) -> tuple[Redial, ...]:
        """Ask to be called when the pause is over, unless that or an earlier call is arranged."""
        if self._redial_at is not None and self._redial_at <= self._until:
            return ()
        self._redial_at = self._until
        return (Redial(self._until),)

    def called(self) -> None:
        """The call that was arranged has come."""
        self._redial_at = None
