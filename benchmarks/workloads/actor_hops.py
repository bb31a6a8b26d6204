"""The cost of one hop between threads and actors: tell, ask, forward."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import pykka

from quiver.actors.actor import GeventActor

__all__ = ["HOPS"]

_BATCH = 1_000  # told one after the other before the last is waited for
_END = object()


class _GeventCounter(GeventActor):
    """Answers at once; as the first of two, it passes on what it is asked."""

    def __init__(self, second: Any = None) -> None:
        super().__init__()
        self._second = second

    def on_receive(self, message: Any) -> Any:
        if self._second is not None:
            return self.forward(self._second, message)
        return message


class _PykkaCounter(pykka.ThreadingActor):
    """The same on a thread. Pykka has no forward: the first waits for the second's answer."""

    def __init__(self, second: Any = None) -> None:
        super().__init__()
        self._second = second

    def on_receive(self, message: Any) -> Any:
        return message if self._second is None else self._second.ask(message)


def _actors(kind: Any, seconds: float) -> dict[str, float]:
    last = kind.start()
    first = kind.start(last)

    def tell() -> None:
        for _ in range(_BATCH - 1):
            last.tell(1)
        last.ask(1)  # it has read all of them before

    try:
        return {
            "tell": _each(tell, seconds) / _BATCH,
            "ask": _each(lambda: last.ask(1), seconds),
            "forward": _each(lambda: first.ask(1), seconds),
        }
    finally:
        first.stop()
        last.stop()


class _Desk:
    """A thread that reads a queue and answers into the queue that came with the message."""

    def __init__(self, second: _Desk | None = None) -> None:
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._second = second
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def ask(self) -> Any:
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.inbox.put((1, answer))
        return answer.get()

    def stop(self) -> None:
        self.inbox.put(_END)
        self._thread.join()

    def _read(self) -> None:
        while (got := self.inbox.get()) is not _END:
            message, answer = got
            if self._second is not None:
                self._second.inbox.put(got)
            elif answer is not None:
                answer.put(message)


def _queues(seconds: float) -> dict[str, float]:
    last = _Desk()
    first = _Desk(last)

    def tell() -> None:
        for _ in range(_BATCH - 1):
            last.inbox.put((1, None))
        last.ask()

    try:
        return {
            "tell": _each(tell, seconds) / _BATCH,
            "ask": _each(last.ask, seconds),
            "forward": _each(first.ask, seconds),
        }
    finally:
        first.stop()
        last.stop()


def _each(job: Callable[[], object], seconds: float) -> float:
    """Microseconds of one call of `job`, after a tenth of the time to warm up."""
    _calls(job, seconds / 10)
    began = time.perf_counter()
    count = _calls(job, seconds)
    return (time.perf_counter() - began) / count * 1e6


def _calls(job: Callable[[], object], seconds: float) -> int:
    due, count = time.perf_counter() + seconds, 0
    while True:
        job()
        count += 1
        if time.perf_counter() >= due:
            return count


HOPS: dict[str, Callable[[float], dict[str, float]]] = {
    "GeventActor": lambda seconds: _actors(_GeventCounter, seconds),
    "pykka.ThreadingActor": lambda seconds: _actors(_PykkaCounter, seconds),
    "queues": _queues,
}
"""By what answers."""
