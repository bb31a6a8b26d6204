"""Exchanges: what is in flight on one connection, and what each event means for its caller.

An exchange is one request and its response on a stream. It is opened with its ticket; each event
of its stream says what arrived; it ends with exactly one outcome: an `Answer` (a whole response,
or an error), or an `End` when its response was streamed, or a `Retry` when the server proved that
it did not act on the request, or, when its caller gave up, a `Release`. With that its stream slot
is free. Events about streams that are no longer here are legitimate races and return `()`.

    BUFFERED                                          Answer(Response)
    STREAMED    Begin, Deliver*                       End
    CHANNEL     Begin?, Deliver*                      End
    any         Inform* before the response           Answer(error), or Retry unless begun

Deadlines stand in one heap. Silence is not: each exchange remembers when it last heard something,
and an entry that comes due too early goes back for the rest.
"""

from __future__ import annotations

import copy
import enum
import heapq
import math
from collections.abc import Callable
from typing import Any, Final

import attrs

from quiver import errors
from quiver.errors import QuiverError
from quiver.fields import Pairs
from quiver.h3 import events
from quiver.h3.codes import ErrorCode, name_of
from quiver.h3.headers import content_length
from quiver.models import Response, ResponseConnection
from quiver.pool.actions import (
    Answer,
    Begin,
    Deliver,
    End,
    ExchangeAction,
    Inform,
    Release,
    ResetStream,
    Retry,
)
from quiver.pool.buffered_body import BufferedBody
from quiver.pool.time_limits import Limits
from quiver.pool.told_heads import REFUSALS, Http1Required, heard_in, refusal_of

Actions = tuple[ExchangeAction, ...]

_BODILESS: Final = frozenset({204, 304})
_NONE_YET: Final[Pairs] = []  # of all that wait: it is replaced, not filled


class Mode(enum.Enum):
    """The way in which a response reaches its caller."""

    BUFFERED = "buffered"  # as a whole
    STREAMED = "streamed"  # its head, then its content as it comes
    CHANNEL = "channel"  # everything as events; the caller has it from the start


@attrs.define(eq=False)
class Exchange:
    """What is known of one exchange. `begun`: its caller has a response or channel in hand."""

    stream_id: int
    ticket: int
    mode: Mode
    bodiless: bool  # no content may come: HEAD, 204, 304
    limits: Limits
    heard: float  # when the server last gave, or our side last took, a sign of life
    begun: bool = False
    early: bool = False  # it was sent before the handshake was over
    status: int = 0  # until the final response's header section has come
    headers: Pairs = attrs.field(default=_NONE_YET)
    expected: int | None = None  # content-length, where content may come
    size: int = 0
    body: BufferedBody | None = None  # what came before the last of it
    unread: int = 0  # bytes that wait for the reader
    read: float = 0.0  # when the reader last took some, or had nothing to take
    stuck: bool = False  # its body waits for the server to take some
    entry: float = math.inf  # when its entry in the heap comes due

    def respond(self, status: int, headers: Pairs, now: float) -> None:
        """Take the final response's head. ValueError: its content-length is none."""
        self.heard, self.status, self.headers = now, status, headers
        if self.mode is Mode.CHANNEL:  # RFC 9110 9.3.6: any 2xx opens it, whatever length it has
            return self.limits.answered()
        if status in _BODILESS:
            self.bodiless = True
        if not self.bodiless:
            self.expected = content_length(headers)

    def receive(self, size: int, now: float) -> bool:
        """Count content that came. Returns whether it is more than was declared."""
        self.heard = now
        self.size += size
        if self.mode is not Mode.BUFFERED:
            if not self.unread:
                self.read = now
            self.unread += size
        return self.expected is not None and self.size > self.expected

    def due(self) -> float:
        """The time at which it ends if nothing more happens; infinity for never."""
        limits, silent = self.limits, math.inf
        if self.unread:  # it waits for its reader, not for the server
            if limits.idle_timeout is not None:
                silent = self.read + limits.idle_timeout
        elif self.stuck and limits.send_timeout is not None:
            silent = self.heard + limits.send_timeout
        elif limits.receive_timeout is not None and not (self.mode is Mode.CHANNEL and self.status):
            silent = max(self.heard, self.read) + limits.receive_timeout
        deadline = limits.deadline
        return silent if deadline is None or silent < deadline else deadline

    def excuse(self, seconds: float, now: float) -> None:
        """Add time, until `now`, in which nothing could be heard: that was nobody's silence."""
        self.heard = min(self.heard + seconds, now)
        self.read = min(self.read + seconds, now)

    @property
    def untaken(self) -> bool:
        """Whether its body waits for the server, which has a time limit of its own for that."""
        return self.stuck and self.limits.send_timeout is not None


class Exchanges:
    """All that one connection has in flight. Times are seconds on the caller's clock.

    Args:
        max_body_size: bytes of a buffered body; None is no limit.
        origin: as text, for errors.
        hears: whether somebody wants to hear of the origin's other places (Alt-Svc).

    Attributes:
        connection: what the responses come by.
        by_stream: what is open.
        due: when `sweep` may have something to do; it may be too early, never too late; infinity
            for never.
    """

    def __init__(self, *, max_body_size: int | None, origin: str, hears: bool = False) -> None:
        self._hears = hears
        self._max_body_size = math.inf if max_body_size is None else max_body_size
        self._origin = origin
        self.connection: ResponseConnection | None = None
        self.by_stream: dict[int, Exchange] = {}
        self._streams: dict[int, int] = {}  # ticket -> stream
        self._due: list[tuple[float, int]] = []
        self.due = math.inf

    def __len__(self) -> int:
        return len(self.by_stream)

    def tickets(self) -> list[int]:
        """The tickets of all that is open, oldest first."""
        return list(self._streams)

    # what the connection does ---------------------------------------------------------------

    def open(
        self,
        stream_id: int,
        ticket: int,
        *,
        method: str,
        now: float,
        limits: Limits,
        mode: Mode = Mode.BUFFERED,
        early: bool = False,
    ) -> None:
        """Add a request that goes out. Raises ValueError: its stream or ticket is open already."""
        if stream_id in self.by_stream or ticket in self._streams:
            raise ValueError(f"stream {stream_id} or ticket {ticket} is open already")
        begun, bodiless = mode is Mode.CHANNEL, method == "HEAD"
        exchange = Exchange(stream_id, ticket, mode, bodiless, limits, now, begun, early)
        self.by_stream[stream_id] = exchange
        self._streams[ticket] = stream_id
        self._arm(exchange)

    def ticket_of(self, stream_id: int) -> int | None:
        """The ticket whose exchange is on this stream, while it is open."""
        exchange = self.by_stream.get(stream_id)
        return None if exchange is None else exchange.ticket

    def is_read(self, ticket: int, unread: int, read: float) -> None:
        """The reader has left so many bytes unread, and took some last at `read`."""
        exchange = self._of(ticket)
        if exchange is not None:
            exchange.unread = unread
            exchange.read = max(exchange.read, read)
            self._arm(exchange)

    def excuse(self, seconds: float, now: float) -> None:
        """For so long, until `now`, nothing could be heard, and nobody could read.

        Silence is not counted for that time; the deadlines of whole requests stay.
        """
        for exchange in self.by_stream.values():
            exchange.excuse(seconds, now)  # its entry may now be too early, which does no harm

    def is_sent(self, ticket: int, now: float) -> None:
        """The request's body goes on, or it is for our side to go on with it."""
        exchange = self._of(ticket)
        if exchange is not None:
            exchange.heard, exchange.stuck = now, False
            self._arm(exchange)

    def is_stuck(self, ticket: int) -> None:
        """The request's body waits for the server to take more of it."""
        exchange = self._of(ticket)
        if exchange is not None and not exchange.stuck:
            exchange.stuck = True
            self._arm(exchange)

    def break_off(self, ticket: int, error: BaseException) -> Actions:
        """The request cannot be sent to its end: its body failed."""
        exchange = self._of(ticket)
        if exchange is None:
            return ()
        return self._abort(exchange, error, ErrorCode.H3_REQUEST_CANCELLED)

    def cancel(self, ticket: int) -> Actions:
        """The caller gave up; its reply has its answer."""
        stream_id = self._streams.get(ticket)
        if stream_id is None:
            return ()
        self._close(self.by_stream[stream_id])
        return ResetStream(stream_id, ErrorCode.H3_REQUEST_CANCELLED), Release(ticket)

    def sweep(self, now: float) -> Actions:
        """End those whose time is up at `now`."""
        actions: list[ExchangeAction] = []
        while self._due and self._due[0][0] <= now:
            entry, stream_id = heapq.heappop(self._due)
            exchange = self.by_stream.get(stream_id)
            if exchange is None or entry != exchange.entry:
                continue
            exchange.entry = math.inf
            if exchange.due() > now:
                self._arm(exchange)
            else:
                unread, untaken = bool(exchange.unread), exchange.untaken
                error = exchange.limits.exceeded(self._origin, now, unread, untaken)
                actions += self._abort(exchange, error, ErrorCode.H3_REQUEST_CANCELLED)
        while self._due and self._due[0][1] not in self.by_stream:
            heapq.heappop(self._due)
        self.due = self._due[0][0] if self._due else math.inf
        return tuple(actions)

    # what the server sends ------------------------------------------------------------------

    def take(self, event: Any, now: float) -> Actions:
        """What an event of a stream, one of those in `OF_STREAMS`, means for its caller."""
        exchange = self.by_stream.get(event.stream_id)
        return () if exchange is None else OF_STREAMS[type(event)](self, exchange, event, now)

    def _interim(self, exchange: Exchange, event: events.Informational, now: float) -> Actions:
        """A 1xx response: a sign of life, and news for a caller who wants them."""
        exchange.heard = now
        return (Inform(exchange.ticket, event.status, event.headers),)

    def _headers(self, exchange: Exchange, event: events.Headers, now: float) -> Actions:
        """The final response's header section."""
        if event.status in REFUSALS and not exchange.begun:
            refusal = refusal_of(event.status, self._origin, self.connection, early=exchange.early)
            if refusal is not None:
                reset = ResetStream(exchange.stream_id, ErrorCode.H3_REQUEST_CANCELLED)
                return reset, *self._hand_back(exchange, refusal)
        heard: Actions = ()
        if self._hears:
            told = [value for name, value in event.headers if name == "alt-svc"]
            heard = heard_in(event.status, told) if told else ()
        try:
            exchange.respond(event.status, event.headers, now)
        except ValueError as fault:
            return self._violation(exchange, str(fault))
        if exchange.mode is not Mode.BUFFERED:
            exchange.begun = True
            heard += (Begin(exchange.ticket, event.status, event.headers),)
        elif (exchange.expected or 0) > self._max_body_size:
            return self._too_large(exchange)
        return heard + self._body(exchange, event, now) if event.ended else heard

    def _body(self, exchange: Exchange, event: events.Body | events.Headers, now: float) -> Actions:
        """A piece of content. Where none may be (HEAD, 204, 304), the response ends before it."""
        content = event.content
        too_long = exchange.receive(len(content), now)
        if content:
            if exchange.bodiless:  # RFC 9110 6.4.1, 9.3.2: as others do, it is not listened to
                stop = ResetStream(exchange.stream_id, ErrorCode.H3_REQUEST_CANCELLED)
                return (stop, *self._complete(exchange))
            if too_long:
                return self._wrong_length(exchange)
            if exchange.mode is not Mode.BUFFERED:
                self._arm(exchange)
                deliver = Deliver(exchange.ticket, content)
                return (deliver, *self._complete(exchange)) if event.ended else (deliver,)
            if exchange.size > self._max_body_size:
                return self._too_large(exchange)
        if event.ended:
            return self._complete(exchange, content)
        exchange.body = exchange.body or BufferedBody()
        exchange.body.add(content)
        return ()

    def _trailers(self, exchange: Exchange, event: events.TrailersReceived, _: float) -> Actions:
        """The trailer section, which ends the response."""
        return self._complete(exchange, trailers=event.headers)

    def _reset(self, exchange: Exchange, event: events.StreamResetReceived, _: float) -> Actions:
        """RESET_STREAM before the response was complete (RFC 9114 4.1.1, 8.1)."""
        said = f"the server reset the stream with {name_of(event.code)}"
        kind = Http1Required if event.code == ErrorCode.H3_VERSION_FALLBACK else errors.StreamReset
        error = kind(said, code=event.code, origin=self._origin)
        return (self._hand_back if error.unprocessed else self._fail)(exchange, error)

    def _aborted(self, exchange: Exchange, event: events.StreamAborted, _: float) -> Actions:
        """The like, before the response was complete, of another protocol than HTTP/3."""
        said, code, origin = event.said, event.code, self._origin
        lost = errors.ConnectionLost(said, origin=origin)
        kind = Http1Required if event.http1 else errors.StreamReset
        error = lost if code is None else kind(said, code=code, origin=origin)
        error.unprocessed = event.unprocessed
        return (self._hand_back if event.refused else self._fail)(exchange, error)

    def _malformed(self, exchange: Exchange, event: events.StreamMalformed, _: float) -> Actions:
        """The response breaks HTTP/3; its stream has been reset already."""
        said = f"malformed response: {event.reason}"
        return self._fail(exchange, errors.ProtocolViolation(said, origin=self._origin))

    def _oversized(self, exchange: Exchange, event: events.HeadersTooLarge, _: float) -> Actions:
        """A header section is over the limit; its stream has been reset already."""
        size, limit = event.size, event.limit
        said = f"a header section of {size} bytes or more exceeds max_header_size={limit} bytes"
        return self._fail(exchange, errors.ResponseTooLarge(said, origin=self._origin))

    def goaway(self, stream_id: int, cause: QuiverError | None = None) -> Actions:
        """Streams from this id on were not acted upon (RFC 9114 5.2); for a `cause`, never left."""
        actions: list[ExchangeAction] = []
        for exchange in [e for e in self.by_stream.values() if e.stream_id >= stream_id]:
            said = f"refused by GOAWAY with id {stream_id}, on stream {exchange.stream_id}"
            refused = errors.GoAway(said, origin=self._origin, id=stream_id)
            actions.append(ResetStream(exchange.stream_id, ErrorCode.H3_REQUEST_CANCELLED))
            actions += self._hand_back(exchange, copy.copy(cause) or refused)
        return tuple(actions)

    def lost(self, error: QuiverError) -> Actions:
        """The connection is gone: each caller gets its own copy of `error`."""
        actions: list[ExchangeAction] = []
        for exchange in list(self.by_stream.values()):
            actions += self._fail(exchange, copy.copy(error))
        return tuple(actions)

    # how an exchange ends -------------------------------------------------------------------

    def _of(self, ticket: int) -> Exchange | None:
        stream_id = self._streams.get(ticket)
        return None if stream_id is None else self.by_stream[stream_id]

    def _arm(self, exchange: Exchange) -> None:
        due = exchange.due()
        if due < exchange.entry:
            exchange.entry = due
            heapq.heappush(self._due, (due, exchange.stream_id))
            if due < self.due:
                self.due = due
            if len(self._due) > 2 * len(self.by_stream) + 64:
                self._trim()

    def _close(self, exchange: Exchange) -> None:
        del self.by_stream[exchange.stream_id]
        del self._streams[exchange.ticket]
        if not self.by_stream:
            self._due.clear()
            self.due = math.inf

    def _trim(self) -> None:
        """Entries of exchanges long gone, and those that an earlier one has replaced, go."""
        kept = [each for each in self.by_stream.values() if each.entry < math.inf]
        self._due = [(each.entry, each.stream_id) for each in kept]
        heapq.heapify(self._due)

    def _complete(
        self, exchange: Exchange, last: bytes = b"", trailers: Pairs | None = None
    ) -> Actions:
        if exchange.size < (exchange.expected or 0):
            return self._wrong_length(exchange)
        if not exchange.status:
            return self._violation(exchange, "the stream ended before a final response")
        self._close(exchange)
        if exchange.mode is not Mode.BUFFERED:
            return (End(exchange.ticket, trailers or []),)
        content = last if exchange.body is None else exchange.body.whole(last)
        status, headers, fields = exchange.status, exchange.headers, trailers or []
        response = Response(status, headers, content, fields, self.connection)
        return (Answer(exchange.ticket, response),)

    def _fail(self, exchange: Exchange, error: BaseException) -> Actions:
        self._close(exchange)
        return (Answer(exchange.ticket, error),)

    def _abort(self, exchange: Exchange, error: BaseException, code: int) -> Actions:
        return ResetStream(exchange.stream_id, code), *self._fail(exchange, error)

    def _hand_back(self, exchange: Exchange, error: QuiverError) -> Actions:
        if exchange.begun:  # its caller holds what cannot be begun anew
            return self._fail(exchange, error)
        self._close(exchange)
        return (Retry(exchange.ticket, error),)

    def _violation(self, exchange: Exchange, fault: str) -> Actions:
        error = errors.ProtocolViolation(f"malformed response: {fault}", origin=self._origin)
        return self._abort(exchange, error, ErrorCode.H3_MESSAGE_ERROR)

    def _wrong_length(self, exchange: Exchange) -> Actions:
        got = f"{exchange.size} bytes came"
        return self._violation(exchange, f"content-length is {exchange.expected}, but {got}")

    def _too_large(self, exchange: Exchange) -> Actions:
        said = f"the body exceeds max_body_size={self._max_body_size} bytes"
        error = errors.ResponseTooLarge(said, origin=self._origin)
        return self._abort(exchange, error, ErrorCode.H3_REQUEST_CANCELLED)


# Looked up by class: this is done for every event, and a chain of tests would show.
OF_STREAMS: Final[dict[type, Callable[[Exchanges, Exchange, Any, float], Actions]]] = {
    events.Headers: Exchanges._headers,
    events.Body: Exchanges._body,
    events.TrailersReceived: Exchanges._trailers,
    events.Informational: Exchanges._interim,
    events.StreamResetReceived: Exchanges._reset,
    events.StreamAborted: Exchanges._aborted,
    events.StreamMalformed: Exchanges._malformed,
    events.HeadersTooLarge: Exchanges._oversized,
}
