"""The options that commands which connect have in common."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, TypedDict, TypeVar, Unpack

import click

import quiver
from quiver.cli.standard_streams import say
from quiver.config import PoolOptions
from quiver.name_options import HostAddresses
from quiver.origin import Origin
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
    click.option("-d", "--data", help="Body as text, @FILE, or @- for what stdin brings."),
)
_CONNECTING = (
    click.option("--cafile", type=click.Path(exists=True), help="PEM file of roots to trust."),
    click.option("-k", "--insecure", is_flag=True, help="Take any certificate."),
    click.option(
        "--resolve",
        multiple=True,
        metavar="HOST:PORT:ADDRESS[,ADDRESS]",
        help="Dial these for HOST, or for * (any); any number.",
    ),
    click.option(
        "--trust-env/--no-trust-env",
        default=True,
        help="Say when a proxy that the environment names is not gone through.",
    ),
    click.option("--timeout", type=float, help="Seconds for one whole request."),
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
    insecure: bool
    resolve: tuple[str, ...]
    trust_env: bool
    timeout: float | None
    max_connections: int


def client_of(connection: Connection, **more: Unpack[PoolOptions]) -> quiver.Client:
    """Make a client with one rule for all origins. Raises InvalidOptions and BadParameter."""
    rule = {
        "cafile": connection["cafile"],
        "verify": not connection["insecure"],
        "resolve": addresses_of(connection["resolve"]),
        "timeout": connection["timeout"],
        "max_connections": connection["max_connections"],
        "shutdown_timeout": _SHUTDOWN,
        **more,
    }
    return quiver.Client(pools={"default": rule}, name="command line", trust_env=False)


def tell_of_proxy(url: str, connection: Connection) -> None:
    """Say on stderr that the environment's proxy is not gone through. Raises InvalidURL."""
    origin = Origin.parse(url)
    said = notice(origin.scheme, origin.authority) if connection["trust_env"] else None
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


def headers_of(given: Iterable[str]) -> list[tuple[str, str]]:
    """Read pairs from "Name: value". Raises BadParameter."""
    pairs = []
    for number, header in enumerate(given, 1):
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            fault = f"number {number} is not 'Name: value'"  # not echoed: it may be a secret
            raise click.BadParameter(fault, param_hint="--header")
        pairs.append((name.strip(), value.strip()))
    return pairs


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
