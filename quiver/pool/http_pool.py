"""HTTPPool: the pool of one origin over whatever that speaks: HTTP/3, HTTP/2 or HTTP/1.1."""

from __future__ import annotations

from quiver.pool.coordinator import OriginPool
from quiver.pool.http3_stack import Http3Stack

__all__ = ["HTTPPool"]


class HTTPPool(OriginPool):
    """A pool of connections to one origin, each over what its dial has found. A client starts it.

    It keeps what `HTTP3Pool` promises, and over HTTP/1.1 what `HTTP1Pool` does.
    """

    stack = Http3Stack
