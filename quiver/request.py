"""Requests: one with a whole response, one with a streamed one, and one that opens a channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any, Final

import attrs

from quiver import fields
from quiver.errors import InvalidRequest, InvalidURL
from quiver.origin import Origin, split_url
from quiver.source import Source

__all__ = [
    "Body",
    "HeaderPairs",
    "Headers",
    "OnInformational",
    "OpenChannel",
    "Request",
    "StreamRequest",
    "Trailers",
    "trailer_pairs",
]

HeaderPairs = tuple[tuple[str, str], ...]
Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""What a caller may give as headers: a mapping, or pairs where a name may come twice."""

Body = bytes | bytearray | memoryview | IO[bytes] | Iterable[bytes] | None
"""What a caller may give as a body. What is no bytes is read while it is sent."""

Trailers = Headers | Callable[[], Headers]
"""What a caller may give as trailers; a callable is asked when the body has been read."""

OnInformational = Callable[[int, list[tuple[str, str]]], object]
"""Called with the status and the fields of each 1xx response."""

_NOT_IN_TRAILERS: Final = frozenset({"content-length", "host", "te"})  # RFC 9110 6.5.1


def _method(method: str) -> str:
    if not isinstance(method, str):
        raise InvalidRequest(f"method={method!r} is a {type(method).__name__}, not a str")
    fault = fields.method_fault(method)
    if fault:
        raise InvalidRequest(f"method={method!r} {fault}")
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


def _body(body: Any) -> bytes | Source | None:
    if body is None or isinstance(body, bytes | Source):
        return body
    if isinstance(body, bytearray | memoryview):
        return bytes(body)
    if isinstance(body, str):
        raise InvalidRequest('body is a str: encode it, for example with .encode("utf-8")')
    return Source(body)


def trailer_pairs(given: Headers) -> HeaderPairs:
    """Trailers as pairs. Raises InvalidRequest for what no trailer section may hold."""
    pairs = _headers(given)
    for name, value in pairs:
        if name in _NOT_IN_TRAILERS:
            raise InvalidRequest(f"trailer {name}: {value!r} must come before the body")
    return pairs


def _trailers(given: Any) -> HeaderPairs | Callable[[], Headers]:
    return given if callable(given) else trailer_pairs(given)


def _callback(given: Any) -> OnInformational | None:
    if given is None or callable(given):
        return given  # type: ignore[no-any-return]
    raise InvalidRequest(f"on_informational={given!r} cannot be called")


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
        body: bytes, a binary file or an iterable of bytes; None for no body. What is no bytes
            becomes a `Source`, read while it is sent.
        trailers: sent after the body, as `headers`; or a callable that gives them then.
        on_informational: called with status and fields of each 1xx response, in the thread that
            waits for the answer, or else in one of its own.
        timeout: seconds for the whole request; None takes the pool's.
        receive_timeout: seconds of silence on the open exchange; None takes the pool's.
        send_timeout: seconds in which the server may take nothing of a body that waits for it;
            None counts that as silence.
        checkout_timeout: seconds to wait for a stream slot; None takes the pool's.
        connect_timeout: seconds to wait while the pool has no connection that takes requests;
            None waits as long as the pool dials. The dial itself goes on for the others.
        origin: where it must go, when the target said so.

    Raises:
        InvalidRequest: naming the field and its value.
        InvalidURL: the absolute URL names no origin.
    """

    method: str = attrs.field(converter=_method)
    target: str
    headers: HeaderPairs = attrs.field(default=(), converter=_headers)
    body: bytes | Source | None = attrs.field(default=None, converter=_body, repr=False)
    trailers: HeaderPairs | Callable[[], Headers] = attrs.field(
        default=(), converter=_trailers, kw_only=True
    )
    on_informational: OnInformational | None = attrs.field(
        default=None, converter=_callback, kw_only=True, eq=False, repr=False
    )
    timeout: float | None = attrs.field(default=None, kw_only=True, validator=_limit)
    receive_timeout: float | None = attrs.field(default=None, kw_only=True, validator=_limit)
    send_timeout: float | None = attrs.field(default=None, kw_only=True, validator=_limit)
    checkout_timeout: float | None = attrs.field(default=None, kw_only=True, validator=_limit)
    connect_timeout: float | None = attrs.field(default=None, kw_only=True, validator=_limit)
    origin: Origin | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        self._check_method()
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

    @property
    def content_length(self) -> int | None:
        """Bytes of the body, as declared or as known; None when nobody knows before its end."""
        for name, value in self.headers:
            if name == "content-length":
                return int(value)
        if isinstance(self.body, Source):
            return self.body.length
        return len(self.body or b"")

    def _check_method(self) -> None:
        if self.method == "CONNECT":
            raise InvalidRequest("method='CONNECT' opens no exchange: use a channel")

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
        said = ", ".join(given)
        if len(given) > 1 or not (said.isascii() and said.isdigit()):
            raise InvalidRequest(f"header content-length: {said!r} is not one number of bytes")
        body = self.body
        length = body.length if isinstance(body, Source) else len(body or b"")
        if length is not None and said != str(length):
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
class StreamRequest(Request):
    """A request whose response is a `StreamedResponse`, answered when its header section is there.

    Attributes and errors as of `Request`.
    """


def _protocol(protocol: Any) -> str | None:
    if protocol is None:
        return None
    fault = fields.method_fault(protocol) if isinstance(protocol, str) else "is not a str"
    if fault:
        raise InvalidRequest(f"protocol={protocol!r} {fault}")
    return str(protocol)


@attrs.frozen
class OpenChannel(Request):
    """Open a stream for data and datagrams both ways (RFC 9297); the answer is a `Channel`.

    Attributes:
        protocol: what is spoken on it, with the method CONNECT (RFC 9220), such as
            "webtransport" or "connect-udp".
        require_datagrams: fail with DatagramsDisabled unless both sides have agreed on them.
        timeout: seconds that the whole channel may last; None takes no limit, also where the
            pool has one.
        receive_timeout: seconds until the server's response; silence later is no error.

    The others as of `Request`, without `body` and `trailers`.

    Raises:
        InvalidRequest: naming the field and its value.
    """

    protocol: str | None = attrs.field(default=None, converter=_protocol, kw_only=True)
    require_datagrams: bool = attrs.field(default=False, kw_only=True)

    def _check_method(self) -> None:
        connects = self.method == "CONNECT"
        if connects and self.protocol is None:
            raise InvalidRequest("protocol=None: CONNECT needs one, tunnels are not offered")
        if self.protocol is not None and not connects:
            raise InvalidRequest(f"protocol={self.protocol!r} needs method='CONNECT' (RFC 9220)")
        if self.body is not None or self.trailers:
            raise InvalidRequest("body and trailers: a channel has none, write() and finish()")
