"""Mailbox: order, limit, one wake-up, closing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from quiver.actors.mailbox import Mailbox


class Bell:
    """Counts rings, and makes no call."""

    def __init__(self) -> None:
        self.rings: list[Callable[[], object]] = []
        self.fails = False

    def call_soon(self, call: Callable[[], object]) -> None:
        if self.fails:
            raise KeyboardInterrupt
        self.rings.append(call)


def waiting(wakeup: Bell) -> tuple[Mailbox, gevent.Greenlet[..., None]]:
    mailbox = Mailbox()
    mailbox.attach(wakeup)  # type: ignore[arg-type]
    greenlet = gevent.spawn(mailbox.wait)
    gevent.sleep(0)
    return mailbox, greenlet


def end(mailbox: Mailbox, wakeup: Bell, greenlet: gevent.Greenlet[..., None]) -> None:
    gevent.get_hub().loop.run_callback(wakeup.rings[-1])
    greenlet.join(5)
    assert greenlet.successful()


def test_many_puts_one_wake_up() -> None:
    wakeup = Bell()
    mailbox, greenlet = waiting(wakeup)
    for number in range(100):
        mailbox.put(number)
    assert len(wakeup.rings) == 1
    end(mailbox, wakeup, greenlet)
    mailbox.put(100)  # it is awake
    assert len(wakeup.rings) == 1
    assert [mailbox.get() for _ in range(len(mailbox))] == list(range(101))
    with pytest.raises(IndexError):
        mailbox.get()


def test_what_is_left_is_heard_of_with_the_next_or_when_it_is_woken() -> None:
    wakeup = Bell()
    mailbox, greenlet = waiting(wakeup)
    mailbox.wake()  # for nothing
    mailbox.put(1, wakes=False)
    assert not wakeup.rings
    mailbox.put(2)
    assert len(wakeup.rings) == 1
    mailbox.put(3, wakes=False)
    mailbox.wake()  # it is awake
    assert len(wakeup.rings) == 1
    end(mailbox, wakeup, greenlet)
    assert [mailbox.get() for _ in range(len(mailbox))] == [1, 2, 3]
    mailbox, greenlet = waiting(wakeup)
    mailbox.put(4, wakes=False)
    mailbox.wake()
    assert len(wakeup.rings) == 2
    end(mailbox, wakeup, greenlet)
    refused: list[object] = []
    mailbox.close(refused.append)
    mailbox.put(5, wakes=False)  # to one that has ended
    mailbox.wake()
    assert refused == [4, 5] and len(wakeup.rings) == 2


def test_an_interrupted_put_does_not_silence_the_next() -> None:
    wakeup = Bell()
    mailbox, greenlet = waiting(wakeup)
    wakeup.fails = True
    with pytest.raises(KeyboardInterrupt):
        mailbox.put(1)
    wakeup.fails = False
    mailbox.put(2)
    assert len(wakeup.rings) == 1
    end(mailbox, wakeup, greenlet)
    assert [mailbox.get(), mailbox.get()] == [1, 2]


def test_a_wake_up_for_nothing_is_slept_over() -> None:
    wakeup = Bell()
    mailbox, greenlet = waiting(wakeup)
    mailbox.put(1)
    mailbox.get()
    gevent.get_hub().loop.run_callback(wakeup.rings[0])
    gevent.sleep(0.001)
    assert not greenlet.dead
    mailbox.put(2)
    assert len(wakeup.rings) == 2
    end(mailbox, wakeup, greenlet)


def test_the_limit_counts_what_was_set_aside() -> None:
    mailbox = Mailbox()
    mailbox.limit = 3
    mailbox.put(1)
    mailbox.put(2)
    assert not mailbox.full
    mailbox.set_aside(mailbox.get())
    mailbox.put(3)
    assert mailbox.full
    mailbox.bring_back()
    assert [mailbox.get() for _ in range(3)] == [1, 2, 3]
    assert mailbox.empty()


def test_closing_refuses_each_item_once_whoever_puts() -> None:
    mailbox = Mailbox()
    mailbox.put(-2)
    mailbox.set_aside(mailbox.get())
    mailbox.put(-1)
    refused: list[Any] = []
    barrier = threading.Barrier(5)

    def put(first: int) -> None:
        barrier.wait(5)
        for number in range(first, first + 1000):
            mailbox.put(number)

    threads = [threading.Thread(target=put, args=(n * 1000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    barrier.wait(5)
    mailbox.close(refused.append)
    for thread in threads:
        thread.join(10)
    assert sorted(refused) == list(range(-2, 4000))
    assert mailbox.empty()
