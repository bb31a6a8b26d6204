"""Exchanges: what is in flight on one connection, and what each event means for its caller.

An exchange is one request and its response on a stream. It is opened with its ticket; each event
of its stream says what arrived; it ends with exactly one outcome: an `Answer`, or a `Retry` when
the server proved that it did not act on the request, or, when its caller gave up, neither. With
the outcome comes one `Release` of the stream slot. Events about streams that are no longer here
are legitimate races and return `()`.

Deadlines stand in one heap, an entry for each exchange. Silence is not: each exchange remembers
when it last heard something, and an entry that comes due too early goes back for the rest.
"""

from __future__ import annotations

import copy
import enum
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
    StreamReset,
)
from quiver.models import Response
from quiver.pool.actions import Answer, ExchangeAction, Release, ResetStream, Retry

Actions = tuple[ExchangeAction, ...]
Pairs = list[tuple[str, str]]

H3_REQUEST_REJECTED: Final = 0x10B
H3_REQUEST_CANCELLED: Final = 0x10C
H3_MESSAGE_ERROR: Final = 0x10E

_BODILESS: Final = frozenset({204, 304})


class Mode(enum.Enum):
    """How the response reaches its caller. Streams and channels join this one later."""

    BUFFERED = "buffered"


class _Exchange:
    __slots__ = (
        "bodiless",
        "chunks",
        "deadline",
        "expected",
        "headers",
        "heard",
        "mode",
        "receive_timeout",
        "size",
        "status",
        "stream_id",
        "ticket",
        "timeout",
    )

    def __init__(
        self,
        stream_id: int,
        ticket: int,
        mode: Mode,
        bodiless: bool,
        now: float,
        deadline: float | None,
        timeout: float | None,
        receive_timeout: float | None,
    ) -> None:
        self.stream_id = stream_id
        self.ticket = ticket
        self.mode = mode
        self.bodiless = bodiless
        self.deadline = deadline
        self.timeout = timeout
        self.receive_timeout = receive_timeout
        self.heard = now
        self.status = 0  # until the final response's header section has come
        self.headers: Pairs = []
        self.expected: int | None = None  # content-length
        self.chunks: list[bytes] = []
        self.size = 0

    def due(self) -> float:
        """When it ends if nothing more is heard; infinity for never."""
        deadline = math.inf if self.deadline is None else self.deadline
        if self.receive_timeout is None:
            return deadline
        return min(deadline, self.heard + self.receive_timeout)


class Exchanges:
    """All that one connection has in flight. Times are seconds on the caller's clock.

    Args:
        max_body_size: bytes of a buffered body.
        origin: as text, for errors.
    """

    def __init__(self, *, max_body_size: int, origin: str) -> None:
        self._max_body_size = max_body_size
        self._origin = origin
        self._open: dict[int, _Exchange] = {}
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
        deadline: float | None,
        receive_timeout: float | None,
        timeout: float | None = None,
        mode: Mode = Mode.BUFFERED,
    ) -> None:
        """A request went out.

        Args:
            deadline: when the whole request must be over.
            receive_timeout: seconds of silence to bear with.
            timeout: the seconds that `deadline` came from, for the error's message.

        Raises:
            ValueError: the stream or the ticket is open already.
        """
        if stream_id in self._open or ticket in self._streams:
            raise ValueError(f"stream {stream_id} or ticket {ticket} is open already")
        exchange = _Exchange(
            stream_id, ticket, mode, method == "HEAD", now, deadline, timeout, receive_timeout
        )
        self._open[stream_id] = exchange
        self._streams[ticket] = stream_id
        due = exchange.due()
        if due != math.inf:
            heapq.heappush(self._due, (due, stream_id))

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
            _, stream_id = heapq.heappop(self._due)
            exchange = self._open.get(stream_id)
            if exchange is None:
                continue
            due = exchange.due()
            if due > now:
                heapq.heappush(self._due, (due, stream_id))
            else:
                error = self._too_late(exchange, now)
                actions += self._abort(exchange, error, H3_REQUEST_CANCELLED)
        return tuple(actions)

    # what the server sends ------------------------------------------------------------------

    def informational(self, stream_id: int, now: float) -> Actions:
        """A 1xx response: a sign of life, nothing else."""
        exchange = self._open.get(stream_id)
        if exchange is not None:
            exchange.heard = now
        return ()

    def headers(
        self, stream_id: int, status: int, headers: Pairs, ended: bool, now: float
    ) -> Actions:
        """The final response's header section."""
        exchange = self._open.get(stream_id)
        if exchange is None:
            return ()
        exchange.heard = now
        exchange.status = status
        exchange.headers = headers
        if status in _BODILESS:
            exchange.bodiless = True
        if not exchange.bodiless:
            try:
                exchange.expected = _content_length(headers)
            except ValueError as fault:
                return self._violation(exchange, str(fault))
            if (exchange.expected or 0) > self._max_body_size:
                return self._too_large(exchange)
        return self._complete(exchange) if ended else ()

    def body(self, stream_id: int, content: bytes, ended: bool, now: float) -> Actions:
        """A piece of content. What comes where none may be (HEAD, 204, 304) is passed over."""
        exchange = self._open.get(stream_id)
        if exchange is None:
            return ()
        exchange.heard = now
        if content and not exchange.bodiless:
            exchange.chunks.append(content)
            exchange.size += len(content)
            if exchange.expected is not None and exchange.size > exchange.expected:
                return self._wrong_length(exchange)
            if exchange.size > self._max_body_size:
                return self._too_large(exchange)
        return self._complete(exchange) if ended else ()

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

    def _close(self, exchange: _Exchange) -> None:
        del self._open[exchange.stream_id]
        del self._streams[exchange.ticket]
        if len(self._due) > 2 * len(self._open) + 64:  # mostly of exchanges long gone
            self._due = [entry for entry in self._due if entry[1] in self._open]
            heapq.heapify(self._due)

    def _complete(self, exchange: _Exchange, trailers: Pairs | None = None) -> Actions:
        if exchange.expected is not None and exchange.size != exchange.expected:
            return self._wrong_length(exchange)
        if not exchange.status:
            return self._violation(exchange, "the stream ended before a final response")
        self._close(exchange)
        chunks = exchange.chunks
        content = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        response = Response(exchange.status, exchange.headers, content, trailers or [])
        return Answer(exchange.ticket, response), Release(exchange.ticket)

    def _fail(self, exchange: _Exchange, error: QuiverError) -> Actions:
        self._close(exchange)
        return Answer(exchange.ticket, error), Release(exchange.ticket)

    def _abort(self, exchange: _Exchange, error: QuiverError, code: int) -> Actions:
        return ResetStream(exchange.stream_id, code), *self._fail(exchange, error)

    def _hand_back(self, exchange: _Exchange, error: QuiverError) -> Actions:
        self._close(exchange)
        return Release(exchange.ticket), Retry(exchange.ticket, error)

    def _violation(self, exchange: _Exchange, fault: str) -> Actions:
        error = ProtocolViolation(f"malformed response: {fault}", origin=self._origin)
        return self._abort(exchange, error, H3_MESSAGE_ERROR)

    def _wrong_length(self, exchange: _Exchange) -> Actions:
        got = f"{exchange.size} bytes came"
        return self._violation(exchange, f"content-length is {exchange.expected}, but {got}")

    def _too_large(self, exchange: _Exchange) -> Actions:
        error = ResponseTooLarge(
            f"the body exceeds max_body_size={self._max_body_size} bytes", origin=self._origin
        )
        return self._abort(exchange, error, H3_REQUEST_CANCELLED)

    def _too_late(self, exchange: _Exchange, now: float) -> QuiverError:
        if exchange.deadline is not None and exchange.deadline <= now:
            limit = f"timeout={exchange.timeout} seconds"
            return RequestTimeout(f"no whole response within {limit}", origin=self._origin)
        limit = f"receive_timeout={exchange.receive_timeout} seconds"
        return ReceiveTimeout(f"the server was silent for {limit}", origin=self._origin)


def _content_length(headers: Pairs) -> int | None:
    """The declared length (RFC 9110 8.6). ValueError when it is none, or there are several."""
    declared = {value for name, value in headers if name == "content-length"}
    if not declared:
        return None
    if len(declared) > 1:
        raise ValueError(f"content-length has several values: {sorted(declared)}")
    (value,) = declared
    if not (value.isascii() and value.isdigit()):
        raise ValueError(f"content-length is {value!r}")
    return int(value)
