"""The ways out of a transport, HTTP/3 and TCP, and which of them a request takes."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final

import attrs

from quiver.adapters.httpx.environment import Environment
from quiver.adapters.httpx.library import Library, name_of
from quiver.adapters.policy import Policy
from quiver.adapters.shared.clients_by_trust import Certificate, Pools, Trust
from quiver.adapters.shared.dispatch import Dispatch, FellBack
from quiver.adapters.shared.over_tcp import QuiverFallback, Way, is_quivers, log_proxy
from quiver.errors import InvalidRequest
from quiver.pool.fallback_table import Route
from quiver.request import StreamRequest
from quiver.request_options import BodyLike

if TYPE_CHECKING:
    import httpx  # httpx2's are alike

__all__ = ["TwoWays", "Verify"]

AT_ONCE: Final = 1e-6  # seconds: 0 is no limit of a pool, and here one that is over already
NO_LIMIT: Final = 1e9  # seconds: None here is as the pool has it, and there it means no limit

Verify = ssl.SSLContext | str | bool


class TwoWays:
    """What the transports for threads and for asyncio have in common.

    Args:
        name: of the transport.
        tcp: the name of the library's transport for TCP.
        sends: the name of the method by which a transport sends.
        verify, cert, fallback, policy, pools, trust_env: as the transports have them.

    Raises:
        TypeError: `fallback` is no transport.
        InvalidOptions, ModuleNotFoundError, OSError: as of the transports.
    """

    def __init__(
        self,
        name: str,
        *,
        tcp: str,
        sends: str,
        verify: Verify,
        cert: Certificate,
        fallback: object,
        policy: Policy | None,
        pools: Pools | None,
        trust_env: bool,
    ) -> None:
        own = is_quivers(fallback)
        given = None if own or isinstance(fallback, bool) else fallback
        if given is not None and not callable(getattr(given, sends, None)):
            raise TypeError(f"fallback={given!r} is no transport: it has no {sends}()")
        goes = fallback is not False and given is None
        self._environment = Environment(name, trust_env=trust_env, tcp=goes)
        usual = self._environment.roots() if verify is True else None
        self.dispatch = Dispatch(policy, pools, falls_back=fallback is not False, usual=usual)
        self._own = QuiverFallback(self.dispatch.policy, pools, usual) if own else None
        self._trust = Trust.of(verify, cert)
        self.dispatch.clients.of(self._trust)  # what cannot be had is refused here
        self._given = given
        self._tcp, self._verify, self._cert = tcp, verify, cert
        self._made: dict[tuple[str, str | None], Any] = {}  # for TCP, by library and proxy

    def ours(self, request: httpx.Request, library: Library) -> tuple[list[Way], str | None]:
        """Return the ways of ours that it may go, in order; and the URL of its proxy, if any.

        HTTP/3 goes through none. Where a library for tests stands it goes none of our ways.

        Raises:
            InvalidOptions: the proxy is none that is spoken to.
        """
        if library.mocked():
            return [], None
        proxy = self._environment.proxy(request.url)
        ways: list[Way] = [self.dispatch]
        if proxy is not None:
            log_proxy(str(request.url), proxy)
            ways = []
        return (ways if self._own is None else [*ways, self._own.through(proxy)]), proxy

    def place(self, request: httpx.Request, way: Way) -> tuple[Trust, Route]:
        """Return whom to believe, and where to go.

        Raises:
            FellBack: not this way.
            InvalidURL: HTTP/3 cannot take it, and there is no TCP.
        """
        trust = self.trust(request)
        route, _ = way.route(str(request.url), trust)
        if route is None:
            raise FellBack
        return trust, route

    def trust(self, request: httpx.Request) -> Trust:
        """Return whom to believe: by the name that the extension `sni_hostname` gives, if any.

        Raises:
            InvalidRequest: it is no text.
        """
        name = request.extensions.get("sni_hostname")
        if not name:
            return self._trust
        name = name.decode("ascii", "replace") if isinstance(name, bytes) else name
        if not isinstance(name, str):
            raise InvalidRequest(f"extension sni_hostname: a {type(name).__name__} is no name")
        return attrs.evolve(self._trust, server_name=name)

    def asked(
        self, request: httpx.Request, way: Way, route: Route, body: BodyLike
    ) -> StreamRequest:
        """Make the request for a way. Errors as of `Dispatch.asked`."""
        given = request.extensions.get("timeout", {})
        limits = {kind: AT_ONCE if limit == 0 else limit for kind, limit in given.items()}
        return way.asked(
            route,
            request.method,
            _target(request),
            request.headers.raw,
            body=body or None,  # an empty one is the library's word for none
            trailers=request.extensions.get("trailers", ()),
            connect_timeout=way.connect_timeout(limits.get("connect")),
            receive_timeout=limits.get("read"),
            send_timeout=limits.get("write") or NO_LIMIT,
            checkout_timeout=limits.get("pool"),
        )

    def tcp(self, library: Library, proxy: str | None) -> Any:
        """Return the library's transport for TCP, through a proxy, or the one that was given.

        Raises:
            TypeError: the one that was given is of another library than the client.
        """
        if self._given is None:
            made = self._made.get((library.name, proxy))
            if made is None:
                # Two threads may come here: both take the one that was put in first.
                made = self._made.setdefault((library.name, proxy), self._stock(library, proxy))
            return made
        theirs = name_of(self._given)  # None: a class of the program's own
        if theirs is not None and theirs != library.name:
            kind = type(self._given).__name__
            raise TypeError(f"fallback: {kind} is of {theirs}, but the client of {library.name}")
        return self._given

    def _stock(self, library: Library, proxy: str | None) -> Any:
        """The library's own transport; of a proxy of `https://` it judges the certificate alike."""
        verify, trusted, module = _context(self._verify), self._environment.trusted, library.module
        through = None
        if proxy is not None:
            secure = proxy.startswith("https:")
            context = module.create_ssl_context(verify, trust_env=trusted) if secure else None
            through = module.Proxy(proxy, ssl_context=context)
        kind = getattr(module, self._tcp)
        return kind(verify=verify, cert=self._cert, trust_env=trusted, proxy=through)

    def explained(self, request: httpx.Request) -> AbstractContextManager[None]:
        """Have an error of TCP say why HTTP/3 had failed, too."""
        trust: Trust | None = None
        with contextlib.suppress(InvalidRequest):
            trust = self.trust(request)
        return self.dispatch.policy.explained(str(request.url), trust)

    def answered_over_tcp(self, request: httpx.Request, response: httpx.Response) -> None:
        """Take in what the origin says of HTTP/3."""
        self.dispatch.answered_over_tcp(str(request.url), response.headers.get("alt-svc"))

    def close(self) -> None:
        """Let go of the pools."""
        self.dispatch.close()
        if self._own is not None:
            self._own.close()

    def opened(self) -> Iterator[Any]:
        """Give the transports for TCP that are there, to be closed."""
        if self._given is not None:
            yield self._given
        while self._made:
            yield self._made.popitem()[1]


def _target(request: httpx.Request) -> str:
    """The URL's path and query, or what the extension `target` has in their place."""
    target = request.extensions.get("target", request.url.raw_path)
    return target.decode("latin-1") if isinstance(target, bytes) else target


def _context(verify: Verify) -> ssl.SSLContext | bool:
    """httpx takes contexts; a path is still understood, with a warning."""
    if not isinstance(verify, str):
        return verify
    if os.path.isdir(verify):
        return ssl.create_default_context(capath=verify)
    return ssl.create_default_context(cafile=verify)
