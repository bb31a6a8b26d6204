"""The faults of a soak, which come and go, and the server that is restarted all the time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Final

from quiver.testing import Origin
from tests.soak.account import Account
from tests.soak.turns import CLEAR, Turns
from tests.support.network.conditions import Conditions, Direction
from tests.support.network.relay_process import RelayProcess

__all__ = ["Faults"]

RESTART: Final = "restart"

NETWORKS: Final = {
    "loss": Conditions(loss=0.05),
    "delay": Conditions(delay=0.02, jitter=0.02),
    "disorder": Conditions(reorder=0.1, duplicate=0.1),
    "damage": Conditions(corrupt=0.03, truncate=0.03),
    "narrow": Conditions(rate=400_000.0),
}


class Faults(Turns):
    """In each `period` of seconds: two faults, with a clear network between, and a restart."""

    def __init__(
        self, relay: RelayProcess, origin: Origin, account: Account, period: float
    ) -> None:
        super().__init__(period)
        self._relay = relay
        self._origin = origin
        self._account = account
        self._events: dict[str, Callable[[], object]] = {
            "rebinding": relay.rebind,
            "GOAWAY": origin.goaway,
            "darkness": self._darken,
            "suspension": self._suspend,
            "close": origin.disconnect,
            "refusal": self._refuse,
        }

    def turns(self) -> Iterator[tuple[str, float]]:
        of_each = zip(itertools.cycle(NETWORKS), itertools.cycle(self._events), strict=False)
        for network, event in of_each:
            yield from ((name, self.period / 4) for name in (CLEAR, network, CLEAR, event))
            yield RESTART, 0.0

    def clear_up(self) -> None:
        self._relay.become()

    def bring(self, name: str) -> None:
        if name in NETWORKS:
            self._relay.become(NETWORKS[name], NETWORKS[name])
        elif name in self._events:
            self._events[name]()
        elif name == RESTART:
            self._restart()

    def _darken(self) -> None:
        self._relay.blackhole()
        self.wait(self.period / 20)
        self._relay.become()

    def _suspend(self) -> None:
        self._origin.suspend()
        self.wait(self.period / 20)
        self._origin.resume()

    def _refuse(self) -> None:
        self._relay.close_port()
        self.wait(self.period / 40)
        self._relay.open_port()

    def _restart(self) -> None:
        """Killed, once it has told what it has done. Nothing reaches it in between."""
        self._relay.blackhole(Direction.UP)
        served = -1
        while served != (served := self._origin.requests_served()):
            self.wait(0.01)
        self.settle()
        self._origin.restart()

    def settle(self) -> None:
        self._account.executed(self._origin.seen_ids())
