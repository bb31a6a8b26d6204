"""How much a connection receives in one turn of the loop, and what waits until it has all.

All connections share a loop. What one server sends, and what it makes of it, must not hold up the
others: each takes a slice of time, and what is left in its next turns. A slice is looked at after
each datagram, and after each chunk of them, as HTTP/3 has then done its part. Over TCP a read has
the place of a datagram: it may bring more, and where one alone is too dear, it brings less.

A connection whose datagrams are dear, turn after turn, as those of an honest server hardly ever
are, also rests: all of these take turns one by one, and half of the loop's time together.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

__all__ = ["CHUNK", "FIRST", "LANE", "MOST", "SLICE", "TURNS", "Lane", "Overdue", "ReceiveShare"]

SLICE: Final = 0.004
"""Seconds that one connection may take of a turn, and one chunk more."""

CHUNK: Final = 32  # datagrams: what is done once for each costs as much as three of them
FIRST: Final = 32
"""Datagrams of a turn, so that who waits for the beginning of a long answer has it soon; while
there are more, twice as many each time, up to MOST."""

MOST: Final = 256

LEAST: Final = 1 / 32  # of a read

TURNS: Final = 256
"""In which a full socket is emptied, also on a slow machine: a second for this connection."""


class ReceiveShare:
    """What one connection may take; told what it has cost.

    Args:
        reads: of a stream of bytes, each of which brings as much as some fifty datagrams. They are
            dear when one alone takes more than a slice, not when a row of them does.

    Attributes:
        dear: seconds that the last turn took, if it was one of several dear ones; else 0.
        part: of what one read of a stream of bytes may bring: less when one alone was dear.
    """

    def __init__(self, *, reads: bool = False) -> None:
        self._reads = reads
        self._chunk = CHUNK
        self.dear = 0.0
        self.part = 1.0
        self._allowed = FIRST
        self._taken = 0
        self._spent = 0.0

    @property
    def datagrams(self) -> int:
        """How many in the next chunk."""
        return min(self._chunk, self._allowed - self._taken)

    @property
    def is_fresh(self) -> bool:
        """Whether it is as one that has been told nothing."""
        whole = self._chunk == CHUNK and self.part == 1.0
        return whole and self._allowed == FIRST and not self._taken

    def took(self, datagrams: int, seconds: float, more: bool) -> bool:
        """Note a chunk. Returns whether another one may be taken in the same turn.

        Args:
            datagrams: how many were taken.
            seconds: of this thread's time, with all that was done about them.
            more: there may be more of them.
        """
        self._taken += datagrams
        self._spent += seconds
        # Not what was dear once, as a handshake is.
        again = self.part < 1.0 if self._reads else self._chunk < CHUNK
        if seconds > SLICE:
            self._chunk = max(1, int(datagrams * SLICE / seconds))
        if datagrams == 1 and seconds > SLICE:
            self.part = max(LEAST, self.part * SLICE / seconds)
        else:
            self.part = min(self.part + LEAST, 1.0)
        if more and self._taken < self._allowed and self._spent < SLICE:
            return True
        if seconds <= SLICE:
            # Slowly: one who sends cheap ones in between gets no large chunk of dear ones for it.
            self._chunk = min(self._chunk + 1, CHUNK)
        self.dear = self._spent if again and 2 * self._spent > SLICE else 0.0
        self._allowed = min(2 * self._allowed, MOST) if more else FIRST
        self._taken, self._spent = 0, 0.0
        return False


class Lane:
    """Where dear turns are taken one after the other, with as much time free after each."""

    def __init__(self) -> None:
        self._free = 0.0  # when the next one may begin

    def rest(self, seconds: float, now: float) -> float:
        """For how long to rest after a turn that took so many seconds, and is over: until the
        next one, which is expected to be as long."""
        begins = max(self._free, now + seconds)
        self._free = begins + 2 * seconds
        return begins - now


LANE: Final = Lane()
"""Of all connections there are, whatever they are made of, as they share the loop."""


class Overdue:
    """Timers that have fired, and are judged when all that had come was taken. At the latest after
    TURNS: a server that sends without end has its connection judged all the same.

    Attributes:
        keys: of these timers.
    """

    def __init__(self) -> None:
        self.keys: dict[Hashable, None] = {}
        self._turns = 0

    def add(self, key: Hashable) -> None:
        """A timer has fired."""
        if not self.keys:
            self._turns = TURNS
        self.keys[key] = None

    def due(self, more: bool) -> tuple[Hashable, ...]:
        """Those that are to be judged, after a turn; `more`: there may be more to take."""
        self._turns -= 1
        if more and self._turns > 0:
            return ()
        keys, self.keys = tuple(self.keys), {}
        return keys
