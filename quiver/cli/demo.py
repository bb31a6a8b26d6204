"""The load of `quiver demo`: threads that ask, a server, and one connection that is stopped."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import pykka

import quiver
from quiver.cli.checkout_style import checkout_style_rate
from quiver.cli.worker_threads import WorkerThreads
from quiver.models import ConnectionStats, GetConnections, Stats
from quiver.pool.connection import Connection
from quiver.pool.manager import ANSWERS_WITHIN
from quiver.testing import Origin

COMPARED = 2.0  # seconds that the other style of pool is given
TIME_LIMIT = 15.0  # seconds after which threads ask no more, done or not
PATHS = ("/ok", "/items/42", "/bytes/20000", "/delay/0.1")


class Account:
    """Every ask and how it ended."""

    def __init__(self, planned: int) -> None:
        self.planned = planned
        self.asked = 0
        self.latencies: list[float] = []  # seconds, of those that were answered
        self.errors: Counter[str] = Counter()
        self.started = time.monotonic()
        self.last = 0.0  # seconds from then to the last answer
        self._lock = threading.Lock()

    @property
    def answered(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Answers per second, by the time of the last one."""
        return self.answered / max(self.last, 0.001)

    @property
    def complete(self) -> bool:
        """Whether every ask has its outcome, and each was answered."""
        return self.asked == self.answered and not self.errors

    def take(self) -> bool:
        """Count one more ask; False when enough have been made, or time is up."""
        with self._lock:
            if self.asked >= self.planned or self.seconds() > TIME_LIMIT:
                return False
            self.asked += 1
            return True

    def answered_in(self, seconds: float) -> None:
        self.latencies.append(seconds)
        self.last = self.seconds()

    def failed(self, error: quiver.QuiverError) -> None:
        with self._lock:
            self.errors[f"{type(error).__name__} ({error.kind})"] += 1

    def seconds(self) -> float:
        return time.monotonic() - self.started


class Demo:
    """The demo while it runs. `with` starts the server and the threads, and ends all of them."""

    def __init__(self, *, requests: int, threads: int, connections: int) -> None:
        self.account = Account(requests)
        self.connections = connections
        self.callers = threads
        self._threads = WorkerThreads()
        self._targets = itertools.cycle(PATHS)
        self.stopped: str | None = None  # the connection that was stopped half-way
        self.compared: float | None = None  # answers per second in the other style

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.origin = stack.enter_context(Origin())
            self.client = stack.enter_context(
                quiver.Client(
                    name="demo",
                    trust_env=False,
                    protocols=("h3",),
                    cafile=self.origin.cafile,
                    max_connections=self.connections,
                )
            )
            self.account.started = time.monotonic()
            self._threads.start([self._call] * self.callers)
            self._ends = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.account.planned = 0  # after an interrupt: ask no more
        with self._ends:
            self._threads.finish()

    @property
    def running(self) -> bool:
        return self._threads.running

    def wait(self, seconds: float) -> None:
        """Wait for the threads, at most so long."""
        self._threads.wait(seconds)

    def stats(self) -> tuple[Stats, list[ConnectionStats]]:
        """Ask the pool for its counts, and for each of its connections."""
        pool = self.client.pool(self.origin.url)
        connections = pool.ask(GetConnections(), timeout=ANSWERS_WITHIN)
        return self.client.stats(self.origin.url), connections

    def stop_a_connection_half_way(self) -> None:
        """Stop one connection actor, once, when half of the requests are asked."""
        if self.stopped is None and self.account.asked > self.account.planned / 2:
            for victim in pykka.ActorRegistry.get_by_class(Connection)[:1]:
                self.stopped = str(victim)
                victim.stop(block=False)

    def compare(self) -> None:
        """Ask as much at once through a pool that lends a connection to one request at a time."""
        self.compared = checkout_style_rate(
            self.origin,
            PATHS,
            callers=self.callers,
            connections=self.connections,
            seconds=COMPARED,
        )

    def _call(self) -> None:
        while self.account.take():
            started = time.monotonic()
            try:
                self.client.get(self.origin.url + next(self._targets))
            except quiver.QuiverError as error:
                self.account.failed(error)
            else:
                self.account.answered_in(time.monotonic() - started)
