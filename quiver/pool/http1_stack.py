"""HTTP/1.1 over TLS over TCP, as a pool speaks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from quiver.config import PoolConfig
from quiver.h1.client_connection import ClientConnection
from quiver.origin import Origin
from quiver.pool.session_tickets import SessionTickets
from quiver.pool.tcp_transport import TcpTransport
from quiver.tcp.tls_options import make_tls_options

__all__ = ["Http1Stack"]


class Http1Stack:
    """What all connections of one HTTP/1.1 pool share. Raises InvalidOptions: roots, say.

    TLS sessions are not resumed: `tickets` are QUIC's.
    """

    name: ClassVar[str] = "http/1.1"

    def __init__(self, origin: Origin, config: PoolConfig, tickets: SessionTickets) -> None:  # noqa: ARG002
        self._origin = origin
        self._config = config
        self._tls = make_tls_options(config, origin, "http/1.1")

    def transport(
        self,
        tell: Callable[[object], None],
        *,
        early: bool = False,  # noqa: ARG002
    ) -> TcpTransport:
        """A transport that is not opened yet; nothing goes along with TLS's first flight here."""
        return TcpTransport(self, tell)

    def client_connection(self) -> ClientConnection:
        """A connection that has not begun."""
        config = self._config
        return ClientConnection(
            self._tls.stream(),
            self._origin,
            max_header_size=config.max_header_size,
            certfile=config.certfile,
        )
