"""Quiver: an HTTP/3 client connection pool built of actors.

response = quiver.get("https://localhost:4443/items/42")

with quiver.Client(pools={"default": {"max_connections": 4}}) as client:
    response = client.get("https://localhost:4443/items/42", timeout=2.0)

pool = quiver.HTTP3Pool.start("https://localhost:4443", max_connections=2)
response = pool.ask(quiver.Request("GET", "/items/42"))
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from quiver.errors import (
    CertificateInvalid,
    CheckoutTimeout,
    ConnectDisabled,
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    DatagramsDisabled,
    DatagramTooLarge,
    GoAway,
    HandshakeFailed,
    InternalError,
    InvalidError,
    InvalidOptions,
    InvalidRequest,
    InvalidURL,
    NameResolutionFailed,
    PoolStopped,
    ProtocolViolation,
    QueueFull,
    QuiverError,
    ReceiveTimeout,
    RequestCancelled,
    RequestTimeout,
    ResourceExhausted,
    ResponseTooLarge,
    SendTimeout,
    StatusError,
    StreamClosed,
    StreamIdleTimeout,
    StreamReset,
    TransientError,
    TransientStatus,
    UnrecoverableError,
    UnrecoverableStatus,
)
from quiver.first_use import load
from quiver.functions import (
    delete,
    get,
    head,
    open_channel,
    open_datagram_channel,
    options,
    patch,
    post,
    put,
    request,
    stream,
)
from quiver.version import VERSION

if TYPE_CHECKING:
    from quiver import telemetry
    from quiver.client import Client
    from quiver.config import PoolConfig, PoolOptions
    from quiver.models import (
        ConnectionStats,
        GetConnections,
        GetStats,
        Handshake,
        Response,
        ResponseConnection,
        Stats,
    )
    from quiver.origin import Origin
    from quiver.pool.http1_pool import HTTP1Pool
    from quiver.pool.http2_pool import HTTP2Pool
    from quiver.pool.http3_pool import HTTP3Pool
    from quiver.pool.manager import protocol_of
    from quiver.pool.ref import PoolRef
    from quiver.request import OpenChannel, Request, StreamRequest
    from quiver.request_options import (
        CallOptions,
        ChannelCallOptions,
        ChannelOptions,
        CommonCallOptions,
        CommonOptions,
        RequestOptions,
    )
    from quiver.streams.channel import (
        Channel,
        ChannelEvent,
        ChannelHandler,
        Closed,
        Cont,
        Datagram,
        Halt,
        StreamData,
        Trailers,
        cont,
        halt,
    )
    from quiver.streams.response import StreamedResponse

__version__ = VERSION

__all__ = [
    "CallOptions",
    "CertificateInvalid",
    "Channel",
    "ChannelCallOptions",
    "ChannelEvent",
    "ChannelHandler",
    "ChannelOptions",
    "CheckoutTimeout",
    "Client",
    "Closed",
    "CommonCallOptions",
    "CommonOptions",
    "ConnectDisabled",
    "ConnectTimeout",
    "ConnectionLost",
    "ConnectionRefused",
    "ConnectionStats",
    "Cont",
    "Datagram",
    "DatagramTooLarge",
    "DatagramsDisabled",
    "GetConnections",
    "GetStats",
    "GoAway",
    "HTTP1Pool",
    "HTTP2Pool",
    "HTTP3Pool",
    "Halt",
    "Handshake",
    "HandshakeFailed",
    "InternalError",
    "InvalidError",
    "InvalidOptions",
    "InvalidRequest",
    "InvalidURL",
    "NameResolutionFailed",
    "OpenChannel",
    "Origin",
    "PoolConfig",
    "PoolOptions",
    "PoolRef",
    "PoolStopped",
    "ProtocolViolation",
    "QueueFull",
    "QuiverError",
    "ReceiveTimeout",
    "Request",
    "RequestCancelled",
    "RequestOptions",
    "RequestTimeout",
    "ResourceExhausted",
    "Response",
    "ResponseConnection",
    "ResponseTooLarge",
    "SendTimeout",
    "Stats",
    "StatusError",
    "StreamClosed",
    "StreamData",
    "StreamIdleTimeout",
    "StreamRequest",
    "StreamReset",
    "StreamedResponse",
    "Trailers",
    "TransientError",
    "TransientStatus",
    "UnrecoverableError",
    "UnrecoverableStatus",
    "cont",
    "delete",
    "get",
    "halt",
    "head",
    "open_channel",
    "open_datagram_channel",
    "options",
    "patch",
    "post",
    "protocol_of",
    "put",
    "request",
    "stream",
    "telemetry",
]

# Where the other names are, each imported at its first use (PEP 562).
_HOMES: Final = {
    name: f"quiver.{module}"
    for module, names in {
        "client": ("Client",),
        "config": ("PoolConfig", "PoolOptions"),
        "models": (
            *("GetConnections", "GetStats", "ConnectionStats", "Stats"),
            *("Response", "ResponseConnection", "Handshake"),
        ),
        "origin": ("Origin",),
        "pool.http1_pool": ("HTTP1Pool",),
        "pool.http2_pool": ("HTTP2Pool",),
        "pool.http3_pool": ("HTTP3Pool",),
        "pool.manager": ("protocol_of",),
        "pool.ref": ("PoolRef",),
        "request": ("OpenChannel", "Request", "StreamRequest"),
        "request_options": (
            *("CallOptions", "ChannelCallOptions", "CommonCallOptions"),
            *("ChannelOptions", "CommonOptions", "RequestOptions"),
        ),
        "streams.channel": (
            *("Channel", "ChannelEvent", "Closed", "Datagram", "StreamData", "Trailers"),
            *("ChannelHandler", "Cont", "Halt", "cont", "halt"),
        ),
        "streams.response": ("StreamedResponse",),
    }.items()
    for name in names
}
_APART: Final = ("adapters", "cli", "testing")  # they are imported by name, or not at all

if not TYPE_CHECKING:  # else any name would do for a type checker

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is not None:
            found = globals()[name] = getattr(load(home), name)
            return found
        if not name.startswith("_") and name not in _APART:
            try:
                return load(f"quiver.{name}")
            except ModuleNotFoundError as error:
                if error.name != f"quiver.{name}":
                    raise
        raise AttributeError(f"module 'quiver' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*__all__, "errors", *(name for name in globals() if name.startswith("__"))})


class _Package(ModuleType):
    def __setattr__(self, name: str, value: object) -> None:
        """Keep `quiver.request` the function when the module of that name is imported."""
        if name != "request" or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
