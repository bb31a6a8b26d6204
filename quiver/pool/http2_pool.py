"""HTTP2Pool: the pool of HTTP/2 connections to one origin."""

from __future__ import annotations

from quiver.optional_imports import extra
from quiver.pool.coordinator import OriginPool

with extra("tcp"):
    from quiver.pool.tcp_stack import Http2Stack

__all__ = ["HTTP2Pool"]


class HTTP2Pool(OriginPool):
    """A pool of HTTP/2 connections to one origin. Ask it a `Request`, or `GetStats()`.

    It keeps what `HTTP3Pool` promises. Channels are HTTP/3's: ConnectDisabled.
    """

    stack = Http2Stack
