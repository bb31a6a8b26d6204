"""Waiting and being woken, and what they rely on in gevent."""

from __future__ import annotations

import threading
from _thread import start_new_thread
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import gevent
import pytest
from gevent._hub_local import get_hub_if_exists
from gevent._waiter import Waiter

from quiver.actors import wait_queue
from quiver.actors.wait_queue import WaitQueue, wait, wake
from quiver.actors.wake_chain import wake_chain
from tests.support.waiting import until


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


def test_a_thread_called_as_its_time_is_up_passes_the_baton_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wakes: list[Any] = []
    time_is_up, real = threading.Event(), wait_queue.take_back

    def take_back(wakes: WaitQueue, call: Callable[[], object]) -> bool:
        time_is_up.set()
        return real(wakes, call)

    monkeypatch.setattr(wait_queue, "take_back", take_back)
    with ThreadPoolExecutor(1) as executor:
        outcome = executor.submit(wait, wakes, lambda: False, 0.05)
        until(lambda: bool(wakes))
        call = wakes.pop()
        assert time_is_up.wait(5)  # and it knows that it is about to be called
        assert not outcome.done()
        call()
        assert outcome.result(5) is False
    assert not wake_chain.held


def test_a_greenlet_is_woken_without_the_baton() -> None:
    met: list[bool] = []
    wakes: list[Any] = []
    waiting = gevent.spawn(wait, wakes, lambda: bool(met), 5.0)
    while not wakes:
        gevent.sleep(0)
    met.append(True)
    wake(wakes)
    assert not wake_chain.held
    assert waiting.get(timeout=5) is True


def test_many_threads_are_woken_again_and_again() -> None:
    """Each round a hub's thread wakes all of them; none may be left behind."""
    rounds, count, done = 50, 30, [0] * 30
    lists: list[list[Any]] = [[] for _ in range(count)]

    def reached(mine: int, due: int) -> bool:
        return done[mine] >= due

    def take_part(mine: int) -> bool:
        return all(
            wait(lists[mine], partial(reached, mine, due), 10.0) for due in range(1, rounds + 1)
        )

    with ThreadPoolExecutor(count) as executor:
        outcomes = [executor.submit(take_part, mine) for mine in range(count)]
        for _ in range(rounds):
            for mine in range(count):
                done[mine] += 1
                wake(lists[mine])
            wake_chain.wait()
        assert all(outcome.result(20) for outcome in outcomes)
    assert not wake_chain.held


def test_threading_does_not_come_to_know_of_a_thread_that_waits_here() -> None:
    """One that it has not started would be among its own until the program ends."""
    waited = threading.Event()

    def wait_for_long() -> None:
        wait([], lambda: False, wait_queue._LOOK + 0.05)
        waited.set()

    before = threading.enumerate()
    start_new_thread(wait_for_long, ())
    assert waited.wait(10)
    assert threading.enumerate() == before


class Interrupted:
    """A lock whose `acquire` is interrupted, as by a signal, just after it has been acquired."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.release = self._lock.release
        self._times = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        acquired = self._lock.acquire(blocking, timeout)
        self._times += 1
        if self._times == 2:  # the first one closes it
            raise KeyboardInterrupt
        return acquired


def test_who_is_interrupted_just_after_it_was_called_passes_the_baton_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wait_queue, "allocate_lock", Interrupted)
    wakes: list[Any] = []

    def woken_but_not_met() -> bool:
        wake(wakes)
        return False

    with ThreadPoolExecutor(1) as executor, pytest.raises(KeyboardInterrupt):
        executor.submit(wait, wakes, woken_but_not_met, 20.0).result(30)
    assert not wake_chain.held
