"""The counts of all pools of this OS process, at one moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import attrs
import pykka

from quiver.errors import QuiverError
from quiver.models import ConnectionStats, GetConnections, GetStats, Stats
from quiver.pool.coordinator import OriginPool
from quiver.pool.manager import protocol_of
from quiver.pool.ref import PoolRef

__all__ = ["PoolCounts", "pool_counts"]

TIMEOUT: Final = 1.0  # seconds for the answers of all pools together


@attrs.frozen
class PoolCounts:
    """One pool's counts. One origin may have several pools: each client has its own.

    `http_version` is "HTTP/3", say; None of a pool that is ending.
    """

    origin: str
    http_version: str | None
    stats: Stats
    connections: list[ConnectionStats]


def pool_counts(timeout: float = TIMEOUT) -> Iterator[PoolCounts]:
    """Ask every pool that lives, whoever started it; leave out what does not answer in time."""
    due = time.monotonic() + timeout
    asked = [
        (ref, ref.ask(GetStats(), block=False), ref.ask(GetConnections(), block=False))
        for ref in pykka.ActorRegistry.get_by_class(OriginPool)
        if isinstance(ref, PoolRef)
    ]
    for ref, stats, connections in asked:
        speaks = protocol_of(ref)
        try:
            counted = PoolCounts(
                ref.origin,
                None if speaks is None else speaks.upper(),
                stats.get(timeout=max(0.0, due - time.monotonic())),
                connections.get(timeout=max(0.0, due - time.monotonic())),
            )
        except (pykka.ActorDeadError, pykka.Timeout, QuiverError):
            continue
        yield counted
