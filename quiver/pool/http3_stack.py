"""HTTP/3 over QUIC over UDP, as a pool speaks it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from quiver.config import PoolConfig
from quiver.h3.client_connection import ClientConnection
from quiver.origin import Origin
from quiver.pool.session_tickets import SessionTickets
from quiver.pool.udp_transport import UdpTransport
from quiver.proxies import Proxy
from quiver.quic.aioquic.configuration import make_configuration
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.quic.engine import SessionTicket

__all__ = ["Http3Stack"]


class Http3Stack:
    """What all connections of one HTTP/3 pool share. Raises InvalidOptions: roots, say.

    Args:
        tickets: by which sessions are resumed.
    """

    name: ClassVar[str] = "http/3"
    schemes: ClassVar[tuple[str, ...]] = ("https",)

    def __init__(
        self,
        origin: Origin,
        config: PoolConfig,
        tickets: SessionTickets,
        proxy: Proxy | None = None,
    ) -> None:
        assert proxy is None, "QUIC goes through none"
        self._origin = origin
        self._tickets = tickets
        self._config = config
        self._configuration = make_configuration(config, origin)

    def transport(self, tell: Callable[[object], None], *, early: bool = False) -> UdpTransport:
        """A transport that is not opened yet; `tell` sends its owner a message."""
        return UdpTransport(self, tell, early=early)

    def over_http1(self) -> None:
        """There is none: it is HTTP/3 alone."""

    def take_ticket(self) -> SessionTicket | None:
        """The newest ticket that there is for a connection of now, which is no other's then."""
        made = self._configuration
        if not (made.session_tickets and self._tickets):
            return None
        return self._tickets.take(str(self._origin), made.trust(), time.time())

    def forget_tickets(self) -> None:
        """Offer none of those that there are: a server could do nothing with one of them."""
        self._tickets.forget(str(self._origin), self._configuration.trust())

    def get_ready(self) -> None:
        """Begin to judge the certificate that a server is about to show."""
        made = self._configuration
        if made.roots is not None and made.server_name is not None:
            made.roots.value.begin(made.server_name)

    def client_connection(self, ticket: SessionTicket | None, *, early: bool) -> ClientConnection:
        """A connection that has not begun, and offers that ticket."""
        made = self._configuration
        return ClientConnection(
            AioquicEngine(made, ticket, early),
            self._origin,
            max_header_size=self._config.max_header_size,
            certfile=self._config.certfile,
            remembered=b"" if ticket is None else ticket.application,
        )
