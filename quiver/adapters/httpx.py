"""HTTP3Transport and AsyncHTTP3Transport: HTTP/3 under httpx's clients.

httpx.Client(transport=HTTP3Transport())
httpx.AsyncClient(transport=AsyncHTTP3Transport())  # asyncio only: no thread per call
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from quiver.adapters.extras import extra

with extra("httpx"):
    import httpx

from quiver import errors
from quiver.actors.actor import GeventActorRef
from quiver.adapters.clients import Certificate, Clients, Pools, Trust
from quiver.adapters.fallback import Route
from quiver.adapters.outgoing import outgoing, pairs_of, split, trusting
from quiver.adapters.policy import Policy
from quiver.body import StreamedResponse
from quiver.request import StreamRequest
from quiver.source import AsyncSource

__all__ = ["AsyncHTTP3Transport", "HTTP3Transport"]

ERRORS: Final[tuple[tuple[type[errors.QuiverError], type[httpx.TransportError]], ...]] = (
    (errors.ConnectTimeout, httpx.ConnectTimeout),
    (errors.CheckoutTimeout, httpx.PoolTimeout),
    (errors.QueueFull, httpx.PoolTimeout),
    (errors.ReceiveTimeout, httpx.ReadTimeout),
    (errors.SendTimeout, httpx.WriteTimeout),
    (errors.RequestTimeout, httpx.ReadTimeout),
    (errors.ConnectionRefused, httpx.ConnectError),
    (errors.NameResolutionFailed, httpx.ConnectError),
    (errors.CertificateInvalid, httpx.ConnectError),
    (errors.HandshakeFailed, httpx.ConnectError),
    (errors.InvalidURL, httpx.UnsupportedProtocol),
    (errors.InvalidError, httpx.LocalProtocolError),
    (errors.ConnectionLost, httpx.ReadError),
    (errors.StreamIdleTimeout, httpx.ReadError),
    (errors.PoolStopped, httpx.ConnectError),
    (errors.QuiverError, httpx.RemoteProtocolError),
)
"""The first that an error is one of names what httpx calls it."""

NO_LIMIT: Final = 1e9  # seconds: None here is as the pool has it, and there it means no limit

Verify = ssl.SSLContext | str | bool


class _Way:
    """What both transports have in common: where a request goes, and as what."""

    def __init__(
        self,
        verify: Verify,
        cert: Certificate,
        policy: Policy | None,
        pools: Pools | None,
        falls_back: bool,
    ) -> None:
        self.policy = policy or Policy()
        self.clients = Clients(pools)
        self.falls_back = falls_back
        self._trust = Trust.of(verify, cert)

    def route(self, request: httpx.Request) -> Route | None:
        """Where HTTP/3 is to be tried; None for TCP."""
        if self.falls_back and request.url.scheme != "https":
            return None
        origin, _ = split(str(request.url))
        route = self.policy.route(origin)
        return route or (None if self.falls_back else Route(origin, origin))

    def pool(self, route: Route) -> GeventActorRef[Any]:
        return self.clients.of(trusting(self._trust, route)).pool(str(route.place))

    def outgoing(self, request: httpx.Request, route: Route, body: Any) -> StreamRequest:
        limits = request.extensions.get("timeout", {})
        connect = limits.get("connect")
        if self.falls_back:
            connect = min(connect or self.policy.fallback_after, self.policy.fallback_after)
        return outgoing(
            route,
            request.method,
            request.url.raw_path.decode("ascii"),
            request.headers.raw,
            body=body,
            trailers=request.extensions.get("trailers", ()),
            connect_timeout=connect,
            receive_timeout=limits.get("read"),
            send_timeout=limits.get("write") or NO_LIMIT,
            checkout_timeout=limits.get("pool"),
        )

    def gives_way(self, route: Route, asked: StreamRequest, error: errors.QuiverError) -> bool:
        return self.falls_back and self.policy.gives_way(route.origin, asked, error)

    def answered(self, route: Route, streamed: StreamedResponse) -> None:
        self.policy.succeeded(route.origin)
        self.policy.heard(route.origin, streamed.header("alt-svc"))

    def heard(self, request: httpx.Request, response: httpx.Response) -> None:
        """Only the origin's own word over TLS counts (RFC 7838 2.1)."""
        told = response.headers.get("alt-svc")
        if told is not None and request.url.scheme == "https":
            self.policy.heard(split(str(request.url))[0], told)


class _Stream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """The body of a response; its trailers are added to a list when it has ended."""

    def __init__(
        self,
        streamed: StreamedResponse,
        request: httpx.Request,
        trailers: list[tuple[bytes, bytes]],
    ) -> None:
        self._streamed = streamed
        self._request = request
        self._trailers = trailers

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._streamed
        except errors.QuiverError as error:
            raise _mapped(error, self._request) from error
        self._trailers += pairs_of(self._streamed.trailers)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._streamed:
                yield piece
        except errors.QuiverError as error:
            raise _mapped(error, self._request) from error
        self._trailers += pairs_of(self._streamed.trailers)

    def close(self) -> None:
        self._streamed.close()

    async def aclose(self) -> None:
        self._streamed.close()


class HTTP3Transport(httpx.BaseTransport):
    """Sends an httpx.Client's requests over HTTP/3, and over TCP where that is not to be had.

    `response.http_version` tells which it was. The extension `trailers` of a response is a list
    that is complete when the body has been read; of a request, the trailers to send.

    Args:
        verify: True, False, a file or folder of roots, or a context: its roots are taken.
        cert: file of our own certificate, or (file, key file).
        fallback: what sends them over TCP; None for httpx.HTTPTransport, False for none.
        policy: when HTTP/3 is tried; a `Policy()` by default, which tries it first.
        pools: as `quiver.Client` has them.

    Raises:
        InvalidOptions: a rule or an option in `pools` is wrong.
        OSError: there is no such certificate file.
    """

    def __init__(
        self,
        *,
        verify: Verify = True,
        cert: Certificate = None,
        fallback: httpx.BaseTransport | bool | None = None,
        policy: Policy | None = None,
        pools: Pools | None = None,
    ) -> None:
        self._way = _Way(verify, cert, policy, pools, fallback is not False)
        self._fallback: httpx.BaseTransport | None = None
        if isinstance(fallback, httpx.BaseTransport):
            self._fallback = fallback
        elif fallback is not False:
            self._fallback = httpx.HTTPTransport(verify=_context(verify), cert=cert)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx asks for it. Raises httpx.TransportError, Quiver's error being its cause."""
        try:
            route = self._way.route(request)
            if route is not None:
                return self._ask(request, route)
        except _GaveWay:
            pass
        except errors.QuiverError as error:
            raise _mapped(error, request) from error
        assert self._fallback is not None
        response = self._fallback.handle_request(request)
        self._way.heard(request, response)
        return response

    def _ask(self, request: httpx.Request, route: Route) -> httpx.Response:
        body = request.stream
        assert isinstance(body, httpx.SyncByteStream)
        whole = isinstance(body, httpx.ByteStream)
        asked = self._way.outgoing(request, route, b"".join(body) if whole else iter(body))
        try:
            streamed = self._way.pool(route).ask(asked)
        except errors.QuiverError as error:
            if self._way.gives_way(route, asked, error):
                raise _GaveWay from None
            raise
        self._way.answered(route, streamed)
        return _response(streamed, request)

    def close(self) -> None:
        """Stop the pools, and what goes over TCP."""
        self._way.clients.close()
        if self._fallback is not None:
            self._fallback.close()


class AsyncHTTP3Transport(httpx.AsyncBaseTransport):
    """HTTP3Transport for httpx.AsyncClient on asyncio.

    The reply is awaited and bodies are read and written by the caller's own tasks: no thread is
    started for a call, and the loop is never blocked. Arguments and errors are the same.
    """

    def __init__(
        self,
        *,
        verify: Verify = True,
        cert: Certificate = None,
        fallback: httpx.AsyncBaseTransport | bool | None = None,
        policy: Policy | None = None,
        pools: Pools | None = None,
    ) -> None:
        self._way = _Way(verify, cert, policy, pools, fallback is not False)
        self._found: set[Route] = set()
        self._fallback: httpx.AsyncBaseTransport | None = None
        if isinstance(fallback, httpx.AsyncBaseTransport):
            self._fallback = fallback
        elif fallback is not False:
            self._fallback = httpx.AsyncHTTPTransport(verify=_context(verify), cert=cert)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx asks for it. Raises httpx.TransportError, Quiver's error being its cause."""
        try:
            route = self._way.route(request)
            if route is not None:
                return await self._ask(request, route)
        except _GaveWay:
            pass
        except errors.QuiverError as error:
            raise _mapped(error, request) from error
        assert self._fallback is not None
        response = await self._fallback.handle_async_request(request)
        self._way.heard(request, response)
        return response

    async def _ask(self, request: httpx.Request, route: Route) -> httpx.Response:
        asked = self._way.outgoing(request, route, await _async_body(request))
        try:
            pool = await self._pool(route)
            streamed = await pool.ask(asked, block=False)
        except errors.QuiverError as error:
            if self._way.gives_way(route, asked, error):
                raise _GaveWay from None
            raise
        self._way.answered(route, streamed)
        return _response(streamed, request)

    async def _pool(self, route: Route) -> GeventActorRef[Any]:
        """Found at once; but to start it takes the first caller a moment, so elsewhere."""
        if route in self._found:
            return self._way.pool(route)
        pool = await asyncio.to_thread(self._way.pool, route)
        self._found.add(route)
        return pool

    async def aclose(self) -> None:
        """Stop the pools, and what goes over TCP."""
        await asyncio.to_thread(self._way.clients.close)
        if self._fallback is not None:
            await self._fallback.aclose()


class _GaveWay(Exception):
    """HTTP/3 did not come about, and nothing was lost."""


async def _async_body(request: httpx.Request) -> Any:
    body = request.stream
    assert isinstance(body, httpx.AsyncByteStream)
    if isinstance(body, httpx.ByteStream):
        return b"".join([piece async for piece in body])
    length = request.headers.get("content-length")
    known = int(length) if length is not None and length.isdigit() else None
    return AsyncSource(body, asyncio.get_running_loop(), known)


def _context(verify: Verify) -> ssl.SSLContext | bool:
    """httpx takes contexts; a path is still understood, with a warning."""
    if not isinstance(verify, str):
        return verify
    if os.path.isdir(verify):
        return ssl.create_default_context(capath=verify)
    return ssl.create_default_context(cafile=verify)


def _response(streamed: StreamedResponse, request: httpx.Request) -> httpx.Response:
    trailers: list[tuple[bytes, bytes]] = []
    return httpx.Response(
        streamed.status,
        headers=pairs_of(streamed.headers),
        stream=_Stream(streamed, request, trailers),
        extensions={"http_version": b"HTTP/3", "trailers": trailers},
    )


def _mapped(error: errors.QuiverError, request: httpx.Request) -> httpx.TransportError:
    kind = next(theirs for ours, theirs in ERRORS if isinstance(error, ours))
    return kind(str(error), request=request)
