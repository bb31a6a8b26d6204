"""Callers: what one connection holds of those whose exchanges it carries.

A reply that is not answered yet; the receive buffer of a streamed response or a channel; the send
buffer of a body that is on its way out. Here actions of the table become what a caller sees.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs

from quiver.config import PoolConfig
from quiver.errors import QuiverError, ResourceExhausted
from quiver.fields import Pairs
from quiver.h3.headers import trailer_fields
from quiver.models import Response, ResponseConnection
from quiver.pool import messages
from quiver.pool.exchanges import Mode
from quiver.pool.http_connection import HttpConnection
from quiver.pool.informational import InformationalCalls
from quiver.pool.messages import PoolAnswer, PoolReply, StartExchange
from quiver.pool.reports import ChannelReport, ConnectionReport
from quiver.pool.target import PoolTarget
from quiver.pool.time_limits import Limits
from quiver.request import OpenChannel, Request, StreamRequest
from quiver.streams.caller_thread import CallerThreadExecutor
from quiver.streams.channel import Channel, ChannelBuffers, StreamData, Trailers
from quiver.streams.receive_buffer import ReceiveBuffer
from quiver.streams.response import StreamedResponse
from quiver.streams.send_buffer import HIGH_WATER, SendBuffer
from quiver.streams.upload import Upload, upload_of

__all__ = [
    "Caller",
    "Callers",
    "drop_unsent",
    "limits_of",
    "mode_of",
    "send_datagrams",
    "send_stream",
]

LOW_WATER: Final = HIGH_WATER // 2  # bytes; below it the filler is asked for more


def mode_of(request: Request) -> Mode:
    """How the caller of this request wants its response."""
    if isinstance(request, OpenChannel):
        return Mode.CHANNEL
    return Mode.STREAMED if isinstance(request, StreamRequest) else Mode.BUFFERED


def limits_of(request: Request, config: PoolConfig, deadline: float | None) -> Limits:
    """The time limits of its exchange: those that it brings, or else its pool's."""
    limits = Limits(
        deadline,
        request.timeout or config.timeout,
        request.receive_timeout or config.receive_timeout,
        config.stream_idle_timeout,
        request.send_timeout,
    )
    if isinstance(request, OpenChannel):
        limits.timeout = request.timeout
        limits.receive_timeout = config.receive_timeout  # the request's is for its reader
        name, seconds = request.answered_within(None)
        limits.open_timeout = seconds if name == "open_timeout" else None
    return limits


@attrs.define(eq=False)
class Caller:
    """One caller's exchange, and what it and the connection have in common."""

    exchange: StartExchange
    reply: PoolReply | None  # until it has a response or channel, which is then its caller's only
    stream_id: int
    mode: Mode
    receive_buffer: ReceiveBuffer[Any] | None = None
    send_buffer: SendBuffer | None = None
    upload: Upload | None = None
    channel: ChannelBuffers | None = None
    informational: InformationalCalls | None = None  # from the first interim response on
    report: ChannelReport | None = None  # while there is a channel, and somebody listens
    sent: bool = False  # the end of the request was handed on
    _executor: CallerThreadExecutor | None = attrs.field(default=None, alias="executor")

    @property
    def executor(self) -> CallerThreadExecutor:
        """Where its own code is run; made when there is some, which most exchanges have none of."""
        if self._executor is None:
            self._executor = CallerThreadExecutor(self.reply)
        return self._executor

    def shut_down_executor(self) -> None:
        """Run nothing more."""
        if self._executor is not None:
            self._executor.shutdown()
        if self.informational is not None:
            self.informational.close()

    def answers_in_turn(self, outcome: PoolAnswer) -> bool:
        """Whether the caller is still to be told of something before, and is answered then."""
        return self.informational is not None and self.informational.answer(outcome)

    def hand_over(self, response: StreamedResponse | Channel) -> None:
        """Give the caller a response that it alone holds: closed when the caller is gone."""
        reply, self.reply = self.reply, None
        if self._executor is not None:
            self._executor.detach()
        if reply is not None and not self.answers_in_turn(response):
            reply.answer(response)

    @property
    def request(self) -> Request:
        """The request to send if it is sent again."""
        return self.exchange.request if self.upload is None else self.upload.request

    @property
    def again(self) -> StartExchange:
        """The exchange as another connection gets it."""
        attempts = self.exchange.attempts + 1
        return self.exchange._replace(request=self.request, attempts=attempts)

    @property
    def waits(self) -> bool:
        """Whether its body waits for the server: what there was room for has been handed on."""
        filled = self.send_buffer
        return self.channel is None and filled is not None and filled.pending > 0

    def replayable(self) -> bool:
        """Whether the request can be sent again as if for the first time; it is read no more."""
        return self.upload is None or self.upload.take_back()


class Callers:
    """The callers of one connection, by ticket.

    Args:
        tell: sends a message to the connection itself, from any thread.

    Attributes:
        sending: those whose request is not sent to its end.
    """

    def __init__(self, target: PoolTarget, tell: Callable[[object], None]) -> None:
        self._origin = target.name
        self._config = target.config
        self._tell = tell
        self._by_ticket: dict[int, Caller] = {}
        self._to_wake: dict[int, ReceiveBuffer[Any]] = {}  # got something in this batch
        self.sending: dict[int, Caller] = {}  # those whose request is not sent to its end

    def get(self, ticket: int) -> Caller | None:
        return self._by_ticket.get(ticket)

    # coming ---------------------------------------------------------------------------------

    def add(
        self, exchange: StartExchange, reply: PoolReply, stream_id: int, mode: Mode, *, sent: bool
    ) -> Caller:
        """Add one whose request has its stream; `sent`: to its end, as `whole_body` said."""
        ticket = exchange.ticket
        caller = self._by_ticket[ticket] = Caller(exchange, reply, stream_id, mode)
        if not sent:
            caller.send_buffer = self._send_buffer(ticket)
            self.sending[ticket] = caller
            if mode is not Mode.CHANNEL:
                caller.upload = upload_of(exchange.request, caller.send_buffer)
        return caller

    def whole_body(self, request: Request) -> tuple[bytes | None, bool]:
        """The body to send with the header section, and whether that is all there is."""
        body = request.body
        if isinstance(request, OpenChannel) or request.trailers:
            return None, False
        if body is None or (isinstance(body, bytes) and len(body) <= self._config.send_buffer):
            return body, True
        return None, False

    def open_channel(
        self, caller: Caller, max_datagram_size: int, report: ChannelReport | None = None
    ) -> None:
        """Give the caller its channel; the response will be an event on it."""
        caller.report = report
        ticket = caller.exchange.ticket
        assert caller.send_buffer is not None
        caller.channel = ChannelBuffers(caller.send_buffer, self._config.max_datagrams)
        caller.channel.max_datagram_size = max_datagram_size
        caller.receive_buffer = self._receive_buffer(ticket)
        wait = caller.exchange.request.receive_timeout
        caller.hand_over(Channel(caller.receive_buffer, caller.channel, wait))

    # what the table says --------------------------------------------------------------------

    def inform(self, ticket: int, status: int, headers: Pairs) -> None:
        caller = self._by_ticket[ticket]
        request, calls = caller.exchange.request, caller.informational
        if request.on_informational is not None:
            if calls is None:
                calls = InformationalCalls(request, caller.reply, caller.send_buffer)
                caller.informational = calls
            calls.tell(status, headers)

    def begin(
        self, ticket: int, status: int, headers: Pairs, made: ResponseConnection | None = None
    ) -> Caller:
        caller = self._by_ticket[ticket]
        if caller.receive_buffer is None:
            caller.receive_buffer = self._receive_buffer(ticket)
            caller.hand_over(StreamedResponse(status, headers, caller.receive_buffer, made))
        else:
            if caller.report is not None:
                caller.report.status = status
            response = Response(status, headers, connection=made)
            caller.receive_buffer.response = response
            caller.receive_buffer.put(response, 0)
            self._to_wake[ticket] = caller.receive_buffer
        return caller

    def deliver(self, ticket: int, content: bytes) -> None:
        caller = self._by_ticket[ticket]
        assert caller.receive_buffer is not None
        item = StreamData(content) if caller.mode is Mode.CHANNEL else content
        caller.receive_buffer.put(item, len(content))
        self._to_wake[ticket] = caller.receive_buffer

    def datagram(self, ticket: int, payload: bytes) -> bool:
        """Hand on a datagram. Returns False when an older one was dropped for it."""
        caller = self._by_ticket[ticket]
        if caller.channel is None or caller.receive_buffer is None:
            return True
        self._to_wake[ticket] = caller.receive_buffer
        return caller.channel.receive(caller.receive_buffer, payload)

    def wake_readers(self) -> None:
        """Wake the readers that got something, once a batch."""
        if self._to_wake:
            for receive_buffer in self._to_wake.values():
                receive_buffer.wake_reader()
            self._to_wake.clear()

    # going ----------------------------------------------------------------------------------

    def answer(self, ticket: int, outcome: Response | BaseException) -> Caller:
        """Tell the outcome of an exchange; an error also to a reader in the middle."""
        if isinstance(outcome, BaseException):
            caller = self._pop(ticket, outcome if isinstance(outcome, QuiverError) else None)
            self._fail(caller, outcome)
            return caller
        in_turn = self._by_ticket[ticket].answers_in_turn(outcome)
        caller = self._pop(ticket)
        if caller.reply is not None and not in_turn:
            caller.reply.answer(outcome)
        return caller

    def end(self, ticket: int, trailers: Pairs) -> Caller:
        """Complete a streamed response."""
        caller = self._pop(ticket)
        assert caller.receive_buffer is not None
        if trailers and caller.mode is Mode.CHANNEL:
            caller.receive_buffer.put(Trailers(trailers), 0)
        caller.receive_buffer.trailers = trailers
        caller.receive_buffer.end()
        return caller

    def give_up(self, ticket: int) -> None:
        """Forget one who has left."""
        caller = self._by_ticket.get(ticket)
        if caller is not None:
            self._pop(ticket)

    def abandon(self, ticket: int, error: QuiverError) -> None:
        """End one in whose name something failed, wherever it stands: it is told first."""
        self._fail(self._by_ticket[ticket], error)
        with contextlib.suppress(Exception):  # this may be what failed
            self._pop(ticket, error)
        self._by_ticket.pop(ticket, None)

    def take_back(self, ticket: int) -> Caller:
        """Forget one that goes on elsewhere, as if it had never been here."""
        return self._pop(ticket)

    def fail_all(self, error: QuiverError) -> None:
        for ticket in list(self._by_ticket):
            self.abandon(ticket, copy.copy(error))

    def _pop(self, ticket: int, reason: QuiverError | None = None) -> Caller:
        caller = self._by_ticket[ticket]
        if caller.report is not None:
            caller.report.over(reason)
        if caller.receive_buffer is not None:
            self._to_wake.pop(ticket, None)
        if caller.send_buffer is not None:
            self.sending.pop(ticket, None)
            caller.send_buffer.close(reason)
        if caller.upload is not None and caller.upload.unfinished:
            with contextlib.suppress(ResourceExhausted):  # then the collector closes it
                caller.upload.start(caller.executor, own_thread=False)
        caller.shut_down_executor()
        del self._by_ticket[ticket]  # not sooner: whatever fails above, its caller can be told
        return caller

    def _fail(self, caller: Caller, error: BaseException) -> None:
        if caller.receive_buffer is not None:
            caller.receive_buffer.end(error)
        if caller.reply is not None:
            caller.reply.fail(error)

    # boxes ----------------------------------------------------------------------------------

    def _receive_buffer(self, ticket: int) -> ReceiveBuffer[Any]:
        return ReceiveBuffer(
            self._origin,
            self._config.receive_window,
            partial(self._tell, messages.ReadOn(ticket)),
            partial(self._tell, messages.GiveUp(ticket)),
        )

    def _send_buffer(self, ticket: int) -> SendBuffer:
        return SendBuffer(self._origin, partial(self._tell, messages.Filled(ticket)))


# The sending half: bodies, stream data and datagrams, as there is room ----------------------


def send_stream(http: HttpConnection, caller: Caller, buffer: int) -> bool:
    """Hand on what the send buffer holds, until `buffer` bytes wait to be acknowledged.

    Returns:
        Whether the body goes on from our side: something was handed on, or there is nothing yet.
        Else it is for the server to take what waits. Of a channel the server owes its response,
        whatever our side does.
    """
    send_buffer = caller.send_buffer
    assert send_buffer is not None
    moved = _move(http, caller.stream_id, send_buffer, buffer)
    if send_buffer.drained:
        caller.sent = True
        _end(http, caller.stream_id, send_buffer)
    elif (
        caller.upload is not None and send_buffer.pending < LOW_WATER and not caller.upload.filling
    ):
        caller.upload.filling = True
        # Who waits for a streamed response wants it before the body is through.
        caller.upload.start(caller.executor, own_thread=caller.mode is Mode.STREAMED)
    return caller.channel is None and (bool(moved) or not send_buffer.pending)


def _move(http: HttpConnection, stream_id: int, send_buffer: SendBuffer, buffer: int) -> int:
    moved = 0
    room = buffer - http.unacknowledged(stream_id)
    while room > 0 and (piece := send_buffer.take(room)):
        http.send_body(stream_id, piece, False)
        room -= len(piece)
        moved += len(piece)
    return moved


def _end(http: HttpConnection, stream_id: int, send_buffer: SendBuffer) -> None:
    if send_buffer.trailers:
        http.send_trailers(stream_id, trailer_fields(send_buffer.trailers))
    else:
        http.send_body(stream_id, b"", True)


def send_datagrams(http: HttpConnection, caller: Caller, report: ConnectionReport) -> None:
    """Hand on the channel's datagrams, and tell how many there were, and had to be dropped."""
    if caller.channel is None:
        return
    sent, dropped, unsent = list[bytes](), 0, caller.channel.unsent
    while unsent:
        payload = unsent.popleft()
        if http.send_datagram(caller.stream_id, payload):
            sent.append(payload)
        else:
            dropped += 1
    report.datagrams("sent", sent)
    report.dropped(dropped, "sent")


def drop_unsent(http: HttpConnection, caller: Caller, code: int) -> None:
    """End the request's half of the stream of an exchange that is over.

    In order if it is a channel, unless bytes that were written to it are dropped by that.
    """
    if caller.send_buffer is None:
        return
    if caller.channel is not None and not caller.send_buffer.pending:
        http.send_body(caller.stream_id, b"", True)
    else:
        http.abort_body(caller.stream_id, code)
