"""The two transports: HTTP/3 as httpx calls for it, from threads and from asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from quiver import errors
from quiver.actors.actor import GeventActorRef
from quiver.adapters.httpx.library import Library, bases, library_of
from quiver.adapters.httpx.two_ways import TwoWays, Verify
from quiver.adapters.policy import Policy
from quiver.adapters.shared.clients_by_trust import Certificate, Pools, Trust
from quiver.adapters.shared.dispatch import FellBack
from quiver.adapters.shared.over_tcp import Way
from quiver.pool.fallback_table import Route
from quiver.pool_options import spelt
from quiver.streams.body_source import AsyncBodySource

__all__ = ["AsyncHTTP3Transport", "HTTP3Transport"]

if TYPE_CHECKING:  # clients of either library take them
    import httpx  # httpx2's requests and responses are alike

    Transport = Any
    AsyncTransport = Any
else:
    Transport = type("Transport", bases("BaseTransport"), {})
    AsyncTransport = type("AsyncTransport", bases("AsyncBaseTransport"), {})


class HTTP3Transport(Transport):  # type: ignore[misc]
    """Sends the requests of a client of httpx or httpx2 over HTTP/3, and else over TCP.

    `response.http_version` tells which it was. The extension `trailers` of a response is a list
    that is complete when the body has been read. Those of a request are `trailers`, to be sent;
    `sni_hostname`, the name by which the server is to prove itself in place of the URL's; `target`,
    in place of the URL's path and query; and `timeout`.

    Args:
        verify: True, False, a file or folder of roots, or an ssl.SSLContext, which then judges
            the server's certificate as it does over TCP.
        cert: file of our own certificate, or (file, key file).
        fallback: what sends them over TCP: None for the HTTPTransport of the client's library,
            "quiver" for Quiver's own HTTP/2 and HTTP/1.1 (the extra `tcp`), a transport of that
            library, or False for none.
        policy: when HTTP/3 is tried; a `Policy()` by default, which tries it first.
        pools: as `quiver.Client` has them.
        trust_env: whether to heed the environment, which a client with a transport of its own does
            not: what it names a proxy for (`https_proxy`, `http_proxy`, `all_proxy`, `no_proxy`)
            goes over TCP through that, by CONNECT, and not over HTTP/3; and the roots of
            `verify=True` are those of SSL_CERT_FILE or SSL_CERT_DIR, where `pools` names none. With
            `fallback=False`, or a transport of the program's, no proxy is gone through, and a
            warning says so once.

    Raises:
        InvalidOptions: a rule or an option in `pools` is wrong, `fallback` no such name, or a
            context cannot be asked.
        ModuleNotFoundError: the extra `tcp` is not installed, and `fallback` needs it.
        OSError: there is no such certificate file.
        TypeError: `fallback` is no transport.
    """

    @spelt
    def __init__(
        self,
        *,
        verify: Verify = True,
        cert: Certificate = None,
        fallback: object = None,
        policy: Policy | None = None,
        pools: Pools | None = None,
        trust_env: bool = True,
    ) -> None:
        self._ways = TwoWays(
            type(self).__name__,
            tcp="HTTPTransport",
            sends="handle_request",
            verify=verify,
            cert=cert,
            fallback=fallback,
            policy=policy,
            pools=pools,
            trust_env=trust_env,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request with a response of the same library.

        Raises:
            TransportError: of that library, Quiver's error being its cause.
            TypeError: its body, or the fallback, is not what the client takes.
        """
        ways, library = self._ways, library_of(request)
        try:
            ours, proxy = ways.ours(request, library)
            for way in ours:
                with contextlib.suppress(FellBack):
                    return self._ask(request, way, library)
        except errors.QuiverError as error:
            raise library.error(error, request) from error
        with ways.explained(request):
            response: httpx.Response = ways.tcp(library, proxy).handle_request(request)
        ways.answered_over_tcp(request, response)
        return response

    def _ask(self, request: httpx.Request, way: Way, library: Library) -> httpx.Response:
        ways, body = self._ways, request.stream
        trust, route = ways.place(request, way)
        if not isinstance(body, library.module.SyncByteStream):
            raise TypeError(f"the body is a {type(body).__name__}, no SyncByteStream")
        whole = isinstance(body, library.module.ByteStream)
        asked = ways.asked(request, way, route, b"".join(body) if whole else _once(body))
        with way.falling_back(route, asked, trust):
            streamed = way.pool(trust, route).ask(asked)
        way.answered(route, asked, streamed, trust)
        return library.response(streamed, request)

    def close(self) -> None:
        """Stop the pools when nothing is open there any more, and what goes over TCP."""
        self._ways.close()
        for each in self._ways.opened():
            each.close()


class AsyncHTTP3Transport(AsyncTransport):  # type: ignore[misc]
    """HTTP3Transport for an AsyncClient on asyncio.

    The reply is awaited and bodies are read and written by the caller's own tasks: no thread is
    started for a call, and the loop is never blocked. Arguments and errors are the same. In a loop
    that is not asyncio's (trio) requests go over TCP.
    """

    @spelt
    def __init__(
        self,
        *,
        verify: Verify = True,
        cert: Certificate = None,
        fallback: object = None,
        policy: Policy | None = None,
        pools: Pools | None = None,
        trust_env: bool = True,
    ) -> None:
        self._ways = TwoWays(
            type(self).__name__,
            tcp="AsyncHTTPTransport",
            sends="handle_async_request",
            verify=verify,
            cert=cert,
            fallback=fallback,
            policy=policy,
            pools=pools,
            trust_env=trust_env,
        )
        self._found: set[tuple[str, Trust, Route]] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request with a response of the same library.

        Raises:
            RuntimeError: no loop of asyncio's runs here, and there is no TCP.

        Others as of HTTP3Transport.
        """
        ways, library = self._ways, library_of(request)
        try:
            ours, proxy = ways.ours(request, library)
            for way in ours:
                with contextlib.suppress(FellBack):
                    return await self._ask(request, way, library)
        except errors.QuiverError as error:
            raise library.error(error, request) from error
        tcp = ways.tcp(library, proxy)
        with ways.explained(request):
            response: httpx.Response = await tcp.handle_async_request(request)
        ways.answered_over_tcp(request, response)
        return response

    async def _ask(self, request: httpx.Request, way: Way, library: Library) -> httpx.Response:
        ways = self._ways
        trust, route = ways.place(request, way)
        if not self._goes_here():
            raise FellBack
        asked = ways.asked(request, way, route, await _body(request, library))
        with way.falling_back(route, asked, trust):
            pool = await self._pool(way, trust, route)
            streamed = await pool.ask(asked, block=False)
        way.answered(route, asked, streamed, trust)
        return library.response(streamed, request)

    async def _pool(self, way: Way, trust: Trust, route: Route) -> GeventActorRef[Any]:
        """Found at once; but to start it takes the first caller a moment, so elsewhere."""
        key = way.name, trust, route
        if key in self._found:
            return way.pool(trust, route)
        pool = await asyncio.to_thread(way.pool, trust, route)
        self._found.add(key)
        return pool

    async def aclose(self) -> None:
        """Stop the pools when nothing is open there any more, and what goes over TCP."""
        close = self._ways.close  # which may write a file
        await asyncio.to_thread(close) if _in_asyncio() else close()
        for each in self._ways.opened():
            await each.aclose()

    def _goes_here(self) -> bool:
        """Tell whether HTTP/3 can be had in this loop. Raises RuntimeError if TCP cannot either."""
        if not _in_asyncio() and not self._ways.dispatch.falls_back:
            said = "HTTP/3 is had in asyncio alone, no loop of which runs here; with fallback=False"
            raise RuntimeError(f"{said} there is no other way")
        return _in_asyncio()


def _in_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _once(body: Any) -> Iterator[bytes]:
    """It is not touched before it is read: else it goes out over TCP as it is."""
    yield from body


async def _body(request: httpx.Request, library: Library) -> bytes | AsyncBodySource:
    body = request.stream
    if not isinstance(body, library.module.AsyncByteStream):
        raise TypeError(f"the body is a {type(body).__name__}, no AsyncByteStream")
    if isinstance(body, library.module.ByteStream):
        return b"".join([piece async for piece in body])
    length = request.headers.get("content-length")
    known = int(length) if length is not None and length.isdigit() else None
    return AsyncBodySource(body, asyncio.get_running_loop(), known)
