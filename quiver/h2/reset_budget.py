"""How many RST_STREAM frames may go out now. Pure.

Whoever opens streams and resets them at once makes a server work for nothing: rapid reset
(CVE-2023-44487). So servers count resets, and end the connection of one who sends too many, with
all that is open on it: nghttp2 after 1,000 at once and 33 a second, others sooner. What exceeds the
budget waits, and its stream with it.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BURST", "RATE", "ResetBudget"]

BURST: Final = 100
RATE: Final = 30.0  # a second

_ROUNDING: Final = 1e-3  # seconds: at the moment itself floats may round to a little less than one


class ResetBudget:
    """A token bucket. Times are seconds on the caller's clock."""

    def __init__(self) -> None:
        self._left = float(BURST)
        self._at = 0.0

    def spend(self, now: float) -> bool:
        """Whether one may go out; then it counts as sent."""
        self._refill(now)
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def due(self, now: float) -> float:
        """When the next one may."""
        self._refill(now)
        return now + max(0.0, (1.0 - self._left) / RATE) + _ROUNDING

    def _refill(self, now: float) -> None:
        self._left = min(BURST, self._left + max(0.0, now - self._at) * RATE)
        self._at = max(self._at, now)
