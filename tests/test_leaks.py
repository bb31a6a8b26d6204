"""Start, ask, stop, twenty times over: nothing stays behind."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable

import attrs
import gevent
import pytest

import quiver
from quiver.testing import Origin
from tests.support.load import run_callers

ROUNDS = 20
CALLERS = 10
REQUESTS = 20  # by each caller


@attrs.frozen(order=True)
class Held:
    """What this program holds now."""

    descriptors: int
    threads: int
    greenlets: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        living = sum(
            issubclass(type(thing), gevent.Greenlet) and not thing.dead
            for thing in gc.get_objects()
        )
        return cls(len(os.listdir("/proc/self/fd")), threading.active_count(), living)

    def within(self, other: Held) -> bool:
        """Whether nothing here is more than in `other`."""
        return all(
            mine <= theirs
            for mine, theirs in zip(attrs.astuple(self), attrs.astuple(other), strict=True)
        )


def round_of_client(origin: Origin) -> None:
    with quiver.Client(pools={"default": {"cafile": origin.cafile}}) as client:

        def caller(_: int) -> None:
            for _ in range(REQUESTS):
                assert client.get(origin.url + "/ok", timeout=10.0).status == 200

        run_callers("threads", CALLERS, caller)


def round_of_pool(origin: Origin) -> None:
    pool = quiver.HTTP3Pool.start(origin.url, cafile=origin.cafile)

    def caller(_: int) -> None:
        for _ in range(REQUESTS):
            assert pool.ask(quiver.Request("GET", "/ok"), timeout=10.0).status == 200

    run_callers("threads", CALLERS, caller)
    pool.stop()


def settles_within(limit: Held, seconds: float = 5.0) -> Held:
    """What is held once it is no more than `limit`, or after `seconds` all the same."""
    due = time.monotonic() + seconds
    while True:
        held = Held.now()
        if held.within(limit) or time.monotonic() > due:
            return held
        threading.Event().wait(0.02)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("one_round", [round_of_client, round_of_pool])
def test_nothing_grows(origin: Origin, one_round: Callable[[Origin], None]) -> None:
    one_round(origin)  # the first starts what stays: the hub's thread, its wake-up descriptors
    before = settles_within(Held(0, 0, 0), seconds=0.5)
    for _ in range(ROUNDS):
        one_round(origin)
    after = settles_within(before)
    assert after.within(before), f"{before} became {after}"
