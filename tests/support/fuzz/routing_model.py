"""A model of one pool's routing: it obeys the table's actions and knows what may not be."""

from __future__ import annotations

from collections import Counter

import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from quiver.errors import ConnectionRefused, HandshakeFailed, QuiverError
from quiver.models import Stats
from quiver.pool.actions import (
    CancelExchange,
    Forward,
    OpenConnection,
    Redial,
    Reject,
    Rejection,
    Retire,
    SendEarly,
)
from quiver.pool.routing import Actions, RoutingTable

__all__ = ["CHOICE", "Roomy", "Routing", "Suspected"]

REFUSED = ConnectionRefused("refused", origin="https://a")
REFUSAL = HandshakeFailed("no certificate", origin="https://a")  # another dial would end the same
CHOICE = st.integers(0, 1_000)


@attrs.define
class Modelled:
    """One connection: where it is in its life, and what it was lent."""

    state: str = "connecting"
    limit: int = 0
    opened: int = 0
    retiring: bool = False
    suspended: bool = False
    leases: set[int] = attrs.field(factory=set)
    early: int = 0  # how many more may go before its handshake is over
    sent: int = 0  # how many have

    @property
    def shown(self) -> str:
        """The state as it is told."""
        return "suspended" if self.suspended and self.state == "connected" else self.state


class Routing(RuleBasedStateMachine):
    """Each rule is an event; each action is checked against the model, which then obeys it."""

    make = RoutingTable

    @initialize(
        connections=st.integers(1, 3),
        cap=st.integers(1, 3),
        max_waiting=st.integers(0, 6),
        requests=st.sampled_from([None, None, 1, 2, 4]),
    )
    def begin(self, connections: int, cap: int, max_waiting: int, requests: int | None) -> None:
        self._begin(connections, cap, max_waiting, requests)

    def _begin(self, connections: int, cap: int, max_waiting: int, requests: int | None) -> None:
        self.max_connections, self.cap, self.max_waiting = connections, cap, max_waiting
        self.requests = requests or 10**9
        self.table = self.make(
            max_connections=connections,
            max_streams_per_connection=cap,
            max_waiting=max_waiting,
            max_requests_per_connection=requests,
        )
        self.now = 0.0
        self.tickets = 0
        self.line: dict[int, float | None] = {}
        self.returned: dict[int, float | None] = {}
        self.known: dict[int, Modelled] = {}
        self.outcomes: Counter[int] = Counter()
        self.redial_at: float | None = None
        self.stopped = False
        self.refused_at: float | None = None  # when a server last refused us
        self.all_refused_at: float | None = None  # and nothing was left, nor tried since
        self.willing: set[int] = set()  # those that wait, and may go early
        self.out: dict[int, int] = {}  # those that wait, and have: where
        self.held: set[int] = set()  # those of them that are for no other connection
        self.given_up: list[CancelExchange] = []  # by those that have just left the line

    # what happens ---------------------------------------------------------------------------

    @rule(wait=st.sampled_from([None, 0.0, 0.5, 3.0]), front=st.booleans())
    def submit(self, wait: float | None, front: bool) -> None:
        self._submit(None if wait is None else self.now + wait, front)

    @rule(choice=CHOICE)
    def cancel(self, choice: int) -> None:
        ticket = choice % (self.tickets + 2)
        waits = ticket in self.waiting
        holder = self._holder(ticket)
        if waits:
            self._leave_line(ticket)
        actions = self.table.cancel(ticket, self.now)
        if waits:
            self.obey(actions)
        elif holder is None:
            assert actions == ()
        else:
            assert actions == (CancelExchange(ticket, holder),)

    @rule(choice=CHOICE, streams=st.integers(0, 5))
    def ready(self, choice: int, streams: int) -> None:
        number, connection = self._any(choice, "connecting")
        if connection is None or connection.state != "connecting":
            if connection is None or connection.state == "draining":
                assert self.table.ready(number, streams, self.now) == ()
            return
        self._become_ready(number, connection, streams)

    def _become_ready(
        self, number: int, connection: Modelled, streams: int, accepted: bool = False
    ) -> None:
        connection.state = "connected"
        connection.limit = max(connection.limit, streams)
        relieves = any(each.retiring for each in self.known.values())
        theirs = [ticket for ticket, where in self.out.items() if where == number]
        self._settle(number)
        actions = self.table.ready(number, streams, self.now, early=accepted)
        if relieves:
            assert isinstance(actions[0], Retire)
            assert actions[0].connection != number, "not who has just come"
        if accepted:
            connection.opened = connection.sent - len(theirs)
            connection.retiring = self._worn(connection)
            lent = [each for each in actions if isinstance(each, Forward)][: len(theirs)]
            assert lent == [Forward(ticket, number) for ticket in theirs], "each by its own"
            for ticket in theirs:
                self._lend(ticket, connection)
            actions = tuple(each for each in actions if each not in lent)
        self.obey(actions)

    def _settle(self, number: int) -> None:
        """Nothing is out any more on a connection that does not connect any more."""
        gone = [ticket for ticket, where in self.out.items() if where == number]
        for ticket in gone:
            del self.out[ticket]
        self.held.difference_update(gone)
        if number in self.known:
            self.known[number].early = 0

    @rule(choice=CHOICE, streams=st.integers(0, 12))
    def limited(self, choice: int, streams: int) -> None:
        number, connection = self._any(choice)
        if connection is not None:
            connection.limit = max(connection.limit, streams)
        actions = self.table.limited(number, streams, self.now)
        self.obey(actions, known=connection is not None)

    @rule(choice=CHOICE, unused=st.booleans(), back=st.booleans())
    def released(self, choice: int, unused: bool, back: bool) -> None:
        number, connection = self._any(choice)
        leases = sorted(connection.leases) if connection else []
        if connection is None or not leases:
            assert self.table.released(number, choice, self.now, unused=unused) == ()
            return
        ticket = leases[choice % len(leases)]
        connection.leases.remove(ticket)
        connection.opened -= unused
        self.outcomes[ticket] += 1
        self.obey(self.table.released(number, ticket, self.now, unused=unused))
        assert self.table.released(number, ticket, self.now, unused=unused) == (), "twice"
        if back:
            self._submit(None, front=True)

    @rule(choice=CHOICE)
    def draining(self, choice: int) -> None:
        number, connection = self._any(choice)
        if connection is not None:
            connection.state, connection.retiring = "draining", False
            self._settle(number)
        actions = self.table.draining(number, self.now)
        self.obey(actions, known=connection is not None)

    @rule(choice=CHOICE)
    def suspended(self, choice: int) -> None:
        """Its peer may be gone."""
        number, connection = self._any(choice, "connected")
        lends = connection is not None and connection.state == "connected"
        if connection is not None and lends:
            connection.suspended = True
        self.obey(self.table.suspended(number, self.now), known=lends)

    @rule(choice=CHOICE)
    def resumed(self, choice: int) -> None:
        """It has been heard of; it may be one that was not suspended."""
        number, connection = self._any(choice, "suspended")
        lends = connection is not None and connection.state == "connected"
        if connection is not None and lends:
            connection.suspended = False
        self.obey(self.table.resumed(number, self.now), known=lends)

    @rule(choice=CHOICE)
    def aged(self, choice: int) -> None:
        number, connection = self._any(choice)
        lends = connection is not None and connection.state == "connected"
        if connection is not None and lends:
            connection.retiring = True
        self.obey(self.table.aged(number, self.now), known=lends)

    @rule(choice=CHOICE, error=st.sampled_from([None, REFUSED, REFUSAL]))
    def down(self, choice: int, error: QuiverError | None) -> None:
        number, connection = self._any(choice)
        self.known.pop(number, None)
        if connection is None:
            assert self.table.down(number, self.now, error) == ()
            return
        self._settle(number)
        self.outcomes.update(connection.leases)
        actions = self.table.down(number, self.now, error)
        refused = error is REFUSAL and connection.state != "draining"
        nothing_live = not self._of("connecting", "connected")
        if refused:
            self.refused_at = self.now
            self.all_refused_at = self.now if nothing_live else None
        if nothing_live and (refused or (error and connection.state == "connecting")):
            expected = [Reject(each, Rejection.CONNECT_FAILED, error) for each in self.waiting]
            assert list(actions) == expected, "all who wait get the attempt's own error"
        self.obey(actions)

    @rule(seconds=st.sampled_from([0.05, 0.3, 2.0, 11.0]))
    def pass_time(self, seconds: float) -> None:
        """The owner calls `redial` and `sweep` when they are due."""
        until = self.now + seconds
        for _ in range(20):
            times = [at for at in (self.redial_at, self.table.next_deadline()) if at is not None]
            due = min(times, default=until)
            if due > until:
                break
            self.now = max(self.now, due)
            if self.redial_at is not None and self.redial_at <= self.now:
                self.redial_at = None
                self.obey(self.table.redial(self.now))
            self.sweep()
        self.now = max(self.now, until)

    @rule()
    def sweep(self) -> None:
        late = {t for t, at in self.waiting.items() if at is not None and at <= self.now}
        actions = self.table.sweep(self.now)
        rejected = {action.ticket for action in actions if isinstance(action, Reject)}
        assert rejected == late
        self.obey(actions)

    @rule(really=st.sampled_from([False] * 9 + [True]))
    def stop(self, really: bool) -> None:
        if really:
            self.stopped = True
            self.obey(self.table.stop())
            assert not self.waiting

    # obeying --------------------------------------------------------------------------------

    @property
    def waiting(self) -> dict[int, float | None]:
        return {**self.returned, **self.line}

    def obey(self, actions: Actions, *, known: bool = True) -> None:
        assert known or actions == (), "news of what is forgotten asks for nothing"
        cancelled = Counter(each for each in actions if isinstance(each, CancelExchange))
        for action in actions:
            match action:
                case Forward(ticket, connection):
                    self._forward(ticket, connection)
                case SendEarly(ticket, connection):
                    self._send_early(ticket, connection)
                case Reject(ticket, reason):
                    self._rejected(ticket, reason)
                case OpenConnection(connection):
                    assert connection not in self.known and not self.stopped
                    self.all_refused_at = None
                    self.known[connection] = Modelled()
                case Retire(connection):
                    retired = self.known[connection]
                    assert retired.state == "connected" and retired.retiring
                    retired.state, retired.retiring = "draining", False
                case Redial(at):
                    assert at > self.now
                    self.redial_at = at
            assert self._live() <= self.max_connections
        assert cancelled == Counter(self.given_up), "what is out, and not wanted there any more"
        self.given_up.clear()

    def _forward(self, ticket: int, number: int) -> None:
        line = [each for each in self.waiting if each not in self.held]
        assert [ticket] == line[:1], "first in, first out; those that are out are for no other"
        chosen = self.known[number]
        open_ones = [c for c in self._of("connected") if self._room(c) > 0]
        assert not chosen.suspended, "nobody is lent one whose peer may be gone"
        assert chosen in open_ones, "it lends, and has room"
        assert len(chosen.leases) == min(len(each.leases) for each in open_ones)
        self._lend(ticket, chosen)

    def _lend(self, ticket: int, chosen: Modelled) -> None:
        self._leave_line(ticket, ended=False)
        chosen.leases.add(ticket)
        chosen.opened += 1
        chosen.retiring |= self._worn(chosen)

    def _worn(self, each: Modelled) -> bool:
        return each.opened >= max(1, self.requests * 9 // 10)

    def _send_early(self, ticket: int, number: int) -> None:
        chosen = self.known[number]
        assert ticket == min(self.willing), "in order"
        assert chosen.state == "connecting" and chosen.early
        self.willing.discard(ticket)
        self.held.add(ticket)
        self.out[ticket] = number
        chosen.early -= 1
        chosen.sent += 1

    def _rejected(self, ticket: int, reason: Rejection) -> None:
        if reason is Rejection.QUEUE_FULL:
            unserved = len(self.waiting) - len(self._of("connecting"))
            assert ticket == self.tickets and unserved > self.max_waiting
        elif reason is Rejection.STOPPED:
            assert self.stopped
        self._leave_line(ticket)

    def _leave_line(self, ticket: int, *, ended: bool = True) -> None:
        lane = self.returned if ticket in self.returned else self.line
        del lane[ticket]
        self.willing.discard(ticket)
        self.held.discard(ticket)
        if ticket in self.out:
            self.given_up.append(CancelExchange(ticket, self.out.pop(ticket)))
        self.outcomes[ticket] += ended

    def _submit(self, deadline: float | None, front: bool, early: bool = False) -> None:
        self.tickets += 1
        self.willing |= {self.tickets} if early else set()
        (self.returned if front else self.line)[self.tickets] = deadline
        before, free = len(self.known), self.max_connections - self._live()
        nothing_live = not self._of("connecting", "connected")
        actions = self.table.submit(self.tickets, deadline, self.now, front=front, early=early)
        refused = (Reject(self.tickets, Rejection.CONNECT_FAILED, REFUSAL),)
        if actions == refused:
            assert nothing_live and self.refused_at is not None
            assert self.now < self.refused_at + 10.0, "the longest pause"
        elif nothing_live and not self.stopped:
            assert self.all_refused_at != self.now, "one that has been refused is not tried at once"
        self.obey(actions)
        if nothing_live and free > 0 and not self.stopped and actions != refused:
            assert len(self.known) > before, "nobody else can serve it"

    # looking --------------------------------------------------------------------------------

    def _any(self, choice: int, shown: str | None = None) -> tuple[int, Modelled | None]:
        """A connection that is known, or now and then one that is not; if there are any that are
        shown as `shown`, one of these."""
        like = [number for number, each in self.known.items() if each.shown == shown]
        numbers = like or [*self.known, 1_000]
        number = numbers[choice % len(numbers)]
        return number, self.known.get(number)

    def _holder(self, ticket: int) -> int | None:
        return next((n for n, each in self.known.items() if ticket in each.leases), None)

    def _of(self, *states: str) -> list[Modelled]:
        return [each for each in self.known.values() if each.state in states]

    def _live(self) -> int:
        return sum(not each.retiring for each in self._of("connecting", "connected"))

    def _room(self, each: Modelled) -> int:
        if each.suspended:
            return 0
        return min(min(each.limit, self.requests) - each.opened, self.cap - len(each.leases))

    # what must always hold ------------------------------------------------------------------

    @invariant()
    def nobody_is_stranded(self) -> None:
        if self.waiting.keys() - self.held:
            assert not any(self._room(each) > 0 for each in self._of("connected"))
            redial = self.redial_at is not None and self.redial_at >= self.now
            assert self._of("connecting") or self._live() >= self.max_connections or redial

    @invariant()
    def each_retiring_one_will_be_relieved(self) -> None:
        if any(each.retiring for each in self.known.values()) and not self.stopped:
            redial = self.redial_at is not None and self.redial_at >= self.now
            assert self._of("connecting") or self._live() >= self.max_connections or redial

    @invariant()
    def leases_are_within_room(self) -> None:
        for each in self.known.values():
            assert len(each.leases) <= self.cap
            assert each.opened <= min(each.limit, self.requests)

    @invariant()
    def what_it_tells_is_true(self) -> None:
        deadlines = [at for at in self.waiting.values() if at is not None]
        assert self.table.next_deadline() == min(deadlines, default=None)
        assert self.table.stats() == Stats(
            idle=sum(self._room(each) for each in self._of("connected")),
            active=sum(len(each.leases) for each in self.known.values()),
            queued=len(self.waiting),
            connections=len(self.known),
        )
        told = {c.number: (c.state, c.active, c.opened) for c in self.table.connections()}
        assert told == {n: (m.shown, len(m.leases), m.opened) for n, m in self.known.items()}
        lending = [each for each in self._of("connected") if not each.suspended]
        assert self.table.lends is bool(lending)

    @invariant()
    def one_outcome_each(self) -> None:
        inside = Counter(self.waiting)
        for each in self.known.values():
            inside.update(each.leases)
        for ticket in range(1, self.tickets + 1):
            assert self.outcomes[ticket] + (ticket in inside) == 1, f"ticket {ticket}"


class Roomy(Routing):
    """The same with room: three connections of many streams, so that there is a choice."""

    @initialize()
    def begin(self) -> None:
        self._begin(3, 50, 6, None)


class Suspected(Routing):
    """The same from where all connections lend, and one of them is suspected at once."""

    @initialize(connections=st.integers(1, 2), cap=st.integers(1, 3), waits=st.integers(0, 2))
    def begin(self, connections: int, cap: int, waits: int) -> None:
        self._begin(connections, cap, 6, None)
        for number in range(connections):
            self._submit(None, front=False)
            self.ready(number, 5)
        self.suspended(0)
        for _ in range(waits):
            self._submit(None, front=False)
