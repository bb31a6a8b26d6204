"""HTTP3Adapter: HTTP/3 under a requests.Session.

session.mount("https://", HTTP3Adapter())
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, cast

from quiver.adapters.extras import extra

with extra("requests"):
    import requests
    from requests.adapters import BaseAdapter, HTTPAdapter
    from requests.cookies import extract_cookies_to_jar
    from requests.structures import CaseInsensitiveDict
    from requests.utils import get_encoding_from_headers, select_proxy
    from urllib3 import Timeout

from quiver import errors
from quiver.adapters.clients import Clients, Pools, Trust
from quiver.adapters.fallback import Route
from quiver.adapters.outgoing import outgoing, split, trusting
from quiver.adapters.policy import Policy
from quiver.adapters.raw import Raw
from quiver.body import StreamedResponse
from quiver.request import StreamRequest

__all__ = ["HTTP3Adapter"]

ERRORS: Final[tuple[tuple[type[errors.QuiverError], type[requests.RequestException]], ...]] = (
    (errors.ConnectTimeout, requests.ConnectTimeout),
    (errors.CheckoutTimeout, requests.ConnectTimeout),
    (errors.ReceiveTimeout, requests.ReadTimeout),
    (errors.RequestTimeout, requests.ReadTimeout),
    (errors.CertificateInvalid, requests.exceptions.SSLError),
    (errors.HandshakeFailed, requests.exceptions.SSLError),
    (errors.InvalidURL, requests.exceptions.InvalidURL),
    (errors.InvalidRequest, requests.exceptions.InvalidHeader),
    (errors.InvalidOptions, requests.exceptions.SSLError),
    (errors.QuiverError, requests.ConnectionError),
)
"""The first that an error is one of names what requests calls it."""

TimeoutOption = None | float | tuple[float | None, float | None] | Timeout


class HTTP3Adapter(BaseAdapter):
    """Sends a session's requests over HTTP/3, and over TCP where that is not to be had.

    `response.raw.version` tells which it was: 30, 11 or 10.

    Args:
        fallback: what sends them over TCP; None for requests' own HTTPAdapter, False for none.
        policy: when HTTP/3 is tried; a `Policy()` by default, which tries it first.
        pools: as `quiver.Client` has them.

    Raises:
        InvalidOptions: a rule or an option in `pools` is wrong.
    """

    def __init__(
        self,
        *,
        fallback: BaseAdapter | bool | None = None,
        policy: Policy | None = None,
        pools: Pools | None = None,
    ) -> None:
        super().__init__()
        self._policy = policy or Policy()
        self._clients = Clients(pools)
        self._fallback = fallback if isinstance(fallback, BaseAdapter) else HTTPAdapter()
        self._falls_back = fallback is not False

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """As requests' own adapter has it; `timeout` is (connect, read) in seconds.

        Raises:
            requests.RequestException: mapped from Quiver's error, which is its `__cause__`.
            ValueError: the method, the body or `timeout` is none.
            OSError: there is no such certificate file.
        """
        limits = _limits(timeout)
        try:
            route, target = self._route(request, proxies)
            if route is not None:
                return self._ask(request, route, target, limits, Trust.of(verify, cert))
        except _GaveWay:
            pass
        except errors.QuiverError as error:
            raise _mapped(error, request) from error
        response = self._fallback.send(request, stream, timeout, verify, cert, cast(Any, proxies))
        self._heard(request, response)
        return response

    def close(self) -> None:
        """Stop the pools. They start again when they are needed again."""
        self._clients.close()
        self._fallback.close()

    def _route(
        self, request: requests.PreparedRequest, proxies: Mapping[str, str] | None
    ) -> tuple[Route | None, str]:
        """Where HTTP/3 is to be tried; None for TCP."""
        url = str(request.url)
        if self._falls_back and not url.lower().startswith("https:"):
            return None, ""
        if select_proxy(url, dict(proxies or {})):
            if not self._falls_back:
                raise requests.exceptions.ProxyError("HTTP/3 takes no proxy", request=request)
            return None, ""
        origin, target = split(url)
        route = self._policy.route(origin)
        return route or (None if self._falls_back else Route(origin, origin)), target

    def _ask(
        self,
        request: requests.PreparedRequest,
        route: Route,
        target: str,
        limits: tuple[float | None, float | None],
        trust: Trust,
    ) -> requests.Response:
        asked = self._outgoing(request, route, target, limits)
        client = self._clients.of(trusting(trust, route))
        try:
            streamed = client.pool(str(route.place)).ask(asked)
        except errors.QuiverError as error:
            if self._falls_back and self._policy.gives_way(route.origin, asked, error):
                raise _GaveWay from None
            raise
        self._policy.succeeded(route.origin)
        self._policy.heard(route.origin, streamed.header("alt-svc"))
        return self._response(request, streamed)

    def _outgoing(
        self,
        request: requests.PreparedRequest,
        route: Route,
        target: str,
        limits: tuple[float | None, float | None],
    ) -> StreamRequest:
        connect, read = limits
        if self._falls_back:
            connect = min(connect or self._policy.fallback_after, self._policy.fallback_after)
        return outgoing(
            route,
            str(request.method),
            target,
            request.headers.items(),
            body=_body(request.body),
            connect_timeout=connect,
            receive_timeout=read,
        )

    def _response(
        self, request: requests.PreparedRequest, streamed: StreamedResponse
    ) -> requests.Response:
        raw = Raw(streamed, request.method, request.url)
        response = requests.Response()
        response.status_code = raw.status
        response.headers = CaseInsensitiveDict(raw.headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw = raw
        response.reason = raw.reason or ""
        response.url = str(request.url)
        response.request = request
        response.connection = cast(Any, self)  # any adapter will do
        extract_cookies_to_jar(response.cookies, request, raw)
        return response

    def _heard(self, request: requests.PreparedRequest, response: requests.Response) -> None:
        """Only the origin's own word over TLS counts (RFC 7838 2.1)."""
        told = response.headers.get("alt-svc")
        if told is not None and str(request.url).lower().startswith("https:"):
            self._policy.heard(split(str(request.url))[0], told)


class _GaveWay(Exception):
    """HTTP/3 did not come about, and nothing was lost."""


def _limits(timeout: TimeoutOption) -> tuple[float | None, float | None]:
    """Connect and read, in seconds. Raises ValueError as requests does."""
    if isinstance(timeout, Timeout):
        given = timeout
    elif isinstance(timeout, tuple):
        if len(timeout) != 2:
            raise ValueError(f"Invalid timeout {timeout}. Pass a (connect, read) timeout tuple")
        given = Timeout(connect=timeout[0], read=timeout[1])
    else:
        given = Timeout(connect=timeout, read=timeout)
    connect, read = given.connect_timeout, given.read_timeout
    return _seconds(connect), _seconds(read)


def _seconds(limit: Any) -> float | None:
    return float(limit) if isinstance(limit, int | float) else None


def _body(body: Any) -> Any:
    """Text becomes UTF-8, as urllib3 has it, also piece by piece."""
    if isinstance(body, str):
        return body.encode()
    if body is None or isinstance(body, bytes | bytearray) or hasattr(body, "read"):
        return body
    return _Encoded(body)


class _Encoded:
    """An iterable of bytes or text as one of bytes."""

    def __init__(self, pieces: Iterable[bytes | str]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            yield piece.encode() if isinstance(piece, str) else piece


def _mapped(error: errors.QuiverError, request: requests.PreparedRequest) -> Exception:
    if isinstance(error, errors.InvalidRequest) and not error.message.startswith("header"):
        return ValueError(str(error))  # as http.client calls a bad method, say
    kind = next(theirs for ours, theirs in ERRORS if isinstance(error, ours))
    return kind(error, request=request)
