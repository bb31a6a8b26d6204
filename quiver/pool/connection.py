"""Connection: the actor that owns one QUIC connection and its UDP socket.

    RESOLVING -> CONNECTING -> CONNECTED -> DRAINING -> gone

RESOLVING looks the name up, off the hub; CONNECTING tries one address after the other; CONNECTED
takes exchanges; DRAINING finishes those it has. It may end from any state, and whatever the end
is, every caller it holds gets an answer and the coordinator a `ConnectionDown`.

It is made of three parts: `Dialling` gets it connected, `Carrying` does the work for callers, and
here stands its life as the coordinator sees it. A batch of messages, or of datagrams that were
ready together, ends in one flush: see `after_batch`.
"""

from __future__ import annotations

import enum
import time
from typing import Any

import pykka

from quiver.actors.reply import Reply
from quiver.actors.signals import ForkedAway, Terminated, TimerFired
from quiver.errors import (
    QuiverError,
    ReceiveTimeout,
    RequestTimeout,
    SendTimeout,
)
from quiver.h3 import events
from quiver.pool import intake, messages
from quiver.pool.actions import Answer, ExchangeAction
from quiver.pool.carrying import Carrying
from quiver.pool.dialling import State
from quiver.pool.endpoint import Endpoint
from quiver.pool.messages import Exchange, Occurrence

H3_NO_ERROR = 0x100
LINGERS = 2  # one for callers who were answered to ask again, one for the pool to forward that
H3_REQUEST_CANCELLED = 0x10C
PING = 1  # a PING's name; which of several was answered never matters
SPENT = 1.0  # seconds that a server is given to allow more streams, when all have ended
FAREWELL = 1.0  # seconds to leave before the idle timeout: what is sent right at it may be lost
SILENCE = 1.0  # seconds without a packet: time to knock, and suspect when a request times out


class Connection(Carrying):
    """One QUIC connection to `endpoint`, number `number` of the pool that `coordinator` leads."""

    answers_with = ()  # the replies that reach it are the pool's callers': no error is theirs

    def __init__(self, number: int, endpoint: Endpoint, coordinator: pykka.ActorRef[Any]) -> None:
        super().__init__(number, endpoint, coordinator)
        self._heard = 0.0  # when the last datagram came
        self._knocks = 0  # since the last event of a stream

    # its life ------------------------------------------------------------------------------

    def on_start(self) -> None:
        self.watch(self._coordinator)
        self._report.start()
        super().on_start()

    def on_enter(self, state: enum.Enum) -> None:
        self._report.entered(state)

    def _attempting(self, address: tuple[Any, ...]) -> None:
        self._report.attempt(address)

    def _ready(self, max_streams: int) -> None:
        if self.state is not State.CONNECTING or self._session.closed:
            return  # told to drain meanwhile; or broken at once, and the attempt has failed
        self.become(State.CONNECTED)
        self._report.ready(max_streams, self._socket, self._session)
        self._tell(self._coordinator, messages.ConnectionReady(self._number, max_streams))
        self._rest()
        self._arrange_ping()
        if self._config.max_age is not None:
            self.timers.start("age", self._config.max_age)

    # what it is told ------------------------------------------------------------------------

    def on_receive(self, message: Any) -> None:
        match message:
            case Occurrence.READABLE:
                self._receive()
            case Exchange():
                self._open(message, self.defer())
            case TimerFired(key, _):
                self._timer_fired(key)
            case messages.Taken(ticket):
                self._taken(ticket)
            case messages.Filled(ticket):
                self._filled(ticket)
            case messages.GiveUp(ticket):
                self._give_up(ticket)
            case messages.Drain(reason):
                self._drain(reason)
            case Occurrence.REFUSED:
                self._refused()
            case Terminated():
                self._drain("its coordinator is gone")
            case _:
                super().on_receive(message)

    def _timer_fired(self, key: object) -> None:
        match key:
            case "quic":
                now = time.monotonic()
                self._session.tick(now)
                self._take_events(now)
            case "sweep":
                self._sweep(time.monotonic())
            case "ping":
                self._ping_in_time()
            case "silence":
                self._knock()
            case "idle" if not self._busy:
                self._withdraw("it was idle")
            case "age" if not self._report.requests:  # nobody has needed it: nor a successor
                self._withdraw("it grew old unused")
            case "spent" if not self._busy and self._spent:
                self._withdraw("its server allows no more streams")
            case "age":
                self._tell(self._coordinator, messages.Aged(self._number))
            case "probe":
                self._probed(time.monotonic())
            case ("settings", int(ticket)):
                self._turn_away(ticket, self._endpoint.no_settings())
            case _:
                self.dialling_timer_fired(key)

    def _open(self, exchange: Exchange, reply: Reply[Any]) -> None:
        if self.state is not State.CONNECTED or reply.done:  # given up on its way here
            self._return(exchange, reply, unused=True)
        else:
            self._start_exchange(exchange, reply)

    # what the network brings ----------------------------------------------------------------

    def _receive(self) -> None:
        """Take every datagram that is there; what they ask to be sent goes out in one flush."""
        self._readable = False
        if self._socket is None:
            return
        self._heard = now = time.monotonic()
        self.lingers = LINGERS if self._exchanges else 0
        try:
            self._session.receive_all(self._socket.receive(), now)
        except ConnectionRefusedError:
            self._tell(self.actor_ref, Occurrence.REFUSED)
        self._take_events(now)

    def _take_events(self, now: float) -> None:
        actions: list[ExchangeAction] = []
        for event in self._session.events():
            meaning = intake.MEANINGS.get(type(event))
            if meaning is not None:
                self._knocks = 0
                actions += meaning(self._exchanges, event, now)
            else:
                self._do(actions)
                actions = []
                self._occurred(event)
        self._do(actions)

    def _occurred(self, event: events.Event) -> None:
        """What says something of the connection as a whole, or is not for its exchanges' table."""
        match event:
            case events.Ready(max_streams):
                self._ready(max_streams)
            case events.CapacityChanged(max_streams):
                grown = messages.CapacityChanged(self._number, max_streams)
                self._tell(self._coordinator, grown)
            case events.Settings():
                self._report.settled(self._session)
                self._settle(event)
            case events.Datagram(stream_id, payload):
                self._datagram(stream_id, payload)
            case events.StopSending(stream_id):
                self._stop_sending(stream_id)
            case events.GoAway(stream_id):
                self._do(self._exchanges.goaway(stream_id))
                self._withdraw("its server sent GOAWAY")
            case events.Closed(error):
                self._closed(error)

    def _refused(self) -> None:
        if self.state is State.CONNECTING:
            self._attempt_failed(self._endpoint.refused())
        elif self._socket is not None:
            self._end(self._endpoint.port_closed())

    # silence --------------------------------------------------------------------------------

    def _sweep(self, now: float) -> None:
        self._pump(now)
        for ticket in self._exchanges.tickets():
            self._taken(ticket)
        late = self._exchanges.sweep(now)
        self._do(late)
        timed_out = any(
            isinstance(action, Answer)
            and isinstance(action.outcome, RequestTimeout | ReceiveTimeout | SendTimeout)
            for action in late
        )
        if timed_out and now - self._heard > SILENCE:
            self._suspect()

    def _suspect(self) -> None:
        """Lend it no more, and see whether it answers a PING: a lost peer sends no farewell."""
        self._withdraw("it went silent")
        self._session.ping(PING)
        self.timers.start("probe", SILENCE)

    def _probed(self, now: float) -> None:
        silence = now - self._heard
        if silence > SILENCE:
            self._end(self._endpoint.silent(silence))

    def _arrange_ping(self) -> None:
        """Often enough for `keep_alive`, and for neither side to time out with requests open."""
        share = 1 / 3 if self._exchanges else 2 / 3  # one that is lost leaves time for another
        wanted = (self._config.keep_alive, self._session.idle_timeout * share)
        self.timers.start_in_step("ping", min(each for each in wanted if each))

    def _ping_in_time(self) -> None:
        if self._exchanges or self._config.keep_alive is not None:
            self._session.ping(PING)
        self._arrange_ping()

    def _next_knock(self) -> float:
        return max(self._heard, self._begun) + SILENCE * (1 << self._knocks)

    def _knock(self) -> None:
        """Say something while callers wait in silence, each time after twice as long.

        When a NAT on the way has changed our port, it tells the server where we are now; and one
        that was not sure of that may send again (RFC 9000 8, 9.3).
        """
        self._knocks += 1
        self._session.ping(PING)

    def after_batch(self) -> None:
        """One flush of datagrams, timers set anew, readers woken."""
        if self._socket is not None:
            if self._callers.sending:
                self._pump(time.monotonic())
            self._flush()
            self.timers.at("quic", self._session.timer())
            self.timers.at("sweep", self._exchanges.next_deadline())
            self.timers.at("silence", self._next_knock() if self._exchanges else None)
        self._callers.stir()

    # its end --------------------------------------------------------------------------------

    def _rest(self) -> None:
        """When nothing is open: close if draining, else see how long that lasts."""
        if self._busy:
            return
        if self.state is State.DRAINING:
            self.leave()
            return
        if self._spent:
            self.timers.start("spent", SPENT)
        leisure = self._leisure()
        if leisure is not None:
            self.timers.start("idle", leisure)

    def _leisure(self) -> float | None:
        """Seconds of idleness to leave after: ours, or sooner, before the server may forget it."""
        ours, silence = self._config.idle_timeout, self._session.idle_timeout
        if self._config.keep_alive is not None:  # PINGs see to it that it does not
            return ours
        theirs = silence - min(FAREWELL, silence / 4)
        return theirs if ours is None else min(ours, theirs)

    @property
    def _spent(self) -> bool:
        """Whether it has carried all the streams it may. One allowed none waits for the first."""
        return 0 < self._session.max_streams <= self._session.streams_opened

    def _withdraw(self, reason: str) -> None:
        """Drain by our own decision: the coordinator must hear of it."""
        if self.state is not State.DRAINING:
            self._tell(self._coordinator, messages.Draining(self._number))
            self._drain(reason)

    def _drain(self, reason: str) -> None:
        if self.state is not State.DRAINING:
            self._report.draining(len(self._exchanges), reason)
            self.become(State.DRAINING)
            for ticket in list(self._unsettled):
                self._turn_away(ticket, None)
            self._rest()

    def _end(self, error: QuiverError) -> None:
        """The network has ended it; whoever is still held gets this error."""
        self._do(self._exchanges.lost(error))
        super()._end(error)

    def on_stop_requested(self) -> bool:
        """Finish what is open first; asked twice, or when draining already, end at once."""
        if self.state is State.DRAINING:
            return True
        self._withdraw("it was asked to stop")
        return False

    def on_exit(self, reason: BaseException | None) -> None:
        if isinstance(reason, ForkedAway):
            self._drop_socket()
            for _, reply in self._unsettled.values():
                reply.fail(self._endpoint.forked())
            return self._callers.fail_all(self._endpoint.forked())
        if self._hub is not None and self._hub.stopped:
            reason = None  # with all actors: it has not failed
        error = self._error or self._endpoint.last_words(reason)
        # Whatever ended it may be broken still: that must not keep anybody from an answer.
        self._guarded(self._hang_up)
        for ticket in list(self._unsettled):
            self._guarded(self._turn_away, ticket, None)
        for _, reply in self._unsettled.values():
            reply.fail(error or self._endpoint.stopped())
        self._callers.fail_all(error or self._endpoint.stopped())
        self._guarded(self._report.down, error)
        return self._tell(self._coordinator, messages.ConnectionDown(self._number, error))

    def _hang_up(self) -> None:
        try:
            if self._socket is not None:
                self._session.close(H3_NO_ERROR, "")
                self._flush()
        finally:
            self._drop_socket()

    def crash_error(self, message: Any, error: BaseException) -> Exception:  # noqa: ARG002
        lost = self._endpoint.last_words(error)
        assert lost is not None
        return lost

    def undelivered(self, message: Any, reply: Reply[Any]) -> bool:
        """What was still on its way here never left: the pool carries it on."""
        if not isinstance(message, Exchange):
            return False
        self._return(message, reply, unused=True)
        return True
