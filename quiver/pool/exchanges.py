"""Exchanges: what is in flight on one connection, and what each event means for its caller.

An exchange is one request and its response on a stream. It is opened with its ticket; each event
of its stream says what arrived; it ends with exactly one outcome: an `Answer` (a whole response,
or an error), or an `End` when its response was streamed, or a `Retry` when the server proved that
it did not act on the request, or, when its caller gave up, none. With the outcome comes one
`Release` of the stream slot. Events about streams that are no longer here are legitimate races and
return `()`.

    BUFFERED                                          Answer(Response)
    STREAMED    Begin, Deliver*                       End
    CHANNEL     Begin?, Deliver*                      End
    any         Inform* before the response           Answer(error), or Retry unless begun

Deadlines stand in one heap. Silence is not: each exchange remembers when it last heard something,
and an entry that comes due too early goes back for the rest.
"""

from __future__ import annotations

import copy
import heapq
import math
from typing import Final

from quiver.errors import (
    GoAway,
    ProtocolViolation,
    QuiverError,
    ReceiveTimeout,
    RequestTimeout,
    ResponseTooLarge,
    SendTimeout,
    StreamIdleTimeout,
    StreamReset,
)
from quiver.models import Response
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
from quiver.pool.exchange import Exchange, Limits, Mode, Pairs

Actions = tuple[ExchangeAction, ...]

H3_REQUEST_REJECTED: Final = 0x10B
H3_REQUEST_CANCELLED: Final = 0x10C
H3_MESSAGE_ERROR: Final = 0x10E


class Exchanges:
    """All that one connection has in flight. Times are seconds on the caller's clock.

    Args:
        max_body_size: bytes of a buffered body.
        origin: as text, for errors.
    """

    def __init__(self, *, max_body_size: int, origin: str) -> None:
        self._max_body_size = max_body_size
        self._origin = origin
        self._open: dict[int, Exchange] = {}
        self._streams: dict[int, int] = {}  # ticket -> stream
        self._due: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._open)

    def tickets(self) -> list[int]:
        """The tickets of all that is open, oldest first."""
        return list(self._streams)

    def next_deadline(self) -> float | None:
        """When `sweep` may have something to do; it may be too early, never too late."""
        while self._due and self._due[0][1] not in self._open:
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

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
    ) -> None:
        """A request went out.

        Raises:
            ValueError: the stream or the ticket is open already.
        """
        if stream_id in self._open or ticket in self._streams:
            raise ValueError(f"stream {stream_id} or ticket {ticket} is open already")
        exchange = Exchange(stream_id, ticket, mode, method == "HEAD", limits, now)
        exchange.begun = mode is Mode.CHANNEL
        self._open[stream_id] = exchange
        self._streams[ticket] = stream_id
        self._arm(exchange)

    def ticket_of(self, stream_id: int) -> int | None:
        """The ticket whose exchange is on this stream, while it is open."""
        exchange = self._open.get(stream_id)
        return None if exchange is None else exchange.ticket

    def is_read(self, ticket: int, unread: int, read: float) -> None:
        """The reader has left so many bytes unread, and took some last at `read`."""
        exchange = self._of(ticket)
        if exchange is not None:
            exchange.unread = unread
            exchange.read = max(exchange.read, read)
            self._arm(exchange)

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
        return () if exchange is None else self._abort(exchange, error, H3_REQUEST_CANCELLED)

    def cancel(self, ticket: int) -> Actions:
        """The caller gave up; its reply has its answer."""
        stream_id = self._streams.get(ticket)
        if stream_id is None:
            return ()
        self._close(self._open[stream_id])
        return ResetStream(stream_id, H3_REQUEST_CANCELLED), Release(ticket)

    def sweep(self, now: float) -> Actions:
        """End those whose time is up at `now`."""
        actions: list[ExchangeAction] = []
        while self._due and self._due[0][0] <= now:
            entry, stream_id = heapq.heappop(self._due)
            exchange = self._open.get(stream_id)
            if exchange is None or entry != exchange.entry:
                continue
            exchange.entry = math.inf
            if exchange.due() > now:
                self._arm(exchange)
            else:
                error = self._too_late(exchange, now)
                actions += self._abort(exchange, error, H3_REQUEST_CANCELLED)
        return tuple(actions)

    # what the server sends ------------------------------------------------------------------

    def informational(self, stream_id: int, status: int, headers: Pairs, now: float) -> Actions:
        """A 1xx response: a sign of life, and news for a caller who wants them."""
        exchange = self._open.get(stream_id)
        if exchange is None:
            return ()
        exchange.heard = now
        return (Inform(exchange.ticket, status, headers),)

    def headers(
        self, stream_id: int, status: int, headers: Pairs, ended: bool, now: float
    ) -> Actions:
        """The final response's header section."""
        exchange = self._open.get(stream_id)
        if exchange is None:
            return ()
        try:
            exchange.respond(status, headers, now)
        except ValueError as fault:
            return self._violation(exchange, str(fault))
        if exchange.mode is not Mode.BUFFERED:
            exchange.begun = True
            begin = Begin(exchange.ticket, status, headers)
            return (begin, *(self._complete(exchange) if ended else ()))
        if (exchange.expected or 0) > self._max_body_size:
            return self._too_large(exchange)
        return self._complete(exchange) if ended else ()

    def body(self, stream_id: int, content: bytes, ended: bool, now: float) -> Actions:
        """A piece of content. Where none may be (HEAD, 204, 304), the response is malformed."""
        exchange = self._open.get(stream_id)
        if exchange is None:
            return ()
        actions: Actions = ()
        if content and exchange.bodiless:  # RFC 9110 6.4.1
            return self._violation(exchange, "content came where none may be")
        if content:
            exchange.receive(len(content), now)
            if exchange.too_long:
                return self._wrong_length(exchange)
            if exchange.mode is not Mode.BUFFERED:
                self._arm(exchange)
                actions = (Deliver(exchange.ticket, content),)
            else:
                exchange.chunks.append(content)
                if exchange.size > self._max_body_size:
                    return self._too_large(exchange)
        else:
            exchange.heard = now
        return (*actions, *self._complete(exchange)) if ended else actions

    def trailers(self, stream_id: int, headers: Pairs, now: float) -> Actions:  # noqa: ARG002
        """The trailer section, which ends the response."""
        exchange = self._open.get(stream_id)
        return () if exchange is None else self._complete(exchange, headers)

    def reset(self, stream_id: int, code: int) -> Actions:
        """RESET_STREAM before the response was complete."""
        exchange = self._open.get(stream_id)
        if exchange is None:
            return ()
        error = StreamReset(
            f"the server reset the stream with code 0x{code:x}", code=code, origin=self._origin
        )
        if code == H3_REQUEST_REJECTED:  # RFC 9114 4.1.1: nothing was acted upon
            return self._hand_back(exchange, error)
        return self._fail(exchange, error)

    def malformed(self, stream_id: int, reason: str) -> Actions:
        """The response breaks HTTP/3; the session has reset its stream already."""
        exchange = self._open.get(stream_id)
        if exchange is None:
            return ()
        error = ProtocolViolation(f"malformed response: {reason}", origin=self._origin)
        return self._fail(exchange, error)

    def headers_too_large(self, stream_id: int, size: int, limit: int) -> Actions:
        """A header section is over the limit; the session has reset its stream already."""
        exchange = self._open.get(stream_id)
        if exchange is None:
            return ()
        error = ResponseTooLarge(
            f"a header section of {size} bytes or more exceeds max_header_size={limit} bytes",
            origin=self._origin,
        )
        return self._fail(exchange, error)

    def goaway(self, stream_id: int) -> Actions:
        """Streams from this id on were not and will not be acted upon (RFC 9114 5.2)."""
        actions: list[ExchangeAction] = []
        for exchange in [e for e in self._open.values() if e.stream_id >= stream_id]:
            error = GoAway(
                f"refused by GOAWAY with id {stream_id}, on stream {exchange.stream_id}",
                origin=self._origin,
                id=stream_id,
            )
            actions.append(ResetStream(exchange.stream_id, H3_REQUEST_CANCELLED))
            actions += self._hand_back(exchange, error)
        return tuple(actions)

    def lost(self, error: QuiverError) -> Actions:
        """The connection is gone: each caller gets its own copy of `error`."""
        actions: list[ExchangeAction] = []
        for exchange in list(self._open.values()):
            actions += self._fail(exchange, copy.copy(error))
        return tuple(actions)

    # how an exchange ends -------------------------------------------------------------------

    def _of(self, ticket: int) -> Exchange | None:
        stream_id = self._streams.get(ticket)
        return None if stream_id is None else self._open[stream_id]

    def _arm(self, exchange: Exchange) -> None:
        due = exchange.due()
        if due < exchange.entry:
            exchange.entry = due
            heapq.heappush(self._due, (due, exchange.stream_id))
            self._trim()

    def _close(self, exchange: Exchange) -> None:
        del self._open[exchange.stream_id]
        del self._streams[exchange.ticket]
        self._trim()

    def _trim(self) -> None:
        """Entries of exchanges long gone, and those that an earlier one has replaced, go."""
        if len(self._due) > 2 * len(self._open) + 64:
            entries = [(each.entry, each.stream_id) for each in self._open.values()]
            self._due = [entry for entry in entries if entry[0] < math.inf]
            heapq.heapify(self._due)

    def _complete(self, exchange: Exchange, trailers: Pairs | None = None) -> Actions:
        if exchange.too_short:
            return self._wrong_length(exchange)
        if not exchange.status:
            return self._violation(exchange, "the stream ended before a final response")
        self._close(exchange)
        if exchange.mode is not Mode.BUFFERED:
            return End(exchange.ticket, trailers or []), Release(exchange.ticket)
        chunks = exchange.chunks
        content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        response = Response(exchange.status, exchange.headers, content, trailers or [])
        return Answer(exchange.ticket, response), Release(exchange.ticket)

    def _fail(self, exchange: Exchange, error: BaseException) -> Actions:
        self._close(exchange)
        return Answer(exchange.ticket, error), Release(exchange.ticket)

    def _abort(self, exchange: Exchange, error: BaseException, code: int) -> Actions:
        return ResetStream(exchange.stream_id, code), *self._fail(exchange, error)

    def _hand_back(self, exchange: Exchange, error: QuiverError) -> Actions:
        if exchange.begun:  # its caller holds what cannot be begun anew
            return self._fail(exchange, error)
        self._close(exchange)
        return Release(exchange.ticket), Retry(exchange.ticket, error)

    def _violation(self, exchange: Exchange, fault: str) -> Actions:
        error = ProtocolViolation(f"malformed response: {fault}", origin=self._origin)
        return self._abort(exchange, error, H3_MESSAGE_ERROR)

    def _wrong_length(self, exchange: Exchange) -> Actions:
        got = f"{exchange.size} bytes came"
        return self._violation(exchange, f"content-length is {exchange.expected}, but {got}")

    def _too_large(self, exchange: Exchange) -> Actions:
        error = ResponseTooLarge(
            f"the body exceeds max_body_size={self._max_body_size} bytes", origin=self._origin
        )
        return self._abort(exchange, error, H3_REQUEST_CANCELLED)

    def _too_late(self, exchange: Exchange, now: float) -> QuiverError:
        limits = exchange.limits
        if limits.deadline is not None and limits.deadline <= now:
            said = f"no whole response within timeout={limits.timeout} seconds"
            return RequestTimeout(said, origin=self._origin)
        if exchange.unheeded:
            said = f"nobody read it for stream_idle_timeout={limits.idle_timeout} seconds"
            return StreamIdleTimeout(said, origin=self._origin)
        if exchange.untaken:
            said = f"the server took nothing of the body for send_timeout={limits.send_timeout}"
            return SendTimeout(f"{said} seconds", origin=self._origin)
        said = f"the server was silent for receive_timeout={limits.receive_timeout} seconds"
        return ReceiveTimeout(said, origin=self._origin)
