"""A request as another library has it, made into one of Quiver's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from quiver.adapters.clients import Trust
from quiver.adapters.fallback import Route
from quiver.fields import CONNECTION_SPECIFIC
from quiver.origin import Origin, split_url
from quiver.request import HeaderPairs, StreamRequest

__all__ = ["outgoing", "pairs_of", "split", "trusting"]


def split(url: str) -> tuple[Origin, str]:
    """Origin and target. User information is left out: it is in the headers by now.

    Raises:
        InvalidURL: it names no https origin.
    """
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if "?" not in authority and "#" not in authority:
        authority = authority.rpartition("@")[2]
    return split_url(f"{scheme}{mark}{authority}{slash}{path}")


def outgoing(
    route: Route,
    method: str,
    target: str,
    headers: Iterable[tuple[str | bytes, str | bytes]],
    **options: Any,
) -> StreamRequest:
    """The request for `route`.

    Args:
        options: the others of `quiver.StreamRequest`.

    Raises:
        InvalidRequest, and whatever else `quiver.StreamRequest` finds.
    """
    pairs = _sendable(headers)
    if route.elsewhere:
        if not any(name == "host" for name, _ in pairs):
            pairs.append(("host", route.origin.authority))
        pairs.append(("alt-used", f"{route.place.host}:{route.place.port}"))  # RFC 7838 5
    return StreamRequest(method, target, pairs, **options)


def trusting(trust: Trust, route: Route) -> Trust:
    """An alternative must show the origin's certificate, not its own host's (RFC 7838 2.1)."""
    if route.place.host == route.origin.host:
        return trust
    return attrs.evolve(trust, server_name=route.origin.host)


def _sendable(headers: Iterable[tuple[str | bytes, str | bytes]]) -> list[tuple[str, str]]:
    """Without what is about an HTTP/1.1 connection (RFC 9110 7.6.1, RFC 9114 4.2)."""
    pairs = [(_text(name).lower(), _text(value).strip(" \t")) for name, value in headers]
    named = {
        word.strip().lower()
        for name, value in pairs
        if name == "connection"
        for word in value.split(",")
    }
    dropped = CONNECTION_SPECIFIC | named
    return [
        pair
        for pair in pairs
        if pair[0] not in dropped and (pair[0] != "te" or pair[1].lower() == "trailers")
    ]


def _text(part: str | bytes) -> str:
    return part if isinstance(part, str) else part.decode("latin-1")


def pairs_of(headers: HeaderPairs | list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Fields as bytes."""
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
