"""SessionTickets: what servers gave to resume TLS sessions by (RFC 8446 4.6.1). Pure.

    add(origin, ticket) --> take(origin, trust), once --> offered by one connection

A ticket is for the origin that gave it, and for the trust that the session began under: who would
judge that server otherwise, or say another name, never gets it. Of several the newest goes first,
since servers forget; each goes once, so that nobody on the path can tell two connections by it to
be of one client (RFC 8446 C.4). All of them are bounded, in number and in bytes, and the origin
that was used longest ago loses first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from quiver.quic.engine import SessionTicket

__all__ = ["SessionTickets"]

_MOST: Final = 512
_MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_OF_ONE: Final = 8  # of one origin and trust
_LOOK_AGAIN: Final = 600.0  # seconds, after which those that nobody asks for are looked through

_Key = tuple[str, Hashable]


class SessionTickets:
    """The tickets of one client. Times are seconds since the epoch, as certificates have them.

    Args:
        most, most_bytes: in all.
        most_of_one: of one origin and trust; the newest stay.

    Attributes:
        size: bytes that they take together.
    """

    def __init__(
        self, most: int = _MOST, most_bytes: int = _MOST_BYTES, most_of_one: int = _MOST_OF_ONE
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._most_of_one = most_of_one
        self.clear()

    def __len__(self) -> int:
        return self._count

    def add(self, origin: str, ticket: SessionTicket, now: float) -> bool:
        """Keep a ticket that `origin` has given; False when it is of no use, or too large."""
        if now >= self._look_at:
            self._look_through(now)
        if (
            not ticket.issued < ticket.until
            or now >= ticket.until
            or ticket.size > self._most_bytes
        ):
            return False
        key = origin, ticket.trust
        kept = self._kept.setdefault(key, [])
        self._kept.move_to_end(key)
        kept.append(ticket)
        self._count += 1
        self.size += ticket.size
        if len(kept) > self._most_of_one:
            self._drop(key, kept[0])
        while self._count > self._most or self.size > self._most_bytes:
            oldest = next(iter(self._kept))
            self._drop(oldest, self._kept[oldest][0])
        return True

    def take(self, origin: str, trust: Hashable, now: float) -> SessionTicket | None:
        """The newest ticket of `origin` that holds now, which is forgotten; None for none."""
        key = origin, trust
        while kept := self._kept.get(key):
            self._kept.move_to_end(key)
            ticket = kept[-1]
            self._drop(key, ticket)
            if ticket.issued <= now < ticket.until:
                return ticket
        return None

    def forget(self, origin: str, trust: Hashable) -> None:
        """Forget those of one origin and trust: one of them has come to nothing."""
        key = origin, trust
        for ticket in list(self._kept.get(key, ())):
            self._drop(key, ticket)

    def clear(self) -> None:
        """Forget all of them."""
        self._kept: OrderedDict[_Key, list[SessionTicket]] = OrderedDict()
        self._count = 0
        self.size = 0
        self._look_at = 0.0

    def _drop(self, key: _Key, ticket: SessionTicket) -> None:
        kept = self._kept[key]
        kept.remove(ticket)
        self._count -= 1
        self.size -= ticket.size
        if not kept:
            del self._kept[key]

    def _look_through(self, now: float) -> None:
        """Drop those whose time is over, wherever they are."""
        self._look_at = now + _LOOK_AGAIN
        for key, kept in list(self._kept.items()):
            for ticket in [each for each in kept if now >= each.until]:
                self._drop(key, ticket)
