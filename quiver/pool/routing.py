"""RoutingTable: which request goes out on which connection, and when another connection is opened.

The table is pure: it holds integers (tickets, connections) and times that its caller hands in. Each
public method says what happened and returns the actions to carry out. All of them end in `_assign`,
which does two things:

1. While somebody waits and `_pick` finds a connection, the first in line goes there (`Forward`).
   **`least_loaded` is the one place that chooses a connection**.
2. `_dial` opens connections (`OpenConnection`) while fewer than `max_connections` are live.

A connection moves one way through three states; where it is listed says in which one it is:

    connecting  --ready-->  lending  --draining, Retire-->  draining  --down-->  forgotten
    (_connecting)           (_lending)                      (only in _connections)

`down` may come at any point. Connecting and lending ones are **live**, except those in `_retiring`:
they have carried nearly as many requests as a server may stand (or are old), so a successor is
dialled in their place. They go on lending meanwhile. Every connection that becomes ready relieves
the oldest retiring one (`Retire`), and one that is used up retires at once. A draining connection
gets nothing new; its leases go on until they are released.

**Suspended** is a lending connection whose peer may be gone: it is live and keeps its leases, but
has no room, until it is `resumed` or down.

**Early** a copy of a request may go on a connecting one; see `early_requests`.
**Room** is what the peer's limits, the cap and requests per connection leave: `ConnectionSlots`.

**Dials.** Each request that arrives opens one more connection, room or not (eager); beyond that
there is a connecting one for each waiting caller. After a failed attempt further dials are held
back (see `backoff`): `Redial(at)` asks to be called then. Two cases go ahead at once, because
nobody else can serve the caller: a request that arrives while nothing is connecting or lending, and
the loss of the last connection that was of use. One that is lost before it carried a request counts
as a failed attempt: otherwise a server that closes every new connection would be redialled without
backoff. When an attempt fails with an error and nothing is connecting or lending, all that wait get
that error at once. If it is a refusal (one side refuses the other's certificate, say), which may
come after the handshake too, so does whoever comes during the pause that follows: a caller who asks
again and again makes no more dials than one who waits.

**Races.** An event about a connection or ticket that the table no longer knows is a legitimate
race: it returns `()`. An impossible one (a ticket submitted twice, a connection ready twice) raises
ValueError.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Callable, Iterable

from quiver.errors import QuiverError
from quiver.models import ConnectionStats, Stats
from quiver.pool.actions import (
    CancelExchange,
    Forward,
    OpenConnection,
    Reject,
    Rejection,
    Retire,
    RoutingAction,
)
from quiver.pool.backoff import Backoff, refuses
from quiver.pool.connection_slots import ConnectionSlots, least_loaded
from quiver.pool.early_requests import EarlyRequests
from quiver.pool.lending import next_lent
from quiver.pool.protocol_limits import ConnectionLimits
from quiver.pool.waiting_queue import WaitingQueue

Actions = tuple[RoutingAction, ...]


class RoutingTable:
    """The decisions of one origin's pool.

    Times are seconds on the caller's clock; None is no limit.

    `jitter` gives the factor, at most 1, by which a backoff is multiplied; without `eager` no
    connection is opened beside one that has room.
    """

    def __init__(
        self,
        *,
        max_connections: int,
        max_streams_per_connection: int,
        max_waiting: int,
        max_requests_per_connection: int | None = None,
        eager: bool = True,
        jitter: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self.limits = ConnectionLimits(max_connections, eager)  # which what is spoken may change
        self._max_streams = max_streams_per_connection
        self._max_waiting = max_waiting
        self._max_requests = max_requests_per_connection or sys.maxsize
        self._worn_at = max(1, self._max_requests * 9 // 10)
        self._backoff = Backoff(jitter)
        self._ids = itertools.count(1)
        self._waiting = WaitingQueue()
        self._early = EarlyRequests()
        self._channels: set[int] = set()  # those that wait
        self._leased: dict[int, ConnectionSlots] = {}
        self._connections: dict[int, ConnectionSlots] = {}
        self._connecting: dict[int, ConnectionSlots] = {}
        self._lending: dict[int, ConnectionSlots] = {}
        self._retiring: dict[int, ConnectionSlots] = {}  # these stand in _lending too
        self._stopped = False
        self.proven = False  # there has been a connection
        self.used = -math.inf  # when a request came or left

    # What the table tells.

    @property
    def idle(self) -> bool:
        """Whether nobody waits and nothing is lent."""
        return not (self._waiting.deadlines or self._leased)

    @property
    def refused_until(self) -> float:
        """The time until which who asks is told of a refusal without a dial; past if nobody is."""
        return self._backoff.refused_until

    @property
    def lends(self) -> bool:
        """Whether any connection takes requests now, if only when a slot becomes free."""
        return not all(each.suspended for each in self._lending.values())

    def stats(self) -> Stats:
        """The counts; connecting and draining connections are among them."""
        return Stats(
            idle=sum(connection.room for connection in self._lending.values()),
            active=len(self._leased),
            queued=len(self._waiting),
            connections=len(self._connections),
        )

    def connections(self) -> list[ConnectionStats]:
        """Every connection that is not down yet, oldest first."""
        return [
            ConnectionStats(each.id, self._state_of(each), len(each.leases), each.opened)
            for each in self._connections.values()
        ]

    def next_deadline(self) -> float | None:
        """The time at which `sweep` has something to do next, or None."""
        return self._waiting.next_deadline()

    # What callers ask for.

    def lend(self, ticket: int, now: float, *, channel: bool = False) -> Actions:
        """A request arrived: it goes out at once, if nobody waits and there is room; else ()."""
        if ticket in self._leased:
            raise ValueError(f"ticket {ticket} is out on connection {self._leased[ticket].id}")
        if self._waiting.deadlines or self._stopped or not (connection := self._pick(channel)):
            return ()
        self.used = now
        actions: list[RoutingAction] = []
        self._lend(ticket, connection, actions)
        self._dial(now, True, actions)
        return tuple(actions)

    def submit(
        self,
        ticket: int,
        deadline: float | None,
        now: float,
        *,
        front: bool = False,
        early: bool = False,
        channel: bool = False,
    ) -> Actions:
        """A request arrived; what cannot be lent at once waits for a slot until `deadline`.

        `front` is for one that a connection gave back: it goes before those that never left the
        queue, and the queue's limit does not apply. One that may go `early` may be sent before a
        handshake is over; a `channel` goes where it is carried, if that is anywhere. Raises
        ValueError when the ticket waits or is out already.
        """
        self.used = now
        if self._stopped:
            return (Reject(ticket, Rejection.STOPPED),)
        if lent := self.lend(ticket, now, channel=channel):
            return lent
        if not self._useful:
            refusal = self._backoff.refusal(now)
            if refusal is not None:
                return (Reject(ticket, Rejection.CONNECT_FAILED, refusal),)
            self._backoff.waive()
        push = self._waiting.push_front if front else self._waiting.push
        push(ticket, deadline)
        if channel:
            self._channels.add(ticket)
        if early:
            self._early.wants(ticket)
        assigned = self._assign(now, eager=True)
        turned_away = () if front else self._turn_away(ticket)
        return assigned + turned_away + tuple(self._early.send())

    def cancel(self, ticket: int, now: float) -> Actions:
        """The caller lost interest: its reply has an answer already, so there is no Reject."""
        if self._waiting.discard(ticket):
            return self._take_back(ticket) + self._assign(now)
        connection = self._leased.get(ticket)
        return () if connection is None else (CancelExchange(ticket, connection.id),)

    def sweep(self, now: float) -> Actions:
        """Turn away the callers whose deadline has come."""
        late = self._waiting.expired(now)
        return self._rejected(late, Rejection.CHECKOUT_TIMEOUT) + self._assign(now)

    def redial(self, now: float) -> Actions:
        """The time of the last `Redial` has come."""
        self._backoff.called()
        return self._assign(now)

    def stop(self) -> Actions:
        """Turn away who waits and who will come. Connections are stopped by their owner."""
        self._stopped = True
        return self._rejected(iter(self._waiting.pop, None), Rejection.STOPPED)

    # What connections report.

    def early_room(self, connection: int, streams: int, now: float) -> Actions:
        """The connection, which is connecting, takes so many requests before its handshake is over:
        it sends them, and if that comes to something, they are lent to it then."""
        if connection in self._connecting:
            self._early.offer(connection, min(streams, self._max_streams, self._max_requests))
        return self._assign(now) + tuple(self._early.send())

    def early_late(self, connection: int, now: float) -> Actions:
        """The connection connects for too long: what is out on it may go to others with room."""
        self._early.let_go(connection)
        return self._assign(now)

    def ready(
        self,
        connection: int,
        limit: int,
        now: float,
        most: int | None = None,
        *,
        early: bool = False,
        channels: bool = True,
    ) -> Actions:
        """The handshake is over; the peer allows `limit` streams in all, `most` at a time.

        With `early` it has accepted what was sent before. ValueError when said twice.
        """
        known = self._connections.get(connection)
        if connection in self._lending:
            raise ValueError(f"connection {connection} was ready before")
        if known is None or self._connecting.pop(connection, None) is None:
            return ()
        known.allow(min(limit, self._max_requests), most)
        known.channels = channels
        self._lending[connection] = known
        self.proven = True
        self._backoff.succeeded(now)
        waited_longest = [*self._retiring.values()][:1]  # for this one, which may be worn itself
        actions: list[RoutingAction] = [self._retire(each) for each in waited_longest]
        out, sent = self._early.settle(connection)
        if early:
            known.opened = sent - len(out)  # those that were given up have had streams as well
            if known.opened >= self._worn_at:
                self._relieve(known, actions)
            for ticket in out:
                self._waiting.discard(ticket)
                actions += self._take_back(ticket)
                self._lend(ticket, known, actions)
        return tuple(actions) + self._assign(now)

    def limited(self, connection: int, limit: int, now: float, most: int | None = None) -> Actions:
        """The peer's limits are these now, as of `ready`; see `ConnectionSlots.allow`."""
        known = self._connections.get(connection)
        if known is None:
            return ()
        known.allow(min(limit, self._max_requests), most)
        return self._assign(now)

    def released(
        self, connection: int, ticket: int, now: float, *, unused: bool = False
    ) -> Actions:
        """The ticket's slot is free again; `unused`: its credit too, for no stream was opened."""
        known = self._leased.get(ticket)
        if known is None or known.id != connection:
            return ()
        self.used = now
        del self._leased[ticket]
        known.give_back(ticket, unused=unused)
        return self._assign(now)

    def aged(self, connection: int, now: float) -> Actions:
        """The connection is old: dial its successor, and retire it when that one is ready."""
        if connection not in self._lending or connection in self._retiring:
            return ()
        self._retiring[connection] = self._lending[connection]
        return self._assign(now)

    def leave(self, connection: int, now: float) -> Actions:
        """Retire the connection: what is spoken on another one goes before it."""
        known = self._lending.get(connection)
        return () if known is None else (self._retire(known), *self._assign(now))

    def suspended(self, connection: int, now: float) -> Actions:
        """The connection's peer may be gone: it is not lent before that is known."""
        return self._suspend(connection, True, now)

    def resumed(self, connection: int, now: float) -> Actions:
        """The suspended connection has heard of its peer."""
        return self._suspend(connection, False, now)

    def draining(self, connection: int, now: float) -> Actions:
        """The connection takes no more requests (GOAWAY, say); those that it has go on."""
        known = self._connections.get(connection)
        if known is None:
            return ()
        self._lose(known, now)
        return self._assign(now)

    def down(self, connection: int, now: float, error: QuiverError | None = None) -> Actions:
        """The connection is gone, and its leases with it: it answers those callers itself.

        `error` counts when it was still connecting: the attempt died of it. A refusal does later
        too, because a server's word on our certificate comes after the handshake.
        """
        known = self._connections.pop(connection, None)
        if known is None:
            return ()
        attempt, refusal = connection in self._connecting, error if refuses(error) else None
        lost = self._lose(known, now, refusal)
        for ticket in known.leases:
            del self._leased[ticket]
        if lost and error is not None and (attempt or refusal) and not self._useful:
            return self._rejected(iter(self._waiting.pop, None), Rejection.CONNECT_FAILED, error)
        return self._assign(now)

    def _suspend(self, connection: int, suspended: bool, now: float) -> Actions:
        known = self._lending.get(connection)
        if known is None:
            return ()
        known.suspended = suspended
        return self._assign(now)

    # The assignment step.

    def _assign(self, now: float, *, eager: bool = False) -> Actions:
        """Lend what can be lent, then dial for the others."""
        if not (eager or self._waiting.deadlines or self._retiring):
            return ()
        actions: list[RoutingAction] = []
        while lent := next_lent(self._waiting, self._early.held, self._channels, self._pick):
            actions += self._take_back(lent[0])
            self._lend(*lent, actions)
        self._dial(now, eager, actions)
        return tuple(actions)

    def _pick(self, channel: bool = False) -> ConnectionSlots | None:
        return least_loaded(self._lending.values(), channel=channel)

    def _take_back(self, ticket: int) -> Actions:
        """Forget of one that waits no more what it is, and whether it is out early."""
        self._channels.discard(ticket)
        connection = self._early.drop(ticket)
        return () if connection is None else (CancelExchange(ticket, connection),)

    def _lend(self, ticket: int, connection: ConnectionSlots, actions: list[RoutingAction]) -> None:
        self._leased[ticket] = connection
        connection.lend(ticket)
        actions.append(Forward(ticket, connection.id))
        if connection.opened >= self._worn_at:
            self._relieve(connection, actions)

    def _relieve(self, connection: ConnectionSlots, actions: list[RoutingAction]) -> None:
        """Have one relieved that has nearly carried as many requests as it may; all: it retires."""
        self._retiring[connection.id] = connection
        if connection.opened >= self._max_requests:
            actions.append(self._retire(connection))

    def _dial(self, now: float, eager: bool, actions: list[RoutingAction]) -> None:
        """One connecting for each that waits and each that retires; when eager, one more."""
        free = self.limits.max_connections - self._live
        if free <= 0 or self._stopped:
            return
        wanted = max(len(self._waiting), len(self._retiring)) - len(self._connecting)
        for _ in range(min(max(wanted, eager and self.limits.eager), free)):
            if self._backoff.holds(now):
                if self._waiting or self._retiring:
                    actions += self._backoff.arrange()
                return
            connection = next(self._ids)
            opened = ConnectionSlots(connection, self._max_streams)
            self._connections[connection] = self._connecting[connection] = opened
            actions.append(OpenConnection(connection, bool(self._early.willing)))

    def _state_of(self, connection: ConnectionSlots) -> str:
        if connection.id in self._connecting:
            return "connecting"
        if connection.id not in self._lending:
            return "draining"
        return "suspended" if connection.suspended else "connected"

    @property
    def _live(self) -> int:
        return len(self._connecting) + len(self._lending) - len(self._retiring)

    @property
    def _useful(self) -> bool:
        """Whether any connection lends, or may come to."""
        return bool(self._connecting or self._lending)

    def _turn_away(self, ticket: int) -> Actions:
        """Refuse the ticket that has just joined the queue, when the queue is too long with it: but
        for those that connections which are being dialled will serve, one each at least."""
        unserved = len(self._waiting) - len(self._connecting)
        if unserved <= self._max_waiting or not self._waiting.discard(ticket):
            return ()
        return self._rejected([ticket], Rejection.QUEUE_FULL)

    def _rejected(
        self, tickets: Iterable[int], reason: Rejection, error: QuiverError | None = None
    ) -> Actions:
        each = ((Reject(ticket, reason, error), *self._take_back(ticket)) for ticket in tickets)
        return tuple(itertools.chain.from_iterable(each))

    def _retire(self, connection: ConnectionSlots) -> Retire:
        self._withdraw(connection)
        return Retire(connection.id)

    def _withdraw(self, connection: ConnectionSlots) -> bool:
        """Make it draining; False when it was that before."""
        self._early.settle(connection.id)
        self._retiring.pop(connection.id, None)
        was_connecting = self._connecting.pop(connection.id, None)
        return (self._lending.pop(connection.id, None) or was_connecting) is not None

    def _lose(
        self, connection: ConnectionSlots, now: float, refusal: QuiverError | None = None
    ) -> bool:
        """It ended against our wish: hold further dials back, unless it was of use and the last.

        False when it was of no more use anyway.
        """
        if not self._withdraw(connection):
            return False
        if refusal is not None or not connection.opened:
            self._backoff.failed(now, refusal)
        elif not self._useful:
            self._backoff.waive()
        return True
