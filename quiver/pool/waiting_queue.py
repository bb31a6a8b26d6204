"""WaitingQueue: callers that wait for a stream slot, first in, first out, with deadlines.

There are two lanes. Those whose request a connection gave back have waited before, so they stand in
a lane of their own that is served first; inside a lane the order is that of arrival.

Deadlines stand in a heap beside the lanes. A ticket that leaves the queue leaves its heap entry
behind; such entries are recognised by looking at `deadlines`, and thrown out together once they are
the majority. So every operation costs O(log n) on average, and memory stays in proportion to the
tickets that wait.
"""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Container

# How many left-over heap entries are not worth a clean-up.
SLACK = 64

_Lane = OrderedDict[int, None]  # a dict would take O(n) for its first key after many deletions


class WaitingQueue:
    """Tickets in the order in which they are to be served.

    Times are seconds on the caller's clock.

    Attributes:
        deadlines: of all that wait, by ticket.
    """

    __slots__ = ("_fresh", "_heap", "_returned", "deadlines")

    def __init__(self) -> None:
        self.deadlines: dict[int, float | None] = {}
        self._returned: _Lane = OrderedDict()
        self._fresh: _Lane = OrderedDict()
        self._heap: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self.deadlines)

    def __contains__(self, ticket: int) -> bool:
        return ticket in self.deadlines

    def push(self, ticket: int, deadline: float | None) -> None:
        """Add a ticket at the end. Raises ValueError when it waits already."""
        self._push(self._fresh, ticket, deadline)

    def push_front(self, ticket: int, deadline: float | None) -> None:
        """Add a ticket that came back: before all that never left, behind earlier returns."""
        self._push(self._returned, ticket, deadline)

    def pop(self, but: Container[int] = ()) -> int | None:
        """Take the ticket whose turn it is, or None when nobody waits `but` these."""
        if not but:
            ticket = next(iter(self._returned or self._fresh), None)
        else:
            line = itertools.chain(self._returned, self._fresh)
            ticket = next((each for each in line if each not in but), None)
        if ticket is not None:
            self.discard(ticket)
        return ticket

    def discard(self, ticket: int) -> bool:
        """Take a ticket out, wherever it stands; False when it does not wait."""
        if ticket not in self.deadlines:
            return False
        del self.deadlines[ticket]
        del (self._returned if ticket in self._returned else self._fresh)[ticket]
        self._tidy()
        return True

    def expired(self, now: float) -> list[int]:
        """Take out the tickets whose deadline is `now` or earlier, in the order of deadlines."""
        found = []
        while self._heap and self._heap[0][0] <= now:
            deadline, ticket = heapq.heappop(self._heap)
            if self._waits_until(ticket, deadline):
                self.discard(ticket)
                found.append(ticket)
        return found

    def next_deadline(self) -> float | None:
        """The earliest deadline of a ticket that waits, or None."""
        while self._heap:
            deadline, ticket = self._heap[0]
            if self._waits_until(ticket, deadline):
                return deadline
            heapq.heappop(self._heap)
        return None

    def _push(self, lane: _Lane, ticket: int, deadline: float | None) -> None:
        if ticket in self.deadlines:
            raise ValueError(f"ticket {ticket} waits already")
        lane[ticket] = None
        self.deadlines[ticket] = deadline
        if deadline is not None:
            heapq.heappush(self._heap, (deadline, ticket))

    def _waits_until(self, ticket: int, deadline: float) -> bool:
        """Whether a heap entry speaks for a ticket that waits: it may have come back since."""
        return self.deadlines.get(ticket) == deadline

    def _tidy(self) -> None:
        if len(self._heap) > 2 * len(self.deadlines) + SLACK:
            waiting = self.deadlines.items()
            self._heap = [(at, ticket) for ticket, at in waiting if at is not None]
            heapq.heapify(self._heap)
