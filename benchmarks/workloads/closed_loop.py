"""Closed loops: threads, greenlets or tasks, each with one request open at a time."""

from __future__ import annotations

import asyncio
import atexit
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from benchmarks.workloads.load import Load, Sample, Stopwatch

__all__ = ["GreenletCallers", "TaskCallers", "ThreadCallers", "complete"]

T = TypeVar("T")
_MOST = 2_000  # threads, which are made as they are needed


class _Asking(ABC):
    """A client whose callers wait where they ask."""

    @abstractmethod
    def ask(self, url: str, load: Load) -> None:
        """One request, its response read whole and checked."""

    @abstractmethod
    def close(self) -> None:
        """Close the connections."""

    def _call(self, caller: int, load: Load, due: float) -> list[float]:
        latencies, url = [], load.url(caller)
        while True:
            began = time.perf_counter()
            self.ask(url, load)
            ended = time.perf_counter()
            latencies.append(ended - began)
            if ended >= due:
                return latencies


class ThreadCallers(_Asking):
    """Each caller is an OS thread; the next load finds the same threads.

    So what a client keeps for each thread, a connection say, is there after the warm-up. One
    caller alone is the program's own thread.
    """

    _executor: ThreadPoolExecutor | None = None

    def run(self, load: Load) -> Sample:
        if load.callers > 1:
            return self._together(load)
        with Stopwatch() as watch:
            latencies = self._call(0, load, time.perf_counter() + load.seconds)
        return watch.sample(latencies)

    def _together(self, load: Load) -> Sample:
        executor = self._executor = self._executor or ThreadPoolExecutor(_MOST)
        together = threading.Barrier(load.callers)  # so that each has a thread of its own

        def call(caller: int) -> list[float]:
            together.wait()
            return self._call(caller, load, due)

        with Stopwatch() as watch:
            due = time.perf_counter() + load.seconds
            found = list(executor.map(call, range(load.callers)))
        return watch.sample([latency for each in found for latency in each])


class GreenletCallers(_Asking):
    """Each caller is a greenlet of a monkey-patched program."""

    def run(self, load: Load) -> Sample:
        import gevent

        with Stopwatch() as watch:
            due = time.perf_counter() + load.seconds
            callers = [gevent.spawn(self._call, n, load, due) for n in range(load.callers)]
            gevent.joinall(callers, raise_error=True)
        return watch.sample([latency for each in callers for latency in each.get()])


class TaskCallers(ABC):
    """Each caller is an asyncio task; the loop lives as long as the program."""

    @abstractmethod
    async def ask(self, url: str, load: Load) -> None:
        """One request, its response read whole and checked."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connections."""

    def run(self, load: Load) -> Sample:
        with Stopwatch() as watch:
            due = time.perf_counter() + load.seconds
            found = complete(self._call_all(load, due))
        return watch.sample([latency for each in found for latency in each])

    def close(self) -> None:
        complete(self.aclose())

    async def _call_all(self, load: Load, due: float) -> list[list[float]]:
        return await asyncio.gather(*(self._call(n, load, due) for n in range(load.callers)))

    async def _call(self, caller: int, load: Load, due: float) -> list[float]:
        latencies, url = [], load.url(caller)
        while True:
            began = time.perf_counter()
            await self.ask(url, load)
            ended = time.perf_counter()
            latencies.append(ended - began)
            if ended >= due:
                return latencies


_loops: list[asyncio.AbstractEventLoop] = []


def complete(job: Coroutine[Any, Any, T]) -> T:
    """Run `job` on the program's one asyncio loop, made on first use."""
    if not _loops:
        _loops.append(asyncio.new_event_loop())
        atexit.register(_loops[0].close)
    return _loops[0].run_until_complete(job)
