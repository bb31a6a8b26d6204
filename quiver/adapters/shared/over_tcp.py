"""Quiver's own HTTP/2 and HTTP/1.1, where an adapter is told to fall back to these.

A request goes to them as it goes to HTTP/3 by `Dispatch`, which has the same methods. What they do
not take either, a Host that is none, say, is left to the other library.
"""

from __future__ import annotations

import contextlib
import difflib
import logging
from collections.abc import Iterable, Iterator
from typing import Any, Final, Unpack

from quiver.actors.actor import GeventActorRef
from quiver.adapters.policy import Policy
from quiver.adapters.shared.clients_by_trust import ClientsByTrust, Pools, Trust
from quiver.adapters.shared.dispatch import Dispatch, leaving_the_odd
from quiver.adapters.shared.request_translation import Options, split, translated
from quiver.errors import InvalidOptions, InvalidURL
from quiver.pool.fallback_table import Route
from quiver.pool.protocols import chosen
from quiver.proxies import Proxy
from quiver.redaction import redacted_url
from quiver.request import StreamRequest
from quiver.streams.response import StreamedResponse

__all__ = ["OverTCP", "QuiverFallback", "Way", "is_quivers", "log_proxy"]

NAME: Final = "quiver"
PROTOCOLS: Final = ("h2", "http/1.1")

logger = logging.getLogger("quiver.adapters")


def is_quivers(fallback: object) -> bool:
    """Tell whether an adapter is to fall back to Quiver's own HTTP/2 and HTTP/1.1.

    Raises:
        InvalidOptions: it is another name, or True.
    """
    if (not isinstance(fallback, str) and fallback is not True) or fallback == NAME:
        return isinstance(fallback, str)
    if isinstance(fallback, str) and difflib.get_close_matches(fallback.lower(), [NAME]):
        raise InvalidOptions(f"fallback={fallback!r}: did you mean {NAME!r}?")
    said = f"must be {NAME!r}, None for the library's own, False for none, or one of that library"
    raise InvalidOptions(f"fallback={fallback!r}: {said}")


def log_proxy(url: str, proxy: str) -> None:
    """Say that a request goes through a proxy, and so over TCP, by whatever means."""
    if logger.isEnabledFor(logging.DEBUG):
        about = redacted_url(url), redacted_url(proxy)
        logger.debug("%s: over TCP, because: HTTP/3 does not go through the proxy %s", *about)


class QuiverFallback:
    """The pools over TCP of one adapter.

    Args:
        policy: is told of alternative services.
        pools: as `quiver.Client` has them.
        usual: the trust of a rule in `pools` that names no roots.

    Raises:
        InvalidOptions: a rule or an option in `pools` is wrong.
        ModuleNotFoundError: the extra `tcp` is not installed.
    """

    def __init__(self, policy: Policy, pools: Pools | None, usual: Trust | None = None) -> None:
        self._policy = policy
        self._clients = ClientsByTrust(pools, chosen(PROTOCOLS), usual)

    def through(self, proxy: str | None) -> OverTCP:
        """Return the way through a proxy, by its URL; None: directly.

        Raises:
            InvalidOptions: it is none that is spoken to.
        """
        return OverTCP(self._policy, self._clients, proxy)

    def close(self) -> None:
        """Let go of them all; a response that is read stays readable."""
        self._clients.close()


class OverTCP:
    """The way over TCP of one request.

    Attributes:
        name: tells it from other ways.

    Raises:
        InvalidOptions: the proxy is none that is spoken to.
    """

    def __init__(self, policy: Policy, clients: ClientsByTrust, proxy: str | None) -> None:
        self._policy = policy
        self._clients = clients
        self._proxy = proxy
        through = "" if proxy is None else f" through {Proxy.parse(proxy)}"
        self.name = f"TCP{through}"

    def takes(self, url: str) -> bool:
        """Tell whether Quiver knows such URLs."""
        return self.route(url, Trust())[0] is not None

    def route(self, url: str, _trust: Trust) -> tuple[Route | None, str]:
        """Return where to go, None for the other library; and the request's target."""
        try:
            origin, target = split(url, plain=True)
        except InvalidURL:
            return None, ""
        return Route(origin, origin), target

    def asked(
        self,
        route: Route,
        method: str,
        target: str,
        headers: Iterable[tuple[str | bytes, str | bytes]],
        **options: Unpack[Options],
    ) -> StreamRequest:
        """Make the request, as `Dispatch.asked` does.

        Raises:
            FellBack: Quiver refuses the Host or a length.
            InvalidRequest: it is something else that is wrong.
        """
        headers = list(headers)
        if self._proxy is not None:  # which is told by CONNECT what is for it, and the origin not
            headers = [pair for pair in headers if not _is_for_a_proxy(pair[0])]
        with leaving_the_odd(target, headers):
            return translated(route, method, target, headers, **options)

    def pool(self, trust: Trust, route: Route) -> GeventActorRef[Any]:
        """Return the pool for a route, started if it is not there."""
        return self._clients.pool(trust, route.place, proxy=self._proxy)

    def connect_timeout(self, given: float | None) -> float | None:
        """Return `given`: no other way waits behind this one."""
        return given

    @contextlib.contextmanager
    def falling_back(self, route: Route, _asked: StreamRequest, trust: Trust) -> Iterator[None]:
        """Have an error say why HTTP/3 had failed before, if it had."""
        with self._policy.explained(str(route.origin), trust):
            yield

    def answered(
        self, route: Route, _asked: StreamRequest, streamed: StreamedResponse, _trust: Trust
    ) -> None:
        """Take in what the origin says of other places, over TLS (RFC 7838 2.1)."""
        if route.origin.scheme == "https" and streamed.status != 421:  # RFC 7838 6
            self._policy.heard(route.origin, streamed.header("alt-svc"))


def _is_for_a_proxy(name: str | bytes) -> bool:
    return name.lower() in ("proxy-authorization", b"proxy-authorization")


Way = Dispatch | OverTCP
