"""Request, StreamRequest and OpenChannel: what a pool is asked, and what a caller may give it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, ClassVar, Final

import attrs

from quiver import fields
from quiver.errors import InvalidRequest, InvalidURL
from quiver.origin import Origin, split_url
from quiver.redaction import names_of, redacted_url
from quiver.request_forms import JSON, ParamsLike, json_body, with_query
from quiver.request_options import (
    OPTION_CHECKS,
    BodyLike,
    ChannelOptions,
    HeaderPairs,
    HeadersLike,
    OnInformational,
    RequestOptions,
    TrailersLike,
    check_limit,
    misspelt,
)
from quiver.streams.body_source import BodySource

__all__ = ["OpenChannel", "Request", "StreamRequest", "trailer_pairs"]

_MOST_DIGITS: Final = 19
"""The digits of a content-length: a stream carries less than 2^62 bytes (RFC 9000 4.5)."""

_LONGEST_TARGET: Final = fields.LONGEST - len(":path")

_USUAL_METHODS: Final = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"}
)

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110 9.2.1

_NOT_IN_TRAILERS: Final = frozenset({"content-length", "host", "te"})  # RFC 9110 6.5.1


def _method(method: str) -> str:
    if type(method) is str and method in _USUAL_METHODS:
        return method
    if not isinstance(method, str):
        raise InvalidRequest(f"method={method!r} is a {type(method).__name__}, not a str")
    method = str.__str__(method)
    fault = fields.length_fault(":method", method)
    if fault:
        raise InvalidRequest(f"method={_cut(method)} {fault}")
    fault = fields.method_fault(method)
    if fault:
        raise InvalidRequest(f"method={method!r} {fault}")
    return method


def _cut(long: str) -> str:
    """Return the beginning of what may be too long for a message."""
    return repr(long) if len(long) <= 40 else f"{long[:40]!r}..."


def _headers(given: HeadersLike, what: str = "header") -> HeaderPairs:
    if not given:
        return ()
    pairs = given.items() if isinstance(given, Mapping) else given
    if isinstance(given, str | bytes) or not isinstance(pairs, Iterable):
        raise InvalidRequest(f"{what}s: a {type(given).__name__} is neither a mapping nor pairs")
    return tuple([_field(pair, what) for pair in pairs])


def _field(pair: object, what: str) -> tuple[str, str]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        kind = type(pair).__name__
        given = f"{kind} of {len(pair)}" if isinstance(pair, tuple | list) else kind
        raise InvalidRequest(f"{what}s: a {given} is no pair of name and value")
    given = _text(pair, 0, what)
    name = given.lower()
    value = _text(pair, 1, what)
    if len(name) + len(value) > fields.LONGEST:
        raise _too_long(name, value, what)
    # What is not ASCII is judged as given: lower() makes an ASCII k of the Kelvin sign.
    fault = fields.name_fault(name if given.isascii() else given)
    if fault:
        raise InvalidRequest(f"{what} name {_name_only(given)} {fault}")
    fault = fields.value_fault(value)
    if fault:
        raise InvalidRequest(f"{what} {name}: the value {fault}")  # which may be a secret
    fault = fields.connection_fault(name, value)
    if fault:
        raise InvalidRequest(f"{what} {name}: {_cut(value)} {fault}")
    return name, value


def _name_only(given: str) -> str:
    """Return what is a name for sure: a whole line may stand in its place, with a secret in it."""
    name = fields.beginning_of_name(given)
    return f"{name!r}" if name == given else f"{name!r}..."


def _too_long(name: str, value: str, what: str) -> InvalidRequest:
    which = (
        f"{what} {name}: the value"
        if len(name) <= 100
        else f"{what} name {_cut(fields.beginning_of_name(name))}"
    )
    return InvalidRequest(f"{which} {fields.length_fault(name, value)}")


def _text(pair: Sequence[object], which: int, what: str) -> str:
    part = pair[which]
    if type(part) is str:
        return part
    if isinstance(part, str):
        return str.__str__(part)  # a subclass may say anything of its encoding
    if isinstance(part, bytes):
        return bytes.decode(part, "latin-1")
    role = ("name", "value")[which]
    named = _name_only(pair[0]) if isinstance(pair[0], str) else type(pair[0]).__name__
    raise InvalidRequest(
        f"{what} {named}: the {role} is a {type(part).__name__}, not a str or bytes"
    )


def _body(body: BodyLike) -> bytes | BodySource | None:
    if body is None or type(body) is bytes or isinstance(body, BodySource):
        return body
    if isinstance(body, bytes | bytearray | memoryview):
        return memoryview(body).tobytes()  # a subclass may say anything of its length
    if isinstance(body, str):
        raise InvalidRequest('body is a str: encode it, for example with .encode("utf-8")')
    return BodySource(body)


def trailer_pairs(given: HeadersLike) -> HeaderPairs:
    """Return trailers as pairs. Raises InvalidRequest for what no trailer section may hold."""
    pairs = _headers(given, "trailer")
    for name, _ in pairs:
        if name in _NOT_IN_TRAILERS:
            raise InvalidRequest(f"trailer {name} must come before the body")
    return pairs


def _trailers(given: TrailersLike) -> HeaderPairs | Callable[[], HeadersLike]:
    if callable(given):
        return given
    return trailer_pairs(given) if given else ()


class _Kind(type):
    """Requests, of which a keyword that is none is told with the one that may have been meant."""

    if not TYPE_CHECKING:  # which know the signatures

        def __call__(cls, *given, **options):
            try:
                return super().__call__(*given, **options)
            except TypeError as error:
                raise misspelt(options, cls.keywords) or error from None


@attrs.frozen
class Request(metaclass=_Kind):
    """A request, checked as a whole when it is made: nothing invalid reaches the wire.

    Attributes:
        method: a token such as "GET", sent as it is written.
        target: "/path?query"; "*" for OPTIONS; or an absolute https URL, of which the path
            and query are kept and the rest becomes `origin`. A fragment is dropped.
        headers: a mapping or pairs of str or bytes; kept as pairs of str with lower-case names.
            `host` is sent as `:authority`.
        body: bytes, a binary file, an iterable of bytes or a callable that makes one; None for
            no body. What is not bytes becomes a `BodySource`: read while it is sent, and a second
            time only where that gives all of it.
        params: names and values behind the query of the target, percent-encoded: a mapping or
            pairs; a value that is a list gives its name many times, None leaves it out. None
            from then on.
        json: a value that is sent as JSON, with its content-type unless `headers` has one, instead
            of a body. None for none; and None from then on.
        trailers: sent after the body, in the form of `headers`; or a callable that returns them
            then, called as `on_informational` is.
        on_informational: called with status and fields of each 1xx response, in the thread that
            waits for the answer, or else in one of its own, with the context variables with which
            the request was made. What it raises ends the request.
        timeout: seconds for the whole request; None takes the pool's.
        receive_timeout: seconds of silence on the open exchange; None takes the pool's.
        send_timeout: seconds in which the server may take nothing of a body that waits for it;
            None counts that as silence.
        checkout_timeout: seconds to wait for a stream slot, also while there is no connection
            unless `connect_timeout` is given; None takes the pool's.
        connect_timeout: seconds to wait while the pool has no connection that takes requests;
            None waits as long as the pool dials. The dial itself goes on for the others.
        early_data: whether it may go before a handshake is over, and so be carried out more than
            once; None takes the pool's. Only GET, HEAD, OPTIONS and TRACE without a body ever do.
        origin: where it must go, when the target said so.
        context: the context variables with which what it has to call is called.

    Its repr shows no values of fields and no query: they may be secrets.

    Raises:
        InvalidRequest: naming the field and what is wrong with it, but no value of a field.
        InvalidURL: the absolute URL names no origin.
    """

    keywords: ClassVar[type] = RequestOptions

    method: str = attrs.field(converter=_method)
    target: str = attrs.field(repr=lambda target: repr(redacted_url(target)))
    headers: HeaderPairs = attrs.field(default=(), converter=_headers, repr=names_of)
    body: bytes | BodySource | None = attrs.field(default=None, converter=_body, repr=False)
    trailers: HeaderPairs | Callable[[], HeadersLike] = attrs.field(
        default=(), converter=_trailers, kw_only=True, repr=names_of
    )
    params: ParamsLike | None = attrs.field(default=None, kw_only=True, eq=False, repr=False)
    json: object = attrs.field(default=None, kw_only=True, eq=False, repr=False)
    on_informational: OnInformational | None = attrs.field(
        default=None, kw_only=True, eq=False, repr=False
    )
    timeout: float | None = attrs.field(default=None, kw_only=True)
    receive_timeout: float | None = attrs.field(default=None, kw_only=True)
    send_timeout: float | None = attrs.field(default=None, kw_only=True)
    checkout_timeout: float | None = attrs.field(default=None, kw_only=True)
    connect_timeout: float | None = attrs.field(default=None, kw_only=True)
    early_data: bool | None = attrs.field(default=None, kw_only=True)
    origin: Origin | None = attrs.field(default=None, kw_only=True)
    context: Context | None = attrs.field(init=False, default=None, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not (
            self.timeout is None
            and self.receive_timeout is None
            and self.send_timeout is None
            and self.checkout_timeout is None
            and self.connect_timeout is None
            and self.early_data is None
            and self.on_informational is None
        ):  # most requests are made with none of them
            self._check_options()
        if self.on_informational is not None or callable(self.trailers):
            object.__setattr__(self, "context", copy_context())
        self._check_method()
        target = self.target
        if not isinstance(target, str):
            raise InvalidRequest(f"target is a {type(target).__name__}, not a str")
        if "://" in target and not target.startswith("/"):
            self._take_url(target)
        else:
            self._take_path(target)
        if self.params is not None:
            self._take_params(self.params)
        if self.json is not None:
            self._take_json(self.json)
        if len(self.target) > _LONGEST_TARGET:
            fault = fields.length_fault(":path", self.target)
            raise InvalidRequest(f"target={_cut(redacted_url(self.target))} {fault}")
        if self.headers:
            self._check_content_length()
            self._check_host()

    @property
    def content_length(self) -> int | None:
        """The bytes of the body, as declared or as known; None when only its end will tell."""
        for name, value in self.headers:
            if name == "content-length":
                return int(value)
        if isinstance(self.body, BodySource):
            return self.body.length
        return len(self.body or b"")

    def answered_within(self, pools: float | None) -> tuple[str, float | None]:
        """Return the limit until which it must be answered: its name, and seconds from the ask on.

        Args:
            pools: the `timeout` of its pool.
        """
        return "timeout", self.timeout or pools

    def goes_early(self, pools: bool) -> bool:
        """Return whether it may be sent as early data (RFC 8470 4).

        Args:
            pools: the `early_data` of its pool.
        """
        wanted = pools if self.early_data is None else self.early_data
        return wanted and self.method in _SAFE and self.body is None and not self.trailers

    def _check_options(self) -> None:
        for name, check in OPTION_CHECKS.items():
            value = getattr(self, name)
            if value is not None:
                check(name, value)

    def _check_method(self) -> None:
        if self.method == "CONNECT":
            raise InvalidRequest("method='CONNECT' opens no exchange: use a channel")

    def _take_url(self, url: str) -> None:
        origin, target = split_url(url, plain=True)
        if self.origin is not None and self.origin != origin:
            said = f"target={redacted_url(url)!r} is not at {self.origin}"
            raise InvalidRequest(said, origin=str(self.origin))
        object.__setattr__(self, "origin", origin)
        object.__setattr__(self, "target", target)

    def _take_path(self, target: str) -> None:
        path = target.partition("#")[0]
        if not fields.PATH.fullmatch(path) and (target != "*" or self.method != "OPTIONS"):
            raise InvalidRequest(f"target={redacted_url(target)!r} {fields.path_fault(path)}")
        if path is not target:
            object.__setattr__(self, "target", path)

    def _take_params(self, params: ParamsLike) -> None:
        if self.target == "*":
            raise InvalidRequest("params: the target * has no query")
        object.__setattr__(self, "target", with_query(self.target, params))
        object.__setattr__(self, "params", None)  # a copy takes them no second time

    def _take_json(self, value: object) -> None:
        if self.body is not None:
            raise InvalidRequest("json and body: a request has one body, give one of the two")
        object.__setattr__(self, "body", json_body(value))
        object.__setattr__(self, "json", None)
        if not any(name == "content-type" for name, _ in self.headers):
            object.__setattr__(self, "headers", (*self.headers, ("content-type", JSON)))

    def _check_content_length(self) -> None:
        given = [value for name, value in self.headers if name == "content-length"]
        if not given:
            return
        said = ", ".join(given)
        if len(given) > 1 or not (said.isascii() and said.isdigit()):
            raise InvalidRequest(f"header content-length: {said!r} is not one number of bytes")
        if len(said) > _MOST_DIGITS:
            raise InvalidRequest(
                f"header content-length: {_cut(said)} has {len(said)} digits, "
                f"the limit is {_MOST_DIGITS}"
            )
        body = self.body
        length = body.length if isinstance(body, BodySource) else len(body or b"")
        if length is not None and said != str(length):
            raise InvalidRequest(f"header content-length: {said!r}, but the body has {length}")

    def _check_host(self) -> None:
        hosts = [value for name, value in self.headers if name == "host"]
        if len(hosts) > 1:
            raise InvalidRequest("header host is given more than once")
        if hosts and set(hosts[0]) & set("/?#"):
            raise InvalidRequest(f"header host: {redacted_url(hosts[0])!r} is not host[:port]")
        if hosts and not hosts[0].isascii():
            raise InvalidRequest(
                f"header host: {redacted_url(hosts[0])!r} is not ASCII: give an international "
                "name as its IDNA form (xn--...)"
            )
        if hosts:
            try:
                split_url(f"https://{hosts[0]}")
            except InvalidURL as error:
                raise InvalidRequest(f"header host: {error.message}") from error


@attrs.frozen
class StreamRequest(Request):
    """A request that is answered by a `StreamedResponse`, as soon as its header section is there.

    Attributes and errors as of `Request`.
    """


def _protocol(protocol: str | None) -> str | None:
    if protocol is None:
        return None
    fault = fields.method_fault(protocol) if isinstance(protocol, str) else "is not a str"
    too_long = isinstance(protocol, str) and fields.length_fault(":protocol", protocol)
    if too_long:
        raise InvalidRequest(f"protocol={_cut(protocol)} {too_long}")
    if fault:
        raise InvalidRequest(f"protocol={protocol!r} {fault}")
    return str.__str__(protocol)


@attrs.frozen
class OpenChannel(Request):
    """A request for a stream of data and datagrams both ways (RFC 9297), answered by a `Channel`.

    Attributes:
        protocol: what is spoken on it, with the method CONNECT (RFC 9220), such as
            "webtransport" or "connect-udp".
        require_datagrams: fail with DatagramsDisabled unless both sides have agreed on them.
        timeout: seconds that the whole channel may last; None takes no limit, also where the
            pool has one.
        open_timeout: seconds in which it must be open, and the server's response there; None
            bears with silence until then for as long as the pool's `receive_timeout`.
        receive_timeout: seconds that its reader waits for each event, as for the server's SETTINGS
            before it is opened; None waits as long as it takes, also where the pool has a limit.

    The others as of `Request`, without `body`, `trailers` and `early_data`.

    Raises:
        InvalidRequest: naming the field and its value.
    """

    keywords = ChannelOptions

    protocol: str | None = attrs.field(default=None, converter=_protocol, kw_only=True)
    require_datagrams: bool = attrs.field(default=False, kw_only=True)
    open_timeout: float | None = attrs.field(default=None, kw_only=True)

    def answered_within(self, pools: float | None) -> tuple[str, float | None]:  # noqa: ARG002
        if self.open_timeout is not None and (self.timeout or math.inf) > self.open_timeout:
            return "open_timeout", self.open_timeout
        return "timeout", self.timeout  # a channel may outlast what the pool allows a request

    def goes_early(self, pools: bool) -> bool:  # noqa: ARG002
        return False

    def _check_method(self) -> None:
        if self.open_timeout is not None:
            check_limit("open_timeout", self.open_timeout)
        connects = self.method == "CONNECT"
        if connects and self.protocol is None:
            raise InvalidRequest("protocol=None: CONNECT needs one, tunnels are not offered")
        if self.protocol is not None and not connects:
            raise InvalidRequest(f"protocol={self.protocol!r} needs method='CONNECT' (RFC 9220)")
        if self.body is not None or self.json is not None or self.trailers:
            raise InvalidRequest("body and trailers: a channel has none, write() and finish()")
        if self.early_data is not None:
            raise InvalidRequest("early_data: a channel has none, it waits for the handshake")
