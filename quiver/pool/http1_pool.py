"""HTTP1Pool: the pool of HTTP/1.1 connections to one origin."""

from __future__ import annotations

from quiver.optional_imports import extra
from quiver.pool.coordinator import OriginPool

with extra("tcp"):
    from quiver.pool.tcp_stack import Http1Stack

__all__ = ["HTTP1Pool"]


class HTTP1Pool(OriginPool):
    """A pool of HTTP/1.1 connections to one origin, with TLS or of `http://`. Ask it a `Request`.

    There are up to `max_connections_http1`, opened as they are needed. It keeps what `HTTP3Pool`
    promises, but for one thing (RFC 9112 9.3.1): an idempotent request with a body that can be sent
    again goes out once more when its connection, which had served one before, is closed before a
    byte of its answer has come. Telemetry tells of each as `request.repeated`. Channels are
    HTTP/3's: ConnectDisabled.
    """

    stack = Http1Stack
