"""Options that commands which connect have in common."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, TypeVar

import click

import quiver

__all__ = ["asking", "body_of", "client_of", "connecting", "headers_of"]

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


def client_of(
    cafile: str | None,
    insecure: bool,
    timeout: float | None,
    max_connections: int,
    **more: object,
) -> quiver.Client:
    """A client with one rule for all origins. Raises InvalidOptions."""
    rule = {
        "cafile": cafile,
        "verify": not insecure,
        "timeout": timeout,
        "max_connections": max_connections,
        "shutdown_timeout": _SHUTDOWN,
        **more,
    }
    return quiver.Client(pools={"default": rule}, name="command line")


def headers_of(given: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs from "Name: value". Raises BadParameter."""
    pairs = []
    for header in given:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise click.BadParameter(f"{header!r} is not 'Name: value'", param_hint="--header")
        pairs.append((name.strip(), value.strip()))
    return pairs


@contextlib.contextmanager
def body_of(data: str | None) -> Iterator[bytes | IO[bytes] | None]:
    """The body that `--data` names: text, or a file, open in the `with`. Raises BadParameter."""
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
