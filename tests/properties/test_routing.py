"""RoutingTable under every sequence of events, beside a model that obeys its actions."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from quiver.errors import QuiverError
from quiver.pool.actions import Redial, RoutingAction
from quiver.pool.connection_slots import ConnectionSlots
from quiver.pool.routing import Actions, RoutingTable
from tests.support.fuzz.early_routing_model import Early
from tests.support.fuzz.routing_model import Roomy, Routing, Suspected
from tests.support.short_form import examples

TestRouting = Routing.TestCase
TestRouting.settings = settings(max_examples=examples(150), stateful_step_count=50, deadline=None)

TestRoomy = Roomy.TestCase
TestRoomy.settings = settings(max_examples=examples(50), stateful_step_count=50, deadline=None)

TestSuspected = Suspected.TestCase
TestSuspected.settings = settings(max_examples=examples(50), stateful_step_count=50, deadline=None)


TestEarly = Early.TestCase
TestEarly.settings = settings(max_examples=examples(150), stateful_step_count=50, deadline=None)


class Crowding(RoutingTable):
    """Lends whether there is room or not."""

    def _pick(self, channel: bool = False) -> ConnectionSlots | None:
        return next(iter(self._lending.values()), None)


class MostLoaded(RoutingTable):
    def _pick(self, channel: bool = False) -> ConnectionSlots | None:
        with_room = [each for each in self._lending.values() if each.room > 0]
        return max(with_room, key=lambda each: (len(each.leases), each.id), default=None)


class Boundless(RoutingTable):
    """Counts no connection against the maximum."""

    @property
    def _live(self) -> int:
        return 0


class Stranding(RoutingTable):
    """Lets a failed attempt rest: nobody is asked to call again."""

    def _assign(self, now: float, *, eager: bool = False) -> Actions:
        actions = super()._assign(now, eager=eager)
        return tuple(action for action in actions if not isinstance(action, Redial))


class Trusting(RoutingTable):
    """Takes no notice of a suspicion."""

    def suspended(self, connection: int, now: float) -> Actions:
        return ()


class Resentful(RoutingTable):
    """Does not serve those who wait when a suspicion is over."""

    def resumed(self, connection: int, now: float) -> Actions:
        kept: tuple[RoutingAction, ...] = super().resumed(connection, now)
        return kept and ()


class Losing(RoutingTable):
    """Forgets to say that the attempt failed."""

    def down(self, connection: int, now: float, error: QuiverError | None = None) -> Actions:
        kept: tuple[RoutingAction, ...] = super().down(connection, now, error)
        return () if error is not None else kept


class Hammering(RoutingTable):
    """Dials for everybody who comes, also just after a refusal."""

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
        if not self._useful:
            self._backoff.waive()
        return super().submit(ticket, deadline, now, front=front, early=early, channel=channel)


class Leaking(RoutingTable):
    """Never takes credit back for a stream that was not used."""

    def released(
        self, connection: int, ticket: int, now: float, *, unused: bool = False
    ) -> Actions:
        return super().released(connection, ticket, now)


class Twofold(RoutingTable):
    """Lends to another connection what is out on one that connects."""

    def early_room(self, connection: int, streams: int, now: float) -> Actions:
        actions = super().early_room(connection, streams, now)
        self._early.held.clear()
        return actions


BROKEN: dict[type[RoutingTable], type[Routing]] = {
    Crowding: Routing,
    MostLoaded: Roomy,
    Boundless: Routing,
    Stranding: Routing,
    Trusting: Suspected,
    Resentful: Suspected,
    Losing: Routing,
    Hammering: Routing,
    Leaking: Routing,
    Twofold: Early,
}


LATE: Final = (MostLoaded, Hammering, Leaking)  # after many examples


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(each, marks=[pytest.mark.long] if each in LATE else [], id=each.__name__)
        for each in BROKEN
    ],
)
def test_the_property_can_fail(broken: type[RoutingTable]) -> None:
    machine = type("Broken", (BROKEN[broken],), {"make": broken})
    quick = settings(
        max_examples=1000, derandomize=True, database=None, deadline=None, phases=[Phase.generate]
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=quick)
