"""HTTP3Pool: the pool of HTTP/3 connections to one origin."""

from __future__ import annotations

from quiver.pool.coordinator import OriginPool
from quiver.pool.http3_stack import Http3Stack

__all__ = ["HTTP3Pool"]


class HTTP3Pool(OriginPool):
    """A pool of HTTP/3 connections to one origin. Ask it a `Request`, or `GetStats()`."""

    stack = Http3Stack
