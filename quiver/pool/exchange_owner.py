"""Owner: the connection, as its exchanges see it."""

from __future__ import annotations

from typing import Protocol

from quiver.h3 import events
from quiver.pool.messages import PoolReply, StartExchange

__all__ = ["Owner"]


class Owner(Protocol):
    """The connection, as its exchanges see it."""

    def occurred(self, event: events.Event) -> None:
        """Do what an event of the connection as a whole asks for."""

    def released(self, tickets: tuple[int, ...]) -> None:
        """Note that these hold a stream slot no more. When their callers have been answered, or
        will not be, `check_idle` is called."""

    def returned(self, exchange: StartExchange, reply: PoolReply, *, unused: bool) -> None:
        """Give one back to the pool; `unused`: no stream was opened for it here."""

    def check_idle(self) -> None:
        """See whether those that have ended were the last."""

    def withdraw(self, reason: str) -> None:
        """Take no more of them, and tell the coordinator."""
