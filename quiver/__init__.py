"""Quiver: an HTTP/3 client connection pool built of actors.

response = quiver.get("https://localhost:4443/items/42")

with quiver.Client(pools={"default": {"max_connections": 4}}) as client:
    response = client.get("https://localhost:4443/items/42", timeout=2.0)

pool = quiver.HTTP3Pool.start("https://localhost:4443", max_connections=2)
response = pool.ask(quiver.Request("GET", "/items/42"))
"""

from quiver import telemetry
from quiver.client import Client, shared
from quiver.config import PoolConfig
from quiver.errors import (
    CertificateInvalid,
    CheckoutTimeout,
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    GoAway,
    HandshakeFailed,
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
    ResponseTooLarge,
    StreamReset,
    TransientError,
    UnrecoverableError,
)
from quiver.models import GetStats, Origin, Request, Response, Stats
from quiver.pool.coordinator import HTTP3Pool
from quiver.pool.manager import protocol_of

__version__ = "0.1.0"

request = shared.request
get = shared.get
head = shared.head
post = shared.post
put = shared.put
patch = shared.patch
delete = shared.delete
options = shared.options

__all__ = [
    "CertificateInvalid",
    "CheckoutTimeout",
    "Client",
    "ConnectTimeout",
    "ConnectionLost",
    "ConnectionRefused",
    "GetStats",
    "GoAway",
    "HTTP3Pool",
    "HandshakeFailed",
    "InvalidError",
    "InvalidOptions",
    "InvalidRequest",
    "InvalidURL",
    "NameResolutionFailed",
    "Origin",
    "PoolConfig",
    "PoolStopped",
    "ProtocolViolation",
    "QueueFull",
    "QuiverError",
    "ReceiveTimeout",
    "Request",
    "RequestCancelled",
    "RequestTimeout",
    "Response",
    "ResponseTooLarge",
    "Stats",
    "StreamReset",
    "TransientError",
    "UnrecoverableError",
    "delete",
    "get",
    "head",
    "options",
    "patch",
    "post",
    "protocol_of",
    "put",
    "request",
    "telemetry",
]
