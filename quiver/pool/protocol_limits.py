"""How many connections a pool may have, by what it speaks. Pure."""

from __future__ import annotations

from typing import NamedTuple

from quiver.config import PoolConfig

__all__ = ["ConnectionLimits", "limits_of"]


class ConnectionLimits(NamedTuple):
    """As the routing table has them.

    `eager`: each request opens one more, room or not. Connections with one request at a time are
    opened as they are needed: their number is what a server bears, and a second one saves nothing.
    """

    max_connections: int
    eager: bool


def limits_of(protocol: str | None, config: PoolConfig) -> ConnectionLimits:
    """The limits of a pool that speaks this, as `protocol_of` has it; None: no one knows yet."""
    if protocol == "http/1.1":
        return ConnectionLimits(config.max_connections_http1, eager=False)
    return ConnectionLimits(config.max_connections, eager=True)
