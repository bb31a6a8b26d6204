"""What waiting relies on in gevent."""

from __future__ import annotations

import threading
from typing import Any

import gevent
from gevent._hub_local import get_hub_if_exists
from gevent._waiter import Waiter

from quiver.actors.waking import wait, wake


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
