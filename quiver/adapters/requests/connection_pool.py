"""What stands in the place of urllib3's connection pool: ours first, then that pool over TCP."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, Retry, Timeout
from urllib3.exceptions import HTTPError, UnrewindableBodyError

from quiver.adapters.requests.bodies import TextFile, body_source
from quiver.adapters.requests.retries import after_answer, after_error, retries_for
from quiver.adapters.requests.tls_options import TLSOptions, warn_of_unverified
from quiver.adapters.requests.urllib3_errors import as_urllib3_error
from quiver.adapters.requests.urllib3_response import StreamedHTTPResponse
from quiver.adapters.shared.dispatch import Dispatch, FellBack
from quiver.adapters.shared.over_tcp import Way
from quiver.errors import InvalidError, InvalidOptions, QuiverError
from quiver.pool.fallback_table import Route
from quiver.request import StreamRequest
from quiver.streams.body_source import BodySource

__all__ = ["OurPools"]

Headers = Mapping[str, str | bytes]


class OurPools:
    """For one request of requests' HTTPAdapter, which asks nothing of a pool but `urlopen`.

    Each try, of as many as `Retry` allows, goes the first way, over HTTP/3 where the policy says
    so. Once one has gone the next way those after it do so as well: HTTP/3 is left alone there for
    a while. What none of ours takes goes by urllib3's pool.

    Args:
        dispatch: that of the adapter.
        ways: HTTP/3 and what else is of ours, in the order in which they are tried.
        url: the whole URL.
        tls: what urllib3's pool would be given of TLS.
        tcp: finds urllib3's own pool, or raises FellBack; called only when it is needed.

    Attributes:
        cert_reqs, ca_certs, ca_cert_dir, cert_file, key_file: as of urllib3's pool, set by
            HTTPAdapter's `cert_verify`.
    """

    cert_reqs: str | None = None
    ca_certs: str | bytes | None = None
    ca_cert_dir: str | bytes | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __init__(
        self,
        dispatch: Dispatch,
        ways: Sequence[Way],
        url: str,
        tls: TLSOptions,
        tcp: Callable[[], HTTPConnectionPool],
    ) -> None:
        self._dispatch = dispatch
        self._ways = ways
        self._url = url
        self._tls = tls
        self._tcp = tcp

    def __str__(self) -> str:
        return "Quiver"  # what is said behind it names the origin

    def urlopen(
        self,
        method: str,
        url: str,
        body: Any = None,
        headers: Headers | None = None,
        retries: Retry | bool | int | None = None,
        *,
        timeout: Timeout,
        **options: Any,
    ) -> BaseHTTPResponse:
        """Send a request and return its response, as urllib3's pools do; `options` are for TCP.

        Raises:
            HTTPError: urllib3's, whose `__cause__` is Quiver's where that was asked.
            InvalidError: we have no words for it, and it is not for urllib3's pool either.
            FellBack: it is to go over TCP by other means.
        """
        left = retries if isinstance(retries, Retry) else Retry.from_int(retries)
        headers = headers or {}
        for way in self._ways:
            source = body_source(body)
            ask = partial(self._ask, way, method, url, headers, source, timeout)
            while True:
                try:
                    response = ask()
                except FellBack:
                    break
                except HTTPError as error:
                    left = after_error(retries_for(left, source), method, url, error, self)
                    continue
                more = after_answer(retries_for(left, source), method, url, response, self)
                if more is None:
                    response.retries = left
                    return response
                left = more
            if isinstance(source, BodySource) and not source.withdraw():
                raise UnrewindableBodyError("the body has changed since it was sent over HTTP/3")
            left = retries_for(left, source)
        fields: Any = headers  # urllib3 takes values of bytes, and says it does not
        answer = self._tcp().urlopen(method, url, body, fields, left, timeout=timeout, **options)
        self._dispatch.answered_over_tcp(self._url, answer.headers.get("alt-svc"))
        return answer

    def _ask(
        self,
        way: Way,
        method: str,
        url: str,
        headers: Headers,
        source: bytes | BodySource | None,
        timeout: Timeout,
    ) -> StreamedHTTPResponse:
        """Try it once. Raises HTTPError, InvalidError, and FellBack when it is to go on."""
        try:
            trust = self._tls.trust(self)
            route, _ = way.route(self._url, trust)
        except InvalidOptions as error:
            raise (FellBack() if self._is_for_tcp(error) else error) from None
        if route is None:
            raise FellBack
        asked = self._asked(way, route, method, url, headers, source, timeout)
        try:
            with way.falling_back(route, asked, trust):
                streamed = way.pool(trust, route).ask(asked)
        except QuiverError as error:
            if self._is_for_tcp(error):
                raise FellBack from None
            if isinstance(error, InvalidError):
                raise
            raise as_urllib3_error(error, self, url) from error
        way.answered(route, asked, streamed, trust)
        if trust.verify is False and route.origin.scheme == "https":
            warn_of_unverified(route.origin, streamed.http_version)
        return StreamedHTTPResponse(streamed, method, url)

    def _is_for_tcp(self, error: QuiverError) -> bool:
        """Whether it is of TLS options that the program has given, which TCP knows."""
        return isinstance(error, InvalidOptions) and self._tls.given and self._dispatch.falls_back

    def _asked(
        self,
        way: Way,
        route: Route,
        method: str,
        url: str,
        headers: Headers,
        source: bytes | BodySource | None,
        timeout: Timeout,
    ) -> StreamRequest:
        fields: Iterable[tuple[str, str | bytes]] = headers.items()
        if isinstance(source, TextFile):  # requests has counted characters, or bytes on the disk
            fields = [pair for pair in fields if pair[0].lower() != "content-length"]
            length = source.counted()
            if length is not None:
                fields.append(("content-length", str(length)))
        limits = timeout
        if timeout.total is not None:  # which begins to run now
            limits = timeout.clone()
            limits.start_connect()
        connect, read = _seconds(limits.connect_timeout), _seconds(limits.read_timeout)
        return way.asked(
            route,
            method,
            url,
            fields,
            body=source,
            connect_timeout=way.connect_timeout(connect),
            receive_timeout=read,
        )


def _seconds(limit: object) -> float | None:
    return float(limit) if isinstance(limit, int | float) else None
