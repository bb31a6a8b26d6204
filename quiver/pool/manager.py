"""Manager: origin -> pool. A registry lookup when the pool runs, a supervised start when not.

What it starts stands in a tree, one root for each client:

    root (one_for_one)
    ├── https://a.example (one_for_one) ── HTTP3Pool ·· connections
    └── https://b.example (one_for_one) ── HTTP3Pool ·· connections

A pool that crashes is started again by its own supervisor, so that one bad origin uses up no
other's restarts. An origin's supervisor that gives up is forgotten by the root; the next request to
that origin begins anew. An origin's supervisor whose pool has ended in order ends with it, and so
does the root with the last of them; both start again when they are needed. Connections are no
supervisor's children: the coordinator replaces them as the routing table says, and itself fails
when their actors crash too often.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pykka

from quiver.actors.actor import GeventActorRef
from quiver.actors.descriptors import NoneLeft
from quiver.actors.hub import Hub, HubStalled, HubStopped
from quiver.actors.propagation import raised_by_signal
from quiver.actors.registry import Registry, marker_of
from quiver.actors.supervisor import ChildSpec, Restart, StartChild, Stopping, Supervisor
from quiver.actors.system_messages import AnyActorRef
from quiver.actors.wait_queue import WouldWaitForItself
from quiver.config import OriginRules, PoolConfig
from quiver.errors import InternalError, PoolStopped, QuiverError
from quiver.models import GetStats, Stats
from quiver.origin import Origin
from quiver.pool.checkout import PoolTimeout, exhausted
from quiver.pool.choice import Choices
from quiver.pool.client_pools import ClientPools, Owner
from quiver.pool.http3_pool import HTTP3Pool
from quiver.pool.http3_stack import Http3Stack
from quiver.pool.http_pool import HTTPPool
from quiver.pool.origin_memory import OriginMemory
from quiver.pool.protocols import H3_ALONE, Stacks, stacks_for
from quiver.pool.ref import LentRef, PoolRef
from quiver.pool.target import PoolTarget
from quiver.proxies import Proxy
from quiver.quic.trust_options import trusted_roots

logger = logging.getLogger("quiver.pool")

MAX_RESTARTS, WITHIN = 3, 5.0  # of one origin's pool, in so many seconds
GRACE = 1.0  # seconds that each level of the tree gets beyond what those below it may take
FOREVER = 10 * 365 * 86_400.0  # seconds: a supervisor's children have a limit always
ROOT, POOL = "root", "pool"
ATTEMPTS = 3  # a supervisor that gives up in the moment we reach it is replaced
ANSWERS_WITHIN = 5.0  # seconds for an actor's answer that needs no network


class Manager:
    """Finds or starts the pools of one client. Usable from any thread or greenlet.

    Args:
        rules: which origin gets which options.
        registry: where pools are found; None makes one. What is found in one that others share is
            not the client's to end.
        name: of the client, for the log.
        proxy_of: called with each origin whose pool is not found, in the thread that asks: the
            proxy that is gone through.
        protocols: that are spoken, by ALPN's names.
        choices: between these; None is HTTP/3 first.
    """

    def __init__(
        self,
        rules: OriginRules,
        registry: Registry | None,
        name: str,
        proxy_of: Callable[[Origin], Proxy | None] = lambda _: None,
        protocols: tuple[str, ...] = H3_ALONE,
        choices: Choices | None = None,
    ) -> None:
        self._proxy_of = proxy_of
        self._protocols = protocols
        # A registry that others share has pools of HTTP/3 alone under their origins.
        self._by_origin = registry is None or protocols == H3_ALONE
        self._rules = rules
        self._registry = Registry() if registry is None else registry
        self._name = name
        self._closed = False  # nobody asks for a pool any more
        self._stopped = False  # nor is any started, though it was asked for
        self._longest = 0.0  # seconds that a supervisor of its own may take to stop
        self._client_pools = ClientPools()
        self._memory = OriginMemory(choices)  # which outlives the pools that found it
        self._owner = Owner(name, self._client_pools)
        self._owner.closed = registry is not None

    def pool(self, origin: Origin) -> GeventActorRef[Any]:
        """The pool of `origin`, started if it does not run.

        Raises:
            PoolStopped: the client is closed, its tree is being stopped, or the interpreter exits.
            InternalError: the start fails.
            RequestTimeout: something blocks the loop.
            InvalidURL: it has no TLS, without which HTTP/1.1 alone is spoken.
            InvalidOptions: its roots cannot be read.
            ResourceExhausted: no descriptor is left to start it.
        """
        if self._closed:
            raise PoolStopped("the client is closed", origin=str(origin))
        found = self._find(origin)
        if found is not None:
            return found
        stacks = stacks_for(origin, self._protocols, self._proxy_of(origin))
        try:
            hub = Hub.current(partial(self._read_ahead, origin, stacks))
            return hub.run(partial(self._start, origin, stacks))
        except NoneLeft as error:
            raise exhausted(error, str(origin)) from error
        except HubStopped as error:  # the interpreter exits
            raise PoolStopped(f"it was not started: {error!r}", origin=str(origin)) from error
        except HubStalled as error:
            raise PoolTimeout(f"it was not started: {error}", origin=str(origin)) from error

    def _read_ahead(self, origin: Origin, stacks: Stacks) -> None:
        """Read whom to trust, which is kept. What is wrong with it is said to who needs it.

        Of a context of the program's own nothing is read, nor is kept what is made of it.
        """
        config = self._rules.config_for(origin)
        if stacks.first is not Http3Stack or not isinstance(config.verify, bool):
            return
        try:
            trusted_roots(config)
        except QuiverError as error:
            raised = error.__cause__
            if raised is not None and raised_by_signal(raised):
                raise raised from None

    def _find(self, origin: Origin) -> GeventActorRef[Any] | None:
        """The pool that lives; where the registry is shared, also one of HTTP/3 alone."""
        if self._by_origin:
            return self._registry.find(origin)
        found = self._registry.find(origin) if "h3" in self._protocols else None
        return found or self._registry.find((origin, self._protocols))

    def lend(self, origin: Origin) -> LentRef:
        """As `pool`; the ref is somebody's own, and keeps the pool from ending for idleness."""
        while True:
            pool = self.pool(origin)
            assert isinstance(pool, PoolRef)
            ref = pool.lifetime.lent_to(self._owner) or LentRef(pool, self._owner)
            if not pool.ended():
                return ref

    def stats(self, origin: Origin) -> Stats:
        """Counts of the origin's pool; all 0 when there is none. It is not started for this."""
        pool = self._find(origin)
        none = Stats(idle=0, active=0, queued=0, connections=0, started=False)
        try:
            return none if pool is None else pool.ask(GetStats(), timeout=ANSWERS_WITHIN)
        except pykka.ActorDeadError:  # it ended in this moment
            return none

    def close(self) -> None:
        """Stop all pools in order: open requests may finish within their `shutdown_timeout`."""
        self._closed = self._stopped = True
        root = self._registry.find(ROOT)
        stopping = None if root is None else root.stop(block=False)
        # Not before: one that a signal has interrupted just now is finalised, when it is dropped.
        self._owner.closed = True
        if root is None or stopping is None:
            return
        try:
            stopping.get(timeout=self._longest + 2 * GRACE)
        except pykka.Timeout:
            logger.warning("%s: its pools did not stop in time and are killed", self._name)
            root.kill()

    def release(self) -> None:
        """Take no more asks, and wait for nobody: what is open or being started goes on to its end.

        Pools in a registry that others share are left as they are.
        """
        self._closed = True
        self._owner.release()

    # in the loop's thread, where no signal handler's exception comes in between ---------------

    def _start(self, origin: Origin, stacks: Stacks) -> GeventActorRef[Any]:
        try:
            return self._started(origin, stacks)
        except (QuiverError, HubStopped, HubStalled, WouldWaitForItself):
            raise
        except pykka.Timeout as error:
            raise PoolTimeout(f"it was not started: {error}", origin=str(origin)) from error
        except Exception as error:
            if raised_by_signal(error):  # in a patched program
                raise
            raise InternalError(f"it was not started: {error!r}", origin=str(origin)) from error

    def _started(self, origin: Origin, stacks: Stacks) -> GeventActorRef[Any]:
        config = self._rules.config_for(origin)
        supervisor = origin_spec(origin, config)
        name = origin if self._by_origin else (origin, self._protocols)
        # It knows nothing of this manager, which is dropped with its client.
        target = cache(partial(PoolTarget, origin, config, self._memory, *stacks, name))
        pool = pool_spec(target, config, self._registry, self._client_pools)
        self._longest = max(self._longest, supervisor.shutdown)
        for _ in range(ATTEMPTS):
            root = self._root()
            if root is None:
                raise PoolStopped("the client is closed", origin=str(origin))
            try:
                above = root.ask(StartChild(supervisor), timeout=ANSWERS_WITHIN)
                return above.ask(StartChild(pool), timeout=ANSWERS_WITHIN)  # type: ignore[no-any-return]
            except Stopping:
                raise PoolStopped("its client is being stopped", origin=str(origin)) from None
            except pykka.ActorDeadError:
                continue
        raise PoolStopped("its supervisors are being stopped", origin=str(origin))

    def _root(self) -> GeventActorRef[Any] | None:
        """The root supervisor, or None when the client is being stopped, even just now."""
        if self._stopped:
            return None
        root = self._registry.start(ROOT, None, root_of(self._name))
        if self._stopped:  # `close` may have looked for it too early
            root.stop(block=False)
            return None
        return root


def protocol_of(ref: AnyActorRef) -> str | None:
    """What a pool speaks now, from its bare ref: "http/3", "http/2" or "http/1.1".

    That is what the next request goes over, as far as is known: HTTP/3 while there is a connection
    of it that takes requests, else what the newest handshake has said. None for a ref that is no
    live pool, and before the first handshake of one that may speak any.
    """
    marker = marker_of(ref)
    return marker if isinstance(marker, str) else None


# the tree -----------------------------------------------------------------------------------


def root_of(name: str) -> Supervisor:
    """The supervisor of a client, not yet launched."""
    return Supervisor(name=name, auto_shutdown=True)


def origin_spec(origin: Origin, config: PoolConfig) -> ChildSpec:
    """What the root starts for one origin: the supervisor of its pool."""
    return ChildSpec(
        id=origin,
        start=partial(_start_origin, str(origin)),
        restart=Restart.TEMPORARY,
        shutdown=_shutdown(config) + GRACE,
    )


def pool_spec(
    target: Callable[[], PoolTarget],
    config: PoolConfig,
    registry: Registry,
    client_pools: ClientPools,
) -> ChildSpec:
    """What the origin's supervisor starts. A pool that has ended in order stays away.

    Args:
        target: the same each time. A pool that takes the place of another reads no file again: that
            could fail where it went well.
    """

    def start() -> PoolRef:
        to = target()
        kind = HTTP3Pool if to.only == "http/3" else HTTPPool
        return kind.start_at(to, registry, client_pools)

    return ChildSpec(
        id=POOL,
        start=start,
        restart=Restart.TRANSIENT,
        shutdown=_shutdown(config),
    )


def _shutdown(config: PoolConfig) -> float:
    limit = config.shutdown_timeout
    return (FOREVER if limit is None else limit) + GRACE


def _start_origin(name: str) -> GeventActorRef[Any]:
    return Supervisor.start(max_restarts=MAX_RESTARTS, within=WITHIN, name=name, auto_shutdown=True)
