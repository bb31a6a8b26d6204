"""StartedPool: how a pool comes about: the one of its origin that lives, or a new one."""

from __future__ import annotations

from typing import Any, ClassVar, Unpack, cast

from quiver.actors import registry as registries
from quiver.actors.descriptors import NoneLeft
from quiver.actors.hub import HubStalled, HubStopped
from quiver.config import PoolConfig, PoolOptions
from quiver.errors import PoolStopped
from quiver.origin import Origin
from quiver.pool.checkout import PoolTimeout, exhausted
from quiver.pool.client_pools import ClientPools
from quiver.pool.http_connection import ProtocolStack
from quiver.pool.ref import PoolRef, ReplyPolicy
from quiver.pool.reports import logger
from quiver.pool.target import PoolTarget

__all__ = ["StartedPool"]


class StartedPool(ReplyPolicy):
    """An actor for one origin, which is found by that.

    Attributes:
        stack: what its connections speak.
    """

    stack: ClassVar[type[ProtocolStack]]
    ref_class = PoolRef

    @classmethod
    def start(  # type: ignore[override]  # the ref is a pool's, which derives from this
        cls,
        origin: str | Origin,
        *,
        config: PoolConfig | None = None,
        registry: registries.Registry = registries.default,
        **options: Unpack[PoolOptions],
    ) -> PoolRef:
        """The pool of `origin`: the one that lives, or a new one.

        Args:
            origin: "https://host[:port]", for HTTP/1.1 also "http://host[:port]".
            config: options as a whole, instead of `options`.
            registry: where the pool is found by its origin.
            options: see `quiver.PoolConfig`.

        Raises:
            InvalidURL, InvalidOptions: what is wrong with the arguments; or one that lives has
                other options than are given.
            PoolStopped: the interpreter is exiting.
            RequestTimeout: something blocks the loop.
            ResourceExhausted: no descriptor is left for the loop under the actors, or to read a
                file that the options name.
        """
        where = (
            origin
            if isinstance(origin, Origin)
            else Origin.only(origin, plain=True)  # for its target to judge
        )
        given = config or PoolConfig.build(where, **options)
        ref = cls.start_at(PoolTarget(where, given, stack=cls.stack), registry)
        ref.check_options(given, None if config else options)
        return ref

    @classmethod
    def start_at(
        cls,
        target: PoolTarget,
        registry: registries.Registry,
        client_pools: ClientPools | None = None,
    ) -> PoolRef:
        """As `start`, where what the options name has been read already.

        With the `client_pools` of a client, which may start it again, it ends when nobody uses it.
        """
        made: Any = cls  # whose __init__ is that of a pool
        pool = made(target, client_pools)
        try:
            ref = registry.start(target.registered_as, target.protocol, pool)
        except HubStopped as stopped:
            raise PoolStopped(f"{stopped}", origin=target.name) from stopped
        except HubStalled as stalled:
            raise PoolTimeout(f"it was not started: {stalled}", origin=target.name) from stalled
        except NoneLeft as error:
            raise exhausted(error, target.name) from error
        if ref is not pool.actor_ref:
            logger.debug("%s: found a pool that runs; its own options stay", target.name)
            if client_pools is None and isinstance(ref, PoolRef):
                ref.lifetime.kept = True
                if ref.ended():
                    return cls.start_at(target, registry)
        elif client_pools is not None:
            client_pools.add(pool)
        return cast("PoolRef", ref)
