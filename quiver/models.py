"""The values that travel in messages: Origin, Request, Response. All are frozen."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

import attrs

from quiver import fields
from quiver.errors import InvalidRequest, InvalidURL

__all__ = [
    "ConnectionStats",
    "GetConnections",
    "GetStats",
    "HeaderPairs",
    "Headers",
    "Origin",
    "Request",
    "Response",
    "Stats",
]

HeaderPairs = tuple[tuple[str, str], ...]
Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""What a caller may give as headers: a mapping, or pairs where a name may come twice."""

DEFAULT_PORT: Final = 443

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://([^/?#]*)([^#]*)")
_AUTHORITY: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_BAD_IN_URL: Final = re.compile(r"[\x00-\x20\x7f\\]")
_CHARSET: Final = re.compile(r';\s*charset\s*=\s*"?([^\s;"]+)', re.IGNORECASE)


@attrs.frozen
class Origin:
    """Scheme, host and port: what one pool talks to (RFC 6454).

    The host is lower-case ASCII (international names in their IDNA form), an IPv6 address
    without its brackets. Raises InvalidURL when one of the three is none.
    """

    scheme: str
    host: str
    port: int = DEFAULT_PORT

    def __attrs_post_init__(self) -> None:
        _check_scheme(self.scheme, f"scheme={self.scheme!r}")
        _check_port(self.port, f"port={self.port!r}")
        object.__setattr__(self, "scheme", "https")
        object.__setattr__(self, "host", _host(self.host, f"host={self.host!r}"))

    @classmethod
    def parse(cls, text: str) -> Origin:
        """The origin of a URL, whatever path follows. Raises InvalidURL."""
        return split_url(text)[0]

    @property
    def authority(self) -> str:
        """`host` or `host:port`, IPv6 in brackets: the `:authority` of its requests."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORT else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


def split_url(url: str) -> tuple[Origin, str]:
    """An absolute https URL as its origin and its target (path and query, no fragment).

    Raises:
        InvalidURL: it is no text, has no host, another scheme, user information or a bad port.
    """
    if not isinstance(url, str):
        raise InvalidURL(f"url={url!r} is a {type(url).__name__}, not a str")
    if _BAD_IN_URL.search(url):
        raise InvalidURL(f"url={url!r} has a space, backslash or control character")
    parts = _URL.match(url)
    if parts is None:
        raise InvalidURL(f"url={url!r} is not absolute: write https://host[:port]/path")
    scheme, authority, rest = parts.groups()
    _check_scheme(scheme, f"url={url!r}")
    target = rest if rest.startswith("/") else "/" + rest
    fault = fields.path_fault(target)
    if fault:
        raise InvalidURL(f"url={url!r}: the path {fault}")
    return _origin_of(authority), target


@lru_cache(maxsize=1024)
def _origin_of(authority: str) -> Origin:
    said = f"url authority {authority!r}"
    if "@" in authority:
        # Not echoed: what stands before the @ may be a password.
        raise InvalidURL("url has user information before its host: send an authorization header")
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None:
        raise InvalidURL(f"{said}: the port is no number, or an IPv6 address lacks its brackets")
    host, port = parts.groups()
    if len(port or "") > 5:
        raise InvalidURL(f"{said}: the port is not between 1 and 65535")
    number = int(port) if port else DEFAULT_PORT
    _check_port(number, said)
    return Origin("https", _bracketless(host, said), number)


def _bracketless(host: str, said: str) -> str:
    if not host.startswith("["):
        return host
    if ":" not in host:
        raise InvalidURL(f"{said}: brackets are for IPv6 addresses")
    return host[1:-1]


def _check_scheme(scheme: str, said: str) -> None:
    if not isinstance(scheme, str) or scheme.lower() != "https":
        raise InvalidURL(f"{said}: the scheme must be https, HTTP/3 knows no other")


def _check_port(port: int, said: str) -> None:
    if type(port) is not int or not 1 <= port <= 65535:
        raise InvalidURL(f"{said}: the port is not between 1 and 65535")


def _host(host: str, said: str) -> str:
    try:
        return fields.normal_host(host)
    except ValueError as error:
        raise InvalidURL(f"{said}: {error}") from error


def _method(method: str) -> str:
    if not isinstance(method, str):
        raise InvalidRequest(f"method={method!r} is a {type(method).__name__}, not a str")
    fault = fields.method_fault(method)
    if fault:
        raise InvalidRequest(f"method={method!r} {fault}")
    if method == "CONNECT":
        raise InvalidRequest("method='CONNECT' opens no exchange: use a channel")
    return method


def _headers(given: Headers) -> HeaderPairs:
    if not given:
        return ()
    pairs = given.items() if isinstance(given, Mapping) else given
    if isinstance(given, str | bytes) or not isinstance(pairs, Iterable):
        raise InvalidRequest(f"headers={given!r} is neither a mapping nor pairs")
    return tuple([_field(pair) for pair in pairs])


def _field(pair: Any) -> tuple[str, str]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InvalidRequest(f"headers: {pair!r} is no pair of name and value")
    given = _text(pair[0], "name", pair)
    name = given.lower()
    value = _text(pair[1], "value", pair)
    # Before lower(), which makes an ASCII k of the Kelvin sign.
    fault = fields.name_fault(name if given.isascii() else given)
    if fault:
        raise InvalidRequest(f"header name {pair[0]!r} {fault}")
    fault = fields.value_fault(value) or fields.connection_fault(name, value)
    if fault:
        raise InvalidRequest(f"header {name}: {pair[1]!r} {fault}")
    return name, value


def _text(part: Any, role: str, pair: Any) -> str:
    if isinstance(part, str):
        return part
    if isinstance(part, bytes):
        return part.decode("latin-1")
    raise InvalidRequest(
        f"header {pair[0]!r}: the {role} {part!r} is a {type(part).__name__}, not a str or bytes"
    )


def _body(body: Any) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    if isinstance(body, str):
        raise InvalidRequest('body is a str: encode it, for example with .encode("utf-8")')
    raise InvalidRequest(f"body is a {type(body).__name__}, not bytes")


def _limit(_: object, attribute: attrs.Attribute[float | None], value: Any) -> None:
    if value is None:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:
        raise InvalidRequest(f"{attribute.name}={value!r} is not a number of seconds above 0")


@attrs.frozen
class Request:
    """One request. Everything is checked here; nothing invalid reaches the wire.

    Attributes:
        method: a token such as "GET", sent as it is written.
        target: "/path?query"; "*" for OPTIONS; or an absolute https URL, of which the path
            and query are kept and the rest becomes `origin`. A fragment is dropped.
        headers: a mapping or pairs of str or bytes; kept as pairs of str with lower-case names.
            `host` is sent as `:authority`.
        body: bytes, or None for no body.
        timeout: seconds for the whole request; None takes the pool's.
        receive_timeout: seconds of silence on the open exchange; None takes the pool's.
        origin: where it must go, when the target said so.

    Raises:
        InvalidRequest: naming the field and its value.
        InvalidURL: the absolute URL names no origin.
    """

    method: str = attrs.field(converter=_method)
    target: str
    headers: HeaderPairs = attrs.field(default=(), converter=_headers)
    body: bytes | None = attrs.field(default=None, converter=_body, repr=False)
    timeout: float | None = attrs.field(default=None, kw_only=True, validator=_limit)
    receive_timeout: float | None = attrs.field(default=None, kw_only=True, validator=_limit)
    origin: Origin | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        target = self.target
        if not isinstance(target, str):
            raise InvalidRequest(f"target={target!r} is a {type(target).__name__}, not a str")
        if "://" in target and not target.startswith("/"):
            self._take_url(target)
        else:
            self._take_path(target)
        if self.headers:
            self._check_content_length()
            self._check_host()

    def _take_url(self, url: str) -> None:
        origin, target = split_url(url)
        if self.origin is not None and self.origin != origin:
            raise InvalidRequest(f"target={url!r} is not at {self.origin}", origin=str(self.origin))
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "target", target)

    def _take_path(self, target: str) -> None:
        if target == "*" and self.method == "OPTIONS":
            return
        path = target.partition("#")[0]
        fault = fields.path_fault(path)
        if fault:
            raise InvalidRequest(f"target={target!r} {fault}")
        if path is not target:
            object.__setattr__(self, "target", path)

    def _check_content_length(self) -> None:
        given = [value for name, value in self.headers if name == "content-length"]
        if not given:
            return
        length = str(len(self.body or b""))
        if given != [length]:
            said = ", ".join(given)
            raise InvalidRequest(f"header content-length: {said!r}, but the body has {length}")

    def _check_host(self) -> None:
        hosts = [value for name, value in self.headers if name == "host"]
        if len(hosts) > 1:
            raise InvalidRequest(f"header host: {', '.join(hosts)!r} is given more than once")
        if hosts and set(hosts[0]) & set("/?#"):
            raise InvalidRequest(f"header host: {hosts[0]!r} is not host[:port]")
        if hosts:
            try:
                split_url(f"https://{hosts[0]}")
            except InvalidURL as error:
                raise InvalidRequest(f"header host: {error.message}") from error


@attrs.frozen
class Response:
    """A whole response with its body in memory.

    Attributes:
        status: the final status, 200 to 599 for a well-behaved server.
        headers: pairs with lower-case names, in the order received.
        body: the content, as it was sent: no content-encoding is undone.
        trailers: pairs that came after the body.
    """

    status: int
    headers: list[tuple[str, str]] = attrs.field(factory=list)
    body: bytes = b""
    trailers: list[tuple[str, str]] = attrs.field(factory=list)

    def __repr__(self) -> str:
        return f"<Response {self.status}, {len(self.body)} bytes>"

    def header(self, name: str, default: str | None = None) -> str | None:
        """The first value of a header, whatever the case of `name`."""
        wanted = name.lower()
        return next((value for found, value in self.headers if found == wanted), default)

    @property
    def text(self) -> str:
        """The body as text: the charset of content-type, else UTF-8; what is bad becomes U+FFFD."""
        charset = _CHARSET.search(self.header("content-type") or "")
        try:
            return self.body.decode(charset[1] if charset else "utf-8", "replace")
        except (LookupError, UnicodeError):  # no such charset here, or none for text
            return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON in UTF-8, 16 or 32. Raises ValueError."""
        return json.loads(self.body)


@attrs.frozen
class GetStats:
    """Ask a pool for its `Stats`."""


@attrs.frozen
class GetConnections:
    """Ask a pool for the `ConnectionStats` of each of its connections, oldest first."""


@attrs.frozen
class ConnectionStats:
    """One connection at one moment.

    Attributes:
        number: its name in the pool.
        state: "connecting", "connected" or "draining".
        active: streams lent now.
        opened: streams lent in its life.
    """

    number: int
    state: str
    active: int
    opened: int


@attrs.frozen
class Stats:
    """A pool at one moment.

    Attributes:
        idle: stream slots free now.
        active: stream slots lent now.
        queued: callers that wait for one.
        connections: live connections, those that still connect included.
    """

    idle: int
    active: int
    queued: int
    connections: int
