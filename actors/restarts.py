"""RestartIntensity: how many restarts in how long are too many. Pure."""

from __future__ import annotations


class RestartIntensity:
    """At most `max_restarts` within any `within` seconds (OTP's intensity and period)."""

    def __init__(self, max_restarts: int, within: float) -> None:
        self.max_restarts = max_restarts
        self.within = within
        self._times: list[float] = []

    def restart(self, now: float) -> bool:
        """Count one restart at `now`, seconds; False when it is one too many."""
        # One more than is borne: if even the oldest of these is recent, they are too many.
        self._times = [*self._times, now][-(self.max_restarts + 1) :]
        return len(self._times) <= self.max_restarts or self._times[0] <= now - self.within
