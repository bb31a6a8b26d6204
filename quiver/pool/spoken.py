"""Spoken: what the connections of one pool speak, where each handshake says it. Pure.

HTTP/3 goes before what is spoken over TCP: as soon as there is a connection of it, those over TCP
take nothing more. One whose dial had begun before and ends later stays, until HTTP/3 that is tried
beside it has won again: left at once, it would be dialled at once. What a pool is said to speak is
HTTP/3 while it has such a connection, and else what its newest one speaks; one that is suspended
counts when there are no others.
"""

from __future__ import annotations

from collections.abc import Callable

from quiver.pool.choice import HTTP3

__all__ = ["Spoken"]


class Spoken:
    """Of the pool of one origin.

    Args:
        only: what all of its connections speak; None where that is not known before.

    Attributes:
        protocol: what the pool speaks; the last one, when no connection is there; None at first.
        http3: whether there is a connection of HTTP/3, be it suspended.
        over_tcp: numbers of connections beside which HTTP/3 may be tried, the oldest first.
        asking: a connection is dialled beside one of those.
    """

    def __init__(self, only: str | None) -> None:
        self._only = only
        self._there: set[int] = set()  # all that were ready, also those that drain
        self._lending: dict[int, str] = {}
        self._suspended: set[int] = set()
        self.protocol = only
        self.http3 = False
        self.over_tcp: list[int] = []
        self.asking = False

    def ready(self, connection: int, protocol: str) -> tuple[int, ...]:
        """A connection is there. Returns those which are to take nothing more."""
        if self._only is not None:
            return ()
        left = tuple(self.over_tcp) if protocol == HTTP3 else ()
        self.asking = False
        self._there.add(connection)
        self._lending[connection] = protocol
        self._see()
        return left

    def beside(self, due: Callable[[], bool]) -> int | None:
        """The connection beside which another is dialled now, to see whether HTTP/3 is there.

        Args:
            due: whether it is time for that.
        """
        if not self.over_tcp or self.asking or not due():
            return None
        self.asking = True
        return self.over_tcp[0]

    def others(self, protocol: str) -> tuple[int, ...]:
        """The connections that take more, and speak something else."""
        return tuple([each for each, spoken in self._lending.items() if spoken != protocol])

    def draining(self, connection: int) -> None:
        """A connection takes nothing more."""
        self._suspended.discard(connection)
        if self._lending.pop(connection, None) is not None:
            self._see()

    def suspended(self, connection: int, suspended: bool) -> None:
        """A connection takes nothing for now, or takes more again."""
        if connection in self._lending:
            (self._suspended.add if suspended else self._suspended.discard)(connection)
            self._see()

    def ended(self, connection: int) -> None:
        """A connection is gone, or its dial has come to nothing."""
        self.draining(connection)
        if connection in self._there:
            self._there.remove(connection)
        else:
            self.asking = False

    def _see(self) -> None:
        lending = self._lending
        self.over_tcp = [each for each, protocol in lending.items() if protocol != HTTP3]
        self.http3 = len(self.over_tcp) < len(lending)
        taking = [lending[each] for each in lending if each not in self._suspended]
        spoken = taking or list(lending.values())
        if spoken:
            self.protocol = HTTP3 if HTTP3 in spoken else spoken[-1]
