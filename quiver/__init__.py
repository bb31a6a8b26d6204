"""Quiver: an HTTP/3 client connection pool built of actors.

response = quiver.get("https://localhost:4443/items/42")

with quiver.Client(pools={"default": {"max_connections": 4}}) as client:
    response = client.get("https://localhost:4443/items/42", timeout=2.0)

pool = quiver.HTTP3Pool.start("https://localhost:4443", max_connections=2)
response = pool.ask(quiver.Request("GET", "/items/42"))
"""

from quiver import telemetry
from quiver.body import StreamedResponse
from quiver.channel import Channel, Closed, Datagram, StreamData, Trailers, cont, halt
from quiver.client import Client, shared
from quiver.config import PoolConfig
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
    SendTimeout,
    StreamClosed,
    StreamIdleTimeout,
    StreamReset,
    TransientError,
    UnrecoverableError,
)
from quiver.models import GetStats, Response, Stats
from quiver.origin import Origin
from quiver.pool.coordinator import HTTP3Pool
from quiver.pool.manager import protocol_of
from quiver.request import OpenChannel, Request, StreamRequest

__version__ = "0.1.0"

request = shared.request
get = shared.get
head = shared.head
post = shared.post
put = shared.put
patch = shared.patch
delete = shared.delete
options = shared.options
stream = shared.stream
open_channel = shared.open_channel
open_datagram_channel = shared.open_datagram_channel

__all__ = [
    "CertificateInvalid",
    "Channel",
    "CheckoutTimeout",
    "Client",
    "Closed",
    "ConnectDisabled",
    "ConnectTimeout",
    "ConnectionLost",
    "ConnectionRefused",
    "Datagram",
    "DatagramTooLarge",
    "DatagramsDisabled",
    "GetStats",
    "GoAway",
    "HTTP3Pool",
    "HandshakeFailed",
    "InvalidError",
    "InvalidOptions",
    "InvalidRequest",
    "InvalidURL",
    "NameResolutionFailed",
    "OpenChannel",
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
    "SendTimeout",
    "Stats",
    "StreamClosed",
    "StreamData",
    "StreamIdleTimeout",
    "StreamRequest",
    "StreamReset",
    "StreamedResponse",
    "Trailers",
    "TransientError",
    "UnrecoverableError",
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
