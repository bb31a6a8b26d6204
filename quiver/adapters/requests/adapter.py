"""The adapter that a session mounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, cast

from quiver.optional_imports import extra

with extra("requests"):
    import requests
    from requests.adapters import DEFAULT_POOLSIZE, BaseAdapter, HTTPAdapter
    from requests.utils import select_proxy
    from urllib3 import HTTPConnectionPool, Retry, Timeout

from quiver import errors
from quiver.adapters.policy import Policy
from quiver.adapters.requests.connection_pool import OurPools
from quiver.adapters.requests.tls_options import TLSOptions, trust_of
from quiver.adapters.requests.urllib3_errors import cause_among
from quiver.adapters.shared.clients_by_trust import Pools, Trust
from quiver.adapters.shared.dispatch import Dispatch, FellBack, with_notes
from quiver.adapters.shared.over_tcp import QuiverFallback, Way, is_quivers, log_proxy
from quiver.pool_options import spelt

__all__ = ["HTTP3Adapter"]

TimeoutOption = None | float | tuple[float | None, float | None] | Timeout
Verify = bool | str
Certificate = str | tuple[str, str] | None
Proxies = Mapping[str, str] | None


class HTTP3Adapter(HTTPAdapter):
    """Sends a session's requests over HTTP/3, and over TCP where that is not to be had.

    It is requests' own adapter, with another connection pool for https: what subclasses, mocks and
    caches do to that one they do to this. `response.raw.version` tells what answered: 30, 20, 11
    or 10.

    Args:
        pool_connections: over TCP: origins whose connections are kept.
        pool_maxsize: over TCP: connections that are kept for each.
        max_retries: as HTTPAdapter has it, over both; but what can be sent once is not sent again.
        pool_block: over TCP: whether to wait for a connection when all are in use.
        fallback: what sends them over TCP; None for this adapter itself, "quiver" for Quiver's
            own HTTP/2 and HTTP/1.1 (the extra `tcp`), False for nothing.
        policy: when HTTP/3 is tried; a `Policy()` by default, which tries it first.
        pools: as `quiver.Client` has them.

    Raises:
        InvalidOptions: a rule or an option in `pools` is wrong, or `fallback` no such name.
        ModuleNotFoundError: the extra `tcp` is not installed, and `fallback` needs it.
        TypeError: `fallback` is no adapter.
    """

    __attrs__: list[str] = [  # noqa: RUF012 - as requests declares what is kept of a copy
        *HTTPAdapter.__attrs__,
        "_given_fallback",
        "_given_policy",
        "_given_pools",
    ]

    @spelt
    def __init__(
        self,
        pool_connections: int = DEFAULT_POOLSIZE,
        pool_maxsize: int = DEFAULT_POOLSIZE,
        max_retries: int | Retry = 0,
        pool_block: bool = False,
        *,
        fallback: BaseAdapter | Literal[False] | str | None = None,
        policy: Policy | None = None,
        pools: Pools | None = None,
    ) -> None:
        self._given_fallback = fallback
        self._given_policy = policy
        self._given_pools = pools
        self._begin()
        super().__init__(pool_connections, pool_maxsize, max_retries, pool_block)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Begin anew with the same options: connections are not copied."""
        super().__setstate__(state)
        self._begin()

    def _begin(self) -> None:
        given = self._given_fallback
        own = is_quivers(given)
        if not isinstance(given, BaseAdapter | bool | str | None):
            raise TypeError(f"fallback={given!r} is no adapter of requests")
        self._dispatch = Dispatch(
            self._given_policy, self._given_pools, falls_back=given is not False
        )
        self._own = QuiverFallback(self._dispatch.policy, self._given_pools) if own else None
        self._fallback = given if isinstance(given, BaseAdapter) else None

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: TimeoutOption = None,
        verify: Verify = True,
        cert: Certificate = None,
        proxies: Proxies = None,
    ) -> requests.Response:
        """Send a request as requests' own adapter does; `timeout` is (connect, read) in seconds.

        Raises:
            requests.RequestException: for Quiver's error, which is its `__cause__`.
            ValueError: the method, the body or `timeout` is none.
            OSError: there is no such certificate file.
        """
        url, rest = str(request.url), cast(Any, (stream, timeout, verify, cert, proxies))
        try:
            return super().send(request, *rest)
        except FellBack:
            pass
        except errors.QuiverError as error:
            raise _mapped(error, request) from error
        except requests.RequestException as error:
            cause = cause_among(error)
            if cause is not None:
                raise with_notes(error, cause) from cause
            if select_proxy(url, dict(proxies or {})):
                raise  # HTTP/3 was not tried
            with self._dispatch.policy.explained(url, trust_of(verify, cert)):
                raise
        assert self._fallback is not None
        with self._dispatch.policy.explained(url, trust_of(verify, cert)):
            response = self._fallback.send(request, *rest)
        self._dispatch.answered_over_tcp(url, response.headers.get("alt-svc"))
        return response

    def close(self) -> None:
        """Let go of all pools, at once; responses that are read stay readable.

        They start again when they are needed again.
        """
        super().close()
        self._dispatch.close()
        if self._own is not None:
            self._own.close()
        if self._fallback is not None:
            self._fallback.close()

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: Verify,
        proxies: Proxies = None,
        cert: Certificate = None,
    ) -> Any:
        """Return what sends the request: our pools before urllib3's, or that one alone."""
        url, given = str(request.url), dict(proxies or {})
        proxy = select_proxy(url, given) if given else None
        if proxy and not self._dispatch.falls_back:
            raise requests.exceptions.ProxyError("HTTP/3 takes no proxy", request=request)
        ways = self._ways(request, url, proxy or None)
        if not ways:
            return super().get_connection_with_tls_context(request, verify, given, cert)
        tcp = lambda: self._pool_over_tcp(request, verify, cert, given)  # noqa: E731
        tls = self._tls_options(request, verify, cert, proxy)
        return OurPools(self._dispatch, ways, url, tls, tcp)

    def _ways(self, request: requests.PreparedRequest, url: str, proxy: str | None) -> list[Way]:
        """The ways of ours that it may go, in order: HTTP/3 takes no proxy."""
        ways: list[Way] = []
        if proxy is not None:
            log_proxy(url, proxy)
        elif self._dispatch.takes(url) or self._fallback is not None:
            ways.append(self._dispatch)
        if self._own is not None:
            try:
                own = self._own.through(proxy)
            except errors.InvalidOptions as error:
                raise requests.exceptions.InvalidProxyURL(error, request=request) from error
            ways += [own] if own.takes(url) else []
        return ways

    def _tls_options(
        self,
        request: requests.PreparedRequest,
        verify: Verify,
        cert: Certificate,
        proxy: str | None,
    ) -> TLSOptions:
        """What urllib3's pool would have: of subclasses, in either of the two places, too.

        Of `http://` there is nothing to verify but a proxy of `https://`, whatever `cert_verify`
        says of that.
        """
        plain = None
        if str(request.url).lower().startswith("http:"):
            secure = proxy is not None and proxy.lower().startswith("https:")
            plain = Trust.of(verify) if secure else Trust()
        _, own = self.build_connection_pool_key_attributes(request, verify, cert)
        options = {**self.poolmanager.connection_pool_kw, **own}
        return TLSOptions(options, bundled=verify is True, plain=plain)

    def _pool_over_tcp(
        self,
        request: requests.PreparedRequest,
        verify: Verify,
        cert: Certificate,
        proxies: Mapping[str, str],
    ) -> HTTPConnectionPool:
        if self._fallback is not None:
            raise FellBack
        pool = super().get_connection_with_tls_context(request, verify, dict(proxies), cert)
        self.cert_verify(pool, str(request.url), verify, cert)
        return pool


def _mapped(error: errors.QuiverError, request: requests.PreparedRequest) -> Exception:
    """Return what requests calls an error of the call itself."""
    if isinstance(error, errors.InvalidURL):
        return requests.exceptions.InvalidURL(error, request=request)
    if isinstance(error, errors.InvalidOptions):
        return requests.exceptions.SSLError(error, request=request)
    if error.message.startswith("header"):
        return requests.exceptions.InvalidHeader(error, request=request)
    return ValueError(str(error))  # as http.client calls a bad method, say
