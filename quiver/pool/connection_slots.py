"""ConnectionSlots: the streams of one connection that are lent, and may be. Pure."""

from __future__ import annotations

__all__ = ["ConnectionSlots"]


class ConnectionSlots:
    """The stream slots of connection `id`: `room = min(limit - opened, cap - len(leases))`.

    QUIC's MAX_STREAMS is cumulative (RFC 9000 4.6): it limits how many streams are ever opened, not
    how many are open. So `opened` counts every lease in a connection's life; giving one back leaves
    it alone unless the stream was never used. `cap` limits what is open at one time.
    """

    __slots__ = ("cap", "id", "leases", "limit", "opened", "suspended")

    def __init__(self, connection: int, cap: int) -> None:
        self.id = connection
        self.cap = cap
        self.limit = 0
        self.opened = 0
        self.leases: set[int] = set()
        self.suspended = False

    @property
    def room(self) -> int:
        """How many more streams it may be lent now."""
        if self.suspended:
            return 0
        return min(self.limit - self.opened, self.cap - len(self.leases))

    def allow(self, limit: int) -> None:
        """Raise the cumulative limit; a smaller one than before is void (RFC 9000 19.11)."""
        self.limit = max(self.limit, limit)

    def lend(self, ticket: int) -> None:
        """Count one stream more, for `ticket`."""
        self.leases.add(ticket)
        self.opened += 1

    def give_back(self, ticket: int, *, unused: bool) -> None:
        """Free the ticket's slot; with `unused` its credit comes back too."""
        self.leases.remove(ticket)
        self.opened -= unused
