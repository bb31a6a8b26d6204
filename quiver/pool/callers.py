"""Callers: what one connection holds of those whose exchanges it carries.

A reply that is not answered yet; the inlet of a streamed response or a channel; the outlet of a
body that is on its way out. Here actions of the table become what a caller sees.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs

from quiver.actors.reply import Reply
from quiver.async_upload import upload_of
from quiver.body import StreamedResponse
from quiver.channel import Channel, ChannelPost, StreamData, Trailers
from quiver.errors import QuiverError
from quiver.inlet import Inlet
from quiver.models import Response
from quiver.pool import messages
from quiver.pool.endpoint import Endpoint
from quiver.pool.exchange import Mode, Pairs
from quiver.pool.messages import Exchange
from quiver.request import OpenChannel, Request, StreamRequest
from quiver.upload import Errands, Outlet, Upload

__all__ = ["Callers", "Held", "mode_of"]


def mode_of(request: Request) -> Mode:
    """How the caller of this request wants its response."""
    if isinstance(request, OpenChannel):
        return Mode.CHANNEL
    return Mode.STREAMED if isinstance(request, StreamRequest) else Mode.BUFFERED


@attrs.define(eq=False)
class Held:
    """One caller's exchange, and what it and the connection have in common."""

    exchange: Exchange
    reply: Reply[Any] | None  # until it has a response or channel, which is then its caller's only
    stream_id: int
    mode: Mode
    inlet: Inlet[Any] | None = None
    outlet: Outlet | None = None
    upload: Upload | None = None
    post: ChannelPost | None = None
    sent: bool = False  # the end of the request was handed on
    _errands: Errands | None = attrs.field(default=None, alias="errands")

    @property
    def errands(self) -> Errands:
        """Made when there is one to run: most exchanges have none."""
        if self._errands is None:
            self._errands = Errands(self.reply)
        return self._errands

    def end_errands(self) -> None:
        """Nothing more is to be run."""
        if self._errands is not None:
            self._errands.close()

    def hand_over(self, response: StreamedResponse | Channel) -> None:
        """From here on nobody but the caller holds it; it is closed when the caller is gone."""
        reply, self.reply = self.reply, None
        if self._errands is not None:
            self._errands.leave()
        if reply is not None:
            reply.answer(response)

    def replayable(self) -> bool:
        """Whether the request can be sent again as if for the first time; it is read no more."""
        return self.upload is None or self.upload.take_back()


class Callers:
    """By ticket. `tell` sends a message to the connection itself, from any thread."""

    def __init__(self, endpoint: Endpoint, tell: Callable[[object], None]) -> None:
        self._origin = endpoint.name
        self._config = endpoint.config
        self._tell = tell
        self._held: dict[int, Held] = {}
        self._stirred: dict[int, Inlet[Any]] = {}  # inlets that got something in this batch
        self.sending: dict[int, Held] = {}  # those whose request is not sent to its end

    def get(self, ticket: int) -> Held | None:
        return self._held.get(ticket)

    # coming ---------------------------------------------------------------------------------

    def add(
        self, exchange: Exchange, reply: Reply[Any], stream_id: int, mode: Mode, *, sent: bool
    ) -> Held:
        """A request has its stream; `sent`: to its end, as `whole_body` said."""
        ticket = exchange.ticket
        held = self._held[ticket] = Held(exchange, reply, stream_id, mode)
        if not sent:
            self.sending[ticket] = held
            held.outlet = self._outlet(ticket)
            if mode is not Mode.CHANNEL:
                held.upload = upload_of(exchange.request, held.outlet)
        return held

    def whole_body(self, request: Request) -> tuple[bytes | None, bool]:
        """The body to send with the header section, and whether that is all there is."""
        if isinstance(request, OpenChannel) or self._in_parts(request):
            return None, False
        assert request.body is None or isinstance(request.body, bytes)
        return request.body, True

    def open_channel(self, held: Held, max_datagram_size: int) -> None:
        """Give the caller its channel; the response will be an event on it."""
        ticket = held.exchange.ticket
        assert held.outlet is not None
        held.post = ChannelPost(held.outlet, self._config.max_datagrams)
        held.post.max_datagram_size = max_datagram_size
        held.inlet = self._inlet(ticket)
        held.hand_over(Channel(held.inlet, held.post))

    # what the table says --------------------------------------------------------------------

    def inform(self, ticket: int, status: int, headers: Pairs) -> None:
        held = self._held[ticket]
        callback = held.exchange.request.on_informational
        if callback is not None:
            held.errands.run(partial(callback, status, headers))

    def begin(self, ticket: int, status: int, headers: Pairs) -> None:
        held = self._held[ticket]
        if held.inlet is not None:
            held.inlet.put(Response(status, headers), 0)
            self._stirred[ticket] = held.inlet
            return
        held.inlet = self._inlet(ticket)
        held.hand_over(StreamedResponse(status, headers, held.inlet))

    def deliver(self, ticket: int, content: bytes) -> None:
        held = self._held[ticket]
        assert held.inlet is not None
        item = StreamData(content) if held.mode is Mode.CHANNEL else content
        held.inlet.put(item, len(content))
        self._stirred[ticket] = held.inlet

    def datagram(self, ticket: int, payload: bytes) -> bool:
        """False when an older datagram was dropped for it."""
        held = self._held[ticket]
        if held.post is None or held.inlet is None:
            return True
        self._stirred[ticket] = held.inlet
        return held.post.receive(held.inlet, payload)

    def stir(self) -> None:
        """Wake the readers that got something, once a batch."""
        if self._stirred:
            for inlet in self._stirred.values():
                inlet.stir()
            self._stirred.clear()

    # going ----------------------------------------------------------------------------------

    def answer(self, ticket: int, outcome: Response | BaseException) -> Held:
        """The outcome of an exchange; an error also for a reader in the middle."""
        held = self._pop(ticket, outcome if isinstance(outcome, QuiverError) else None)
        if isinstance(outcome, BaseException):
            self._fail(held, outcome)
        elif held.reply is not None:
            held.reply.answer(outcome)
        return held

    def end(self, ticket: int, trailers: Pairs) -> Held:
        """A streamed response is complete."""
        held = self._pop(ticket)
        assert held.inlet is not None
        if trailers and held.mode is Mode.CHANNEL:
            held.inlet.put(Trailers(trailers), 0)
        held.inlet.trailers = trailers
        held.inlet.end()
        return held

    def give_up(self, ticket: int) -> None:
        """Its caller has left."""
        held = self._held.get(ticket)
        if held is not None:
            self._pop(ticket)

    def take_back(self, ticket: int) -> Held:
        """It goes on elsewhere, as if it had never been here."""
        return self._pop(ticket)

    def fail_all(self, error: QuiverError) -> None:
        for ticket in list(self._held):
            self.answer(ticket, copy.copy(error))

    def _pop(self, ticket: int, reason: QuiverError | None = None) -> Held:
        held = self._held.pop(ticket)
        self.sending.pop(ticket, None)
        self._stirred.pop(ticket, None)
        if held.outlet is not None:
            held.outlet.close(reason)
        if held.upload is not None and held.upload.unfinished:
            held.upload.start(held.errands, apart=False)
        held.end_errands()
        return held

    def _fail(self, held: Held, error: BaseException) -> None:
        if held.inlet is not None:
            held.inlet.end(error)
        if held.reply is not None:
            held.reply.fail(error)

    # boxes ----------------------------------------------------------------------------------

    def _in_parts(self, request: Request) -> bool:
        body = request.body
        small = body is None or (isinstance(body, bytes) and len(body) <= self._config.send_buffer)
        return not small or bool(request.trailers)

    def _inlet(self, ticket: int) -> Inlet[Any]:
        return Inlet(
            self._origin,
            self._config.receive_window,
            partial(self._tell, messages.Taken(ticket)),
            partial(self._tell, messages.GiveUp(ticket)),
        )

    def _outlet(self, ticket: int) -> Outlet:
        return Outlet(self._origin, partial(self._tell, messages.Filled(ticket)))
