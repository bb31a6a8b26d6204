"""RoutingTable under every sequence of events, beside a model that obeys its actions."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from quiver.errors import QuiverError
from quiver.pool.actions import Redial, RoutingAction
from quiver.pool.lender import Lender
from quiver.pool.routing import Actions, RoutingTable
from tests.support.routing import Roomy, Routing

TestRouting = Routing.TestCase
TestRouting.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)

TestRoomy = Roomy.TestCase
TestRoomy.settings = settings(max_examples=50, stateful_step_count=50, deadline=None)


class Crowding(RoutingTable):
    """Lends whether there is room or not."""

    def _pick(self) -> Lender | None:
        return next(iter(self._lending.values()), None)


class MostLoaded(RoutingTable):
    def _pick(self) -> Lender | None:
        with_room = [each for each in self._lending.values() if each.room > 0]
        return max(with_room, key=lambda each: each.load, default=None)


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


class Losing(RoutingTable):
    """Forgets to say that the attempt failed."""

    def down(self, connection: int, now: float, error: QuiverError | None = None) -> Actions:
        kept: tuple[RoutingAction, ...] = super().down(connection, now, error)
        return () if error is not None else kept


class Leaking(RoutingTable):
    """Never takes credit back for a stream that was not used."""

    def released(
        self, connection: int, ticket: int, now: float, *, unused: bool = False
    ) -> Actions:
        return super().released(connection, ticket, now)


@pytest.mark.parametrize("broken", [Crowding, MostLoaded, Boundless, Stranding, Losing, Leaking])
def test_the_property_can_fail(broken: type[RoutingTable]) -> None:
    machine = type("Broken", (Roomy if broken is MostLoaded else Routing,), {"make": broken})
    quick = settings(
        max_examples=1000, derandomize=True, database=None, deadline=None, phases=[Phase.generate]
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=quick)
