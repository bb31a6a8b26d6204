"""The tree: one root per client, under it one supervisor per origin, under that its pool.

    root (one_for_one)
    ├── https://a.example (one_for_one) ── HTTP3Pool ·· connections
    └── https://b.example (one_for_one) ── HTTP3Pool ·· connections

A pool that crashes is started again by its own supervisor, so that one bad origin uses up no
other's restarts. An origin's supervisor that gives up is forgotten by the root; the next request
to that origin begins anew. Connections are no supervisor's children: the coordinator replaces
them as the routing table says, and itself fails when their actors crash too often.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from quiver.actors.actor import GeventActorRef
from quiver.actors.registry import Registry
from quiver.actors.supervisor import ChildSpec, Restart, Supervisor
from quiver.config import PoolConfig
from quiver.origin import Origin
from quiver.pool.coordinator import HTTP3Pool

POOL: Final = "pool"

MAX_RESTARTS, WITHIN = 3, 5.0  # of one origin's pool, in so many seconds
GRACE = 1.0  # seconds that each level of the tree gets beyond what those below it may take


def root(name: str) -> Supervisor:
    """The supervisor of a client, not yet launched."""
    return Supervisor(name=name)


def origin_spec(origin: Origin, config: PoolConfig, registry: Registry) -> ChildSpec:
    """What the root starts for one origin."""
    pool = pool_spec(origin, config, registry)
    return ChildSpec(
        id=origin,
        start=partial(_start_origin, pool, str(origin)),
        restart=Restart.TEMPORARY,
        shutdown=pool.shutdown + GRACE,
    )


def pool_spec(origin: Origin, config: PoolConfig, registry: Registry) -> ChildSpec:
    """What an origin's supervisor starts, and is asked for again once it was stopped in order."""
    return ChildSpec(
        id=POOL,
        start=partial(HTTP3Pool.start, origin, config=config, registry=registry),
        restart=Restart.TRANSIENT,
        shutdown=(config.shutdown_timeout or 0.0) + GRACE,
    )


def _start_origin(pool: ChildSpec, name: str) -> GeventActorRef[Any]:
    return Supervisor.start([pool], max_restarts=MAX_RESTARTS, within=WITHIN, name=name)
