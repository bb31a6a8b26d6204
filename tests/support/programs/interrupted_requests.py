"""A program whose first requests are interrupted, at each line of ours or by real signals.

Its arguments: the origin's URL, its cafile, and `lines`, `storm` or `once`, whether the loop is
begun `anew` each time, then how many lines to skip each time, or how many requests to interrupt.

It prints one line of JSON: how often each outcome was seen, in the request that was interrupted, in
the next of the same client, and in the first of another; and how many actors have remained.
"""

from __future__ import annotations

import collections
import json
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pykka

import quiver
from quiver.actors.hub import Hub

ROOT = Path(__file__).resolve().parents[3]
OURS = (str(ROOT / "quiver"), str(ROOT / "actors"))


class SoftTimeLimitExceeded(Exception):
    """As Celery's: any Exception of the program's own."""


class Lines:
    """Raises at the n-th line of ours that this thread comes to."""

    def __init__(self, nth: int) -> None:
        self.left = nth
        self.at = ""

    def __call__(self, frame: FrameType, event: str, _: Any) -> Any:
        code: CodeType = frame.f_code
        if not code.co_filename.startswith(OURS):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.at = f"{Path(code.co_filename).name}:{frame.f_lineno} {code.co_name}"
                raise SoftTimeLimitExceeded(self.at)
        return self


def outcome_of(call: Callable[[], quiver.Response]) -> str:
    try:
        return str(call().status)
    except BaseException as error:
        return type(error).__name__


class Walk:
    """Makes one client after another and counts what their callers get."""

    def __init__(self, url: str, cafile: str, *, anew: bool) -> None:
        self._url = url + "/ok"
        self._pools: Any = {"default": {"cafile": cafile}}
        self._anew = anew
        self._armed = False
        self.seen: collections.Counter[str] = collections.Counter()
        self.faults: list[str] = []

    def client(self) -> quiver.Client:
        return quiver.Client(pools=self._pools)

    def lines(self, step: int) -> None:
        nth = 1
        while True:
            lines = Lines(nth)
            self._round(partial(sys.settrace, lines), partial(sys.settrace, None), lines)
            if not lines.at:
                return
            nth += step

    def storm(self, rounds: int) -> None:
        self._signals(rounds, 0.0007)

    def once(self, rounds: int) -> None:
        self._signals(rounds, 0.0)

    def _signals(self, rounds: int, again: float) -> None:
        signal.signal(signal.SIGALRM, self._interrupt)
        for number in range(rounds):
            first = 0.0001 * (number * 7 % 200 + 1)
            end = partial(signal.setitimer, signal.ITIMER_REAL, 0.0)
            self._round(partial(self._arm, first, again), end, number)

    def _arm(self, first: float, again: float) -> None:
        self._armed = True
        signal.setitimer(signal.ITIMER_REAL, first, again)

    def _interrupt(self, *_: object) -> None:
        # The kernel may have given it to another thread, which is late to take it: then it comes
        # after the timer was disarmed, as may one that was put off.
        if self._armed:
            raise SoftTimeLimitExceeded

    def _round(self, begin: Callable[[], object], end: Callable[[], object], where: object) -> None:
        if self._anew:
            Hub.current().stop()
        client = self.client()
        try:
            try:
                begin()
                outcome = str(client.get(self._url, timeout=5).status)
            finally:
                self._armed = False  # first, and no call: no signal comes before it
                end()
        except BaseException as error:
            outcome = type(error).__name__
            if not isinstance(error, SoftTimeLimitExceeded):
                outcome = repr(error)
        self._count("interrupted", outcome, where)
        self._count("next", outcome_of(lambda: client.get(self._url, timeout=5)), where)
        with self.client() as other:
            self._count("other", outcome_of(lambda: other.get(self._url, timeout=5)), where)
        client.close()

    def _count(self, which: str, outcome: str, where: object) -> None:
        self.seen[f"{which} {outcome}"] += 1
        if outcome not in ("200", "SoftTimeLimitExceeded") or (
            which != "interrupted" and outcome != "200"
        ):
            self.faults.append(f"{which} {outcome} at {getattr(where, 'at', where)}")


def main() -> None:
    url, cafile, kind, anew, count = sys.argv[1:]
    walk = Walk(url, cafile, anew=anew == "anew")
    with walk.client() as warm:  # what is imported on first use is not what is tried here
        warm.get(url + "/ok")
    getattr(walk, kind)(int(count))
    due = time.monotonic() + 5
    while pykka.ActorRegistry.get_all() and time.monotonic() < due:
        time.sleep(0.01)
    left = len(pykka.ActorRegistry.get_all())
    print(json.dumps({"seen": walk.seen, "faults": walk.faults, "left": left}))


if __name__ == "__main__":
    main()
