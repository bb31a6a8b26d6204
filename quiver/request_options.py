"""What a caller may give a request or a channel by keyword: the types, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Final

from quiver.errors import InvalidRequest
from quiver.fields import Pairs
from quiver.pool_options import (
    ClientOptions,
    PoolOptions,
    SharedOptions,
    TimeLimits,
    unknown,
)
from quiver.request_forms import ParamsLike
from quiver.streams.body_source import BodySource

__all__ = [
    "OPTION_CHECKS",
    "BodyLike",
    "CallOptions",
    "ChannelCallOptions",
    "ChannelOptions",
    "CommonCallOptions",
    "CommonOptions",
    "HeaderPairs",
    "HeadersLike",
    "OnInformational",
    "RequestOptions",
    "TrailersLike",
    "check_limit",
    "misspelt",
]

HeaderPairs = tuple[tuple[str, str], ...]
"""Names and values of fields as they are sent."""

HeadersLike = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""What a caller may give as headers: a mapping, or pairs, in which a name may come twice."""

BodyLike = (
    bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | Iterable[bytes]
    | Callable[[], Iterable[bytes]]
    | BodySource
    | None
)
"""What a caller may give as a body. What is not bytes is read while it is sent."""

TrailersLike = HeadersLike | Callable[[], HeadersLike]
"""What a caller may give as trailers; a callable is called when the body has been read."""

OnInformational = Callable[[int, Pairs], object]
"""A callback for each 1xx response, with its status and its fields."""


class CommonOptions(TimeLimits, total=False):
    """Options that a request and a channel have in common."""

    params: ParamsLike | None
    headers: HeadersLike
    on_informational: OnInformational | None


class RequestOptions(CommonOptions, total=False):
    """Options of one request, as `Request` has them."""

    body: BodyLike
    json: object
    send_timeout: float | None
    early_data: bool | None
    trailers: TrailersLike


class ChannelOptions(CommonOptions, total=False):
    """Options of one channel, as `OpenChannel` has them."""

    method: str
    protocol: str | None
    require_datagrams: bool
    open_timeout: float | None


class CallOptions(RequestOptions, SharedOptions, ClientOptions, total=False):
    """Options of `quiver.get` and the other functions: of the request, its pool and client."""


class CommonCallOptions(CommonOptions, SharedOptions, ClientOptions, total=False):
    """Options of `quiver.open_channel`: of the channel, its pool and client."""


class ChannelCallOptions(ChannelOptions, SharedOptions, ClientOptions, total=False):
    """Options of `quiver.open_datagram_channel`: of the channel, its pool and client."""


_PLACES: Final = ("method", "target", "origin")
"""What a request is given beside its options."""


def _callback(name: str, value: object) -> None:
    if not callable(value):
        raise InvalidRequest(f"{name}={value!r} cannot be called")


def check_limit(name: str, value: object) -> None:
    """Raises InvalidRequest for what is no time limit."""
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not 0 < value <= sys.float_info.max
    ):
        raise InvalidRequest(f"{name}={value!r} is not a number of seconds above 0")


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidRequest(f"{name}={value!r} is not True, False or None")


OPTION_CHECKS: Final[dict[str, Callable[[str, object], None]]] = {
    "timeout": check_limit,
    "receive_timeout": check_limit,
    "send_timeout": check_limit,
    "checkout_timeout": check_limit,
    "connect_timeout": check_limit,
    "early_data": _flag,
    "on_informational": _callback,
}
"""What an option must be that is given, and not None."""


def misspelt(given: Mapping[str, object], kind: type) -> TypeError | None:
    """The error about a keyword that is none of `kind`; it says which one may have been meant."""
    known = kind.__annotations__
    wrong = next((name for name in given if name not in known and name not in _PLACES), None)
    if wrong is None:
        return None
    if wrong in PoolOptions.__annotations__:
        return TypeError(f"{wrong} is an option of a pool: give it to Client({wrong}=...)")
    return TypeError(unknown(wrong, "keyword of a request", tuple(known)))
