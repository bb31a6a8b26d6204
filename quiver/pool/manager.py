"""Manager: origin -> pool. A registry lookup when the pool runs, a supervised start when not."""

from __future__ import annotations

from typing import Any

import pykka

from quiver.actors.actor import GeventActorRef
from quiver.actors.registry import Registry, marker_of
from quiver.actors.supervisor import StartChild
from quiver.config import OriginRules
from quiver.errors import PoolStopped
from quiver.models import GetStats, Stats
from quiver.origin import Origin
from quiver.pool import supervision
from quiver.pool.endpoint import Endpoint

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
            PoolStopped: the client is closed, or the pool crashes as soon as it is started.
            InvalidOptions: its roots cannot be read.
        """
        return self._registry.find(origin) or self._start(origin)

    def stats(self, origin: Origin) -> Stats:
        """Counts of the origin's pool; all 0 when there is none. It is not started for this."""
        pool = self._registry.find(origin)
        if pool is None:
            return Stats(idle=0, active=0, queued=0, connections=0)
        stats: Stats = pool.ask(GetStats())
        return stats

    def close(self) -> None:
        """Stop all pools in order: open requests may finish within their `shutdown_timeout`."""
        self._closed = True
        root = self._registry.find(ROOT)
        if root is not None:
            root.stop()

    def _start(self, origin: Origin) -> GeventActorRef[Any]:
        config = self._rules.config_for(origin)
        Endpoint(origin, config)  # its caller hears of roots that cannot be read, no supervisor
        supervisor = StartChild(supervision.origin_spec(origin, config, self._registry))
        child = StartChild(supervision.pool_spec(origin, config, self._registry))
        for _ in range(ATTEMPTS):
            if self._closed:
                raise PoolStopped("the client is closed", origin=str(origin))
            try:
                pool = self._root().ask(supervisor).ask(child)
            except pykka.ActorDeadError:
                continue
            if not self._closed:
                return pool  # type: ignore[no-any-return]
            self.close()  # meanwhile, and perhaps before there was a tree to be stopped
        raise PoolStopped("its pool fails as soon as it is started", origin=str(origin))

    def _root(self) -> GeventActorRef[Any]:
        return self._registry.start(ROOT, None, supervision.root(self._name))


def protocol_of(ref: pykka.ActorRef[Any]) -> str | None:
    """What a pool speaks, "http/3", from its bare ref; None for a ref that is no live pool."""
    marker = marker_of(ref)
    return marker if isinstance(marker, str) else None
