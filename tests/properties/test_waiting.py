"""WaitingQueue against the plainest model of it: two lists, looked through from end to end."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from quiver.pool.waiting_queue import SLACK, WaitingQueue
from tests.support.short_form import examples

DEADLINES = st.one_of(st.none(), st.integers(0, 8).map(float))


class Waiting(RuleBasedStateMachine):
    """Every operation in any order; times are small whole numbers, so that ties are common."""

    make = WaitingQueue

    def __init__(self) -> None:
        super().__init__()
        self.queue = self.make()
        self.returned: dict[int, float | None] = {}
        self.fresh: dict[int, float | None] = {}
        self.tickets = 0

    @property
    def line(self) -> dict[int, float | None]:
        return {**self.returned, **self.fresh}

    def forget(self, ticket: int) -> None:
        self.returned.pop(ticket, None)
        self.fresh.pop(ticket, None)

    @rule(deadline=DEADLINES, count=st.sampled_from([1, 1, SLACK]))
    def push(self, deadline: float | None, count: int) -> None:
        for _ in range(count):
            self.tickets += 1
            self.queue.push(self.tickets, deadline)
            self.fresh[self.tickets] = deadline

    @rule(deadline=DEADLINES, choice=st.integers(1, 300))
    def push_front(self, deadline: float | None, choice: int) -> None:
        """A ticket that was here before, or one that never was."""
        ticket = choice % (self.tickets + 1)
        if ticket not in self.line:
            self.queue.push_front(ticket, deadline)
            self.returned[ticket] = deadline

    @rule(front=st.booleans())
    @precondition(lambda self: self.line)
    def push_twice(self, front: bool) -> None:
        push = self.queue.push_front if front else self.queue.push
        with pytest.raises(ValueError, match="waits already"):
            push(next(iter(self.line)), None)

    @rule(count=st.sampled_from([1, 1, SLACK]))
    def pop(self, count: int) -> None:
        for _ in range(count):
            ticket = next(iter(self.line), None)
            assert self.queue.pop() == ticket
            if ticket is not None:
                self.forget(ticket)

    @rule(choice=st.integers(0, 300))
    def discard(self, choice: int) -> None:
        ticket = choice % (self.tickets + 1)
        assert self.queue.discard(ticket) == (ticket in self.line)
        self.forget(ticket)

    @rule(now=st.integers(0, 8))
    def expire(self, now: int) -> None:
        late = {t: at for t, at in self.line.items() if at is not None and at <= now}
        found = self.queue.expired(now)
        assert sorted(found) == sorted(late)
        assert [late[ticket] for ticket in found] == sorted(late.values())
        for ticket in found:
            self.forget(ticket)

    @invariant()
    def agrees(self) -> None:
        assert len(self.queue) == len(self.line)
        assert all(ticket in self.queue for ticket in self.line)
        deadlines = [at for at in self.line.values() if at is not None]
        assert self.queue.next_deadline() == min(deadlines, default=None)

    @invariant()
    def remembers_no_more_than_it_must(self) -> None:
        assert len(self.queue._heap) <= 2 * len(self.line) + SLACK


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=examples(60), stateful_step_count=40, deadline=None)


class Unfair(WaitingQueue):
    """Forgets that those who came back go first."""

    __slots__ = ()

    def push_front(self, ticket: int, deadline: float | None) -> None:
        self.push(ticket, deadline)


class Forgetful(WaitingQueue):
    """Takes a deadline for that of a ticket which is gone."""

    __slots__ = ()

    def next_deadline(self) -> float | None:
        return self._heap[0][0] if self._heap else None


@pytest.mark.parametrize("broken", [Unfair, Forgetful])
def test_the_property_can_fail(broken: type[WaitingQueue]) -> None:
    machine = type("Broken", (Waiting,), {"make": broken})
    quick = settings(
        max_examples=100, derandomize=True, database=None, deadline=None, phases=[Phase.generate]
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=quick)
