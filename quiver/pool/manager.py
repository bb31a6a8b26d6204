"""Manager: origin -> pool. A registry lookup when the pool runs, a supervised start when not."""

from __future__ import annotations

from typing import Any

import pykka

from quiver.actors.actor import GeventActorRef
from quiver.actors.registry import Registry, marker_of
from quiver.actors.supervisor import StartChild
from quiver.config import OriginRules
from quiver.errors import PoolStopped, QuiverError
from quiver.models import GetStats, Stats
from quiver.origin import Origin
from quiver.pool import supervision

ROOT = "root"
ATTEMPTS = 3  # a supervisor that gives up in the moment we reach it is replaced


class Manager:
    """Finds or starts the pools of one client. Usable from any thread or greenlet.

    Args:
        rules: which origin gets which options.
        registry: where pools are found; the client's own.
        name: of the client, for the log.
    """

    def __init__(self, rules: OriginRules, registry: Registry, name: str) -> None:
        self._rules = rules
        self._registry = registry
        self._name = name
        self._closed = False

    def pool(self, origin: Origin) -> GeventActorRef[Any]:
        """The pool of `origin`, started if it does not run.

        Raises:
            PoolStopped: the client is closed, the interpreter exits, or the start fails.
            InvalidOptions: its roots cannot be read.
        """
        found = self._registry.find(origin)
        if found is not None:
            return found
        try:
            return self._start(origin)
        except QuiverError:
            raise
        except Exception as error:  # such as HubStopped: the interpreter exits
            raise PoolStopped(f"it was not started: {error!r}", origin=str(origin)) from error

    def stats(self, origin: Origin) -> Stats:
        """Counts of the origin's pool; all 0 when there is none. It is not started for this."""
        pool = self._registry.find(origin)
        none = Stats(idle=0, active=0, queued=0, connections=0)
        try:
            return none if pool is None else pool.ask(GetStats())
        except pykka.ActorDeadError:  # it ended in this moment
            return none

    def close(self) -> None:
        """Stop all pools in order: open requests may finish within their `shutdown_timeout`."""
        self._closed = True
        root = self._registry.find(ROOT)
        if root is not None:
            root.stop()

    def _start(self, origin: Origin) -> GeventActorRef[Any]:
        config = self._rules.config_for(origin)
        supervisor = StartChild(supervision.origin_spec(origin, config))
        pool = StartChild(supervision.pool_spec(origin, config, self._registry))
        for _ in range(ATTEMPTS):
            root = self._root()
            if root is None:
                raise PoolStopped("the client is closed", origin=str(origin))
            try:
                return root.ask(supervisor).ask(pool)  # type: ignore[no-any-return]
            except pykka.ActorDeadError:
                continue
        raise PoolStopped("its supervisor fails as soon as it is started", origin=str(origin))

    def _root(self) -> GeventActorRef[Any] | None:
        """The root supervisor, or None when the client is closed, even just now."""
        if self._closed:
            return None
        root = self._registry.start(ROOT, None, supervision.root(self._name))
        if self._closed:  # `close` may have looked for it too early
            root.stop()
            return None
        return root


def protocol_of(ref: pykka.ActorRef[Any]) -> str | None:
    """What a pool speaks, "http/3", from its bare ref; None for a ref that is no live pool."""
    marker = marker_of(ref)
    return marker if isinstance(marker, str) else None
