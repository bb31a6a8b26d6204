"""Threads that do a command's work; an interrupt does not lose track of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for

__all__ = ["WorkerThreads"]


class WorkerThreads:
    """One thread for each call.

    Not bare threads: before CPython 3.13, an interrupted `join` takes one that runs for ended.
    """

    def __init__(self) -> None:
        self._runs: list[Future[None]] = []

    def start(self, calls: Sequence[Callable[[], None]]) -> None:
        """Make each of `calls` in a thread of its own."""
        threads = ThreadPoolExecutor(len(calls))
        self._runs = [threads.submit(call) for call in calls]
        threads.shutdown(wait=False)  # each thread ends with its call

    @property
    def running(self) -> bool:
        return not all(run.done() for run in self._runs)

    def wait(self, seconds: float) -> None:
        """Wait for all of them, at most so long."""
        wait_for(self._runs, seconds)

    def finish(self) -> None:
        """Wait for all of them. Raises what a call raised."""
        for run in self._runs:
            run.result()
