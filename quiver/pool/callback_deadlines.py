"""CallbackDeadlines: answers that wait for their `on_informational`, until their deadlines."""

from __future__ import annotations

import weakref

from quiver.actors.timers import Timers
from quiver.errors import RequestTimeout
from quiver.pool.callers import Caller
from quiver.pool.messages import PoolReply
from quiver.pool.target import PoolTarget

__all__ = ["CallbackDeadlines"]


class CallbackDeadlines:
    """Those of one connection, whose exchanges are over for the server.

    Args:
        timers: of the connection, which hands the firings of ("callback", ticket) to `overdue`.
    """

    def __init__(self, target: PoolTarget, timers: Timers) -> None:
        self._origin = target.name
        self._timers = timers
        self._unanswered: dict[int, weakref.ref[PoolReply]] = {}

    def limit(self, caller: Caller) -> None:
        """Bound an answer that waits for its `on_informational` by the request's deadline."""
        unanswered = None if caller.informational is None else caller.informational.unanswered
        if unanswered is not None and caller.exchange.deadline is not None:
            self._unanswered[caller.exchange.ticket] = weakref.ref(unanswered)
            self._timers.at(("callback", caller.exchange.ticket), caller.exchange.deadline)

    def overdue(self, ticket: int) -> None:
        """End one whose deadline has come while its answer waits for its `on_informational`."""
        reply = self._unanswered.pop(ticket)()
        if reply is not None:
            said = "its on_informational has not returned within the request's timeout"
            reply.fail(RequestTimeout(said, origin=self._origin))
