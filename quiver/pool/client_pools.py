"""ClientPools: the pools that one client has started, and what ends those that nobody needs.

All of it happens in the loop's thread, as the pools do; only whether there are any is asked from
elsewhere, also by a finaliser: no lock is taken.
"""

from __future__ import annotations

import warnings
from typing import Protocol

from quiver.actors.hub import ring_if_running
from quiver.actors.ref import AnyGeventActorRef
from quiver.pool import messages
from quiver.pool.idle_policy import IDLE_POOLS, surplus

__all__ = ["ClientPools", "Owner"]


class ClientPool(Protocol):
    """A pool, as the other pools of its client see it."""

    @property
    def actor_ref(self) -> AnyGeventActorRef: ...

    @property
    def idle_since(self) -> float | None:
        """The time of its last use; None while it is in use, or somebody has its ref."""


class ClientPools:
    """The pools of one client that live.

    Args:
        most: pools that may be idle; the least recently used beyond that are told to end.
    """

    def __init__(self, most: int = IDLE_POOLS) -> None:
        self._most = most
        self._pools: dict[str, ClientPool] = {}
        self._abandoned = False

    def __len__(self) -> int:
        return len(self._pools)

    def add(self, pool: ClientPool) -> None:
        """Add one that was started; end the least recently used beyond `most`."""
        idle = [
            (since, each.actor_ref)
            for each in self._pools.values()
            if (since := each.idle_since) is not None
        ]
        self._pools[pool.actor_ref.actor_urn] = pool
        for ref in surplus(idle, self._most - 1):
            ref.notify(messages.Unneeded(for_good=False))
        if self._abandoned:  # a crashed one was replaced, or it was being started
            pool.actor_ref.notify(messages.Unneeded(for_good=True))
        if not pool.actor_ref.is_alive():
            self.remove(pool)

    def remove(self, pool: ClientPool) -> None:
        """Forget one that has ended."""
        self._pools.pop(pool.actor_ref.actor_urn, None)

    def abandon_soon(self) -> None:
        """Do as `abandon`, from any thread: the pools are told in the loop's. No lock is taken."""
        self._abandoned = True  # before: one that is started in this moment hears of it in `add`
        ring_if_running(self.abandon)

    def abandon(self) -> None:
        """Have each end when what is open has ended: nobody can ask for anything more."""
        self._abandoned = True
        for pool in list(self._pools.values()):
            pool.actor_ref.notify(messages.Unneeded(for_good=True))


class Owner:
    """Held by all that can ask for pools of one client: the client, and the refs it gave out.

    When nobody holds it any more its pools are abandoned, unless the client was closed.
    """

    def __init__(self, name: str, client_pools: ClientPools) -> None:
        self._name = name
        self._client_pools = client_pools
        self.closed = False

    def release(self) -> None:
        """Ask for nothing more, and have the pools end when what is open has ended."""
        if not self.closed:
            self._client_pools.abandon_soon()
            self.closed = True

    def __del__(self) -> None:
        """The collector may come in the middle of anything: take no lock, wait for nobody."""
        if self.closed or not self._client_pools:
            return
        self._client_pools.abandon_soon()
        warnings.warn(
            f"{self._name} was dropped without close(): its pools end when what is open has ended",
            ResourceWarning,
            stacklevel=2,
            source=self,
        )
