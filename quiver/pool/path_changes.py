"""PathChanges: whether our address to a server has changed, and what to make of that. Pure.

    look --> UNCHANGED | CHANGED | AWAY | LATER

A look asks the kernel from which address it would reach the server now. Nobody else can answer
that, so no forged message moves a connection (RFC 9000 21.1): an error of the socket is a reason to
look, and no more. AWAY is no way at all: a network that is left, and another not joined yet. It
is waited for as long as Chromium waits for a new network; then the connection ends by that name.
Before that it makes room for another one, which may go another way (by IPv6, say): what is open
goes on here, and who asks is served there.
Moves are few: who flaps between two addresses has the rest of them wait (LATER), or is dialled anew
where nothing is open.
"""

from __future__ import annotations

import enum
import math
from typing import Final

__all__ = ["AWAY", "BACK", "MOVES", "PERIOD", "ROOM", "Outlook", "PathChanges"]

AWAY: Final = 10.0  # seconds without any way to the server, while something is open
ROOM: Final = 2.5  # seconds of it after which another connection may be dialled
BACK: Final = 1.0  # seconds that the server has to be heard when there is a way again
MOVES: Final = 8  # in PERIOD seconds: each takes a connection id, and begins slowly anew
PERIOD: Final = 10.0
_PAUSE: Final = 0.02  # seconds between looks: errors of the socket may come in thousands


class Outlook(enum.Enum):
    """What a look has shown."""

    UNCHANGED = "our address is what it was"
    CHANGED = "it is another one"
    AWAY = "there is no way to the server just now"
    LATER = "it has changed too often of late"


class PathChanges:
    """What is known of one connection's local address. Times are seconds on the caller's clock.

    Attributes:
        outlook: of the last look.
    """

    def __init__(self) -> None:
        self.outlook = Outlook.UNCHANGED
        self._away_since: float | None = None
        self._back_at = -math.inf
        self._due = 0.0
        self._kept: str | None = None
        self._moves: list[float] = []  # the last `MOVES`

    def may_look(self, now: float) -> bool:
        """Whether the last look was long enough ago."""
        return now >= self._due

    def looked(self, here: str, found: str | None, now: float) -> Outlook:
        """Judge a look.

        Args:
            here: the address that the connection has.
            found: what it would have now; None without a way to the server.
        """
        self._due = now + _PAUSE
        self.outlook = self._judge(here, found, now)
        return self.outlook

    def _judge(self, here: str, found: str | None, now: float) -> Outlook:
        if found is None:
            if self._away_since is None:
                self._away_since = now
            return Outlook.AWAY
        if self._away_since is not None:
            self._away_since, self._back_at = None, now
        if found in (here, self._kept):
            return Outlook.UNCHANGED
        if len(self._moves) == MOVES and now - self._moves[0] < PERIOD:
            return Outlook.LATER
        return Outlook.CHANGED

    def moved(self, now: float) -> None:
        """Note that the connection has gone over."""
        self._moves = [*self._moves, now][-MOVES:]
        self._kept = None

    def keep(self, found: str) -> None:
        """Stay, for it cannot move, and the address that it has is still ours: `found` is no
        change from now on."""
        self._kept = found

    def waits(self, now: float) -> bool:
        """Whether an end may be put off: it cannot be heard from here just now."""
        if self._away_since is not None:
            return now - self._away_since < AWAY
        return self.outlook is Outlook.LATER or now - self._back_at < BACK

    def makes_room(self, now: float) -> bool:
        """Whether there has been no way for so long that another connection may do better."""
        return self._away_since is not None and now - self._away_since >= ROOM
