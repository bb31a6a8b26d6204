"""Whoever goes early gets one outcome, whatever happens: lent once, or turned away once."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from quiver.errors import ConnectionLost
from quiver.pool.actions import (
    CancelExchange,
    Forward,
    OpenConnection,
    Reject,
    RoutingAction,
    SendEarly,
)
from quiver.pool.routing import RoutingTable

NUMBERS = st.integers(0, 12)
LOST = ConnectionLost("lost")


class EarlyTickets(RuleBasedStateMachine):
    """Against a model of who waits, who is out early and where, and who is lent."""

    make = RoutingTable

    def __init__(self) -> None:
        super().__init__()
        self.table = self.make(max_connections=2, max_streams_per_connection=4, max_waiting=6)
        self.now = 0.0
        self.tickets = 0
        self.waiting: dict[int, float | None] = {}
        self.out: dict[int, int] = {}
        self.offered: set[int] = set()  # connections that have told their room
        self.late: set[int] = set()  # and connect for too long
        self.lent: dict[int, int] = {}
        self.may: set[int] = set()  # go early
        self.connecting: list[int] = []
        self.ready: list[int] = []
        self.outcomes: Counter[int] = Counter()

    def obey(self, actions: tuple[RoutingAction, ...]) -> None:
        for action in actions:
            match action:
                case OpenConnection(connection):
                    self.connecting.append(connection)
                case SendEarly(ticket, connection):
                    assert ticket in self.waiting and ticket in self.may
                    assert ticket not in self.out, "on one connection at a time"
                    assert connection in self.connecting and connection not in self.late
                    self.out[ticket] = connection
                case Forward(ticket, connection):
                    del self.waiting[ticket]
                    assert self.out.pop(ticket, connection) == connection, "it is out elsewhere"
                    assert connection in self.ready
                    self.lent[ticket] = connection
                    self.outcomes[ticket] += 1
                case Reject(ticket):
                    del self.waiting[ticket]
                    self.outcomes[ticket] += 1
                case CancelExchange(ticket, connection):
                    assert ticket not in self.waiting or connection in self.late
                    assert self.out.pop(ticket, self.lent.get(ticket)) == connection

    @rule(early=st.booleans(), wait=st.sampled_from([None, 1.0, 5.0]))
    def submit(self, early: bool, wait: float | None) -> None:
        self.tickets += 1
        self.waiting[self.tickets] = None if wait is None else self.now + wait
        if early:
            self.may.add(self.tickets)
        until = self.waiting[self.tickets]
        self.obey(self.table.submit(self.tickets, until, self.now, early=early))

    @rule(which=NUMBERS, streams=st.integers(0, 5))
    def room(self, which: int, streams: int) -> None:
        in_time = [number for number in self.connecting if number not in self.late]
        if in_time:
            number = in_time[which % len(in_time)]
            self.offered.add(number)
            self.obey(self.table.early_room(number, streams, self.now))

    @rule(which=NUMBERS)
    def too_long(self, which: int) -> None:
        """After its room was told."""
        if offered := [number for number in self.connecting if number in self.offered]:
            number = offered[which % len(offered)]
            self.late.add(number)
            self.obey(self.table.early_late(number, self.now))

    @rule(which=NUMBERS, streams=st.integers(4, 9), accepted=st.booleans())
    def handshake(self, which: int, streams: int, accepted: bool) -> None:
        if not self.connecting:
            return
        number = self.connecting.pop(which % len(self.connecting))
        self.ready.append(number)
        there = [ticket for ticket, on in self.out.items() if on == number]
        if not accepted:
            self.out = {ticket: on for ticket, on in self.out.items() if on != number}
        self.obey(self.table.ready(number, streams, self.now, early=accepted))
        if accepted:
            assert all(self.lent.get(ticket) == number for ticket in there), "they have streams"

    @rule(which=NUMBERS)
    def down(self, which: int) -> None:
        known = self.connecting + self.ready
        if not known:
            return
        number = known[which % len(known)]
        (self.connecting if number in self.connecting else self.ready).remove(number)
        self.out = {ticket: on for ticket, on in self.out.items() if on != number}
        self.lent = {ticket: on for ticket, on in self.lent.items() if on != number}
        self.obey(self.table.down(number, self.now, LOST))

    @rule(which=NUMBERS)
    def give_up(self, which: int) -> None:
        ticket = which % (self.tickets + 1)
        waits, was_out = ticket in self.waiting, self.out.get(ticket)
        self.waiting.pop(ticket, None)
        actions = self.table.cancel(ticket, self.now)
        if was_out is not None:
            assert CancelExchange(ticket, was_out) in actions, "its stream is not left open"
        if waits:
            self.outcomes[ticket] += 1
        self.obey(actions)

    @rule(which=NUMBERS)
    def released(self, which: int) -> None:
        if self.lent:
            ticket = sorted(self.lent)[which % len(self.lent)]
            self.obey(self.table.released(self.lent.pop(ticket), ticket, self.now))

    @rule(seconds=st.sampled_from([0.5, 2.0, 11.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.obey(self.table.sweep(self.now))
        self.obey(self.table.redial(self.now))
        late = [t for t, until in self.waiting.items() if until is not None and until <= self.now]
        assert not late, "a deadline holds for who is out, too"

    @invariant()
    def one_outcome(self) -> None:
        assert all(count == 1 for count in self.outcomes.values())
        assert set(self.outcomes) | set(self.waiting) == set(range(1, self.tickets + 1))
        stats = self.table.stats()
        assert (stats.queued, stats.active) == (len(self.waiting), len(self.lent))

    @invariant()
    def nobody_is_stranded(self) -> None:
        assert (
            self.out.items() <= {t: c for t, c in self.out.items() if c in self.connecting}.items()
        )
        held = {ticket for ticket, on in self.out.items() if on not in self.late}
        if any(ticket not in held for ticket in self.waiting):
            told = {each.number: each for each in self.table.connections()}
            full = [told[number] for number in self.ready]
            room = [each for each in full if each.active < 4 and each.state == "connected"]
            assert not room or all(each.opened >= 4 for each in room), "there was room"


def test_whatever_happens() -> None:
    run_state_machine_as_test(EarlyTickets, settings=settings(stateful_step_count=30))
