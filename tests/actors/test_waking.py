"""Waiting and being woken, and what they rely on in gevent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import gevent
import pytest
from gevent._hub_local import get_hub_if_exists
from gevent._waiter import Waiter

from quiver.actors import waking
from quiver.actors.waking import give_way, wait, wake


class Joinable(Protocol):
    """A thread or a greenlet."""

    def join(self, timeout: float) -> object:
        """Wait for its end."""


def test_canary_a_thread_has_no_hub_until_it_uses_one() -> None:
    seen: list[Any] = []

    def look() -> None:
        seen.append(get_hub_if_exists())
        seen.append(gevent.get_hub() is get_hub_if_exists())
        gevent.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(5)
    assert seen == [None, True]


def test_canary_a_waiter_keeps_what_comes_before_it_is_waited_on() -> None:
    waiter: Waiter[Any] = Waiter()
    waiter.switch("early")
    assert waiter.get() == "early"


def test_wait_looks_again_after_a_wake_up_for_nothing() -> None:
    met = threading.Event()
    wakes: list[Any] = []
    first = threading.Event()

    def look() -> bool:
        first.set()
        return met.is_set()

    got: list[bool] = []
    thread = threading.Thread(target=lambda: got.append(wait(wakes, look, 5.0)))
    thread.start()
    assert first.wait(5)
    wake(wakes)
    met.set()
    while thread.is_alive():
        wake(wakes)
        thread.join(0.001)
    assert got == [True] and wakes == []


def test_wait_gives_up() -> None:
    wakes: list[Any] = []
    assert wait(wakes, lambda: False, 0.01) is False
    assert wakes == []


def test_a_callback_of_the_loop_cannot_wait() -> None:
    raised: list[Exception] = []

    def callback() -> None:
        try:
            wait([], lambda: False, 1.0)
        except RuntimeError as error:
            raised.append(error)

    gevent.get_hub().loop.run_callback(callback)
    gevent.sleep(0.01)
    assert "spawn a greenlet" in str(raised[0])


def test_what_is_met_already_is_not_waited_for() -> None:
    wakes: list[Any] = []
    assert wait(wakes, lambda: True) is True
    assert wakes == []


def test_one_wake_reaches_threads_and_greenlets_alike() -> None:
    wakes: list[Any] = []
    met = threading.Event()
    got: list[bool] = []

    def waits() -> None:
        got.append(wait(wakes, met.is_set, 10.0))

    threads = [threading.Thread(target=waits) for _ in range(5)]
    for thread in threads:
        thread.start()
    greenlets = [gevent.spawn(waits) for _ in range(5)]
    while len(wakes) < 10:
        gevent.sleep(0.001)
    met.set()
    waker = threading.Thread(target=wake, args=(wakes,))
    waker.start()
    gevent.joinall(greenlets, timeout=10)
    for thread in [*threads, waker]:
        thread.join(10)
    assert (got, wakes) == ([True] * 10, [])


def test_a_greenlet_that_is_killed_leaves_nothing_behind() -> None:
    wakes: list[Any] = []
    waiting = gevent.spawn(wait, wakes, lambda: False)
    while not wakes:
        gevent.sleep(0)
    waiting.kill()
    assert wakes == []


def test_no_wake_up_is_lost_between_looking_and_waiting() -> None:
    """Two threads hand a number to each other, each looking and waiting as fast as it can."""
    wakes: list[Any] = []
    turn = [0]
    rounds = 3_000

    def play(mine: int) -> None:
        while turn[0] < rounds:
            if not wait(wakes, lambda: turn[0] % 2 == mine or turn[0] >= rounds, 10.0):
                return
            turn[0] += turn[0] < rounds
            wake(wakes)

    threads = [threading.Thread(target=play, args=(mine,)) for mine in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert turn == [rounds]


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long `give_way` slept, each time."""
    give_way()  # what other tests have left
    seen: list[float] = []
    real = waking._sleep

    def sleep(seconds: float) -> None:
        seen.append(seconds)
        real(seconds)

    monkeypatch.setattr(waking, "_sleep", sleep)
    return seen


def woken(waiting: Callable[[Callable[[], bool]], Joinable]) -> None:
    """Have somebody wait, started by `waiting`, and wake them."""
    met, left = threading.Event(), threading.Event()
    wakes: list[Any] = []

    def look() -> bool:
        if wakes:
            left.set()
        return met.is_set()

    who = waiting(lambda: wait(wakes, look, 5.0))
    while not left.is_set():
        gevent.sleep(0.001)
    met.set()
    wake(wakes)
    who.join(5)


def test_a_thread_that_was_woken_is_given_way_to_once(sleeps: list[float]) -> None:
    def started(job: Callable[[], bool]) -> threading.Thread:
        thread = threading.Thread(target=job)
        thread.start()
        return thread

    woken(started)
    assert sleeps == []
    give_way()
    give_way()
    assert sleeps == [0]


def test_a_greenlet_that_was_woken_needs_no_way(sleeps: list[float]) -> None:
    woken(gevent.spawn)
    give_way()
    assert sleeps == []
