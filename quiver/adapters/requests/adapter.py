"""The adapter that a session mounts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from quiver.adapters.shared.optional_imports import extra

with extra("requests"):
    import requests
    from requests.adapters import BaseAdapter, HTTPAdapter
    from requests.cookies import extract_cookies_to_jar
    from requests.structures import CaseInsensitiveDict
    from requests.utils import get_encoding_from_headers, select_proxy
    from urllib3 import Timeout

from quiver import errors
from quiver.adapters.policy import Policy
from quiver.adapters.requests.bodies import TextFile, translated_body
from quiver.adapters.requests.urllib3_response import StreamedHTTPResponse
from quiver.adapters.shared.clients_by_trust import Pools, Trust
from quiver.adapters.shared.dispatch import Dispatch, FellBack, kind_of
from quiver.adapters.shared.fallback_table import Route
from quiver.request import StreamRequest
from quiver.streams.response import StreamedResponse

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
        self._dispatch = Dispatch(policy, pools, falls_back=fallback is not False)
        self._fallback = fallback if isinstance(fallback, BaseAdapter) else HTTPAdapter()

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: TimeoutOption = None,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send a request as requests' own adapter does; `timeout` is (connect, read) in seconds.

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
        except FellBack:
            pass
        except errors.QuiverError as error:
            raise _mapped(error, request) from error
        with self._dispatch.policy.explained(str(request.url)):
            response = self._fallback.send(
                request, stream, cast(Any, timeout), verify, cert, cast(Any, proxies)
            )
        self._dispatch.answered_over_tcp(str(request.url), response.headers.get("alt-svc"))
        return response

    def close(self) -> None:
        """Stop the pools. They start again when they are needed again."""
        self._dispatch.close()
        self._fallback.close()

    def _route(
        self, request: requests.PreparedRequest, proxies: Mapping[str, str] | None
    ) -> tuple[Route | None, str]:
        """Return where HTTP/3 is to be tried, None for TCP; and the request's target."""
        url = str(request.url)
        if select_proxy(url, dict(proxies or {})):
            if not self._dispatch.falls_back:
                raise requests.exceptions.ProxyError("HTTP/3 takes no proxy", request=request)
            return None, ""
        return self._dispatch.route(url)

    def _ask(
        self,
        request: requests.PreparedRequest,
        route: Route,
        target: str,
        limits: tuple[float | None, float | None],
        trust: Trust,
    ) -> requests.Response:
        asked = self._asked(request, route, target, limits)
        with self._dispatch.falling_back(route, asked):
            streamed = self._dispatch.pool(trust, route).ask(asked)
        self._dispatch.answered(route, streamed)
        return self._response(request, streamed)

    def _asked(
        self,
        request: requests.PreparedRequest,
        route: Route,
        target: str,
        limits: tuple[float | None, float | None],
    ) -> StreamRequest:
        connect, read = limits
        body = translated_body(request.body)
        headers: Iterable[tuple[str, str | bytes]] = request.headers.items()
        if isinstance(body, TextFile):  # requests has counted characters, or bytes on the disk
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
        return self._dispatch.asked(
            route,
            str(request.method),
            target,
            headers,
            body=body,
            connect_timeout=self._dispatch.connect_timeout(connect),
            receive_timeout=read,
        )

    def _response(
        self, request: requests.PreparedRequest, streamed: StreamedResponse
    ) -> requests.Response:
        raw = StreamedHTTPResponse(streamed, request.method, request.url)
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


def _limits(timeout: TimeoutOption) -> tuple[float | None, float | None]:
    """Return connect and read, in seconds. Raises ValueError as requests does."""
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


def _seconds(limit: object) -> float | None:
    return float(limit) if isinstance(limit, int | float) else None


def _mapped(error: errors.QuiverError, request: requests.PreparedRequest) -> Exception:
    if isinstance(error, errors.InvalidRequest) and not error.message.startswith("header"):
        return ValueError(str(error))  # as http.client calls a bad method, say
    return kind_of(error, ERRORS)(error, request=request)
