"""Which protocols a client speaks, and by which stacks of connections it does.

They go by ALPN's names: "h3" is HTTP/3, "h2" HTTP/2, "http/1.1" HTTP/1.1. The last two come with
the extra `tcp`, and are imported when a connection over TCP is needed first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib.util import find_spec
from typing import Any, Final, NamedTuple

from quiver.errors import (
    ConnectionRefused,
    ConnectTimeout,
    HandshakeFailed,
    InvalidOptions,
    InvalidURL,
    QuiverError,
)
from quiver.first_use import load
from quiver.optional_imports import extra
from quiver.origin import Origin, no_tls
from quiver.pool.http3_stack import Http3Stack
from quiver.pool.http_connection import ProtocolStack
from quiver.proxies import Proxy

__all__ = ["ALL", "H3_ALONE", "Stacks", "advise", "chosen", "stacks_for"]

ALL: Final = ("h3", "h2", "http/1.1")
H3_ALONE: Final = ("h3",)
SECURE: Final = {"h3": "HTTP/3", "h2": "HTTP/2"}  # those that have TLS always
UNREACHED: Final = (ConnectTimeout, ConnectionRefused, HandshakeFailed, InvalidURL)


@cache
def missing_for_tcp() -> str | None:
    """What of the extra `tcp` is not installed; None: all of it is. Looked up once."""
    return next((name for name in ("h2", "h11") if find_spec(name) is None), None)


def chosen(protocols: Iterable[str] | None) -> tuple[str, ...]:
    """The protocols of a client, as it was given them; None: all that are installed.

    Raises:
        InvalidOptions: there are none, or there is no such protocol.
        ModuleNotFoundError: what one of them needs is not installed.
    """
    if protocols is None:
        return ALL if missing_for_tcp() is None else H3_ALONE
    if isinstance(protocols, str) or not isinstance(protocols, Iterable):
        raise InvalidOptions(f"protocols={protocols!r}: must be a tuple of {', '.join(ALL)}")
    given = tuple(protocols)
    if not given or any(each not in ALL for each in given):
        raise InvalidOptions(f"protocols={given!r}: must be one or more of {', '.join(ALL)}")
    if set(given) != {"h3"} and missing_for_tcp() is not None:
        with extra("tcp"):
            raise ModuleNotFoundError(name=missing_for_tcp())
    return tuple([each for each in ALL if each in given])


def advise(error: QuiverError, protocols: tuple[str, ...]) -> None:
    """Note on what has kept a client from an origin which extra would bring it a way there."""
    about = (error, error.__cause__)
    if protocols != H3_ALONE or missing_for_tcp() is None:
        return
    if any(isinstance(each, UNREACHED) for each in about):
        error.add_note("the extra tcp brings a way back to TCP: pip install 'quiver-http3[tcp]'")


class Stacks(NamedTuple):
    """What the connections of a pool are made of.

    Attributes:
        first: what is spoken, or is dialled first.
        over_tcp: yields what is dialled behind it; None: nothing is.
        proxy: that is gone through.
    """

    first: type[ProtocolStack]
    over_tcp: Callable[[], type[ProtocolStack]] | None = None
    proxy: Proxy | None = None


def stacks_for(origin: Origin, protocols: tuple[str, ...], proxy: Proxy | None = None) -> Stacks:
    """What an origin is spoken to by; through a proxy it is by what goes over TCP alone.

    Raises:
        InvalidURL: no TLS, and no HTTP/1.1.
    """
    if origin.scheme == "http":
        if "http/1.1" not in protocols:
            raise no_tls(origin, *(SECURE[each] for each in protocols))
        return Stacks(_over_tcp(("http/1.1",)), None, proxy)
    behind = tuple([each for each in protocols if each != "h3"])
    if "h3" not in protocols or (behind and proxy is not None):
        return Stacks(_over_tcp(behind), None, proxy)
    return Stacks(Http3Stack, partial(_over_tcp, behind) if behind else None)


def _over_tcp(protocols: tuple[str, ...]) -> type[ProtocolStack]:
    with extra("tcp"):  # while an actor of the loop waits for it, the loop goes on
        stacks: Any = load("quiver.pool.tcp_stack")
    alone: dict[tuple[str, ...], Any] = {
        ("h2",): stacks.Http2Stack,
        ("http/1.1",): stacks.Http1Stack,
    }
    stack: type[ProtocolStack] = alone.get(protocols, stacks.TcpStack)
    return stack
