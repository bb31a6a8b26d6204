"""Lender: one connection as the routing table sees it, and its room. Pure.

QUIC's MAX_STREAMS is cumulative (RFC 9000 section 4.6): it limits how many streams are ever opened,
not how many are open. So `opened` counts every lease in a connection's life; giving one back leaves
that count alone unless the stream was never used. Room is also capped by what is open now.
"""

from __future__ import annotations


class Lender:
    """Connection `id`. `limit` is cumulative, `cap` is at one time."""

    __slots__ = ("cap", "id", "leases", "limit", "opened")

    def __init__(self, connection: int, cap: int) -> None:
        self.id = connection
        self.cap = cap
        self.limit = 0
        self.opened = 0
        self.leases: set[int] = set()

    @property
    def room(self) -> int:
        """How many more streams it may be lent now."""
        return min(self.limit - self.opened, self.cap - len(self.leases))

    @property
    def load(self) -> tuple[int, int]:
        """What `_pick` compares: the least loaded first, the lowest number on a tie."""
        return len(self.leases), self.id

    def allow(self, limit: int) -> None:
        """The cumulative limit is `limit`; a smaller one than before is void (RFC 9000 19.11)."""
        self.limit = max(self.limit, limit)

    def lend(self, ticket: int) -> None:
        """Count one stream more, for `ticket`."""
        self.leases.add(ticket)
        self.opened += 1

    def give_back(self, ticket: int, *, unused: bool) -> None:
        """The ticket's slot is free; with `unused` its credit comes back too."""
        self.leases.remove(ticket)
        self.opened -= unused
