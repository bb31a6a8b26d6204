"""The frames of a server that serve no request, counted: what it may send of them is bounded.

PING, SETTINGS, RST_STREAM, PRIORITY, WINDOW_UPDATE, empty DATA and unknown ones cost a client more
than the server, and the answers to some of them wait in memory when it does not read (RFC 9113
10.5). Whoever serves requests hardly sends any.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["MOST", "MOST_UNANSWERED", "WHILE", "IdleFrames"]

MOST: Final = 1_000
WHILE: Final = 10.0
"""Seconds for so many, without a word of a response between them."""

MOST_UNANSWERED: Final = 10_000
"""Since anything was sent: the server takes no answers."""


class IdleFrames:
    """Counts. Times are seconds on the caller's clock."""

    def __init__(self) -> None:
        self._since = -math.inf
        self._count = 0
        self._unanswered = 0

    def came(self, now: float) -> bool:
        """Note one. Returns whether that is too many."""
        if now - self._since > WHILE:
            self._since, self._count = now, 0
        self._count += 1
        self._unanswered += 1
        return self._count > MOST or self._unanswered > MOST_UNANSWERED

    def served(self) -> None:
        """Note a word of a response."""
        self._count = 0

    def sent(self) -> None:
        """Note that what there was to send is on its way."""
        self._unanswered = 0
