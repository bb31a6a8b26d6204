"""HTTP1Pool: the pool of HTTP/1.1 connections to one origin."""

from __future__ import annotations

from quiver.errors import ConnectDisabled
from quiver.optional_imports import extra
from quiver.pool.coordinator import OriginPool
from quiver.request import OpenChannel

with extra("tcp"):
    from quiver.pool.http1_stack import Http1Stack

__all__ = ["HTTP1Pool"]


class HTTP1Pool(OriginPool):
    """A pool of HTTP/1.1 connections to one origin. Ask it a `Request`, or `GetStats()`.

    It keeps what `HTTP3Pool` promises, but for one thing (RFC 9112 9.3.1): an idempotent request
    with a body that can be sent again goes out once more when the connection, which had served one
    before, is closed before a byte of its answer has come.
    """

    stack = Http1Stack
    eager = False

    def check_channel(self, request: OpenChannel) -> None:
        said = f"method={request.method!r}: channels are opened over HTTP/3 only"
        raise ConnectDisabled(said, origin=self.target.name)
