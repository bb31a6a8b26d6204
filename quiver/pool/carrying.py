"""Carrying: what a connection does for its callers once it is connected.

The middle part of a Connection, between `Dialling`, which gets it connected, and its life as the
coordinator sees it. What is in flight is decided by `Exchanges`, what goes over the wire by
`Session`; `Callers` has the replies, readers and writers. Here each is told of the others.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import pykka

from quiver.actors.reply import Reply
from quiver.errors import ConnectDisabled, DatagramsDisabled, GoAway, QuiverError
from quiver.h3 import events
from quiver.h3.headers import request_fields
from quiver.pool import messages
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
from quiver.pool.callers import Callers, Held, mode_of
from quiver.pool.dialling import Dialling
from quiver.pool.endpoint import Endpoint
from quiver.pool.exchange import Limits, Mode
from quiver.pool.exchanges import Exchanges
from quiver.pool.messages import Exchange
from quiver.pool.reports import ConnectionReport
from quiver.pool.sending import drop_unsent, send_datagrams, send_stream
from quiver.request import OpenChannel, Request

H3_REQUEST_CANCELLED = 0x10C


class Carrying(Dialling):
    """Opens exchanges on the session, and does what their table asks for."""

    def __init__(self, number: int, endpoint: Endpoint, coordinator: pykka.ActorRef[Any]) -> None:
        super().__init__(endpoint)
        self._number = number
        self._config = endpoint.config
        self._coordinator = coordinator
        self._report = ConnectionReport(endpoint.name, number)
        self._exchanges = Exchanges(
            max_body_size=endpoint.config.max_body_size, origin=endpoint.name
        )
        self._callers = Callers(endpoint, partial(self._tell, self.actor_ref))
        self._settings: events.Settings | None = None  # the server's, once they have come
        self._begun = 0.0  # when the last exchange was
        self._unsettled: dict[int, tuple[Exchange, Reply[Any]]] = {}  # channels that wait for them

    @property
    def _busy(self) -> bool:
        return bool(self._exchanges or self._unsettled)

    # exchanges ----------------------------------------------------------------------------

    def _start_exchange(self, exchange: Exchange, reply: Reply[Any]) -> None:
        if isinstance(exchange.request, OpenChannel):
            self._open_channel(exchange, reply)
        else:
            self._begin(exchange, reply)

    def _begin(self, exchange: Exchange, reply: Reply[Any]) -> Held:
        request, now = exchange.request, time.monotonic()
        mode = mode_of(request)
        body, ended = self._callers.whole_body(request)
        fields = request_fields(request, self._endpoint.origin)
        window = None if mode is Mode.BUFFERED else self._config.receive_window
        stream_id = self._session.open_request(fields, body, ended, window)
        self._exchanges.open(
            stream_id,
            exchange.ticket,
            method=request.method,
            now=now,
            limits=self._limits(request, exchange.deadline),
            mode=mode,
        )
        self._begun = now
        self._report.requests += 1
        return self._callers.add(exchange, reply, stream_id, mode, sent=ended)

    def _limits(self, request: Request, deadline: float | None) -> Limits:
        config = self._config
        return Limits(
            deadline,
            request.timeout or config.timeout,
            request.receive_timeout or config.receive_timeout,
            config.stream_idle_timeout,
            request.send_timeout,
        )

    # channels: they need to know what the server can do -------------------------------------

    def _open_channel(self, exchange: Exchange, reply: Reply[Any]) -> None:
        if self._settings is None:
            self._unsettled[exchange.ticket] = exchange, reply
            wait = exchange.request.receive_timeout or self._config.receive_timeout
            if wait is not None:
                self.timers.start(("settings", exchange.ticket), wait)
            return None
        fault = self._channel_fault(exchange.request, self._settings)
        if fault is not None:
            reply.fail(fault)
            return self._return(exchange, reply, unused=True)
        held = self._begin(exchange, reply)
        return self._callers.open_channel(held, self._session.max_datagram_size(held.stream_id))

    def _channel_fault(self, request: Request, settings: events.Settings) -> QuiverError | None:
        assert isinstance(request, OpenChannel)
        if request.protocol is not None and not settings.connect:
            said = f"protocol={request.protocol!r}: the server takes no extended CONNECT"
            return ConnectDisabled(said, origin=self._endpoint.name)
        if request.require_datagrams and not settings.datagrams:
            said = "require_datagrams=True, but both sides have not agreed on datagrams"
            return DatagramsDisabled(said, origin=self._endpoint.name)
        return None

    def _settle(self, settings: events.Settings) -> None:
        self._settings = settings
        for ticket, (exchange, reply) in list(self._unsettled.items()):
            self.timers.cancel(("settings", ticket))
            del self._unsettled[ticket]
            try:
                self._open_channel(exchange, reply)
            except BaseException as error:  # it may have left: the pool must not send it again
                reply.fail(self.crash_error(exchange, error))
                raise

    def _turn_away(self, ticket: int, error: QuiverError | None) -> None:
        """A channel that still waits for SETTINGS goes back; with an error it is answered."""
        exchange, reply = self._unsettled.get(ticket, (None, None))
        if exchange is not None and reply is not None:
            self.timers.cancel(("settings", ticket))
            if error is not None:
                reply.fail(error)
            self._return(exchange, reply, unused=True)
            del self._unsettled[ticket]

    # what readers and writers tell ----------------------------------------------------------

    def _taken(self, ticket: int) -> None:
        held = self._callers.get(ticket)
        if held is not None and held.inlet is not None:
            self._session.consumed(held.stream_id, held.inlet.settle())
            self._exchanges.is_read(ticket, held.inlet.unread, held.inlet.last_taken)

    def _filled(self, ticket: int) -> None:
        held = self._callers.get(ticket)
        if held is None or held.outlet is None:
            return
        held.outlet.heard()
        if held.outlet.error is not None:
            self._do(self._exchanges.break_off(ticket, held.outlet.error))
            return
        dropped = send_datagrams(self._session, held)
        if dropped:
            self._report.dropped(dropped, "sent")

    def _pump(self, now: float) -> None:
        """Bodies go out as far as there is room: looked at after every batch."""
        for ticket, held in list(self._callers.sending.items()):
            if send_stream(self._session, held, self._config.send_buffer):
                self._exchanges.is_sent(ticket, now)
            elif held.post is None:
                self._exchanges.is_stuck(ticket)
            if held.sent:  # not `drained`, which another thread may have made it just now
                del self._callers.sending[ticket]

    def _give_up(self, ticket: int) -> None:
        self._turn_away(ticket, None)
        self._callers.give_up(ticket)
        self._do(self._exchanges.cancel(ticket))

    def _datagram(self, stream_id: int, payload: bytes) -> None:
        ticket = self._exchanges.ticket_of(stream_id)
        if ticket is not None and not self._callers.datagram(ticket, payload):
            self._report.dropped(1, "received")

    def _stop_sending(self, stream_id: int) -> None:
        """The server wants no more of the body; its response may still come."""
        ticket = self._exchanges.ticket_of(stream_id)
        held = None if ticket is None else self._callers.sending.pop(ticket, None)
        if held is not None and held.outlet is not None:
            held.outlet.close()
            self._exchanges.is_sent(held.exchange.ticket, time.monotonic())

    # what the tables ask for ----------------------------------------------------------------

    def _do(self, actions: Sequence[ExchangeAction]) -> None:
        released = tuple(each.ticket for each in actions if type(each) is Release)
        if released:  # before its caller hears of it, who may ask again at once
            self._tell(self._coordinator, messages.Released(self._number, released))
        for action in actions:
            match action:
                case Answer(ticket, outcome):
                    self._conclude(self._callers.answer(ticket, outcome))
                case Deliver(ticket, content):
                    self._callers.deliver(ticket, content)
                case Begin(ticket, status, headers):
                    self._callers.begin(ticket, status, headers)
                case End(ticket, trailers):
                    self._conclude(self._callers.end(ticket, trailers))
                case Inform(ticket, status, headers):
                    self._callers.inform(ticket, status, headers)
                case ResetStream(stream_id, code):
                    self._session.cancel(stream_id, code)
                case Retry(ticket, error):
                    self._retry(ticket, error)
        if released:
            self._rest()

    def _rest(self) -> None:
        """Exchanges have ended; for a subclass to see whether these were the last."""

    def _conclude(self, held: Held) -> None:
        drop_unsent(self._session, held, H3_REQUEST_CANCELLED)

    def _retry(self, ticket: int, error: QuiverError) -> None:
        """Once; but all connections may say GOAWAY together, and each may refuse it in turn."""
        held = self._callers.get(ticket)
        allowed = self._config.max_connections if isinstance(error, GoAway) else 1
        assert held is not None and held.reply is not None, "a response has begun"
        if held.exchange.attempts >= allowed or not held.replayable():
            held.reply.fail(error)
        else:
            again = held.exchange._replace(attempts=held.exchange.attempts + 1)
            self._return(again, held.reply, unused=False)
        self._callers.take_back(ticket)

    def _return(self, exchange: Exchange, reply: Reply[Any], *, unused: bool) -> None:
        returned = messages.Returned(self._number, exchange, unused)
        self.forward(self._coordinator, returned, reply)
