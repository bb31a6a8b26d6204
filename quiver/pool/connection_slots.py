"""ConnectionSlots: the streams of one connection that are lent, and may be. Pure."""

from __future__ import annotations

import math
from collections.abc import Collection

__all__ = ["ConnectionSlots", "least_loaded"]


class ConnectionSlots:
    """The stream slots of connection `id`: `room = min(limit - opened, cap - len(leases))`.

    QUIC's MAX_STREAMS is cumulative (RFC 9000 4.6): it limits how many streams are ever opened, not
    how many are open. So `opened` counts every lease in a connection's life; giving one back leaves
    it alone unless the stream was never used. `cap` limits what is open at one time: ours, or the
    peer's as HTTP/2 has it (RFC 9113 5.1.2), which may shrink below what is lent. `channels`: it
    carries those too.
    """

    __slots__ = ("_most", "cap", "channels", "id", "leases", "limit", "opened", "suspended")

    def __init__(self, connection: int, cap: int) -> None:
        self.id = connection
        self._most = self.cap = cap
        self.limit = 0
        self.opened = 0
        self.leases: set[int] = set()
        self.suspended = False
        self.channels = True

    @property
    def room(self) -> int:
        """How many more streams it may be lent now."""
        if self.suspended:
            return 0
        return max(0, min(self.limit - self.opened, self.cap - len(self.leases)))

    @property
    def has_room(self) -> bool:
        """Whether it is any, for who need not know how much."""
        return not self.suspended and self.opened < self.limit and len(self.leases) < self.cap

    def allow(self, limit: int, most: int | None = None) -> None:
        """Raise the cumulative limit; a smaller one is void (RFC 9000 19.11). Of those that are
        open `most` stands as it was said last."""
        self.limit = max(self.limit, limit)
        self.cap = self.cap if most is None else min(self._most, most)

    def lend(self, ticket: int) -> None:
        """Count one stream more, for `ticket`."""
        self.leases.add(ticket)
        self.opened += 1

    def give_back(self, ticket: int, *, unused: bool) -> None:
        """Free the ticket's slot; with `unused` its credit comes back too."""
        self.leases.remove(ticket)
        self.opened -= unused


def least_loaded(
    lending: Collection[ConnectionSlots], *, channel: bool = False
) -> ConnectionSlots | None:
    """The least loaded that has room, the lowest number on a tie.

    Args:
        channel: it is for one.
    """
    if channel:
        lending = [each for each in lending if each.channels] or lending
    least, lightest = None, (math.inf, 0)
    for each in lending:
        load = len(each.leases), each.id
        if load < lightest and each.has_room:
            least, lightest = each, load
    return least
