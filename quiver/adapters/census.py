"""A census of this OS process's pools: what each of them counts at one moment."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import attrs
import pykka

from quiver.errors import QuiverError
from quiver.models import ConnectionStats, GetConnections, GetStats, Stats
from quiver.pool.coordinator import HTTP3Pool
from quiver.pool.ref import PoolRef

__all__ = ["Counted", "census"]

TIMEOUT: Final = 1.0  # seconds for the answers of all pools together


@attrs.frozen
class Counted:
    """One pool. There may be several of one origin: each client has its own."""

    origin: str
    stats: Stats
    connections: list[ConnectionStats]


def census(timeout: float = TIMEOUT) -> Iterator[Counted]:
    """Every pool that lives, whoever started it; one that does not answer in time is left out."""
    due = time.monotonic() + timeout
    asked = [
        (ref.origin, [ref.ask(message, block=False) for message in (GetStats(), GetConnections())])
        for ref in pykka.ActorRegistry.get_by_class(HTTP3Pool)
        if isinstance(ref, PoolRef)
    ]
    for origin, replies in asked:
        try:
            answers = [reply.get(timeout=max(0.0, due - time.monotonic())) for reply in replies]
        except (pykka.ActorDeadError, pykka.Timeout, QuiverError):
            continue
        yield Counted(origin, *answers)
