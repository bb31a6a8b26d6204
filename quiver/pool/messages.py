"""The messages between the coordinator and its connections.

Streams and channels travel like buffered exchanges do: the request and the caller's Reply in one
forwarded `StartExchange`. The class of its request says which of them it is.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from quiver.actors.reply import Reply
from quiver.errors import QuiverError
from quiver.models import ConnectionStats, GetConnections, GetStats, Response, Stats
from quiver.origin import Origin
from quiver.pool.address_attempts import Address
from quiver.pool.dial_progress import Progress
from quiver.request import Request
from quiver.streams.channel import Channel
from quiver.streams.response import StreamedResponse

PoolQuestion = Request | GetStats | GetConnections
"""What a pool is asked."""

PoolAnswer = Response | StreamedResponse | Channel | Stats | list[ConnectionStats]
"""What a pool answers, each to its own question."""

PoolReply = Reply[PoolAnswer]

# To a connection: from the coordinator, or from a reader or writer of one of its streams.


class StartExchange(NamedTuple):
    """Send this request and answer its caller; the caller's Reply is forwarded with it.

    `deadline` is on the monotonic clock, seconds. `attempts` counts the connections on which the
    request has been sent before, `waited` the seconds for which it has waited for a slot so far.
    `repeated`: it comes back from one that was closed before it answered, with no other proof.
    """

    ticket: int
    request: Request
    deadline: float | None
    attempts: int = 0
    waited: float = 0.0
    repeated: bool = False


class ReadOn(NamedTuple):
    """The reader of this ticket has taken a good part of what was there."""

    ticket: int


class Filled(NamedTuple):
    """There is something to send for this ticket, or its body has ended or failed."""

    ticket: int


class StartEarly(NamedTuple):
    """Send a copy of this request at once, before the handshake is over."""

    ticket: int
    request: Request


class GiveUp(NamedTuple):
    """The caller of this ticket has lost interest."""

    ticket: int


class Drain(NamedTuple):
    """Take nothing more, finish what is open, then close."""

    reason: str


# From a connection to the coordinator.


class DialProgress(NamedTuple):
    """The connection, which is not there yet, has come so far."""

    connection: int
    progress: Progress


class EarlyRoom(NamedTuple):
    """The handshake has begun, and so many requests may go along, as early data."""

    connection: int
    streams: int


class ConnectionReady(NamedTuple):
    """The handshake is over; the server allows this many streams in the connection's life, and so
    many at a time. `early`: it has accepted what went along. `protocol` is what it speaks."""

    connection: int
    max_streams: int
    early: bool = False
    concurrent: int | None = None
    protocol: str = "http/3"


class StreamLimitRaised(NamedTuple):
    """The server's cumulative limit of streams has grown to this, or that of open ones is this."""

    connection: int
    max_streams: int
    concurrent: int | None = None


class Released(NamedTuple):
    """These tickets no longer hold a stream slot."""

    connection: int
    tickets: tuple[int, ...]


class Returned(NamedTuple):
    """The server did not act on this request: lend it another slot. Its Reply comes with it.

    `unused`: the connection opened no stream for it.
    """

    connection: int
    exchange: StartExchange
    unused: bool


class Aged(NamedTuple):
    """The connection has reached `max_age`."""

    connection: int


class Suspended(NamedTuple):
    """The connection's server may be gone: lend it nothing until it is resumed."""

    connection: int


class Resumed(NamedTuple):
    """The suspended connection has heard of its server."""

    connection: int


class Draining(NamedTuple):
    """The connection takes nothing more: its server sent GOAWAY, or it was idle for too long."""

    connection: int


class ConnectionDown(NamedTuple):
    """The connection is gone; every caller it had has an answer. `error` says what ended it."""

    connection: int
    error: QuiverError | None


# From the other pools of its client.


class Unneeded(NamedTuple):
    """End when you are idle, unless somebody asks first; `for_good`: nobody can ask any more."""

    for_good: bool


# From a caller, through its Reply.


class Cancel(NamedTuple):
    """The Reply of this ticket was cancelled."""

    ticket: int


# What a connection tells itself.


class SocketEvent(enum.Enum):
    """An event of the connection's socket."""

    READABLE = "readable"
    FAILED = "failed"


class Resolved(NamedTuple):
    """A name is looked up: addresses as `socket.connect` takes them, or the error.

    `place` is an alternative service's, None the origin's own.
    """

    outcome: list[Address] | QuiverError
    place: Origin | None = None
