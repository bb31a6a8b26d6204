"""What a connection reports, in the order in which it happened. Values; nobody changes them.

    Informational*, Headers, Body*, TrailersReceived?

of each request's stream; the one with `ended` is the last one, and so is TrailersReceived. Or it
breaks off, also as the last: StreamResetReceived, StreamAborted, StreamMalformed, HeadersTooLarge.
After `cancel` a stream says nothing more. ConnectionEnded is the last event of all, and comes
exactly once.
"""

from __future__ import annotations

import attrs

from quiver.errors import QuiverError
from quiver.fields import Pairs
from quiver.quic.engine import (
    PathFailed,
    PathValidated,
    PingAcknowledged,
    StopSendingReceived,
    StreamResetReceived,
    TicketReceived,
)
from quiver.redaction import names_of

__all__ = [
    "Body",
    "CapacityChanged",
    "ConnectionEnded",
    "Event",
    "GoAwayReceived",
    "Headers",
    "HeadersTooLarge",
    "HttpDatagramReceived",
    "Informational",
    "PathFailed",
    "PathValidated",
    "PingAcknowledged",
    "Ready",
    "Settings",
    "StopSendingReceived",
    "StreamAborted",
    "StreamMalformed",
    "StreamResetReceived",
    "TicketReceived",
    "TrailersReceived",
]


@attrs.define
class Ready:
    """The handshake is done; requests may be opened.

    Attributes:
        max_streams: how many requests may be opened in the connection's whole life, as of now.
        resumed: a TLS session was resumed.
        early: whether the server has accepted what was opened before; None when nothing was. If
            not, nothing of that was opened, and the streams' ids begin anew.
        concurrent: how many may be open at a time; None: that is not limited apart.
    """

    max_streams: int
    resumed: bool
    early: bool | None = None
    concurrent: int | None = None


@attrs.define
class Settings:
    """The server's SETTINGS have come (RFC 9114 7.2.4), some time after Ready.

    Attributes:
        connect: extended CONNECT is enabled (RFC 9220).
        datagrams: both sides do HTTP datagrams (RFC 9297).
    """

    connect: bool
    datagrams: bool


@attrs.define
class CapacityChanged:
    """The server lets more requests be opened; `max_streams` is cumulative (RFC 9000 4.6).

    `concurrent`, of those that may be open at a time, can also be less than before.
    """

    max_streams: int
    concurrent: int | None = None


@attrs.define
class Informational:
    """An interim response (1xx); the final one follows."""

    stream_id: int
    status: int
    headers: Pairs = attrs.field(repr=names_of)


@attrs.define
class Headers:
    """The final response's status and fields; names in lower case, values from latin-1.

    With `ended` it is the whole response, and a Body as well: `content` is all there is.
    """

    stream_id: int
    status: int
    headers: Pairs = attrs.field(repr=names_of)
    ended: bool
    content: bytes = b""


@attrs.define
class Body:
    """A piece of the content. Only the one that ends the stream can be empty; of a response that
    came at once there is none: see Headers."""

    stream_id: int
    content: bytes
    ended: bool


@attrs.define
class TrailersReceived:
    """The trailer section. It waits for the end of the stream, so it is always the last."""

    stream_id: int
    headers: Pairs = attrs.field(repr=names_of)


@attrs.define
class StreamMalformed:
    """The response was malformed (RFC 9114 4.1.2); its stream has been reset by us."""

    stream_id: int
    reason: str


@attrs.define
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


@attrs.define
class StreamAborted:
    """The server has ended a stream, by a protocol whose codes are not HTTP/3's.

    Attributes:
        code: that it gave, in its protocol's numbers; None: its connection is lost.
        said: that in words.
        refused: it was not acted upon, and may be sent again.
        unprocessed: it was not acted upon.
        http1: over HTTP/1.1 alone, that is.
    """

    stream_id: int
    code: int | None
    said: str
    refused: bool
    unprocessed: bool
    http1: bool = False


@attrs.define
class GoAwayReceived:
    """The server takes no requests whose stream id is `stream_id` or above (RFC 9114 5.2)."""

    stream_id: int


@attrs.define
class HttpDatagramReceived:
    """An HTTP datagram that belongs to a request (RFC 9297)."""

    stream_id: int
    payload: bytes


@attrs.define
class ConnectionEnded:
    """The connection is over, by whichever side; `error` says why."""

    error: QuiverError


Event = (
    Ready
    | Settings
    | CapacityChanged
    | Informational
    | Headers
    | Body
    | TrailersReceived
    | StreamResetReceived
    | StopSendingReceived
    | StreamAborted
    | StreamMalformed
    | HeadersTooLarge
    | GoAwayReceived
    | PingAcknowledged
    | PathValidated
    | PathFailed
    | HttpDatagramReceived
    | TicketReceived
    | ConnectionEnded
)
