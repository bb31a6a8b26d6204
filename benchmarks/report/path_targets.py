"""What Quiver aims at over long paths: behind no peer on any of them.

Where the rounds of a path differ by more than a fifth, chance decides more than the clients do:
such paths are judged together, by the median of all their rounds; the others each by itself.
"""

from __future__ import annotations

from typing import Final

import attrs

from benchmarks.report.results import Results, Spread
from benchmarks.workloads.paths import GRID

__all__ = ["PATH_TARGETS", "PathTarget"]

_STEADY: Final = 0.2
_OURS: Final = "quiver-client"
_PEERS: Final = ("curl_cffi-threads", "niquests-threads")
_WAYS: Final = {"up": "up", "down": "down, buffered", "stream": "down, streamed"}


@attrs.frozen
class PathTarget:
    """One ratio: of `figure` to the peer's, on the worst of the steady paths or on all others."""

    text: str
    figure: str
    peer: str
    steady: bool
    limit: float = 0.95
    more: bool = True
    measure: str = "paths"

    def measured(self, results: Results) -> Spread | None:
        """The ratio over the rounds, or None where there is no such path."""
        found = (
            results.ratios("paths", _OURS, [self.peer], path.number, self.figure) for path in GRID
        )
        judged = [ratios for ratios in found if ratios and _is_steady(ratios) == self.steady]
        if not self.steady:
            return Spread.of(ratio for ratios in judged for ratio in ratios)
        spreads = [spread for ratios in judged if (spread := Spread.of(ratios)) is not None]
        return min(spreads, key=lambda spread: spread.median, default=None)

    def met(self, ratio: float) -> bool:
        """Whether that is good enough."""
        return ratio >= self.limit


def _is_steady(ratios: list[float]) -> bool:
    spread = Spread.of(ratios)
    return spread is not None and spread.most - spread.least <= _STEADY * spread.median


PATH_TARGETS: Final = tuple(
    PathTarget(f"{words}, to {peer}, {which}", figure, peer, steady)
    for figure, words in _WAYS.items()
    for peer in _PEERS
    for steady, which in ((True, "worst steady path"), (False, "unsteady paths together"))
)
