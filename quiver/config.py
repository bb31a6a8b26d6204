"""The options of a pool, and which origin gets which. Everything is judged when it is given.

Each option carries its unit and its meaning in its metadata; `options()` lists them.
"""

from __future__ import annotations

import difflib
import ssl
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import attrs

from quiver import option_checks as check
from quiver.errors import InvalidOptions, InvalidURL
from quiver.name_options import HostAddresses, Resolver, resolver_of
from quiver.origin import Origin
from quiver.pool_options import PoolOptions, unknown
from quiver.redaction import redacted_url
from quiver.version import VERSION

__all__ = ["Option", "OriginRules", "PoolConfig", "PoolOptions", "options"]

MIB: Final = 1024 * 1024
CONGESTION_CONTROLS: Final = ("cubic", "reno")


def _key(key: object) -> str:
    return f"pools[{redacted_url(key) if isinstance(key, str) else type(key).__name__!r}]"


def _option(
    default: object,
    unit: str,
    meaning: str,
    judge: check.Judge | None,
    converter: Callable[[object], object] | None = None,
) -> Any:
    return attrs.field(
        default=default,
        validator=judge,
        converter=converter,
        metadata={"unit": unit, "meaning": meaning},
        repr=check.shown if unit == "PEM" else True,  # a key may be in it
    )


def _widest(config: PoolConfig) -> int:
    """Who has said how large windows are has said what readers may cost: these do not grow."""
    return 16 * MIB if config.receive_window == MIB else config.receive_window


@attrs.frozen(kw_only=True)
class PoolConfig:
    """The options of one pool; times are seconds, as floats.

    None is no limit: for every time, `max_requests_per_connection` and `max_body_size`. The other
    counts and sizes bound memory or what a server is asked to bear, and take none.

    Raises InvalidOptions that names the option, its value and what is accepted.
    """

    max_connections: int = _option(
        2,
        "connections",
        "live connections to the origin, draining ones not counted",
        check.count(1),
    )
    max_streams_per_connection: int = _option(
        100,
        "streams",
        "open requests on one connection; the server may allow fewer",
        check.count(1),
    )
    max_connections_http1: int = _option(
        20,
        "connections",
        "the same over HTTP/1.1, where each has one request at a time",
        check.count(1),
    )
    max_waiting: int = _option(
        10_000,
        "callers",
        "callers that may wait for a stream slot, beside one for each dial; more get QueueFull",
        check.count(0),
    )
    connect_timeout: float | None = _option(
        5.0,
        "seconds",
        "until a connection is there: its name, its addresses, its handshake",
        check.seconds,
    )
    checkout_timeout: float | None = _option(
        5.0, "seconds", "waiting for a free stream slot", check.seconds
    )
    receive_timeout: float | None = _option(
        15.0, "seconds", "silence of the server on an open exchange", check.seconds
    )
    timeout: float | None = _option(
        None, "seconds", "the whole request, unless it brings its own", check.seconds
    )
    stream_idle_timeout: float | None = _option(
        30.0, "seconds", "a streamed body that nobody reads is given up after it", check.seconds
    )
    idle_timeout: float | None = _option(
        30.0, "seconds", "a connection without exchanges is closed after it", check.seconds
    )
    pool_idle_timeout: float | None = _option(
        300.0,
        "seconds",
        "a client ends a pool that nobody used for so long; None never",
        check.seconds,
    )
    keep_alive: float | None = _option(
        None, "seconds", "between PINGs on an idle connection; None sends none", check.seconds
    )
    max_age: float | None = _option(
        None, "seconds", "a connection is retired at this age, its successor first", check.seconds
    )
    max_requests_per_connection: int | None = _option(
        9_000,
        "requests",
        "a connection is retired after so many, its successor first",
        check.count(1, or_none=True),
    )
    shutdown_timeout: float | None = _option(
        5.0, "seconds", "that open exchanges are given when the pool is stopped", check.seconds
    )
    max_header_size: int = _option(
        65_536, "bytes", "a response's header section: names, values and 32 each", check.count(1)
    )
    max_body_size: int | None = _option(
        100 * MIB, "bytes", "a buffered response body", check.count(0, or_none=True)
    )
    receive_window: int = _option(
        MIB,
        "bytes",
        "of one response that the server may send ahead of its reader",
        check.count(16_384),
    )
    receive_window_max: int = _option(
        attrs.Factory(_widest, takes_self=True),
        "bytes",
        "up to which it grows where a path is long; where receive_window is set, no further",
        check.count(16_384),
    )
    send_buffer: int = _option(
        MIB, "bytes", "of one request body that may wait to be acknowledged", check.count(16_384)
    )
    verify: bool | ssl.SSLContext = _option(  # noqa: RUF009 - as the others, it makes a field
        True,
        "flag",
        "refuse a server without a valid certificate; or an ssl.SSLContext that judges it",
        check.verification,
    )
    cafile: str | None = _option(
        None,
        "path",
        "PEM file of the roots to trust; None takes the system's",
        check.file,
        check.path,
    )
    cadata: bytes | None = _option(
        None, "PEM", "roots to trust, given as they are (bytes or str)", check.pem, check.encoded
    )
    certfile: str | None = _option(
        None,
        "path",
        "PEM file of our own certificate, for servers that ask for one",
        check.file,
        check.path,
    )
    keyfile: str | None = _option(
        None, "path", "PEM file of its key; None looks for it in certfile", check.file, check.path
    )
    session_tickets: bool = _option(
        True,
        "flag",
        "resume TLS sessions of HTTP/3 by tickets, which a server gives",
        check.flag,
    )
    early_data: bool = _option(
        False,
        "flag",
        "send safe requests in the first flight of a resumed session; "
        "who reads the network may repeat them",
        check.flag,
    )
    server_name: str | None = _option(
        None,
        "host",
        "name to ask for (SNI) and to verify; None takes the origin's host",
        check.name,
    )
    resolver: Resolver | None = _option(  # noqa: RUF009
        *(None, "function", "asked for a name's addresses, in a thread; None asks the system"),
        *(None, check.made(resolver_of)),
    )
    resolve: HostAddresses | None = _option(  # noqa: RUF009
        *(None, "mapping", "of `host:port` or `*:port` to the addresses that are dialled"),
        *(None, check.made(HostAddresses.of)),
    )
    qlog_dir: str | None = _option(
        None, "path", "folder for one qlog file per connection", check.folder, check.path
    )
    qlog_credentials: bool = _option(
        False,
        "flag",
        "qlog files also hold cookies, authorization and the like, and queries",
        check.flag,
    )
    congestion_control: str = _option(
        "cubic", "name", "algorithm: cubic or reno", check.one_of(*CONGESTION_CONTROLS)
    )
    user_agent: str | None = _option(
        f"python-quiver/{VERSION}",
        "field",
        "of requests that name none; None sends none",
        check.agent,
    )
    max_datagrams: int = _option(
        1_024,
        "datagrams",
        "that a channel holds for its reader; the oldest are dropped",
        check.count(1),
    )
    datagrams: bool = _option(True, "flag", "offer HTTP datagrams (RFC 9297)", check.flag)

    def __attrs_post_init__(self) -> None:
        if self.verify is not True and (self.cafile is not None or self.cadata is not None):
            given = "cafile" if self.cafile is not None else "cadata"
            why = "a context has roots of its own" if self.verify else "roots are for verifying"
            raise InvalidOptions(f"verify={self.verify!r} contradicts {given}: {why}")
        if self.keyfile is not None and self.certfile is None:
            raise InvalidOptions("keyfile without certfile: a key alone says nothing")
        if self.early_data and not self.session_tickets:
            why = "only a session that is resumed by a ticket has early data"
            raise InvalidOptions(f"early_data=True contradicts session_tickets=False: {why}")
        if (
            self.keep_alive is not None
            and self.idle_timeout is not None
            and self.keep_alive >= self.idle_timeout
        ):
            raise check.refused(
                "keep_alive", self.keep_alive, f"below idle_timeout={self.idle_timeout}"
            )
        if self.receive_window_max < self.receive_window:
            accepted = f"at least receive_window={self.receive_window}, which never grows if equal"
            raise check.refused("receive_window_max", self.receive_window_max, accepted)

    @classmethod
    def build(cls, origin: Origin | str | None = None, /, **given: object) -> PoolConfig:
        """Make the config from options as a caller wrote them; `origin` is for the error's message.

        Raises:
            InvalidOptions: an option is unknown, has a wrong value or contradicts another.
        """
        named = None if origin is None else str(origin)
        for option in given:
            if option not in _KNOWN:
                raise InvalidOptions(unknown(option, "option", _KNOWN), origin=named)
        try:
            return cls(**given)  # type: ignore[arg-type] # judged by the validators
        except InvalidOptions as error:
            raise InvalidOptions(error.message, origin=named) from None


_DEFAULTS: Final = PoolConfig()
_KNOWN: Final = tuple([attribute.name for attribute in attrs.fields(PoolConfig)])


class Option(NamedTuple):
    """One option as the documentation shows it."""

    name: str
    default: Any
    unit: str
    meaning: str


def options() -> list[Option]:
    """List every option of PoolConfig in its order."""
    defaults = PoolConfig()
    return [
        Option(
            each.name,
            getattr(defaults, each.name),
            each.metadata["unit"],
            each.metadata["meaning"],
        )
        for each in attrs.fields(PoolConfig)
    ]


class OriginRules:
    """The rules for which origin gets which options; the most specific holds, and no other.

    Keys are `https://host[:port]`, `https://*.domain[:port]` for every host below the domain at
    any depth, the same with `http`, and `default`; without a port that of the scheme is meant. An
    exact origin goes before wildcards, a longer wildcard before a shorter one, and the default
    comes last.

    Args:
        pools: the rules.
        shared: options of all origins, where the rule that holds says nothing of them.

    Raises InvalidOptions for a bad key, and for bad options under it, when it is made.
    """

    def __init__(
        self,
        pools: Mapping[str, Mapping[str, object]] | None = None,
        shared: Mapping[str, object] | None = None,
    ) -> None:
        self._shared = dict(shared or {})
        self._exact: dict[Origin, PoolConfig] = {}
        self._wildcards: dict[tuple[str, str, int], PoolConfig] = {}  # scheme, domain and port
        self._default = PoolConfig.build(**self._shared) if self._shared else _DEFAULTS
        if pools is not None and not isinstance(pools, Mapping):
            raise check.refused("pools", pools, "a mapping of origins to options")
        for key, given in (pools or {}).items():
            self._add(key, given)

    def config_for(self, origin: Origin) -> PoolConfig:
        """Return the options of the rule that holds for `origin`."""
        exact = self._exact.get(origin)
        if exact is not None or not self._wildcards:
            return exact or self._default
        return self._below(origin) or self._default

    def _below(self, origin: Origin) -> PoolConfig | None:
        _, dot, domain = origin.host.partition(".")
        while dot:  # from the longest domain to the shortest
            found = self._wildcards.get((origin.scheme, domain, origin.port))
            if found is not None:
                return found
            _, dot, domain = domain.partition(".")
        return None

    def _add(self, key: str, given: Mapping[str, object]) -> None:
        if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
            kind = type(given).__name__
            raise InvalidOptions(f"{_key(key)} is a {kind}: must map option names to values")
        config = _built(key, {**self._shared, **given})
        if key == "default":
            self._default = config
            return
        wildcard = isinstance(key, str) and key.lower().startswith(("https://*.", "http://*."))
        origin = _origin_of_key(key, wildcard)
        domain = (origin.scheme, origin.host, origin.port)
        if (domain in self._wildcards) if wildcard else (origin in self._exact):
            raise InvalidOptions(f"{_key(key)}: there is another rule for the same")
        if wildcard:
            self._wildcards[domain] = config
        else:
            self._exact[origin] = config


def _built(key: str, given: Mapping[str, object]) -> PoolConfig:
    try:
        return PoolConfig.build(**given)
    except InvalidOptions as error:
        raise InvalidOptions(f"{_key(key)}: {error.message}") from None


def _origin_of_key(key: str, wildcard: bool) -> Origin:
    accepted = "keys are https://host[:port], https://*.domain[:port], http://... or 'default'"
    if isinstance(key, str) and difflib.get_close_matches(key.lower(), ["default"]):
        raise InvalidOptions(f"{_key(key)} is no key of a rule: did you mean 'default'?")
    try:
        origin = Origin.parse(key.replace("*.", "", 1) if wildcard else key, plain=True)
    except InvalidURL as error:
        raise InvalidOptions(f"{_key(key)}: {error.message}; {accepted}") from error
    if set(key.partition("://")[2]) & set("/?#"):
        raise InvalidOptions(f"{_key(key)}: a rule has no path; {accepted}")
    return origin
