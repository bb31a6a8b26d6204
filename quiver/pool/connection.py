"""Connection: the actor that owns one HTTP connection and its socket.

    RESOLVING -> CONNECTING -> CONNECTED -> DRAINING -> gone

RESOLVING looks the name up, off the hub; CONNECTING tries its addresses side by side; CONNECTED
takes exchanges; DRAINING finishes those it has. From any state it may end: then every caller it
holds gets an answer and the coordinator a `ConnectionDown`.

It holds its parts by name, and here stands its life as the coordinator sees it:

    Dialer          gets it connected: the name, its addresses, their time
    Transport       the socket and the HTTP connection of the attempt that has won
    ExchangeRunner  what it does for callers
    Liveness        whether the server is still there
    PathKeeper      asks it, and follows our own address

A batch of messages, or of datagrams that were ready together, ends in one flush: see `after_batch`.
"""

from __future__ import annotations

import copy
import enum
import math
import time
from collections.abc import Callable, Hashable
from functools import partial

from quiver.actors.loop_stalls import StallWatch
from quiver.actors.native_threads import let_threads_run
from quiver.actors.ref import AnyGeventActorRef
from quiver.actors.state_machine import StateMachine
from quiver.actors.system_messages import ForkedAway, Terminated, TimerFired
from quiver.errors import QuiverError
from quiver.h3 import events
from quiver.pool import messages
from quiver.pool.choice import Lane
from quiver.pool.connection_state import DIALS, ConnectionState
from quiver.pool.dial_progress import Progress
from quiver.pool.dialer import Connected, Dialer, Outcome
from quiver.pool.exchange_runner import ExchangeRunner
from quiver.pool.http_connection import HttpConnection
from quiver.pool.liveness import Liveness, idle_limit
from quiver.pool.messages import PoolReply, SocketEvent, StartExchange
from quiver.pool.path_keeper import PathKeeper
from quiver.pool.receive_turns import SLICE, Overdue
from quiver.pool.reports import ConnectionReport
from quiver.pool.target import PoolTarget

LINGERS = 4  # turns: callers who were answered may ask again, some of them a turn later
SPENT = 1.0  # seconds that a server is given to allow more streams, when all have ended
LOOK_AGAIN = 0.001  # seconds
LATE = 0.05  # seconds after its time: something may have come that the timer has not waited for


class Connection(StateMachine):
    """One connection to `target`, number `number` of the pool that `coordinator` leads."""

    initial = ConnectionState.RESOLVING
    answers_with = ()  # the replies that reach it are the pool's callers': no error is theirs
    never_waits = True  # whoever listens to telemetry is called in it

    def __init__(
        self, number: int, target: PoolTarget, coordinator: AnyGeventActorRef, early: bool = False
    ) -> None:
        super().__init__()
        self._number, self._coordinator = number, coordinator
        self._tell_pool = coordinator.notify
        self._target, self._config = target, target.config
        self._error: QuiverError | None = None  # what the network ended it with
        self._overdue, self._stalls = Overdue(), StallWatch()
        self._may_rest = False  # an exchange has ended in this batch: it may have been the last
        self._sweep_at = math.inf  # as the timer is set
        self._report = ConnectionReport(target.name, number, target.only, target.proxy)
        tell_me = self.actor_ref.notify
        self._transport = target.transport(tell_me)
        attempt, offer = self._report.attempt, self._offer_early if early else None
        self._dialer = Dialer(target, tell_me, attempt, self._tell_progress, offer)
        self._liveness = Liveness()
        self._runner = ExchangeRunner(
            self, target, self._transport, self._liveness, self.timers, self._report, tell_me
        )
        parts = self._liveness, self._runner.exchanges, self.timers, self._report
        calls = self._tell_pool, self._end, self._leave_path, self.withdraw
        self._keeper = PathKeeper(number, target, self._transport, *parts, *calls)

    # its life -------------------------------------------------------------------------------

    def on_start(self) -> None:
        assert self.hub is not None
        self._stalls.stalls = self.hub.stalls
        self._stalls.listen(True)
        self.watch(self._coordinator)
        self._report.start()
        super().on_start()
        self._dialer.start()
        self.timers.at("dial", self._dialer.due())

    def on_enter(self, state: enum.Enum) -> None:
        self._report.entered(state)

    def _ready(self, event: events.Ready) -> None:
        self.become(ConnectionState.CONNECTED)
        self.lingers = LINGERS  # what has waited for it goes along with the end of the handshake
        agreed = self._transport.http.handshake
        self._runner.exchanges.connection = self._report.ready(event, self._transport, agreed)
        early = self._runner.flight.settle(event.early)
        room, most, speaks = event.max_streams, event.concurrent, agreed.http_version.lower()
        self._tell_pool(messages.ConnectionReady(self._number, room, early, most, speaks))
        self.check_idle()
        self._keeper.arrange_ping()
        if self._config.max_age is not None:
            self.timers.start("age", self._config.max_age)

    # what it is told ------------------------------------------------------------------------

    def on_receive(self, message: object) -> None:
        match message:
            case SocketEvent.READABLE:
                self._receive()
            case StartExchange():
                self._open(message, self.defer())
            case messages.StartEarly():
                self._runner.flight.start(message)
            case TimerFired(key):
                self._timer_fired(key)
            case messages.ReadOn(ticket):
                self._runner.read_on(ticket)
            case messages.Filled(ticket):
                self._runner.filled(ticket)
            case messages.GiveUp(ticket):
                self.lingers = 0  # the program may end here, and the server is to be told
                self._runner.give_up(ticket)
            case messages.Drain(reason):
                self._drain(reason)
            case SocketEvent.FAILED:
                self._judge_socket_errors()
            case messages.Resolved():
                self._resolved(message)
            case Terminated():
                self._runner.flight.settle(None)  # nobody comes for it any more
                self._drain("its coordinator is gone")
                self.check_idle()
            case _:
                raise TypeError(f"{self} does not know the message {message!r}")

    def _timer_fired(self, key: object) -> None:
        match key:
            case "quic":
                due = (self._dialer if self.state in DIALS else self._transport.http).timer()
                if due is not None and time.monotonic() - due > LATE:
                    self._judge_later("quic")
                else:
                    self._tick()
            case "sweep" | "silence" | "dial" | "suspicion" | ("settings", int()):
                self._judge_later(key)
            case "more" if self._overdue.keys:
                self._receive()
            case "ping":
                self._keeper.ping_in_time()
            case "former":
                self._transport.forget_former()
            case "idle" | "spent" if self._may_rest or self._runner.busy:
                pass  # something is open, or was in this batch
            case "idle":
                self.withdraw("it was idle")
            case "age" if not self._report.requests:  # nobody needs a successor
                self.withdraw("it grew old unused")
            case "spent" if self._spent:
                self.withdraw("its server allows no more streams")
            case "age":
                self._tell_pool(messages.Aged(self._number))
            case ("callback", int(ticket)):
                self._runner.callbacks.overdue(ticket)

    def _judge_later(self, key: Hashable) -> None:
        """Take all that has come, in as many turns as it takes, before something is called late."""
        if key not in self._overdue.keys:
            self._overdue.add(key)
            self._receive()

    def _judge(self, key: Hashable) -> None:
        """Do what a timer asks for, now that all has been taken that had come before."""
        match key:
            case "quic":
                self._tick()
            case "sweep":
                now, self._sweep_at = time.monotonic(), math.inf
                if self._runner.sweep(now) and self._liveness.is_silent(now):
                    self._keeper.silent()
            case "silence":
                self._keeper.ping_in_silence()
            case "dial":
                self._dialed(self._dialer.look)
            case "suspicion":
                self._keeper.proceed(self._liveness.suspicion.tick(time.monotonic()))
            case ("settings", int(ticket)):
                self._runner.waiting.turn_away(ticket, self._target.no_settings())

    def _open(self, exchange: StartExchange, reply: PoolReply) -> None:
        # What went early is out, whatever has come since. If it was given up, we are told next.
        if exchange.ticket in self._runner.flight.streams or self._may_open(reply):
            self._runner.start(exchange, reply)
        else:
            self.returned(exchange, reply, unused=True)

    def _may_open(self, reply: PoolReply) -> bool:
        lent = self.state is ConnectionState.CONNECTED and not self._liveness.suspicion.raised
        if lent and self._liveness.wants_look(time.monotonic()):
            lent = self._transport.may_be_lent() and self._keeper.look_before_lending()
        return lent and not (reply.done or self._transport.http.is_full)  # given up on its way here

    # the dial -------------------------------------------------------------------------------

    def _resolved(self, name: messages.Resolved) -> None:
        if self.state is ConnectionState.RESOLVING and not isinstance(name.outcome, QuiverError):
            self.become(ConnectionState.CONNECTING)
        self._dialed(partial(self._dialer.resolved, name.outcome, place=name.place))

    def _offer_early(self, http: HttpConnection, lane: Lane) -> None:
        streams = self._runner.flight.begin(http, lane.alternative)
        self._tell_pool(messages.EarlyRoom(self._number, streams))

    def _tell_progress(self, progress: Progress) -> None:
        self._tell_pool(messages.DialProgress(self._number, progress))

    def _dialed(self, step: Callable[[float], Outcome]) -> None:
        """Take a step of the dial, if it goes on, and what that has come to."""
        if self.state not in DIALS or self._error is not None:
            return
        now = time.monotonic()
        match step(now):
            case Connected(transport, lane, behind, happened):
                self._runner.flight.alternative = lane.alternative
                self._report.chosen(lane.alternative, behind)
                if type(transport) is not type(self._transport):
                    other = self._target.transport(self.actor_ref.notify, lane.name)
                    self._transport = self._runner.transport = self._keeper.transport = other
                self._transport.adopt(transport)
                self._dialer.forget()
                self.timers.cancel("dial")
                self._liveness.heard(now)
                self._runner.feed(happened, now)
            case QuiverError() as error:
                self._end(error)

    # what the network brings ----------------------------------------------------------------

    def _receive(self) -> None:
        """Take what has come, and its share of the turn; all that asks to be sent goes out in one
        flush. What was overdue is judged when nothing is left."""
        now, begun = time.monotonic(), time.thread_time()
        if missed := self._stalls.missed(now):  # nobody's silence
            self._dialer.excuse(missed)
            self._liveness.excuse(missed, now)
            self._runner.exchanges.excuse(missed, now)
        if self._transport.socket is None:  # it is dialled, or was told of one that has closed
            self._dialed(self._dialer.receive)
            ended = time.thread_time()
        else:
            self.lingers = LINGERS if self._runner.exchanges.by_stream else 0
            ended = self._take_datagrams(now, begun)
        if ended - begun > SLICE:
            let_threads_run()
        if self._overdue.keys:
            part = self._dialer if self.state in DIALS else self._transport
            for key in self._overdue.due(part.more):
                self._judge(key)
            if self._overdue.keys:
                # By the loop: a message to itself would come before others can be heard.
                self.timers.start("more", LOOK_AGAIN)

    def _take_datagrams(self, now: float, begun: float) -> float:
        """Take what has come, beginning at this time of the thread's. Returns when it has ended."""
        transport = self._transport
        while True:
            if transport.receive(now) and (step := self._liveness.heard(now)) is not None:
                self._keeper.proceed(step)
            if transport.socket is None:
                return time.thread_time()
            self._runner.feed(transport.http.events(), now)
            ended = time.thread_time()
            if not transport.may_go_on(ended - begun):
                return ended
            begun, now = ended, time.monotonic()

    def _tick(self) -> None:
        if self.state in DIALS:
            self._dialed(self._dialer.tick)
        else:
            now, http = time.monotonic(), self._transport.http
            http.tick(now)
            self._runner.feed(http.events(), now)

    def occurred(self, event: events.Event) -> None:
        match event:
            case events.Ready():
                self._ready(event)
            case events.CapacityChanged(limit, concurrent):
                self._tell_pool(messages.StreamLimitRaised(self._number, limit, concurrent))
            case events.Settings():
                self._report.settled(self._transport.http)
                self._runner.settle(event)
            case events.GoAwayReceived(stream_id):
                self._runner.goaway(stream_id)
                self.withdraw("its server sent GOAWAY")
            case events.TicketReceived(ticket):
                self._target.keep(ticket)
                self._report.ticket(ticket)
            case events.PathValidated(seconds):
                self._keeper.validated(seconds)
            case events.PathFailed(seconds):
                self._keeper.invalid(seconds)
            case events.ConnectionEnded(error):
                self._end(error)

    def _judge_socket_errors(self) -> None:
        """See what to make of the errors that the socket has met; none of them is raised."""
        self._dialed(self._dialer.judge_socket_errors)
        while (error := self._transport.take_error()) is not None:
            self._keeper.failed(error)

    # the end of a batch ---------------------------------------------------------------------

    def after_batch(self) -> None:
        """One flush of datagrams, timers set anew, readers woken.

        What is set for open exchanges may go off too early, and is then set again: most are over
        long before, and their successors due later."""
        runner, transport = self._runner, self._transport
        if runner.sending and transport.socket is not None:
            runner.pump(time.monotonic())
        is_open = bool(runner.exchanges.by_stream)
        if self._may_rest:
            self._may_rest = False
            if not (is_open or runner.busy):
                self._begin_idle()
        if transport.socket is not None:
            transport.flush(uploads=bool(runner.sending))
            self.timers.at("quic", transport.http.timer(), rests=not is_open)
            if (due := runner.exchanges.due) < self._sweep_at:
                self._sweep_at = due
                self.timers.at("sweep", due)
        elif self.state in DIALS:
            self._dialer.flush()
            self.timers.at("quic", self._dialer.timer())
            self.timers.at("dial", self._dialer.due())
        if is_open and not self._liveness.awaits_ping and transport.http.pings_in_silence:
            self.timers.at("silence", self._liveness.await_ping())
        self._stalls.listen(is_open or self.state in DIALS)
        runner.wake_readers()

    # what its exchanges tell ----------------------------------------------------------------

    def released(self, tickets: tuple[int, ...]) -> None:
        # It is woken in `check_idle`, for these and what those ask who are answered before that.
        self._coordinator.leave(messages.Released(self._number, tickets))

    def returned(self, exchange: StartExchange, reply: PoolReply, *, unused: bool) -> None:
        self.forward(self._coordinator, messages.Returned(self._number, exchange, unused), reply)

    def check_idle(self) -> None:
        """Close if it drains and nothing is open, else see at the end of the batch what is."""
        self._coordinator.wake()
        if self.state is not ConnectionState.DRAINING:
            self._may_rest = True
        elif not self._runner.busy:
            self.leave()

    def _begin_idle(self) -> None:
        self._sweep_at, self._liveness.awaits_ping = math.inf, False
        self.timers.cancel("sweep")
        self.timers.cancel("silence")
        if self._spent:
            self.timers.start("spent", SPENT)
        config, http = self._config, self._transport.http
        limit = idle_limit(config.idle_timeout, config.keep_alive, http.idle_timeout)
        if limit is not None:
            self.timers.start("idle", limit)

    # its end --------------------------------------------------------------------------------

    @property
    def _spent(self) -> bool:
        """Whether it has carried all the streams it may. One allowed none waits for the first."""
        http = self._transport.http
        return 0 < http.max_streams <= http.streams_opened

    def withdraw(self, reason: str) -> None:
        """Drain by our own decision, and tell the coordinator."""
        if self.state is not ConnectionState.DRAINING:
            self._tell_pool(messages.Draining(self._number))
            self._drain(reason)

    def _drain(self, reason: str) -> None:
        if self.state is not ConnectionState.DRAINING:
            self._report.draining(len(self._runner.exchanges), reason)
            if self.state in DIALS:
                self._runner.flight.settle(None)  # it comes to nothing
            self.become(ConnectionState.DRAINING)
            self._runner.waiting.turn_away_all()
            self.check_idle()

    def _end(self, error: QuiverError) -> None:
        """End by an error of the network's, which whoever is still open gets."""
        self._runner.lost(error)
        self._error = error
        self.leave()

    def _leave_path(self, error: QuiverError) -> None:
        """End what cannot follow our address; requests that never left go by another one."""
        never_left = copy.copy(error)
        never_left.unprocessed = True
        self._runner.goaway(self._transport.left, never_left)
        self._end(error)

    def on_stop_requested(self) -> bool:
        """Finish what is open first; asked twice, or when draining already, end at once."""
        if self.state is ConnectionState.DRAINING:
            return True
        self.withdraw("it was asked to stop")
        return False

    def on_exit(self, reason: BaseException | None) -> None:
        self._stalls.listen(False)
        if isinstance(reason, ForkedAway):
            self._dialer.close()
            self._transport.close()
            return self._runner.fail_all(self._target.forked())
        if self.hub is not None and self.hub.stopped:
            reason = None  # with all actors: it has not failed
        error = self._error or (None if reason is None else self._target.actor_failed(reason))
        # Whatever ended it may be broken still: that must not keep anybody from an answer.
        self.safely(self._dialer.hang_up)
        self.safely(self._transport.hang_up)
        self.safely(self._runner.waiting.turn_away_all)
        self._runner.fail_all(error or self._target.stopped())
        self.safely(self._report.down, error)
        return self._tell_pool(messages.ConnectionDown(self._number, error))

    def crash_error(self, message: object, error: BaseException) -> Exception:  # noqa: ARG002
        return self._target.actor_failed(error)

    def undelivered(self, message: object, reply: PoolReply) -> bool:
        """Give back to the pool what was still on its way here: it has never left."""
        if not isinstance(message, StartExchange):
            return False
        self.returned(message, reply, unused=True)
        return True
