"""AddressMemory: at which address each origin was reached last (RFC 8305 4). Pure.

One that has worked is tried first when the origin is dialled again: also for the other connections
of a pool, and when that has ended for idleness and starts anew. It holds for `KEPT` seconds since
it last worked, about as long as RFC 6555 4.2 suggests, and from the same address of our own only:
what is known in one network says nothing of another (RFC 8305 4).
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from quiver.pool.address_attempts import Address

__all__ = ["KEPT", "AddressMemory", "Worked"]

KEPT: Final = 600.0  # seconds
_MOST: Final = 1_000  # origins


class Worked(NamedTuple):
    """An address at which a handshake was completed, and the host of ours that it went from."""

    address: Address
    local: str


class AddressMemory:
    """What worked for each of the origins of one client. Times are seconds on the caller's clock.

    Args:
        most: origins that are remembered; the one that worked longest ago goes first.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._worked: OrderedDict[str, tuple[Worked, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._worked)

    def worked(self, origin: str, worked: Worked, now: float) -> None:
        """Note where a handshake with `origin` was completed."""
        self._worked[origin] = worked, now + KEPT
        self._worked.move_to_end(origin)
        if len(self._worked) > self._most:
            self._worked.popitem(last=False)

    def recall(self, origin: str, now: float) -> Worked | None:
        """Where it was reached last, unless that was too long ago."""
        worked, until = self._worked.get(origin, (None, now))
        if now >= until:
            self._worked.pop(origin, None)
            return None
        return worked
