"""The faults of a soak, which come and go, and the server that is restarted all the time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Final

from quiver.testing import Origin
from tests.soak.account import Account
from tests.support.network.conditions import Conditions, Direction
from tests.support.network.relay_process import RelayProcess

__all__ = ["Faults"]

CLEAR: Final = "clear"
RESTART: Final = "restart"

NETWORKS: Final = {
    "loss": Conditions(loss=0.05),
    "delay": Conditions(delay=0.02, jitter=0.02),
    "disorder": Conditions(reorder=0.1, duplicate=0.1),
    "damage": Conditions(corrupt=0.03, truncate=0.03),
    "narrow": Conditions(rate=400_000.0),
}


class Faults:
    """In each `period` of seconds: two faults, with a clear network between, and a restart.

    `now` is the name of what is the case.
    """

    def __init__(
        self, relay: RelayProcess, origin: Origin, account: Account, period: float
    ) -> None:
        self.now = CLEAR
        self._relay = relay
        self._origin = origin
        self._account = account
        self._period = period
        self._ending = threading.Event()
        self._events: dict[str, Callable[[], object]] = {
            "rebinding": relay.rebind,
            "GOAWAY": origin.goaway,
            "darkness": self._darken,
            "suspension": self._suspend,
            "close": origin.disconnect,
            "refusal": self._refuse,
        }
        self._thread = threading.Thread(target=self._run, name="faults", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Let it clear up, and learn what the last server has done."""
        self._ending.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the faults do not end"
        self._account.executed(self._origin.seen_ids())

    def _run(self) -> None:
        for name in self._turns():
            self.now = name
            self._bring(name)
            if name != RESTART:
                self._ending.wait(self._period / 4)
            self._relay.become()
            if self._ending.is_set():
                break
        self.now = CLEAR

    def _turns(self) -> Iterator[str]:
        of_each = zip(itertools.cycle(NETWORKS), itertools.cycle(self._events), strict=False)
        for network, event in of_each:
            yield from (CLEAR, network, CLEAR, event, RESTART)

    def _bring(self, name: str) -> None:
        if name in NETWORKS:
            self._relay.become(NETWORKS[name], NETWORKS[name])
        elif name in self._events:
            self._events[name]()
        elif name == RESTART:
            self._restart()

    def _darken(self) -> None:
        self._relay.blackhole()
        self._ending.wait(self._period / 20)
        self._relay.become()

    def _suspend(self) -> None:
        self._origin.suspend()
        self._ending.wait(self._period / 20)
        self._origin.resume()

    def _refuse(self) -> None:
        self._relay.close_port()
        self._ending.wait(self._period / 40)
        self._relay.open_port()

    def _restart(self) -> None:
        """Killed, once it has told what it has done. Nothing reaches it in between."""
        self._relay.blackhole(Direction.UP)
        served = -1
        while served != (served := self._origin.requests_served()):
            self._ending.wait(0.01)
        self._account.executed(self._origin.seen_ids())
        self._origin.restart()
