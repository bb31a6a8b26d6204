"""ExchangeRunner: the exchanges of one connection: how they are begun, fed, ended and contained.

    start --> (a channel waits for SETTINGS) --> begin --> feed*, pump* --> Owner.released
                                                                        --> Owner.returned

What is in flight is decided by `Exchanges`, what goes over the wire by the HTTP/3 connection;
`Callers` has the replies, readers and writers. Here each is told of the others.

What is raised in the name of one exchange is its own end and no other's: every step for one is
taken within `_contained`, `_do` or `_not_begun`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from quiver.actors.propagation import must_propagate
from quiver.actors.timers import Timers
from quiver.errors import (
    GoAway,
    InvalidError,
    InvalidRequest,
    QuiverError,
    ReceiveTimeout,
    RequestTimeout,
    SendTimeout,
)
from quiver.h3 import events
from quiver.h3.codes import ErrorCode
from quiver.h3.headers import request_fields, trailer_fields
from quiver.models import Response
from quiver.pool.actions import (
    ENDS,
    Answer,
    Begin,
    Deliver,
    End,
    ExchangeAction,
    Hear,
    Inform,
    ResetStream,
    Retry,
)
from quiver.pool.callback_deadlines import CallbackDeadlines
from quiver.pool.callers import (
    Caller,
    Callers,
    drop_unsent,
    limits_of,
    mode_of,
    send_datagrams,
    send_stream,
)
from quiver.pool.exchange_owner import Owner
from quiver.pool.exchanges import OF_STREAMS, Exchanges, Mode
from quiver.pool.first_flight import FirstFlight
from quiver.pool.http_connection import Transport
from quiver.pool.liveness import Liveness
from quiver.pool.messages import PoolReply, StartExchange
from quiver.pool.reports import ConnectionReport, logger
from quiver.pool.target import PoolTarget
from quiver.pool.told_heads import Http1Required, Misdirected
from quiver.pool.waiting_channels import WaitingChannels
from quiver.request import OpenChannel

__all__ = ["MAX_FAILURES", "ExchangeRunner"]

MAX_FAILURES: Final = 3  # failures of ours in a row, without an answer between them
_OF_CONNECTIONS: Final = (GoAway, Http1Required)  # each may say so, one after the other


class ExchangeRunner:
    """The exchanges on the HTTP connection of `transport`, from its handshake on.

    Args:
        liveness: is told when a request goes out, and when a stream says something.
        timers: of the owner, who hands the firings of ("settings", ticket) to `waiting`, and
            those of ("callback", ticket) to `callbacks`.
        tell: sends the owner a message, from any thread.

    Attributes:
        transport, exchanges: what the dial has come by; the table of what is open.
        flight, callbacks: what was sent early; answers that wait for their `on_informational`.
        waiting: channels that are to be opened when the server's SETTINGS have come.
        sending: by ticket, those whose request is not sent to its end.
        wake_readers: wakes the readers that got something, once a batch.
    """

    def __init__(
        self,
        owner: Owner,
        target: PoolTarget,
        transport: Transport,
        liveness: Liveness,
        timers: Timers,
        report: ConnectionReport,
        tell: Callable[[object], None],
    ) -> None:
        self._owner = owner
        self._target = target
        self._config = target.config
        self.transport = transport
        self._liveness = liveness
        self._timers = timers
        self._report = report
        self._callers = Callers(target, tell)
        self._failures = 0  # of ours, since the last answer
        self.flight, self.callbacks = FirstFlight(target, report), CallbackDeadlines(target, timers)
        self.waiting = WaitingChannels(target, timers, owner.returned)
        self.exchanges = Exchanges(
            max_body_size=target.config.max_body_size, origin=target.name, hears=target.chooses
        )
        self.sending = self._callers.sending
        self.wake_readers = self._callers.wake_readers

    @property
    def busy(self) -> bool:
        """Whether anything is open, or waits to be opened."""
        return bool(self.waiting.channels or self.exchanges or self.flight.streams)

    # how they begin -------------------------------------------------------------------------

    def start(self, exchange: StartExchange, reply: PoolReply) -> None:
        """Open a stream for it; a channel's when the server's SETTINGS are known."""
        try:
            if isinstance(exchange.request, OpenChannel):
                self._open_channel(exchange, reply)
            else:
                self._begin(exchange, reply)
        except BaseException as error:
            self._not_begun(exchange, reply, error)

    def _begin(self, exchange: StartExchange, reply: PoolReply) -> Caller:
        request, ticket, http = exchange.request, exchange.ticket, self.transport.http
        mode, now = mode_of(request), time.monotonic()
        body, ended = self._callers.whole_body(request)
        agent, alternative = self._config.user_agent, self.flight.alternative
        fields = request_fields(request, self._target.origin, agent, alternative)
        if request.trailers:
            fields = http.announce_trailers(fields)
            if not callable(request.trailers):
                http.check_section(trailer_fields(request.trailers))
        window = None if mode is Mode.BUFFERED else self._config.receive_window
        early = self.flight.claim(ticket) if self.flight.streams else None
        stream_id = http.next_stream_id if early is None else early.stream_id
        caller = self._callers.add(exchange, reply, stream_id, mode, sent=ended)
        self.exchanges.open(
            stream_id,
            ticket,
            method=request.method,
            now=now,
            limits=limits_of(request, self._config, exchange.deadline),
            mode=mode,
            early=early is not None,
        )
        if early is None:
            http.open_request(fields, body, ended, window)
        self._liveness.began_at = now
        self._report.requests += 1
        if early is not None:
            self.feed(early.happened, now)
        return caller

    def _open_channel(self, exchange: StartExchange, reply: PoolReply) -> None:
        request, waiting = exchange.request, self.waiting
        assert isinstance(request, OpenChannel)
        if waiting.needed:
            return waiting.add(exchange, reply)
        fault = waiting.fault(request, self.transport.http.handshake.http_version.lower())
        if fault is not None:
            reply.fail(fault)
            return self._owner.returned(exchange, reply, unused=True)
        caller = self._begin(exchange, reply)
        size = self.transport.http.max_datagram_size(caller.stream_id)
        return self._callers.open_channel(caller, size, self._report.channel(request))

    def settle(self, settings: events.Settings) -> None:
        """Open the channels that wait for the server's SETTINGS, which have come."""
        for exchange, reply in self.waiting.settle(settings):
            self.start(exchange, reply)

    # the boundary of one request ------------------------------------------------------------

    def _contained(self, ticket: int | None, step: Callable[..., object], *args: object) -> None:
        """Take a step for one exchange, which alone ends if that raises."""
        try:
            step(*args)
        except BaseException as error:
            self._fail_one(ticket, self._cause(error))

    def _cause(self, error: BaseException) -> QuiverError:
        """The error for its caller. Raises `error` if it is meant for the actor or the program."""
        if must_propagate(error):
            raise error
        if isinstance(error, QuiverError):
            return error
        logger.error("%s: a request failed on our side", self._target.name, exc_info=error)
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self._owner.withdraw("it fails its requests")
        return self._target.failed(error)

    def _not_begun(self, exchange: StartExchange, reply: PoolReply, error: BaseException) -> None:
        try:
            cause = self._cause(error)
        except BaseException:  # it may have left: the pool must not send it again
            reply.fail(self._target.actor_failed(error))
            raise
        if self._callers.get(exchange.ticket) is not None:
            return self._fail_one(exchange.ticket, cause)
        self.waiting.remove(exchange.ticket)
        return self._unused(exchange, reply, cause)

    def _unused(self, exchange: StartExchange, reply: PoolReply, cause: QuiverError) -> None:
        """Give back a slot for which no stream was opened, as if it had not been lent."""
        cause.unprocessed = isinstance(cause, InvalidRequest)  # by another way it may go
        reply.fail(cause)
        self._owner.returned(exchange, reply, unused=True)

    def _fail_one(self, ticket: int | None, cause: QuiverError) -> None:
        """End an exchange wherever it stands, also in the midst of its end."""
        caller = None if ticket is None else self._callers.get(ticket)
        if caller is not None:
            http, ticket = self.transport.http, caller.exchange.ticket
            used = caller.stream_id < http.next_stream_id
            theirs = isinstance(cause, InvalidError)
            code = ErrorCode.H3_REQUEST_CANCELLED if theirs else ErrorCode.H3_INTERNAL_ERROR
            http.cancel(caller.stream_id, code)
            lent = bool(self.exchanges.cancel(ticket))
            if not used:
                assert caller.reply is not None, "it has no channel before it has a stream"
                self._unused(caller.exchange, caller.reply, cause)
            elif lent:
                self._owner.released((ticket,))
            self._callers.abandon(ticket, cause)
        self._owner.check_idle()

    # what the server sends ------------------------------------------------------------------

    def feed(self, happened: Iterable[events.Event], now: float) -> None:
        """Take what is for exchanges; tell the owner what concerns it as a whole, in its turn.

        What events in a row ask for is done together: one `released` for all that they end.
        """
        actions: list[ExchangeAction] = []
        for event in happened:
            if type(event) in OF_STREAMS:
                if self._liveness.pings:
                    self._liveness.answered()
                if self.flight.streams and self.flight.takes(event):
                    continue
                try:
                    actions += self.exchanges.take(event, now)
                except BaseException as error:
                    self._do(actions)
                    actions = []
                    self._fail_one(self._ticket_of(event), self._cause(error))
            else:
                self._do(actions)
                actions = []
                if not self._takes(event):
                    self._owner.occurred(event)
        self._do(actions)

    def _takes(self, event: events.Event) -> bool:
        """Take what is for one exchange, though not for their table; False when it is not."""
        match event:
            case events.HttpDatagramReceived(_, payload):
                ticket = self._ticket_of(event)
                self._contained(ticket, self._datagram, ticket, payload)
            case events.StopSendingReceived():
                ticket = self._ticket_of(event)
                self._contained(ticket, self._stop_sending, ticket)
            case _:
                return False
        return True

    def _ticket_of(self, event: Any) -> int | None:
        return self.exchanges.ticket_of(event.stream_id)

    def _datagram(self, ticket: int | None, payload: bytes) -> None:
        if ticket is not None:
            self._report.datagrams("received", (payload,))
            if not self._callers.datagram(ticket, payload):
                self._report.dropped(1, "received")

    def _stop_sending(self, ticket: int | None) -> None:
        """Send no more of a body that the server does not want; its response may still come."""
        caller = None if ticket is None else self.sending.pop(ticket, None)
        if caller is not None and caller.send_buffer is not None:
            caller.send_buffer.close()
            self.exchanges.is_sent(caller.exchange.ticket, time.monotonic())

    def goaway(self, stream_id: int, cause: QuiverError | None = None) -> None:
        """Give back the streams from this one on, which were not acted on (RFC 9114 5.2), or, for
        that `cause`, have never left."""
        self.flight.refuse(stream_id)
        self._do(self.exchanges.goaway(stream_id, cause))

    def lost(self, error: QuiverError) -> None:
        """End all with the error by which the network has ended the connection."""
        self._do(self.exchanges.lost(error))

    # what readers and writers tell ----------------------------------------------------------

    def read_on(self, ticket: int) -> None:
        """Give the server credit for what a reader has taken."""
        self._contained(ticket, self._consumed, ticket)

    def _consumed(self, ticket: int) -> None:
        caller = self._callers.get(ticket)
        buffer = None if caller is None else caller.receive_buffer
        if caller is not None and buffer is not None:
            self.transport.http.consumed(caller.stream_id, buffer.newly_consumed())
            self.exchanges.is_read(ticket, buffer.unread, buffer.last_read)

    def filled(self, ticket: int) -> None:
        """See what a writer has put into its buffer, or that it has failed."""
        self._contained(ticket, self._look_at_buffer, ticket)

    def _look_at_buffer(self, ticket: int) -> None:
        caller = self._callers.get(ticket)
        if caller is None or caller.send_buffer is None:
            return
        caller.send_buffer.rearm()
        if caller.send_buffer.error is not None:
            self._do(self.exchanges.break_off(ticket, caller.send_buffer.error))
            return
        send_datagrams(self.transport.http, caller, self._report)

    def give_up(self, ticket: int) -> None:
        """End one whose caller has left."""
        self._contained(ticket, self._give_up, ticket)

    def _give_up(self, ticket: int) -> None:
        self.waiting.turn_away(ticket, None)
        if self.flight.give_up(ticket):
            self._owner.check_idle()
        self._callers.give_up(ticket)
        self._do(self.exchanges.cancel(ticket))

    def pump(self, now: float) -> None:
        """Send on bodies as far as there is room: to be called after every batch."""
        for ticket, caller in list(self.sending.items()):
            self._contained(ticket, self._send_on, ticket, caller, now)

    def _send_on(self, ticket: int, caller: Caller, now: float) -> None:
        if send_stream(self.transport.http, caller, self._config.send_buffer):
            self.exchanges.is_sent(ticket, now)
        if caller.waits:  # also when it took some: of a server that says no more we hear nothing
            self.exchanges.is_stuck(ticket)
        if caller.sent:  # not `drained`, which another thread may have made it just now
            del self.sending[ticket]

    # time -----------------------------------------------------------------------------------

    def sweep(self, now: float) -> bool:
        """End those whose time is up. Returns whether the server may be the reason."""
        self.pump(now)
        for ticket in self.exchanges.tickets():
            self.read_on(ticket)
        late = self.exchanges.sweep(now)
        self._do(late)
        return any(
            isinstance(action, Answer)
            and isinstance(action.outcome, RequestTimeout | ReceiveTimeout | SendTimeout)
            for action in late
        )

    # what the table asks for ----------------------------------------------------------------

    def _do(self, actions: Sequence[ExchangeAction]) -> None:
        released = [each.ticket for each in actions if isinstance(each, ENDS)]
        if released:  # before its caller hears of it, who may ask again at once
            self._owner.released(tuple(released))
        failed: tuple[int, ...] = ()
        for action in actions:
            try:
                self._carry_out(action)
            except BaseException as error:
                ticket = getattr(action, "ticket", -1)
                # When it is failed already, nothing was left to carry out.
                if must_propagate(error) or ticket not in failed:
                    self._fail_one(ticket, self._cause(error))
                    failed += (ticket,)
        if released:
            self._owner.check_idle()

    def _carry_out(self, action: ExchangeAction) -> None:
        match action:
            case Answer(ticket, outcome):
                if self.sending:
                    self._end_sending(ticket)
                caller = self._callers.answer(ticket, outcome)
                if type(outcome) is Response:
                    self._failures = 0
                    if caller.informational is not None:
                        self.callbacks.limit(caller)
            case Deliver(ticket, content):
                self._callers.deliver(ticket, content)
            case Begin(ticket, status, headers):
                by = self.exchanges.connection
                self.callbacks.limit(self._callers.begin(ticket, status, headers, by))
            case End(ticket, trailers):
                self._end_sending(ticket)
                self._callers.end(ticket, trailers)
                self._failures = 0
            case Inform(ticket, status, headers):
                self._callers.inform(ticket, status, headers)
            case ResetStream(stream_id, code):
                self.transport.http.cancel(stream_id, code)
            case Retry(ticket, error):
                self._retry(ticket, error)
            case Hear(field):
                self._target.heard(field)

    def _end_sending(self, ticket: int) -> None:
        caller = self.sending.get(ticket)
        if caller is not None:
            drop_unsent(self.transport.http, caller, ErrorCode.H3_REQUEST_CANCELLED)

    def _retry(self, ticket: int, error: QuiverError) -> None:
        """Send it again, once, or as often as there may be connections that say so."""
        caller = self._callers.get(ticket)
        allowed = self._config.max_connections if isinstance(error, _OF_CONNECTIONS) else 1
        if isinstance(error, Misdirected | Http1Required):
            if self._target.goes_elsewhere(error, self.flight.alternative):
                self._owner.withdraw(error.message)  # before it may be lent to the request again
            else:
                allowed = 0
        assert caller is not None and caller.reply is not None, "a response has begun"
        whole = caller.replayable()  # whatever comes of it: its body is begun here no more
        if caller.exchange.attempts >= allowed or not whole:
            if not whole:
                error.add_note("not sent again: some of its body was read, which can be read once")
            caller.reply.fail(error)
        else:
            self._report.asks_again(caller.request, error)
            again = caller.again._replace(repeated=not error.unprocessed)
            self._owner.returned(again, caller.reply, unused=False)
        self._callers.take_back(ticket)

    def fail_all(self, error: QuiverError) -> None:
        """Answer whoever is left, when the actor ends: no step here can fail another's."""
        self.waiting.fail_all(error)
        self._callers.fail_all(error)
