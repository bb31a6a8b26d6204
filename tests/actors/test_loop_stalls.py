from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest

from quiver.actors.loop_stalls import HEARTBEAT, STALLED, LoopStalls, StallWatch


@pytest.fixture
def stalls() -> Iterator[LoopStalls]:
    made = LoopStalls()
    yield made
    made.close()


def block(seconds: float) -> None:
    """What a call does that lets nothing else of the loop have its turn."""
    due = time.monotonic() + seconds
    while time.monotonic() < due:
        pass


def test_a_blocked_loop_is_deaf_for_so_long_and_no_longer(stalls: LoopStalls) -> None:
    stalls.begin(time.monotonic())
    gevent.sleep(2 * HEARTBEAT)
    before, begun = stalls.missed(time.monotonic()), time.monotonic()
    block(2 * STALLED)
    missed = stalls.missed(time.monotonic()) - before
    assert missed >= 2 * STALLED - HEARTBEAT - 0.001
    assert missed <= time.monotonic() - begun


def test_several_add_up(stalls: LoopStalls) -> None:
    stalls.begin(time.monotonic())
    before = stalls.missed(time.monotonic())
    for _ in range(3):
        block(1.5 * STALLED)
        gevent.sleep(2 * HEARTBEAT)  # the beat alone sees it
    assert stalls.missed(time.monotonic()) - before >= 3 * (1.5 * STALLED - HEARTBEAT)


def test_while_nobody_listens_there_is_nothing_to_miss(stalls: LoopStalls) -> None:
    block(2 * STALLED)
    now = time.monotonic()
    stalls.begin(now)
    assert stalls.missed(now) == 0.0


def test_the_beat_ends_when_nobody_listens(stalls: LoopStalls) -> None:
    for _ in range(2):
        stalls.begin(time.monotonic())
    stalls.end()
    gevent.sleep(3 * HEARTBEAT)
    assert stalls._watcher is not None
    stalls.end()
    with gevent.Timeout(5.0):
        while stalls._watcher is not None:
            gevent.sleep(HEARTBEAT)


def test_a_listener_is_told_of_each_deafness_once(stalls: LoopStalls) -> None:
    early, late = StallWatch(stalls), StallWatch(stalls)
    early.listen(True)
    block(2 * STALLED)
    late.listen(True)
    now = time.monotonic()
    assert early.missed(now) >= 2 * STALLED - HEARTBEAT
    assert (early.missed(now), late.missed(now)) == (0.0, 0.0)


def test_a_listener_counts_once_and_hears_nothing_afterwards(stalls: LoopStalls) -> None:
    listener = StallWatch(stalls)
    for wanted in (True, True, False, False):
        listener.listen(wanted)
    assert stalls.listeners == 0
    block(2 * STALLED)
    assert listener.missed(time.monotonic()) == 0.0
