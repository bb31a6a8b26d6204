"""PoolRef: what the world holds of a pool."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from quiver import telemetry
from quiver.actors.actor import GeventActorRef
from quiver.pool.observing import ask_observed
from quiver.request import Request

if TYPE_CHECKING:
    from quiver.pool.coordinator import HTTP3Pool


class PoolRef(GeventActorRef["HTTP3Pool"]):
    """What the world holds of a pool: `ask` it a Request from any thread, greenlet or task."""

    def __init__(self, pool: HTTP3Pool) -> None:
        super().__init__(pool)
        self.origin = pool.endpoint.name

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """As of GeventActorRef; here whoever observes requests sees them in the caller's thread."""
        observer = telemetry.observer
        if observer is None or not isinstance(message, Request):
            return super().ask(message, block=block, timeout=timeout)
        ask = partial(super().ask, block=block, timeout=timeout)
        return ask_observed(observer, self.origin, message, ask)
