"""HTTP/2 and HTTP/1.1 over TLS over TCP, as a pool speaks them; HTTP/1.1 also without TLS."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final, cast

import attrs

from quiver.config import PoolConfig
from quiver.errors import QuiverError
from quiver.h1.client_connection import ClientConnection as Http1Connection
from quiver.h2.client_connection import ClientConnection as Http2Connection
from quiver.h3.close_reasons import Vocabulary, close_reason
from quiver.origin import Origin
from quiver.pool.session_tickets import SessionTickets
from quiver.pool.tcp_negotiation import Negotiation
from quiver.pool.tcp_transport import ByteConnection, TcpTransport
from quiver.proxies import Proxy
from quiver.quic.engine import ConnectionClosed
from quiver.tcp.byte_stream import ByteStream, PlainStream
from quiver.tcp.tls_options import TlsOptions, make_tls_options
from quiver.tcp.tunnel import Tunnel

__all__ = ["Http1Stack", "Http2Stack", "TcpStack"]

H2: Final = "h2"
HTTP_1_1: Final = "http/1.1"
_PROXY: Final = Vocabulary("HTTP/1.1", lambda code: f"code {code}", "ssl", HTTP_1_1)


class TcpStack:
    """What all connections over TCP of one pool share. Raises InvalidOptions: roots, say.

    TLS sessions are not resumed: `tickets` are QUIC's, and ssl's sessions have no bytes to keep.

    Attributes:
        offers: ALPN's names of what may be spoken, what is preferred first.
    """

    name: ClassVar[str] = "tcp"
    offers: ClassVar[tuple[str, ...]] = (H2, HTTP_1_1)
    schemes: ClassVar[tuple[str, ...]] = ("https", "http")

    def __init__(
        self,
        origin: Origin,
        config: PoolConfig,
        tickets: SessionTickets,
        proxy: Proxy | None = None,
    ) -> None:
        self._made_of = origin, config, tickets, proxy
        self._origin, self._config, self._proxy = origin, config, proxy
        self._around: TlsOptions | None = None  # with a proxy of `https://`
        if proxy is not None and proxy.place.scheme == "https":
            own = attrs.evolve(config, server_name=None, certfile=None, keyfile=None)
            self._around = make_tls_options(own, proxy.place, HTTP_1_1)
        self._tls: TlsOptions | None = None  # none for `http://`
        if origin.scheme == "https":
            self._tls = make_tls_options(config, origin, *self.offers)

    def transport(
        self,
        tell: Callable[[object], None],
        *,
        early: bool = False,  # noqa: ARG002
    ) -> TcpTransport:
        """A transport that is not opened yet; nothing goes along with TLS's first flight here."""
        return TcpTransport(self, tell)

    def over_http1(self) -> TcpStack | None:
        """The same of HTTP/1.1 alone; None where that is not to be spoken."""
        return Http1Stack(*self._made_of) if HTTP_1_1 in self.offers else None

    def client_connection(self) -> ByteConnection:
        """A connection that has not begun; which one, the handshake says if two are offered."""
        if self._tls is None:
            return self._over(HTTP_1_1, self._through(PlainStream(HTTP_1_1)))
        stream = self._through(self._tls.stream())
        if len(self.offers) == 1:
            return self._over(self.offers[0], stream)
        negotiation = Negotiation(
            stream,
            self._origin,
            lambda: self._over(stream.protocol, stream),
            certfile=self._config.certfile,
        )
        return cast("ByteConnection", negotiation)  # it is asked for no more before Ready

    def _through(self, within: ByteStream) -> ByteStream:
        if self._proxy is None:
            return within
        origin = self._origin
        around = None if self._around is None else self._around.stream()
        return Tunnel(within, str(origin), origin.host_and_port, self._proxy, around, self._reason)

    def _reason(self, closed: ConnectionClosed) -> QuiverError:
        """What has become of a handshake with the proxy."""
        return close_reason(closed, str(self._origin), ready=False, words=_PROXY)

    def _over(self, protocol: str, stream: ByteStream) -> ByteConnection:
        config = self._config
        size, certfile = config.max_header_size, config.certfile
        if protocol != H2:
            return Http1Connection(stream, self._origin, max_header_size=size, certfile=certfile)
        return Http2Connection(
            stream,
            self._origin,
            max_header_size=size,
            window=config.receive_window,
            window_max=config.receive_window_max,
            certfile=certfile,
        )


class Http2Stack(TcpStack):
    """HTTP/2 alone."""

    name: ClassVar[str] = "http/2"
    offers: ClassVar[tuple[str, ...]] = (H2,)
    schemes: ClassVar[tuple[str, ...]] = ("https",)


class Http1Stack(TcpStack):
    """HTTP/1.1 alone."""

    name: ClassVar[str] = "http/1.1"
    offers: ClassVar[tuple[str, ...]] = (HTTP_1_1,)
