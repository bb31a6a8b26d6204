"""What the pure tables ask to be done.

Every public method of `RoutingTable` and of `Exchanges` returns a tuple of these values, in the
order in which they must be carried out. The actor around the table runs one `match` over them.
Nobody changes one, and so they have a hash.
Tickets, connections and streams are integers; nothing here refers to an actor or a socket.
"""

from __future__ import annotations

import enum
from typing import Final

import attrs

from quiver.errors import QuiverError
from quiver.models import Response
from quiver.redaction import names_of


class Rejection(enum.Enum):
    """Why a waiting caller gets no connection."""

    CHECKOUT_TIMEOUT = "checkout timeout"
    QUEUE_FULL = "queue full"
    CONNECT_FAILED = "connect failed"
    STOPPED = "stopped"


# What routing asks of the coordinator.


@attrs.define(unsafe_hash=True)
class Forward:
    """Hand the ticket's request and reply to this connection; the lease is taken."""

    ticket: int
    connection: int


@attrs.define(unsafe_hash=True)
class OpenConnection:
    """Start a connection under this number, which the table has just given out.

    `early`: somebody waits who may go before its handshake is over.
    """

    connection: int
    early: bool = False


@attrs.define(unsafe_hash=True)
class SendEarly:
    """Have this connection, which is connecting, send a copy of the ticket's request.

    The ticket waits on.
    """

    ticket: int
    connection: int


@attrs.define(unsafe_hash=True)
class Reject:
    """Answer a waiting ticket with an error.

    `error` is what the last attempt died of, for CONNECT_FAILED.
    """

    ticket: int
    reason: Rejection
    error: QuiverError | None = None


@attrs.define(unsafe_hash=True)
class CancelExchange:
    """Tell this connection to give the ticket up, or the copy of it that was sent early.

    A lease stays until the connection releases it.
    """

    ticket: int
    connection: int


@attrs.define(unsafe_hash=True)
class Retire:
    """Tell this connection to finish what it has and close.

    The table counts it as draining already.
    """

    connection: int


@attrs.define(unsafe_hash=True)
class Redial:
    """Call `redial(now)` at this time.

    One is pending at most: a new one replaces the one before.
    """

    at: float


# What the exchanges ask of their connection.


@attrs.define(unsafe_hash=True)
class Answer:
    """Fulfil the ticket's reply: a response, or the error that says what happened."""

    ticket: int
    outcome: Response | BaseException


@attrs.define(unsafe_hash=True)
class Inform:
    """Tell the ticket's caller of a 1xx response."""

    ticket: int
    status: int
    headers: list[tuple[str, str]] = attrs.field(repr=names_of)


@attrs.define(unsafe_hash=True)
class Begin:
    """Give the ticket's caller the head of a response whose content follows piece by piece."""

    ticket: int
    status: int
    headers: list[tuple[str, str]] = attrs.field(repr=names_of)


@attrs.define(unsafe_hash=True)
class Deliver:
    """Put a piece of content where the ticket's reader takes it from."""

    ticket: int
    content: bytes


@attrs.define(unsafe_hash=True)
class End:
    """The ticket's streamed response is complete."""

    ticket: int
    trailers: list[tuple[str, str]] = attrs.field(repr=names_of)


@attrs.define(unsafe_hash=True)
class Release:
    """The ticket's exchange is over without an outcome: its caller has left."""

    ticket: int


@attrs.define(unsafe_hash=True)
class ResetStream:
    """Give the stream up in both directions, with this HTTP/3 error code (RFC 9114 section 8.1)."""

    stream_id: int
    code: int


@attrs.define(unsafe_hash=True)
class Hear:
    """Note what the origin says of other places where it speaks HTTP/3: its Alt-Svc field."""

    field: str


@attrs.define(unsafe_hash=True)
class Retry:
    """Give the request back to the pool: the peer proved that it did not act on it.

    The coordinator knows the ticket to be free before it is submitted again.
    `error` is the answer if there can be no second attempt.
    """

    ticket: int
    error: QuiverError


RoutingAction = Forward | OpenConnection | SendEarly | Reject | CancelExchange | Retire | Redial
ExchangeAction = Answer | Inform | Begin | Deliver | End | Hear | Release | ResetStream | Retry

ENDS: Final = (Answer, End, Release, Retry)
"""By one of these a ticket's exchange is over, and its stream slot is free."""
