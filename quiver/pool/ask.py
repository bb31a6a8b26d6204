"""Ask: a request that the coordinator holds, and how long it may."""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Self

from quiver.actors.reply import Reply
from quiver.config import PoolConfig
from quiver.errors import RequestCancelled
from quiver.pool.messages import Exchange
from quiver.pool.patience import Patience
from quiver.request import Request

__all__ = ["Ask", "Asked"]


class Asked(Reply[Any]):
    """The reply of a request that was asked for `since` then: its time limits begin there.

    With thousands of callers at once, a request may lie in the pool's inbox for a while.
    """

    def __init__(self) -> None:
        super().__init__(_request_cancelled)
        self.since = time.monotonic()


def _request_cancelled() -> RequestCancelled:
    return RequestCancelled("the caller gave up")


class Ask(NamedTuple):
    """A request with the reply that its caller waits on. Times are on the monotonic clock.

    `since` is when it began to wait, `waited` how many seconds it had waited before, on its way to
    connections that gave it back.
    """

    request: Request
    reply: Reply[Any]
    deadline: float | None
    patience: Patience
    since: float
    attempts: int = 0
    waited: float = 0.0

    @classmethod
    def new(
        cls,
        request: Request,
        reply: Reply[Any],
        config: PoolConfig,
        deadline: float | None,
        since: float,
    ) -> Self:
        """One that waits for the first time."""
        return cls(request, reply, deadline, Patience.of(request, config, deadline, since), since)

    @classmethod
    def again(cls, exchange: Exchange, reply: Reply[Any], config: PoolConfig, now: float) -> Self:
        """One that a connection gave back: what it has waited counts."""
        request, deadline = exchange.request, exchange.deadline
        patience = Patience.of(request, config, deadline, now - exchange.waited)
        return cls(request, reply, deadline, patience, now, exchange.attempts, exchange.waited)

    def exchange(self, ticket: int, now: float) -> Exchange:
        """What a connection gets."""
        waited = self.waited + now - self.since
        return Exchange(ticket, self.request, self.deadline, self.attempts, waited)
