"""The options that commands which connect have in common."""

from __future__ import annotations

import base64
import contextlib
import getpass
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, Final, TypedDict, TypeVar, Unpack

import click

import quiver
from quiver.cli.numbers import Positive
from quiver.cli.standard_streams import say
from quiver.name_options import HostAddresses
from quiver.origin import Origin
from quiver.pool.protocols import H3_ALONE, chosen
from quiver.pool_options import PoolOptions
from quiver.printable import escaped
from quiver.proxies import notice

__all__ = [
    "Connection",
    "addresses_of",
    "asking",
    "body_of",
    "client_of",
    "connecting",
    "headers_of",
    "tell_of_proxy",
]

F = TypeVar("F", bound=Callable[..., Any])

_SHUTDOWN = 1.0  # seconds that open requests are given when the command is over

_ASKING = (
    click.argument("url"),
    click.option("-X", "--request", "method", help="Method; GET, or POST with a body."),
    click.option("-H", "--header", "headers", multiple=True, help="'Name: value', any number."),
    click.option("-A", "--user-agent", "agent", help="What `user-agent` says."),
    click.option("-u", "--user", metavar="USER[:PASSWORD]", help="Basic authorization."),
    click.option("-d", "--data", help="Body as text, @FILE, or @- for what stdin brings."),
)
# curl's names: the last one that is given holds.
_SPEAKS: Final[dict[str, tuple[tuple[str, ...] | None, str]]] = {
    "--http3": (None, "HTTP/3, or what else is spoken; so it is without."),
    "--http3-only": (("h3",), "HTTP/3 and nothing else."),
    "--http2": (("h2", "http/1.1"), "HTTP/2, or HTTP/1.1 where that is not spoken."),
    "--http1.1": (("http/1.1",), "HTTP/1.1 and nothing else."),
}
_CONNECTING = (
    click.option(
        "--cafile",
        "--cacert",
        "cafile",
        type=click.Path(exists=True),
        help="PEM file of roots to trust.",
    ),
    click.option("--cert", type=click.Path(exists=True), help="PEM file of our certificate."),
    click.option("--key", type=click.Path(exists=True), help="PEM file of its key, if apart."),
    click.option("-k", "--insecure", is_flag=True, help="Take any certificate."),
    click.option(
        "--resolve",
        multiple=True,
        metavar="HOST:PORT:ADDRESS[,ADDRESS]",
        help="Dial these for HOST, or for * (any); any number.",
    ),
    *(
        click.option(flag, "speaks", flag_value=flag, default=None, help=said)
        for flag, (_, said) in _SPEAKS.items()
    ),
    click.option("-x", "--proxy", metavar="URL", help="Go through it, http:// or https://."),
    click.option(
        "--trust-env/--no-trust-env",
        default=True,
        help="Go through the proxy that the environment names; with HTTP/3 alone, say so.",
    ),
    click.option(
        "--timeout",
        "--max-time",
        "timeout",
        type=Positive(),
        help="Seconds for one whole request.",
    ),
    click.option("--max-connections", default=1, show_default=True, help="To the origin."),
)


def asking(command: F) -> F:
    """Add the URL and what is sent to it."""
    return _with(_ASKING, command)


def connecting(command: F) -> F:
    """Add how the origin is connected to; `client_of` takes these."""
    return _with(_CONNECTING, command)


def _with(options: Iterable[Callable[[F], F]], command: F) -> F:
    for option in reversed(tuple(options)):
        command = option(command)
    return command


class Connection(TypedDict):
    """The options that `connecting` adds."""

    cafile: str | None
    cert: str | None
    key: str | None
    insecure: bool
    resolve: tuple[str, ...]
    speaks: str | None
    proxy: str | None
    trust_env: bool
    timeout: float | None
    max_connections: int


# What the pool calls each, for its errors.
_FLAGS: Final = {
    "cafile": "--cafile",
    "certfile": "--cert",
    "keyfile": "--key",
    "timeout": "--timeout",
    "max_connections": "--max-connections",
    "proxy": "--proxy",
    "trust_env": "--no-trust-env",
}


@contextlib.contextmanager
def client_of(connection: Connection, **more: Unpack[PoolOptions]) -> Iterator[quiver.Client]:
    """Make a client, and close it. Raises BadParameter, also while it is used."""
    options: PoolOptions = {
        "cafile": connection["cafile"],
        "certfile": connection["cert"],
        "keyfile": connection["key"],
        "verify": not connection["insecure"],
        "resolve": addresses_of(connection["resolve"]),
        "timeout": connection["timeout"],
        "max_connections": connection["max_connections"],
        "shutdown_timeout": _SHUTDOWN,
        **more,
    }
    try:
        with quiver.Client(
            name="command line",
            trust_env=connection["trust_env"] and _over_tcp(connection),
            protocols=_protocols(connection),
            proxy=connection["proxy"],
            **options,
        ) as client:
            yield client
    except quiver.CertificateInvalid as error:
        said = error.message.replace("set cafile or cadata", "give its root to --cafile")
        raise quiver.CertificateInvalid(said, origin=error.origin) from error
    except quiver.InvalidOptions as error:
        named = re.findall(r"\w+", str(error))
        flags = [flag for option, flag in _FLAGS.items() if option in named]
        raise click.BadParameter(str(error), param_hint=flags or None) from error


def _protocols(connection: Connection) -> tuple[str, ...]:
    """What may be spoken. Raises BadParameter: it is not installed."""
    speaks = connection["speaks"]
    try:
        return chosen(None if speaks is None else _SPEAKS[speaks][0])
    except ModuleNotFoundError as missing:
        raise click.BadParameter(str(missing), param_hint=speaks) from missing


def _over_tcp(connection: Connection) -> bool:
    """Whether anything is spoken that goes through a proxy."""
    return _protocols(connection) != H3_ALONE


def tell_of_proxy(url: str, connection: Connection) -> None:
    """Say on stderr that the environment's proxy is not gone through. Raises InvalidURL."""
    origin = Origin.parse(url, plain=True)
    if not connection["trust_env"] or _over_tcp(connection):
        return
    said = notice(origin.scheme, origin.authority)
    if said is not None:
        advice = "--no-trust-env says that this is meant"
        say(escaped(f"quiver: warning: {said}; {advice}"))


def addresses_of(given: Iterable[str]) -> HostAddresses:
    """Read `host:port:address[,address]...`; of two for one host and port the last holds.

    Raises BadParameter.
    """
    read: dict[str, tuple[str, ...]] = {}
    for text in given:
        try:
            read.update(HostAddresses.parse(text))
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--resolve") from error
    return HostAddresses(read)


def headers_of(
    given: Iterable[str], agent: str | None = None, user: str | None = None
) -> list[tuple[str, str]]:
    """Read pairs from "Name: value"; add those of -A and -u if not given. Raises BadParameter."""
    pairs = []
    for number, header in enumerate(given, 1):
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            fault = f"number {number} is not 'Name: value'"  # not echoed: it may be a secret
            raise click.BadParameter(fault, param_hint="--header")
        pairs.append((name.strip(), value.strip()))
    names = {name.lower() for name, _ in pairs}
    if agent is not None and "user-agent" not in names:
        pairs.append(("user-agent", agent))
    if user is not None and "authorization" not in names:
        pairs.append(("authorization", _basic(user)))
    return pairs


def _basic(user: str) -> str:
    """The credentials of "user:password" (RFC 7617). Asks for a password that is not given."""
    if ":" not in user:
        if not sys.stdin.isatty():
            fault = "needs USER:PASSWORD where no terminal can be asked for the password"
            raise click.BadParameter(fault, param_hint="--user")
        user += ":" + getpass.getpass("Password: ")
    return "Basic " + base64.b64encode(user.encode()).decode("ascii")


@contextlib.contextmanager
def body_of(data: str | None) -> Iterator[bytes | IO[bytes] | None]:
    """Open the body that `--data` names: text, or a file. Raises BadParameter."""
    if data is None or not data.startswith("@"):
        yield None if data is None else data.encode()
    elif data == "@-":
        yield sys.stdin.buffer
    else:
        with _opened(data[1:]) as file:
            yield file


def _opened(path: str) -> IO[bytes]:
    try:
        return open(path, "rb")
    except OSError as error:
        raise click.BadParameter(str(error), param_hint="--data") from error
