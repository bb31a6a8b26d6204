"""Where a chaos scenario runs, and the log of all that is asked there."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs

import quiver
from quiver.actors.actor import GeventActorRef
from quiver.testing import Origin
from tests.support.chaos.background_load import Outcome
from tests.support.network.host_names import Names

__all__ = ["LIMIT", "AskLog", "Environment"]

LIMIT: Final = 3.0  # seconds that an ask may take at the most


class AskLog:
    """Asks made in threads, and how each ended."""

    _ids = itertools.count()  # of all accounts: one server may see several

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.asked = 0
        self._threads: list[threading.Thread] = []

    def ask(self, job: Callable[[int], object]) -> None:
        """Run `job(id)` in a thread of its own."""
        identifier = next(self._ids)
        self.asked += 1
        thread = threading.Thread(target=self._run, args=(identifier, job))
        self._threads.append(thread)
        thread.start()

    def wait(self) -> None:
        """Wait until every ask so far has an outcome."""
        for thread in self._threads:
            thread.join(LIMIT + 5.0)
            assert not thread.is_alive(), "a caller never got an answer"
        self._threads.clear()

    def _run(self, identifier: int, job: Callable[[int], object]) -> None:
        started = time.monotonic()
        failure: BaseException | None = None
        try:
            job(identifier)
        except BaseException as error:  # noqa: BLE001 - whoever looks at the account judges it
            failure = error
        seconds = time.monotonic() - started
        status = None if failure else 200
        self.outcomes.append(Outcome(identifier, seconds, status, failure))


@attrs.frozen
class Environment:
    """Where a scenario happens."""

    origin: Origin
    client: quiver.Client
    asks: AskLog
    names: Names

    @property
    def url(self) -> str:
        return self.origin.url

    def ask(self, *jobs: Callable[[Environment, int], object]) -> None:
        for job in jobs:
            self.asks.ask(partial(job, self))

    def pool(self) -> GeventActorRef[Any] | None:
        """The pool as it is now; none is started."""
        return self.client._manager._registry.find(quiver.Origin.parse(self.url))
