"""HTTP3Pool: the coordinator of one origin, the actor around `RoutingTable`.

It names each request with a ticket, tells the table what happened, and does what the table asks
for. A request that gets a connection leaves with its Reply; from then on the coordinator knows
only that the ticket is lent, until the connection releases it.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from functools import partial
from typing import Any, Self

import pykka

from quiver import telemetry
from quiver.actors import registry as registries
from quiver.actors.actor import GeventActor, GeventActorRef
from quiver.actors.hub import HubStopped
from quiver.actors.reply import Reply
from quiver.actors.restarts import RestartIntensity
from quiver.actors.signals import ForkedAway, Terminated, TimerFired
from quiver.config import PoolConfig
from quiver.errors import (
    DatagramsDisabled,
    InvalidRequest,
    PoolStopped,
    QueueFull,
    QuiverError,
)
from quiver.models import GetConnections, GetStats
from quiver.origin import Origin
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
)
from quiver.pool.ask import Ask, Asked
from quiver.pool.connection import Connection
from quiver.pool.endpoint import Endpoint
from quiver.pool.ref import PoolRef
from quiver.pool.refusals import PoolGone, PoolTimeout, Refusals
from quiver.pool.reports import QueueReport, logger, observe_request
from quiver.pool.routing import RoutingTable
from quiver.request import OpenChannel, Request

PROTOCOL = "http/3"

# Crashes of connection actors (not of connections: those are daily bread) before the pool fails.
MAX_CRASHES, WITHIN = 10, 5.0  # within so many seconds

# A caller that does not wait for its answers may have as many asks unread beyond `max_waiting`.
UNREAD = 10_000


class TooManyCrashes(Exception):
    """Connection actors failed faster than they may be replaced."""


class HTTP3Pool(GeventActor):
    """A pool of HTTP/3 connections to one origin. Ask it a `Request`, or `GetStats()`."""

    ref_class = PoolRef
    answers_with = (QuiverError,)

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        super().__init__()
        config = endpoint.config
        self.actor_inbox.limit = config.max_waiting + UNREAD
        self._config = config
        self._refusals = Refusals(endpoint)
        self._table = RoutingTable(
            max_connections=config.max_connections,
            max_streams_per_connection=config.max_streams_per_connection,
            max_waiting=config.max_waiting,
            max_requests_per_connection=config.max_requests_per_connection,
            jitter=partial(random.uniform, 0.5, 1.0),
        )
        self._tickets = itertools.count(1)
        self._asks: dict[int, Ask] = {}  # those that wait for a slot
        self._connections: dict[int, pykka.ActorRef[Any]] = {}
        self._numbers: dict[str, int] = {}  # of connections, by urn
        self._crashes = RestartIntensity(MAX_CRASHES, WITHIN)
        self._queue_report = QueueReport(endpoint.name)
        self._stopping = False

    @classmethod
    def start(
        cls,
        origin: str | Origin,
        *,
        config: PoolConfig | None = None,
        registry: registries.Registry = registries.default,
        **options: Any,
    ) -> GeventActorRef[Self]:
        """The pool of `origin`: the one that lives, or a new one.

        Args:
            origin: "https://host[:port]".
            config: options as a whole, instead of `options`.
            registry: where the pool is found by its origin.
            options: see `quiver.PoolConfig`.

        Raises:
            InvalidURL, InvalidOptions: what is wrong with the arguments.
            PoolStopped: the interpreter is exiting.
        """
        where = origin if isinstance(origin, Origin) else Origin.parse(origin)
        pool = cls(Endpoint(where, config or PoolConfig.build(where, **options)))
        try:
            ref = registry.start(where, PROTOCOL, pool)
        except HubStopped as stopped:
            raise PoolStopped(f"{stopped}", origin=str(where)) from stopped
        if ref is not pool.actor_ref:
            logger.debug("%s: found a pool that runs; its own options stay", where)
        return ref

    # what it is told ------------------------------------------------------------------------

    def on_receive(self, message: Any) -> Any:
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
            case messages.ConnectionReady(connection, max_streams):
                self._do(self._table.ready(connection, max_streams, now))
            case messages.CapacityChanged(connection, max_streams):
                self._do(self._table.capacity_changed(connection, max_streams, now))
            case messages.Draining(connection):
                self._do(self._table.draining(connection, now))
            case messages.Aged(connection):
                self._do(self._table.aged(connection, now))
            case messages.ConnectionDown(connection, error):
                self._do(self._table.down(connection, now, error))
            case Terminated(ref, reason):
                self._terminated(ref, reason, now)
            case TimerFired(key, _):
                self._timer_fired(key, now)
            case _:
                self._decline(f"{message!r} is neither a quiver.Request nor quiver.GetStats()")
        return None

    def _accept(self, request: Request, now: float) -> None:
        ours, theirs = self.endpoint.origin, request.origin
        if theirs is not ours and theirs is not None and theirs != ours:
            return self._decline(f"target: {request.origin} is not the origin of this pool")
        reply = self.defer() if self.asked else Reply()  # one that is told wants no answer
        since = reply.since if isinstance(reply, Asked) else now  # what is forwarded has none
        if telemetry.listening:
            observe_request(self.endpoint.name, request, reply)
        timeout = request.timeout or self._config.timeout
        if isinstance(request, OpenChannel):
            timeout = request.timeout
            if request.require_datagrams and not self._config.datagrams:
                said = "require_datagrams=True, but the pool has datagrams=False"
                reply.fail(DatagramsDisabled(said, origin=self.endpoint.name))
                return None
        deadline = None if timeout is None else since + timeout
        return self._submit(Ask.new(request, reply, self._config, deadline, since), now)

    def _submit(self, ask: Ask, now: float, *, front: bool = False) -> None:
        if ask.reply.done:  # given up on its way here
            return
        ticket = next(self._tickets)
        self._asks[ticket] = ask
        ask.reply.held_by(partial(self._cancelled, ticket))
        until = ask.patience.until(connected=self._table.lends)
        self._do(self._table.submit(ticket, until, now, front=front))

    def _cancelled(self, ticket: int) -> None:
        """Called by the Reply, in its caller's thread."""
        with contextlib.suppress(pykka.ActorDeadError):
            self.actor_ref.tell(messages.Cancel(ticket))

    def _take_back(self, returned: messages.Returned, reply: Reply[Any], now: float) -> None:
        exchange = returned.exchange
        if returned.unused:
            connection, ticket = returned.connection, exchange.ticket
            self._do(self._table.released(connection, ticket, now, unused=True))
        self._submit(Ask.again(exchange, reply, self._config, now), now, front=True)

    def _timer_fired(self, key: object, now: float) -> None:
        match key:
            case "sweep":
                self._do(self._table.sweep(now))
            case "redial":
                self._do(self._table.redial(now))
            case "shutdown":
                for connection in self._connections.values():
                    connection.stop(block=False)

    def _decline(self, fault: str) -> None:
        """An error for whoever asked; a bad message that was only told must not end the pool."""
        if self.asked:
            raise InvalidRequest(fault, origin=self.endpoint.name)
        logger.warning("%s: %s", self.endpoint.name, fault)

    # what the table asks for ----------------------------------------------------------------

    def _do(self, actions: tuple[RoutingAction, ...]) -> None:
        for action in actions:
            match action:
                case Forward(ticket, connection):
                    self._forward(ticket, connection)
                case OpenConnection(connection):
                    self._open(connection)
                case Reject():
                    self._reject(action)
                case CancelExchange(ticket, connection):
                    self._tell(connection, messages.GiveUp(ticket))
                case Retire(connection):
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
        now = time.monotonic()
        timed_out = rejected.reason is Rejection.CHECKOUT_TIMEOUT
        if timed_out and ask.patience.left(now, connected=self._table.lends):
            self._submit(ask, now, front=True)  # a connection has come, and it is full
        else:
            ask.reply.fail(self._refusals.of(rejected, ask.request, ask.patience, now))
        del self._asks[rejected.ticket]

    def _open(self, number: int) -> None:
        ref = Connection.start(number, self.endpoint, self.actor_ref)
        self._connections[number] = ref
        self._numbers[ref.actor_urn] = number
        self.watch(ref)

    def _tell(self, connection: int, message: object) -> None:
        with contextlib.suppress(pykka.ActorDeadError):  # its Terminated is on the way
            self._connections[connection].tell(message)

    def after_batch(self) -> None:
        self.timers.at("sweep", self._table.next_deadline())
        if telemetry.listening:
            self._queue_report.update(self._table.stats())

    # its end --------------------------------------------------------------------------------

    def _terminated(
        self, ref: pykka.ActorRef[Any], reason: BaseException | None, now: float
    ) -> None:
        number = self._numbers.pop(ref.actor_urn)
        del self._connections[number]
        self._do(self._table.down(number, now))
        if self._stopping and not self._connections:
            self.leave()
        elif reason is not None and not self._crashes.restart(now):
            self.leave(TooManyCrashes(f"{MAX_CRASHES} in {WITHIN} seconds; last: {reason!r}"))

    def on_stop_requested(self) -> bool:
        """Those who wait are turned away; what is open has `shutdown_timeout` to finish."""
        if not self._stopping:
            self._stopping = True
            self._do(self._table.stop())
            for connection in list(self._connections):
                self._tell(connection, messages.Drain("the pool is stopped"))
            if self._config.shutdown_timeout is not None:
                self.timers.start("shutdown", self._config.shutdown_timeout)
        return not self._connections

    def on_exit(self, reason: BaseException | None) -> None:
        for ask in self._asks.values():
            ask.reply.fail(self._refusals.gone(reason))
        self._asks.clear()
        if isinstance(reason, ForkedAway):
            return
        for connection in self._connections.values():
            with contextlib.suppress(pykka.ActorDeadError):
                connection.tell(messages.Drain("its coordinator is gone"))

    def crash_error(self, message: Any, error: BaseException) -> Exception:  # noqa: ARG002
        return self._refusals.gone(error)

    @classmethod
    def new_reply(cls) -> Reply[Any]:
        return Asked()

    @classmethod
    def dead_error(cls, ref: Any, message: Any) -> Exception:  # noqa: ARG003
        return PoolGone("the pool is stopped: start another", origin=ref.origin)

    @classmethod
    def timeout_error(cls, ref: Any, message: Any, timeout: float | None) -> Exception:  # noqa: ARG003
        return PoolTimeout(f"no answer within timeout={timeout} seconds", origin=ref.origin)

    @classmethod
    def overflow_error(cls, ref: Any, message: Any) -> Exception:  # noqa: ARG003
        limit = ref.actor_inbox.limit
        return QueueFull(f"{limit} asks lie in the pool's inbox already", origin=ref.origin)
