"""The two transports: HTTP/3 as httpx calls for it, from threads and from asyncio."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

from quiver.adapters.shared.optional_imports import extra

with extra("httpx"):
    import httpx

from quiver import errors
from quiver.actors.actor import GeventActorRef
from quiver.adapters.policy import Policy
from quiver.adapters.shared.clients_by_trust import Certificate, Pools, Trust
from quiver.adapters.shared.dispatch import Dispatch, FellBack, kind_of
from quiver.adapters.shared.fallback_table import Route
from quiver.adapters.shared.request_translation import pairs_of
from quiver.proxies import ProxyNotice
from quiver.request import StreamRequest
from quiver.request_options import BodyLike
from quiver.streams.body_source import AsyncBodySource
from quiver.streams.response import StreamedResponse

__all__ = ["AsyncHTTP3Transport", "HTTP3Transport"]

ERRORS: Final[tuple[tuple[type[errors.QuiverError], type[httpx.TransportError]], ...]] = (
    (errors.ConnectTimeout, httpx.ConnectTimeout),
    (errors.CheckoutTimeout, httpx.PoolTimeout),
    (errors.QueueFull, httpx.PoolTimeout),
    (errors.ReceiveTimeout, httpx.ReadTimeout),
    (errors.SendTimeout, httpx.WriteTimeout),
    (errors.RequestTimeout, httpx.ReadTimeout),
    (errors.ConnectionRefused, httpx.ConnectError),
    (errors.ResourceExhausted, httpx.ConnectError),
    (errors.NameResolutionFailed, httpx.ConnectError),
    (errors.CertificateInvalid, httpx.ConnectError),
    (errors.HandshakeFailed, httpx.ConnectError),
    (errors.InvalidURL, httpx.UnsupportedProtocol),
    (errors.InvalidError, httpx.LocalProtocolError),
    (errors.ConnectionLost, httpx.ReadError),
    (errors.StreamIdleTimeout, httpx.ReadError),
    (errors.PoolStopped, httpx.ConnectError),
    (errors.InternalError, httpx.LocalProtocolError),
    (errors.QuiverError, httpx.RemoteProtocolError),
)
"""The first that an error is one of names what httpx calls it."""

NO_LIMIT: Final = 1e9  # seconds: None here is as the pool has it, and there it means no limit

Verify = ssl.SSLContext | str | bool


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
        verify: True, False, a file or folder of roots, or an ssl.SSLContext, which then judges
            the server's certificate as it does over TCP.
        cert: file of our own certificate, or (file, key file).
        fallback: what sends them over TCP; None for httpx.HTTPTransport, False for none.
        policy: when HTTP/3 is tried; a `Policy()` by default, which tries it first.
        pools: as `quiver.Client` has them.
        trust_env: whether to warn, once, when the environment names a proxy for what is asked. It
            is not gone through, over HTTP/3 or TCP: a client with a transport of its own takes none
            from the environment.

    Raises:
        InvalidOptions: a rule or an option in `pools` is wrong, or a context cannot be asked.
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
        trust_env: bool = True,
    ) -> None:
        self._proxies = ProxyNotice(type(self).__name__, trust_env=trust_env)
        self._dispatch = Dispatch(policy, pools, falls_back=fallback is not False)
        self._trust = Trust.of(verify, cert)
        self._dispatch.clients.of(self._trust)  # what cannot be had is refused here
        self._fallback: httpx.BaseTransport | None = None
        if isinstance(fallback, httpx.BaseTransport):
            self._fallback = fallback
        elif fallback is not False:
            self._fallback = httpx.HTTPTransport(verify=_context(verify), cert=cert)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx asks for it. Raises httpx.TransportError, Quiver's error being its cause."""
        self._proxies.look(*_place(request))
        try:
            route, _ = self._dispatch.route(str(request.url))
            if route is not None:
                return self._ask(request, route)
        except FellBack:
            pass
        except errors.QuiverError as error:
            raise _mapped(error, request) from error
        assert self._fallback is not None
        with self._dispatch.policy.explained(str(request.url)):
            response = self._fallback.handle_request(request)
        self._dispatch.answered_over_tcp(str(request.url), response.headers.get("alt-svc"))
        return response

    def _ask(self, request: httpx.Request, route: Route) -> httpx.Response:
        body = request.stream
        assert isinstance(body, httpx.SyncByteStream)
        whole = isinstance(body, httpx.ByteStream)
        content = b"".join(body) if whole else _once(body)
        asked = _asked(request, route, content, self._dispatch)
        with self._dispatch.falling_back(route, asked):
            streamed = self._dispatch.pool(self._trust, route).ask(asked)
        self._dispatch.answered(route, streamed)
        return _response(streamed, request)

    def close(self) -> None:
        """Stop the pools, and what goes over TCP."""
        self._dispatch.close()
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
        trust_env: bool = True,
    ) -> None:
        self._proxies = ProxyNotice(type(self).__name__, trust_env=trust_env)
        self._dispatch = Dispatch(policy, pools, falls_back=fallback is not False)
        self._trust = Trust.of(verify, cert)
        self._dispatch.clients.of(self._trust)  # what cannot be had is refused here
        self._found: set[Route] = set()
        self._fallback: httpx.AsyncBaseTransport | None = None
        if isinstance(fallback, httpx.AsyncBaseTransport):
            self._fallback = fallback
        elif fallback is not False:
            self._fallback = httpx.AsyncHTTPTransport(verify=_context(verify), cert=cert)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As httpx asks for it. Raises httpx.TransportError, Quiver's error being its cause."""
        self._proxies.look(*_place(request))
        try:
            route, _ = self._dispatch.route(str(request.url))
            if route is not None:
                return await self._ask(request, route)
        except FellBack:
            pass
        except errors.QuiverError as error:
            raise _mapped(error, request) from error
        assert self._fallback is not None
        with self._dispatch.policy.explained(str(request.url)):
            response = await self._fallback.handle_async_request(request)
        self._dispatch.answered_over_tcp(str(request.url), response.headers.get("alt-svc"))
        return response

    async def _ask(self, request: httpx.Request, route: Route) -> httpx.Response:
        asked = _asked(request, route, await _async_body(request), self._dispatch)
        with self._dispatch.falling_back(route, asked):
            pool = await self._pool(route)
            streamed = await pool.ask(asked, block=False)
        self._dispatch.answered(route, streamed)
        return _response(streamed, request)

    async def _pool(self, route: Route) -> GeventActorRef[Any]:
        """Found at once; but to start it takes the first caller a moment, so elsewhere."""
        if route in self._found:
            return self._dispatch.pool(self._trust, route)
        pool = await asyncio.to_thread(self._dispatch.pool, self._trust, route)
        self._found.add(route)
        return pool

    async def aclose(self) -> None:
        """Stop the pools, and what goes over TCP."""
        await asyncio.to_thread(self._dispatch.close)
        if self._fallback is not None:
            await self._fallback.aclose()


def _place(request: httpx.Request) -> tuple[str, str]:
    return request.url.scheme, request.url.netloc.decode("ascii")


def _asked(
    request: httpx.Request, route: Route, body: BodyLike, dispatch: Dispatch
) -> StreamRequest:
    limits = request.extensions.get("timeout", {})
    return dispatch.asked(
        route,
        request.method,
        request.url.raw_path.decode("ascii"),
        request.headers.raw,
        body=body,
        trailers=request.extensions.get("trailers", ()),
        connect_timeout=dispatch.connect_timeout(limits.get("connect")),
        receive_timeout=limits.get("read"),
        send_timeout=limits.get("write") or NO_LIMIT,
        checkout_timeout=limits.get("pool"),
    )


def _once(body: httpx.SyncByteStream) -> Iterator[bytes]:
    """It is not touched before it is read: else it goes out over TCP as it is."""
    yield from body


async def _async_body(request: httpx.Request) -> Any:
    body = request.stream
    assert isinstance(body, httpx.AsyncByteStream)
    if isinstance(body, httpx.ByteStream):
        return b"".join([piece async for piece in body])
    length = request.headers.get("content-length")
    known = int(length) if length is not None and length.isdigit() else None
    return AsyncBodySource(body, asyncio.get_running_loop(), known)


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
    return kind_of(error, ERRORS)(str(error), request=request)
