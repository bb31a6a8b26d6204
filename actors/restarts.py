"""How many restarts are too many. Pure."""

from __future__ import annotations

from collections import deque


class RestartIntensity:
    """At most `max_restarts` within any `within` seconds (OTP's intensity and period)."""

    def __init__(self, max_restarts: int, within: float) -> None:
        self.max_restarts = max_restarts
        self.within = within
        self._times: deque[float] = deque()

    def restart(self, now: float) -> bool:
        """Count one restart at `now`, seconds; False when it is one too many."""
        self._times.append(now)
        while self._times[0] <= now - self.within:
            self._times.popleft()
        return len(self._times) <= self.max_restarts
