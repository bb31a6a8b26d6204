"""EarlyRequests: waiting tickets that go out before a handshake is over (RFC 9001 4.6). Pure.

    wants(ticket) --> send() --> settle(connection): the tickets that were out on it

A ticket that is out early waits all the same: its deadline, its place in the line and its caller's
Reply stay where they are. What has gone is a copy of its request, on one connection at most. While
that connects, the ticket is for no other: when its handshake is over, and the server has accepted
early data, the ticket is lent to it; else it is as if nothing had gone. One that connects for too
long keeps no ticket from another connection that has room: the copy is given up then.
"""

from __future__ import annotations

from collections import OrderedDict

from quiver.pool.actions import SendEarly

__all__ = ["EarlyRequests"]


class EarlyRequests:
    """Which tickets want to go early, and which are out.

    Attributes:
        out: the connection that each ticket is out on.
        held: those of them that are for no other.
        willing: the tickets that want to, and are not out.
    """

    def __init__(self) -> None:
        self.out: dict[int, int] = {}
        self.held: set[int] = set()
        self.willing: OrderedDict[int, None] = OrderedDict()
        self._room: dict[int, int] = {}  # streams of a connection that is connecting
        self._sent: dict[int, list[int]] = {}  # what has gone on it, in order

    def wants(self, ticket: int) -> None:
        """Note one that waits, and may go early."""
        self.willing[ticket] = None

    def offer(self, connection: int, streams: int) -> None:
        """Note a connection that connects, and takes so many."""
        self._room[connection] = streams
        self._sent.setdefault(connection, [])

    def send(self) -> list[SendEarly]:
        """Have as many go as there is room for, in order."""
        gone = []
        for connection, room in self._room.items():
            while room and self.willing:
                ticket, _ = self.willing.popitem(last=False)
                self.out[ticket] = connection
                self.held.add(ticket)
                self._sent[connection].append(ticket)
                gone.append(SendEarly(ticket, connection))
                room -= 1
            self._room[connection] = room
        return gone

    def drop(self, ticket: int) -> int | None:
        """Forget one that waits no more. Returns the connection that it was out on."""
        self.willing.pop(ticket, None)
        self.held.discard(ticket)
        return self.out.pop(ticket, None)

    def let_go(self, connection: int) -> None:
        """Have no more go on a connection that connects too long, and hold none for it."""
        if connection in self._room:
            self._room[connection] = 0
            self.held.difference_update(self._sent[connection])

    def settle(self, connection: int) -> tuple[list[int], int]:
        """Forget a connection that connects no more. Returns those that are out on it, in order,
        and how many have gone on it in all."""
        self._room.pop(connection, None)
        sent = self._sent.pop(connection, [])
        there = [ticket for ticket in sent if self.out.get(ticket) == connection]
        for ticket in there:
            self.drop(ticket)
        return there, len(sent)
