"""Tickets, whatever happens in whatever order: for whom, once, in time, newest first, bounded."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from quiver.pool.session_tickets import SessionTickets
from quiver.quic.engine import SessionTicket

MOST, MOST_BYTES, MOST_OF_ONE = 5, 60, 3
ORIGINS = st.sampled_from(["https://a", "https://b", "https://c"])
TRUSTS = st.sampled_from([("name", True), ("name", False), ("other", True)])


class Tickets(RuleBasedStateMachine):
    """Against all that was ever added, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.table = SessionTickets(MOST, MOST_BYTES, MOST_OF_ONE)
        self.added: list[tuple[str, SessionTicket]] = []
        self.taken: list[SessionTicket] = []

    @rule(
        origin=ORIGINS,
        trust=TRUSTS,
        lifetime=st.sampled_from([-1, 0, 1, 5, 2_000]),
        size=st.sampled_from([1, 20, MOST_BYTES, MOST_BYTES + 1]),
    )
    def add(self, origin: str, trust: object, lifetime: float, size: int) -> None:
        until = self.now + lifetime
        ticket = SessionTicket(trust, self.now, until, until, (), size, False, None)
        kept = self.table.add(origin, ticket, self.now)
        assert kept == (lifetime > 0 and size <= MOST_BYTES)
        if kept:
            self.added.append((origin, ticket))

    @rule(origin=ORIGINS, trust=TRUSTS)
    def take(self, origin: str, trust: object) -> None:
        before = len(self.table)
        ticket = self.table.take(origin, trust, self.now)
        if ticket is None:
            return
        assert (origin, ticket) in self.added, "it was given by this origin"
        assert ticket.trust == trust
        assert not any(each is ticket for each in self.taken), "it goes once"
        assert ticket.issued <= self.now < ticket.until
        assert len(self.table) < before
        self.taken.append(ticket)
        newer = [each for of, each in self.added if of == origin and each.trust == trust]
        newer = newer[newer.index(ticket) + 1 :]
        assert all(self.gone(each) for each in newer), "the newest goes first"

    def gone(self, ticket: SessionTicket) -> bool:
        """Whether it was taken, or holds no more. What bounds drop is older than what they keep."""
        held = ticket.issued <= self.now < ticket.until
        return not held or any(each is ticket for each in self.taken)

    @rule(seconds=st.sampled_from([0.5, 1, 700, -600]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(origin=ORIGINS, trust=TRUSTS)
    def forget(self, origin: str, trust: object) -> None:
        self.table.forget(origin, trust)
        assert self.table.take(origin, trust, self.now) is None
        self.taken += [each for of, each in self.added if of == origin and each.trust == trust]

    @rule()
    def fork(self) -> None:
        self.table.clear()
        self.taken += [ticket for _, ticket in self.added]

    @invariant()
    def bounded(self) -> None:
        assert len(self.table) <= MOST
        assert 0 <= self.table.size <= MOST_BYTES
        assert bool(self.table.size) == bool(len(self.table))


def test_tickets_in_any_order() -> None:
    run_state_machine_as_test(Tickets, settings=settings(stateful_step_count=40))
