"""PoolOptions: the options of PoolConfig as a caller writes them, by keyword."""

from __future__ import annotations

import difflib
import inspect
import os
import ssl
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import Final, Literal, ParamSpec, TypedDict

from quiver.name_options import HostAddresses, HostAddressesGiven, Resolver

__all__ = [
    "ClientOptions",
    "PoolOptions",
    "SharedOptions",
    "TimeLimits",
    "spelt",
    "unknown",
]


P = ParamSpec("P")


class TimeLimits(TypedDict, total=False):
    """Options of a pool that a request may bring along too: then its own holds."""

    connect_timeout: float | None
    checkout_timeout: float | None
    receive_timeout: float | None
    timeout: float | None


class SharedOptions(TypedDict, total=False):
    """Options of a pool alone."""

    max_connections: int
    max_connections_http1: int
    max_streams_per_connection: int
    max_waiting: int
    stream_idle_timeout: float | None
    idle_timeout: float | None
    pool_idle_timeout: float | None
    keep_alive: float | None
    max_age: float | None
    max_requests_per_connection: int | None
    shutdown_timeout: float | None
    max_header_size: int
    max_body_size: int | None
    receive_window: int
    receive_window_max: int
    send_buffer: int
    verify: bool | ssl.SSLContext
    cafile: str | os.PathLike[str] | None
    cadata: bytes | str | None
    certfile: str | os.PathLike[str] | None
    keyfile: str | os.PathLike[str] | None
    session_tickets: bool
    server_name: str | None
    resolver: Resolver | None
    resolve: HostAddresses | HostAddressesGiven | None
    qlog_dir: str | os.PathLike[str] | None
    qlog_credentials: bool
    congestion_control: str
    user_agent: str | None
    max_datagrams: int
    datagrams: bool


class ClientOptions(TypedDict, total=False):
    """Options of a client, that hold for all of its pools."""

    protocols: Iterable[str] | None
    policy: Literal["always", "alt-svc"]
    hints: Iterable[str]
    proxy: str | None
    trust_env: bool


class PoolOptions(TimeLimits, SharedOptions, total=False):
    """The options of PoolConfig, as `HTTP3Pool.start` and `Client` take them."""

    early_data: bool  # a request may bring its own, or None for the pool's; a channel has none


_ALIKE: Final = 0.68  # "headers" is no "max_header_size"
_ELSEWHERE: Final = {
    "ca_certs": "cafile",
    "cert": "certfile",
    "content": "body",
    "data": "body",
    "key": "keyfile",
    "limits": "max_connections",
    "max_streams": "max_streams_per_connection",
    "pool_maxsize": "max_connections",
    "read_timeout": "receive_timeout",
    "ssl_context": "verify",
}
"""What other libraries call it, from where no spelling leads to ours."""

_PROTOCOLS: Final = 'a client takes protocols=, some of "h3", "h2" and "http/1.1"'
_CLIENTS: Final = "a client takes it, for all of its pools"
_FOLLOWED: Final = "none are followed; requests and httpx do so, over quiver.adapters"
_ABSENT: Final = {
    "allow_redirects": _FOLLOWED,
    "auth": "send an authorization header",
    "base_url": "write whole URLs, or ask a pool of one origin for paths",
    "cookies": "send a cookie header",
    "disable_http1": _PROTOCOLS,
    "disable_http2": _PROTOCOLS,
    "disable_http3": _PROTOCOLS,
    "event_hooks": "quiver.telemetry calls functions of yours",
    "files": "send the form as body with its content-type, by urllib3's"
    " encode_multipart_formdata, say; or ask by requests or httpx, over quiver.adapters",
    "follow_redirects": _FOLLOWED,
    "headers": "give them to each request",
    "hints": _CLIENTS,
    "http_version": _PROTOCOLS,
    "http1": _PROTOCOLS,
    "http2": _PROTOCOLS,
    "http3": _PROTOCOLS,
    "open_timeout": "a channel has one; timeout= bounds a request, receive_timeout= silence",
    "max_retries": "an error's `kind` and `unprocessed` tell whether to ask again",
    "policy": _CLIENTS,
    "protocol": f"{_PROTOCOLS}; a channel alone has a protocol=",
    "protocols": _CLIENTS,
    "proxies": "a client takes proxy=, for what goes over TCP: HTTP/3 goes through no proxy",
    "proxy": "a client takes it, for what goes over TCP: HTTP/3 goes through no proxy",
    "retries": "an error's `kind` and `unprocessed` tell whether to ask again",
    "trust_env": _CLIENTS,
    "stream": "call stream() for a response that is read as it comes",
}
"""What they have and we have not, and what to do instead."""


def spelt(make: Callable[P, None]) -> Callable[P, None]:
    """Have a constructor say of a keyword that is none of its own which one may have been meant."""
    known = tuple(inspect.signature(make).parameters)[1:]

    @wraps(make)
    def checked(*given: P.args, **options: P.kwargs) -> None:
        wrong = next((name for name in options if name not in known), None)
        if wrong in PoolOptions.__annotations__:
            said = f"give it as pools={{'default': {{{wrong!r}: ...}}}}"
            raise TypeError(f"{wrong} is an option of a pool: {said}")
        if wrong is not None:
            raise TypeError(unknown(wrong, "keyword", known))
        make(*given, **options)

    return checked


def unknown(given: str, what: str, known: Sequence[str]) -> str:
    """Say that there is no such option, or whatever it is, and which one may have been meant."""
    if given in _ABSENT:
        return f"{given} is no {what}: {_ABSENT[given]}"
    meant = _ELSEWHERE.get(given)
    close = [meant] if meant in known else difflib.get_close_matches(given, known, 1, _ALIKE)
    if close:
        return f"{given} is no {what}: did you mean {close[0]}?"
    return f"{given} is no {what}; there are {', '.join(known)}"
