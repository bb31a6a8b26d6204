"""The load of `quiver bench`: greenlets in threads that ask, at a rate or as fast as they can.

Without a rate it is a closed loop of `concurrency` callers; with one, request n is due at
start + n / rate.
"""

from __future__ import annotations

import threading
import time
from array import array
from collections import Counter
from functools import partial
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

import attrs
import gevent

import quiver
from quiver.cli.latency import Timing, due
from quiver.cli.worker_threads import WorkerThreads

__all__ = ["Load", "Plan"]


@attrs.frozen
class Plan:
    """A load: what is asked, how often, and by how many.

    Attributes:
        concurrency: requests in flight at the most.
        requests: in all; None for any number, within `duration`.
        threads: that ask, each with its share of greenlets.
        rate: requests per second in all; None asks as soon as there was an answer.
        duration: seconds after which none is sent any more.
    """

    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes | None
    concurrency: int
    requests: int | None
    threads: int
    rate: float | None
    duration: float | None = None


class Load:
    """The requests while they run. `with` starts the threads, and ends them.

    Attributes:
        service: latencies from the moment of sending, seconds, in the order of the answers.
        corrected: the same from the moment at which each was due.
        statuses, versions: how often each came.
        errors: requests that got no response, by the error's class.
    """

    def __init__(self, client: quiver.Client, plan: Plan) -> None:
        self.plan = plan
        self.service = array("d")
        self.corrected = array("d")
        self.statuses: Counter[int] = Counter()
        self.versions: Counter[str | None] = Counter()
        self.errors: Counter[type[quiver.QuiverError]] = Counter()
        self.size = 0  # bytes of bodies
        self.asked = 0
        self.seconds = 0.0  # that it took, once it is over
        self._client = client
        self._lock = threading.Lock()
        self._stopped = False
        shares = [plan.concurrency * n // plan.threads for n in range(plan.threads + 1)]
        self._shares = [last - first for first, last in pairwise(shares)]
        self._threads = WorkerThreads()

    def __enter__(self) -> Self:
        self.started = time.perf_counter()
        self._threads.start([partial(self._run, callers) for callers in self._shares])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopped = True  # after an interrupt: ask no more
        self._threads.finish()  # a second interrupt leaves what is open

    @property
    def answered(self) -> int:
        return len(self.service)

    @property
    def running(self) -> bool:
        return self._threads.running

    @property
    def rate(self) -> float:
        """Answers per second, so far."""
        seconds = self.seconds if not self.running else time.perf_counter() - self.started
        return self.answered / max(seconds, 1e-6)

    def wait(self, seconds: float) -> None:
        """Wait for the threads, at most so long."""
        self._threads.wait(seconds)

    def _run(self, callers: int) -> None:
        try:
            gevent.joinall([gevent.spawn(self._call) for _ in range(callers)], raise_error=True)
        finally:
            gevent.get_hub().destroy(destroy_loop=True)

    def _call(self) -> None:
        while (turn := self._take()) is not None:
            wanted = self._wait_for(turn)
            sent = time.perf_counter()
            try:
                response = self._ask()
            except quiver.QuiverError as error:
                self._failed(error)
            else:
                now = time.perf_counter()
                self._answered(response, Timing(sent if wanted is None else wanted, sent, now))

    def _take(self) -> int | None:
        """Take the number of the next request; None when there is none left."""
        with self._lock:
            if self._stopped or self._is_over():
                return None
            self.asked += 1
            return self.asked - 1

    def _is_over(self) -> bool:
        """Whether the next request is one too many, or would be sent, or due, too late."""
        plan = self.plan
        if plan.requests is not None and self.asked >= plan.requests:
            return True
        if plan.duration is None:
            return False
        wanted = 0.0 if plan.rate is None else due(self.asked, plan.rate)
        return max(time.perf_counter() - self.started, wanted) >= plan.duration

    def _wait_for(self, turn: int) -> float | None:
        """Sleep until the request is due, and say when that was."""
        if self.plan.rate is None:
            return None
        wanted = self.started + due(turn, self.plan.rate)
        while (left := wanted - time.perf_counter()) > 0 and not self._stopped:
            gevent.sleep(min(left, 0.5))  # so that an interrupt is seen
        return wanted

    def _ask(self) -> quiver.Response:
        plan = self.plan
        options: dict[str, Any] = {"headers": plan.headers, "body": plan.body}
        return self._client.request(plan.method, plan.url, **options)

    def _answered(self, response: quiver.Response, timing: Timing) -> None:
        with self._lock:
            self.service.append(timing.service)
            self.corrected.append(timing.corrected)
            self.statuses[response.status] += 1
            self.versions[response.http_version] += 1
            self.size += len(response.body)
            self.seconds = timing.answered - self.started

    def _failed(self, error: quiver.QuiverError) -> None:
        with self._lock:
            self.errors[type(error)] += 1
            self.seconds = time.perf_counter() - self.started
