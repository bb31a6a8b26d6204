"""Translation of another library's request into one of Quiver's."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, TypedDict, Unpack, cast

from quiver.fields import CONNECTION_SPECIFIC
from quiver.origin import Origin, split_url
from quiver.pool.fallback_table import Route
from quiver.request import Request, StreamRequest
from quiver.request_options import BodyLike, HeaderPairs, TrailersLike

__all__ = ["KEPT", "bodiless", "pairs_of", "sendable", "split", "translated"]

KEPT: Final = 1_024
"""URLs, and requests without a body, that are kept: a load test, say, asks few, often."""


@lru_cache(KEPT)
def split(url: str, *, plain: bool = False) -> tuple[Origin, str]:
    """Split a URL into origin and target, without user information: that is in the headers by now.

    Args:
        plain: take `http://` as well.

    Raises:
        InvalidURL: it names no such origin.
    """
    scheme, mark, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    if "?" not in authority and "#" not in authority:
        authority = authority.rpartition("@")[2]
    return split_url(f"{scheme}{mark}{authority}{slash}{path}", plain=plain)


class Options(TypedDict, total=False):
    """The other attributes of `quiver.StreamRequest` that an adapter may set."""

    body: BodyLike
    trailers: TrailersLike
    connect_timeout: float | None
    receive_timeout: float | None
    send_timeout: float | None
    checkout_timeout: float | None


def translated(
    route: Route,
    method: str,
    target: str,
    headers: Iterable[tuple[str | bytes, str | bytes]],
    **options: Unpack[Options],
) -> StreamRequest:
    """Make the request for `route`.

    Args:
        options: the others of `quiver.StreamRequest`.

    Raises:
        InvalidRequest, and whatever else `quiver.StreamRequest` finds.
    """
    if not route.elsewhere:
        if options.get("body") is None and "trailers" not in options:
            fields = tuple(headers)
            kept = bodiless(StreamRequest, method, target, fields, **cast(Any, options))
            return cast(StreamRequest, kept)
        return StreamRequest(method, target, sendable(headers), **options)
    pairs = sendable(headers)
    if not any(name == "host" for name, _ in pairs):
        pairs.append(("host", route.origin.authority))
    pairs.append(("alt-used", route.place.host_and_port))  # RFC 7838 5
    return StreamRequest(method, target, pairs, **options)


@lru_cache(KEPT)
def bodiless(
    kind: type[Request],
    method: str,
    target: str,
    headers: tuple[tuple[str | bytes, str | bytes], ...],
    **options: Any,
) -> Request:
    """Make a request without a body; the same one for the same values."""
    return kind(method, target, sendable(headers), **options)


def sendable(headers: Iterable[tuple[str | bytes, str | bytes]]) -> list[tuple[str, str]]:
    """Drop the fields of an HTTP/1.1 connection (RFC 9110 7.6.1, RFC 9114 4.2)."""
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
    """Return fields as bytes."""
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
