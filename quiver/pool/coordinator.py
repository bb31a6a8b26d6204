"""OriginPool: the coordinator of one origin, the actor around `RoutingTable`.

It names each request with a ticket, tells the table what happened, and does what the table asks
for. A request that gets a connection leaves with its Reply; from then on the coordinator knows
only that the ticket is lent, until the connection releases it.
"""

from __future__ import annotations

import itertools
import random
import time
from functools import partial
from typing import Any

from quiver import telemetry
from quiver.actors import registry as registries
from quiver.actors.loop_stalls import StallWatch, stalled_between
from quiver.actors.ref import AnyGeventActorRef
from quiver.actors.reply import Reply
from quiver.actors.restarts import RestartIntensity
from quiver.actors.system_messages import AnyActorRef, ForkedAway, Terminated, TimerFired
from quiver.errors import DatagramsDisabled, InvalidRequest, QuiverError
from quiver.models import GetConnections, GetStats
from quiver.pool import messages
from quiver.pool.actions import (
    CancelExchange,
    Forward,
    OpenConnection,
    Redial,
    Reject,
    Rejection,
    Retire,
    RoutingAction,
    SendEarly,
)
from quiver.pool.checkout import PendingRequest, Refusals, is_failure
from quiver.pool.choice import HTTP1, HTTP3
from quiver.pool.client_pools import ClientPools
from quiver.pool.connection import Connection
from quiver.pool.dial_progress import Dials, Progress
from quiver.pool.idle_policy import IdlePolicy
from quiver.pool.messages import PoolReply
from quiver.pool.pool_start import StartedPool
from quiver.pool.protocol_limits import limits_of
from quiver.pool.ref import PoolLifetime, RequestReply
from quiver.pool.reports import QueueReport, logger, observe_request
from quiver.pool.routing import RoutingTable
from quiver.pool.spoken import Spoken
from quiver.pool.target import PoolTarget
from quiver.request import OpenChannel, Request

# Crashes of connection actors (not of connections: those are daily bread) before the pool fails.
MAX_CRASHES, WITHIN = 10, 5.0  # within so many seconds

# A caller that does not wait for its answers may have as many asks unread beyond `max_waiting`.
UNREAD_ASKS = 10_000

# Seconds that early data waits for its own connection: sent by another, it may arrive twice.
EARLY_PATIENCE = 1.0

AFTER_STALL = 0.05  # seconds for connections to take what came while the loop was deaf


class TooManyCrashes(Exception):
    """Connection actors failed faster than they may be replaced."""


def _tell_cancelled(pool: AnyGeventActorRef, ticket: int) -> None:
    """Pass on that a Reply was cancelled. Called in its caller's thread."""
    pool.notify(messages.Cancel(ticket))


class OriginPool(StartedPool):
    """A pool of connections to one origin, which speak what its target says."""

    answers_with = (QuiverError,)
    never_waits = True  # whoever listens to telemetry is called in it
    _stopping = False
    _failure: BaseException | None = None  # what it ended of, if it was that

    def __init__(self, target: PoolTarget, client_pools: ClientPools | None = None) -> None:
        if not isinstance(target, PoolTarget):
            raise TypeError(
                f"{type(self).__name__}({target!r}) makes an actor that does not run: "
                f"write {type(self).__name__}.start('https://host[:port]')"
            )
        self.target = target
        self.lifetime = PoolLifetime()
        self.dials = Dials()
        super().__init__()
        self._config = config = target.config
        self.actor_inbox.limit = config.max_waiting + UNREAD_ASKS
        self._refusals = Refusals(target)
        most, eager = limits_of(target.protocol, config)
        self._table = RoutingTable(
            max_connections=most,
            eager=eager,
            max_streams_per_connection=config.max_streams_per_connection,
            max_waiting=config.max_waiting,
            max_requests_per_connection=config.max_requests_per_connection,
            jitter=partial(random.uniform, 0.5, 1.0),
        )
        self._tickets = itertools.count(1)
        self._on_cancel = partial(_tell_cancelled, self.actor_ref)
        self._asks: dict[int, PendingRequest] = {}  # those that wait for a slot
        self._spoken = Spoken(target.only)
        self._connections: dict[int, AnyGeventActorRef] = {}
        self._crashes = RestartIntensity(MAX_CRASHES, WITHIN)
        self._queue_report = QueueReport(target.name)
        self._client_pools = client_pools  # None: started by itself, it ends when it is stopped
        self._idle_policy = IdlePolicy(
            None if client_pools is None else config.pool_idle_timeout, time.monotonic()
        )
        self._stalls = StallWatch()
        self._waited = False  # somebody did after the last batch
        self._overdue = False  # some are, and are told so in a moment

    def on_start(self) -> None:
        assert self.hub is not None
        self._stalls.stalls = self.hub.stalls

    # what it is told ------------------------------------------------------------------------

    def on_receive(self, message: object) -> Any:
        now = time.monotonic()
        match message:
            case Request():
                self._accept(message, now)
            case messages.Released(connection, tickets):
                for ticket in tickets:
                    self._do(self._table.released(connection, ticket, now))
            case messages.Returned():
                self._take_back(message, self.defer(), now)
            case messages.Cancel(ticket):
                self._asks.pop(ticket, None)
                self._do(self._table.cancel(ticket, now))
            case GetStats():
                return self._table.stats()
            case GetConnections():
                return self._table.connections()
            case messages.DialProgress(connection, progress):
                self.dials.came(connection, progress)
            case messages.EarlyRoom(connection, streams):
                self.timers.start(("early", connection), EARLY_PATIENCE)
                self._do(self._table.early_room(connection, streams, now))
            case messages.ConnectionReady(connection, limit, early, most, protocol):
                self.dials.arrived(connection)
                left = self._spoken.ready(connection, protocol)
                self._see_protocol()
                ready, carries = self._table.ready, protocol == HTTP3
                self._do(ready(connection, limit, now, most, early=early, channels=carries))
                for each in left:
                    self._do(self._table.leave(each, now))
            case messages.StreamLimitRaised(connection, limit, most):
                self._do(self._table.limited(connection, limit, now, most))
            case messages.Suspended(connection):
                self._suspend(connection, True)
                self._do(self._table.suspended(connection, now))
            case messages.Resumed(connection):
                self._suspend(connection, False)
                self._do(self._table.resumed(connection, now))
            case messages.Draining(connection):
                self._spoken.draining(connection)
                self._do(self._table.draining(connection, now))
            case messages.Aged(connection):
                self._do(self._table.aged(connection, now))
            case messages.ConnectionDown(connection, error):
                self.dials.ended(connection, error)
                self._spoken.ended(connection)
                self._see_protocol()
                self._do(self._table.down(connection, now, error))
            case messages.Unneeded(for_good):
                self._idle_policy.unneeded(now, for_good=for_good)
                self._drain_if_idle()
            case Terminated(ref, reason):
                self._terminated(ref, reason, now)
            case TimerFired(key):
                self._timer_fired(key, now)
            case _:
                kind = type(message).__name__  # what it says may be a secret
                self._refuse_message(f"a {kind} is neither a quiver.Request nor quiver.GetStats()")
        return None

    def _accept(self, request: Request, now: float) -> None:
        reply = self.defer() if self.asked else Reply()  # one that is told wants no answer
        since = reply.since if isinstance(reply, RequestReply) else now  # forwarded, it has none
        try:
            ours, theirs = self.target.origin, request.origin
            if theirs is not ours and theirs is not None and theirs != ours:
                return self._refuse_message(f"target: {theirs} is not the origin of this pool")
            if telemetry.listening:
                observe_request(self.target.name, request, reply, since)
            _, timeout = request.answered_within(self._config.timeout)
            self._look_for_http3(now)  # also for a channel, which nothing else leads to
            if isinstance(request, OpenChannel):
                self._check_channel(request)
            deadline = None if timeout is None else since + timeout
            ask = PendingRequest(request, reply, deadline, since)
            if unheard := stalled_between(since, now):
                self._excuse(now)  # the others, for the same time: the sweep excuses no one twice
                ask.unheard = unheard
        except Exception as error:  # noqa: BLE001 - of a request that is not what it seems
            reply.fail(error if isinstance(error, QuiverError) else self.target.failed(error))
            return None
        return self._submit(ask, now)

    def _look_for_http3(self, now: float) -> None:
        """Dial beside a connection over TCP, if it is time to ask for HTTP/3 again."""
        if self._spoken.over_tcp:
            old = self._spoken.beside(partial(self.target.asks_again, now))
            if old is not None:
                self._do(self._table.aged(old, now))

    def _suspend(self, connection: int, suspended: bool) -> None:
        self._spoken.suspended(connection, suspended)
        self._see_protocol()

    def _see_protocol(self) -> None:
        """Have it known what is spoken: as many connections are opened as that needs."""
        if (protocol := self._spoken.protocol) != self.target.protocol:
            self.target.protocol = protocol
            self._table.limits = limits_of(protocol, self._config)
            registries.mark(self.actor_ref, protocol)

    def _check_channel(self, request: OpenChannel) -> None:
        """Refuse a channel that cannot be, for whatever its server might say."""
        # What was spoken by connections that are gone says nothing of the next.
        spoken = self.target.protocol if self._table.lends else self.target.only
        if spoken not in (None, HTTP3) and not self._spoken.http3:
            raise self.target.no_channels(request, spoken)
        if request.require_datagrams and not self._config.datagrams:
            said = "require_datagrams=True, but the pool has datagrams=False"
            raise DatagramsDisabled(said, origin=self.target.name)

    def _submit(self, ask: PendingRequest, now: float, *, front: bool = False) -> None:
        if ask.reply.done:  # given up on its way here
            return None
        ticket = next(self._tickets)
        self._asks[ticket] = ask
        ask.reply.on_cancel(self._on_cancel, ticket)
        channel = isinstance(ask.request, OpenChannel)
        late = ask.deadline is not None and ask.deadline <= now  # the loop was, and came to it now
        actions = () if late else self._table.lend(ticket, now, channel=channel)
        if not actions:  # what is only for those that wait
            try:
                until = ask.limits(self._config).until(connected=self._table.lends)
                early = not front and ask.request.goes_early(self._config.early_data)
            except Exception as error:  # noqa: BLE001 - as in `_accept`
                self._asks.pop(ticket).reply.fail(self.target.failed(error))
                return None
            if late:
                return self._reject(Reject(ticket, Rejection.CHECKOUT_TIMEOUT))
            submit = self._table.submit
            actions = submit(ticket, until, now, front=front, early=early, channel=channel)
        return self._do(actions)

    def _take_back(self, returned: messages.Returned, reply: PoolReply, now: float) -> None:
        exchange = returned.exchange
        if returned.unused:
            connection, ticket = returned.connection, exchange.ticket
            self._do(self._table.released(connection, ticket, now, unused=True))
        if exchange.repeated:
            # Who has closed one idle connection may have closed all, a restart or a router say, and
            # what goes again does so but once.
            for each in self._table.connections():
                if each.state == "connected" and each.opened and not each.active:
                    self._do(self._table.leave(each.number, now))
        if self.target.wants_http1(now):
            for number in self._spoken.others(HTTP1):  # they would say so as well
                self._do(self._table.leave(number, now))
        self._submit(PendingRequest.again(exchange, reply, now), now, front=True)

    def _timer_fired(self, key: object, now: float) -> None:
        match key:
            case "sweep":
                # First what lies in the inbox; after a deafness, also what lies in the sockets.
                self._overdue = True
                self.timers.start("overdue", AFTER_STALL if self._excuse(now) else 0.0)
            case "overdue":
                self._overdue = False
                self._do(self._table.sweep(now))
            case "redial":
                self._do(self._table.redial(now))
            case ("early", int(number)):
                self._do(self._table.early_late(number, now))
            case "shutdown":
                for connection in self._connections.values():
                    connection.stop(block=False)

    def _excuse(self, now: float) -> bool:
        """Whether nothing could be heard for a while; for that, nobody's deadline is nearer."""
        missed = self._stalls.missed(now)
        if missed:
            for ask in self._asks.values():
                ask.unheard += missed
        return missed > 0.0

    def _refuse_message(self, fault: str) -> None:
        """An error for whoever asked; a bad message that was only told must not end the pool."""
        if self.asked:
            raise InvalidRequest(fault, origin=self.target.name)
        logger.warning("%s: %s", self.target.name, fault)

    # what the table asks for ----------------------------------------------------------------

    def _do(self, actions: tuple[RoutingAction, ...]) -> None:
        for action in actions:
            match action:
                case Forward(ticket, connection):
                    self._forward(ticket, connection)
                case SendEarly(ticket, connection):
                    early = messages.StartEarly(ticket, self._asks[ticket].request)
                    self._tell(connection, early)
                case OpenConnection(connection, early):
                    self._open(connection, early)
                case Reject():
                    self._reject(action)
                case CancelExchange(ticket, connection):
                    self._tell(connection, messages.GiveUp(ticket))
                case Retire(connection):
                    self._spoken.draining(connection)
                    self._tell(connection, messages.Drain("its successor is there"))
                case Redial(at):
                    self.timers.at("redial", at)

    # A reply is forgotten only when it is answered or somebody else's: whatever fails meanwhile,
    # `on_exit` answers those that are still here.

    def _forward(self, ticket: int, connection: int) -> None:
        ask = self._asks[ticket]
        exchange = ask.exchange(ticket, time.monotonic())
        self.forward(self._connections[connection], exchange, ask.reply)
        del self._asks[ticket]

    def _reject(self, rejected: Reject) -> None:
        ask = self._asks[rejected.ticket]
        now, limits = time.monotonic(), ask.limits(self._config)
        timed_out, connected = rejected.reason is Rejection.CHECKOUT_TIMEOUT, self._table.lends
        if timed_out and limits.left(now, connected=connected):
            self._submit(ask, now, front=True)  # a connection has come, or time was given
        else:
            dials = None if connected else self.dials
            ask.reply.fail(self._refusals.of(rejected, ask.request, limits, now, dials))
        del self._asks[rejected.ticket]

    def _open(self, number: int, early: bool) -> None:
        ref = Connection.start(number, self.target, self.actor_ref, early)
        self._connections[number] = ref
        self.dials.came(number, Progress())
        self.watch(ref)

    def _tell(self, connection: int, message: object) -> None:
        self._connections[connection].notify(message)

    def after_batch(self) -> None:
        waits = bool(self._asks)
        if waits or self._waited:
            self._waited, sweeps = waits, waits and not self._overdue
            self.timers.at("sweep", self._table.next_deadline() if sweeps else None)
            self._stalls.listen(waits)
        if not self._connections:
            self._end_if_idle(time.monotonic())
        elif self._idle_policy.for_good:
            self._drain_if_idle()
        if telemetry.listening:
            self._queue_report.update(self._table.stats())

    # nobody needs it ------------------------------------------------------------------------

    @property
    def idle_since(self) -> float | None:
        """The time of its last use; None while it is in use, held, or not to end for idleness."""
        if self._config.pool_idle_timeout is None or self.lifetime.held:
            return None
        return self._idle_policy.used(self._table.used) if self._table.idle else None

    def _drain_if_idle(self) -> None:
        """Let go of the connections if all are idle. Whoever asks meanwhile has another dialled."""
        if self._table.idle:
            for connection in list(self._connections):
                self._do(self._table.draining(connection, time.monotonic()))
                self._tell(connection, messages.Drain("nobody needs its pool"))

    def _may_end(self) -> float | None:
        table = self._table
        if self._stopping or not table.idle:
            return None
        until, refused = self._idle_policy.until, table.refused_until
        return until(table.used, proven=table.proven, refused_until=refused)

    def _end_if_idle(self, now: float) -> None:
        """End for idleness, without a connection, or see when that may be."""
        until = self._may_end()
        if until is not None and until <= now:
            if self.lifetime.ends_unless(lambda: not self.actor_inbox.empty()):
                return self.leave()
            self._idle_policy.put_off(now)
            until = self._may_end()
        return self.timers.at("idle", until)

    # its end --------------------------------------------------------------------------------

    def _terminated(self, ref: AnyActorRef, reason: BaseException | None, now: float) -> None:
        number = next(each for each, known in self._connections.items() if known is ref)
        del self._connections[number]
        self.dials.ended(number)
        self._spoken.ended(number)
        self._do(self._table.down(number, now))
        if self._stopping and not self._connections:
            self.leave()
        elif reason is not None and not self._crashes.restart(now):
            self.leave(TooManyCrashes(f"{MAX_CRASHES} in {WITHIN} seconds; last: {reason!r}"))

    def on_stop_requested(self) -> bool:
        """Turn away those who wait; what is open has `shutdown_timeout` to finish."""
        if not self._stopping:
            self._stopping = True
            self._do(self._table.stop())
            for connection in list(self._connections):
                self._tell(connection, messages.Drain("the pool is stopped"))
            if self._config.shutdown_timeout is not None:
                self.timers.start("shutdown", self._config.shutdown_timeout)
        return not self._connections

    def on_exit(self, reason: BaseException | None) -> None:
        if is_failure(reason):
            self._failure = reason
            self.lifetime.failure = repr(reason)
        self._stalls.listen(False)
        for ask in self._asks.values():
            ask.reply.fail(self._refusals.gone(reason))
        self._asks.clear()
        if self._client_pools is not None:
            self._client_pools.remove(self)
        if isinstance(reason, ForkedAway):
            return
        for connection in self._connections.values():
            connection.notify(messages.Drain("its coordinator is gone"))

    def crash_error(self, message: object, error: BaseException) -> Exception:  # noqa: ARG002
        return self._refusals.gone(error)

    def undelivered(self, message: object, reply: PoolReply) -> bool:  # noqa: ARG002
        """Tell what lies in the inbox of a pool that has failed why it did."""
        if self._failure is None:
            return False
        reply.fail(self._refusals.gone(self._failure))
        return True
