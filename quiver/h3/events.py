"""What a session reports, in the order in which it happened. All are frozen values.

A request's stream yields Informational*, Headers, Body*, Trailers?; the one with `ended` is the
last one, and so are Trailers. Or it breaks off, also as the last: StreamReset, StreamMalformed,
HeadersTooLarge. After `Session.cancel` a stream says nothing more. Closed is the last event of
all, and comes exactly once.
"""

from __future__ import annotations

import attrs

from quiver.errors import QuiverError

__all__ = [
    "Body",
    "CapacityChanged",
    "Closed",
    "Datagram",
    "Event",
    "GoAway",
    "Headers",
    "HeadersTooLarge",
    "Informational",
    "PingAcknowledged",
    "Ready",
    "Settings",
    "StopSending",
    "StreamMalformed",
    "StreamReset",
    "Trailers",
]

Pairs = list[tuple[str, str]]


@attrs.frozen
class Ready:
    """The handshake is done; requests may be opened.

    Attributes:
        max_streams: how many requests may be opened in the connection's whole life, as of now.
        resumed: a TLS session was resumed.
    """

    max_streams: int
    resumed: bool


@attrs.frozen
class Settings:
    """The server's SETTINGS have come (RFC 9114 7.2.4), some time after Ready.

    Attributes:
        connect: extended CONNECT is enabled (RFC 9220).
        datagrams: both sides do HTTP datagrams (RFC 9297).
    """

    connect: bool
    datagrams: bool


@attrs.frozen
class CapacityChanged:
    """The server lets more requests be opened; `max_streams` is cumulative (RFC 9000 4.6)."""

    max_streams: int


@attrs.frozen
class Informational:
    """An interim response (1xx); the final one follows."""

    stream_id: int
    status: int
    headers: Pairs


@attrs.frozen
class Headers:
    """The final response's status and fields; names in lower case, values from latin-1."""

    stream_id: int
    status: int
    headers: Pairs
    ended: bool


@attrs.frozen
class Body:
    """A piece of the content. Only the one that ends the stream can be empty."""

    stream_id: int
    content: bytes
    ended: bool


@attrs.frozen
class Trailers:
    """The trailer section. It waits for the end of the stream, so it is always the last."""

    stream_id: int
    headers: Pairs


@attrs.frozen
class StreamReset:
    """The server reset the response with an error code (RFC 9114 8.1)."""

    stream_id: int
    code: int


@attrs.frozen
class StopSending:
    """The server wants no more of the request. Its response may still come."""

    stream_id: int
    code: int


@attrs.frozen
class StreamMalformed:
    """The response was malformed (RFC 9114 4.1.2); its stream has been reset by us."""

    stream_id: int
    reason: str


@attrs.frozen
class HeadersTooLarge:
    """A header or trailer section was refused, and its stream cancelled.

    Attributes:
        size: bytes; encoded, if that exceeds the limit already, else as RFC 9114 4.2.2 counts;
            of interim responses, all together.
        limit: the `max_header_size` that it exceeds.
    """

    stream_id: int
    size: int
    limit: int


@attrs.frozen
class GoAway:
    """The server takes no requests whose stream id is `stream_id` or above (RFC 9114 5.2)."""

    stream_id: int


@attrs.frozen
class PingAcknowledged:
    """The server answered the PING sent with this number."""

    uid: int


@attrs.frozen
class Datagram:
    """An HTTP datagram that belongs to a request (RFC 9297)."""

    stream_id: int
    payload: bytes


@attrs.frozen
class Closed:
    """The connection is over, by whichever side; `error` says why."""

    error: QuiverError


Event = (
    Ready
    | Settings
    | CapacityChanged
    | Informational
    | Headers
    | Body
    | Trailers
    | StreamReset
    | StopSending
    | StreamMalformed
    | HeadersTooLarge
    | GoAway
    | PingAcknowledged
    | Datagram
    | Closed
)
