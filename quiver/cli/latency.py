"""Due times, latencies and their percentiles. Pure.

A caller that waits for one answer before it asks again stops asking while the server stalls, and
the stall shows up once, where callers who come at a steady rate would have met it many times. So
with a rate each request has a moment at which it is due, and its latency counts from there, sent
or not: that is what corrects for coordinated omission.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["SHARES", "Summary", "Timing", "due", "percentile", "summary_of"]

SHARES: Final = (50.0, 75.0, 90.0, 99.0, 99.9, 99.99)


class Timing(NamedTuple):
    """One answered request, in seconds on one clock. `due` is `sent` where there is no rate."""

    due: float
    sent: float
    answered: float

    @property
    def service(self) -> float:
        """Latency from the moment at which it was sent."""
        return self.answered - self.sent

    @property
    def corrected(self) -> float:
        """Latency from the moment at which it should have been sent."""
        return self.answered - min(self.due, self.sent)


def due(turn: int, rate: float) -> float:
    """Return turn / rate: seconds after the start at which a request, from 0 on, is to be sent."""
    return turn / rate


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return what `share` percent of sorted values do not exceed, with linear interpolation."""
    if not ordered:
        return 0.0
    place = (len(ordered) - 1) * share / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    between = ordered[below] + (ordered[above] - ordered[below]) * (place - below)
    return min(between, ordered[above])  # it may round to more


class Summary(NamedTuple):
    """Many latencies, in seconds. `shares` has a pair (percent, latency) for each of SHARES."""

    mean: float
    least: float
    most: float
    shares: tuple[tuple[float, float], ...]


def summary_of(ordered: Sequence[float]) -> Summary:
    """Sum up sorted latencies; all 0 when there are none."""
    count = len(ordered)
    mean = sum(ordered) / count if count else 0.0
    shares = tuple([(share, percentile(ordered, share)) for share in SHARES])
    return Summary(mean, percentile(ordered, 0), percentile(ordered, 100), shares)
