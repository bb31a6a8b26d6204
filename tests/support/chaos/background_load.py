"""Callers that ask without pause while a test does something to the server, and their account."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Literal, Self

import attrs
import gevent

import quiver

__all__ = ["Asking", "Load", "Outcome", "asking", "recovers", "run_callers"]

Asking = Callable[[quiver.Client, int], quiver.Response]
CallerKind = Literal["threads", "greenlets"]


def asking(url: str, timeout: float) -> Asking:
    """Turns of GET and POST to the test origin, some of them slow, each with its id."""

    def ask(client: quiver.Client, number: int) -> quiver.Response:
        match number % 4:
            case 0:
                return client.get(f"{url}/delay/0.02?id={number}", timeout=timeout)
            case 1:
                body = f"body of {number}".encode()
                target = f"{url}/echo?id={number}"
                response = client.request("POST", target, body=body, timeout=timeout)
                assert response.body == body
                return response
            case _:
                return client.get(f"{url}/ok?id={number}", timeout=timeout)

    return ask


def recovers(client: quiver.Client, url: str, within: float = 15.0) -> None:
    """Assert that the pool answers again, by itself, before long."""
    due = time.monotonic() + within
    while True:
        try:
            assert client.get(url, timeout=3.0).status == 200
            return
        except quiver.QuiverError as error:
            if time.monotonic() > due:
                raise AssertionError(f"no recovery within {within} s") from error
            threading.Event().wait(0.05)


def run_callers(kind: CallerKind, callers: int, job: Callable[[int], None]) -> None:
    """Run `job(caller)` in that many threads, or greenlets of this thread; raise what one raised.

    Each job must bound its own time: the end of all of them is waited for.
    """
    failures: list[BaseException] = []

    def guarded(caller: int) -> None:
        try:
            job(caller)
        except BaseException as error:  # noqa: BLE001 - told to the caller of all
            failures.append(error)

    if kind == "greenlets":
        gevent.joinall([gevent.spawn(guarded, caller) for caller in range(callers)])
    else:
        threads = [threading.Thread(target=guarded, args=(n,)) for n in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


@attrs.frozen
class Outcome:
    """How one ask ended: with a status, or an error. Never both."""

    id: int
    seconds: float
    status: int | None
    error: BaseException | None


class Load:
    """Threads that ask one after the other, each time with a new id, while the `with` lasts.

    `ask(client, id)` makes one request. Leaving the `with` stops the callers and waits for them.
    """

    def __init__(self, client: quiver.Client, ask: Asking, *, callers: int = 10) -> None:
        self.outcomes: list[Outcome] = []
        self.asked = 0
        self._client = client
        self._ask = ask
        self._ids = itertools.count()
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in self._threads), "a caller never got an end"

    @property
    def answered(self) -> list[Outcome]:
        """The asks that got a response so far."""
        return [outcome for outcome in self.outcomes if outcome.error is None]

    @property
    def failed(self) -> list[Outcome]:
        """The asks that got an error so far."""
        return [outcome for outcome in self.outcomes if outcome.error is not None]

    def wait_answered(self, more: int, within: float = 20.0) -> None:
        """Wait until `more` asks than now have got a 200."""
        with self._changed:
            goal = self._good() + more
            if not self._changed.wait_for(lambda: self._good() >= goal, within):
                raise AssertionError(f"not {more} answers within {within} s; {self.summary()}")

    def wait_ended(self, within: float = 20.0) -> None:
        """Wait until all asks that are out now have ended."""
        with self._changed:
            out = set(range(self.asked)) - {outcome.id for outcome in self.outcomes}
            if not self._changed.wait_for(lambda: not out - {o.id for o in self.outcomes}, within):
                raise AssertionError(f"not ended within {within} s: {out}; {self.summary()}")

    def wait_failed(self, more: int = 1, within: float = 20.0) -> None:
        """Wait until `more` asks than now have got an error."""
        with self._changed:
            goal = len(self.failed) + more
            if not self._changed.wait_for(lambda: len(self.failed) >= goal, within):
                raise AssertionError(f"not {more} errors within {within} s; {self.summary()}")

    def summary(self) -> str:
        """Counts of outcomes by kind, for messages."""
        kinds = Counter(
            str(o.status) if o.error is None else type(o.error).__name__ for o in self.outcomes
        )
        return f"asked {self.asked}: {dict(kinds)}"

    def check(self, *, within: float) -> None:
        """Assert the account: one outcome for each ask, each a 200 or a QuiverError, in time."""
        assert len(self.outcomes) == self.asked, self.summary()
        assert len({outcome.id for outcome in self.outcomes}) == self.asked
        for outcome in self.outcomes:
            if outcome.error is None:
                assert outcome.status == 200, outcome
            else:
                assert isinstance(outcome.error, quiver.QuiverError), outcome
            assert outcome.seconds <= within, outcome

    def _good(self) -> int:
        return sum(outcome.status == 200 for outcome in self.outcomes)

    def _call(self) -> None:
        while not self._ending.is_set():
            with self._changed:
                identifier = next(self._ids)
                self.asked += 1
            outcome = self._outcome(identifier)
            with self._changed:
                self.outcomes.append(outcome)
                self._changed.notify_all()
            if outcome.error is not None:
                self._ending.wait(0.02)  # a dead server refuses at once: do not spin

    def _outcome(self, identifier: int) -> Outcome:
        started = time.monotonic()
        status, failure = None, None
        try:
            status = self._ask(self._client, identifier).status
        except BaseException as error:  # noqa: BLE001 - `check` judges it
            failure = error
        return Outcome(identifier, time.monotonic() - started, status, failure)
