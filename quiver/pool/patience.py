"""Patience: how long one request waits for a stream slot, and which limit that is. Pure."""

from __future__ import annotations

import math

import attrs

from quiver.config import PoolConfig
from quiver.request import Request

__all__ = ["Patience"]


@attrs.frozen
class Patience:
    """The limits of one request that waits, as moments on the caller's clock.

    Attributes:
        whole: when the whole request must be over.
        slot: when it gives up waiting for a slot.
        connection: when it gives up waiting while there is no connection at all.

    `math.inf` is no limit.
    """

    whole: float
    slot: float
    connection: float

    @classmethod
    def of(
        cls, request: Request, config: PoolConfig, deadline: float | None, now: float
    ) -> Patience:
        """That of a request which begins to wait now and must be over at `deadline`."""
        checkout = request.checkout_timeout or config.checkout_timeout or math.inf
        connect = request.connect_timeout or math.inf
        return cls(math.inf if deadline is None else deadline, now + checkout, now + connect)

    def until(self, *, connected: bool) -> float | None:
        """When it has to be looked at again; None when it waits as long as it takes."""
        ends = min(self.whole, self.slot, math.inf if connected else self.connection)
        return None if ends == math.inf else ends

    def left(self, now: float, *, connected: bool) -> bool:
        """Whether it waits on: what had run out was the patience with a missing connection."""
        return connected and now < min(self.whole, self.slot)

    def lacked_connection(self, now: float) -> bool:
        """Whether the limit that is met is the one for a missing connection."""
        return self.connection <= now < min(self.whole, self.slot)
