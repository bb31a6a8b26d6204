"""Mailbox: order, limit, one wake-up, closing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

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


def turn() -> None:
    """What is rung for."""


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def resting(bell: Bell) -> Mailbox:
    mailbox = Mailbox()
    mailbox.attach(bell, turn)  # type: ignore[arg-type]
    mailbox.rest()
    return mailbox


def test_many_puts_one_ring(bell: Bell, resting: Mailbox) -> None:
    for number in range(100):
        resting.put(number)
    assert bell.rings == [turn]
    assert [resting.get() for _ in range(len(resting))] == list(range(100))
    with pytest.raises(IndexError):
        resting.get()
    resting.rest()
    resting.put(100)
    assert bell.rings == [turn, turn]


def test_what_is_left_is_heard_of_with_the_next_or_when_it_is_woken(
    bell: Bell, resting: Mailbox
) -> None:
    resting.wake()  # for nothing
    resting.put(1, wakes=False)
    assert not bell.rings
    resting.put(2)
    assert bell.rings == [turn]
    resting.put(3, wakes=False)
    resting.wake()  # it is awake
    assert bell.rings == [turn]
    assert [resting.get() for _ in range(len(resting))] == [1, 2, 3]
    resting.rest()
    resting.put(4, wakes=False)
    resting.wake()
    assert bell.rings == [turn, turn]
    refused: list[object] = []
    resting.close(refused.append)
    resting.put(5, wakes=False)  # to one that has ended
    resting.wake()
    assert refused == [4, 5] and bell.rings == [turn, turn]


def test_what_is_left_at_the_end_of_a_turn_begins_another(bell: Bell, resting: Mailbox) -> None:
    for number in range(2):
        resting.put(number)
    resting.get()
    resting.rest()
    resting.put(2)  # it has been rung for
    assert bell.rings == [turn, turn]
    resting.get(), resting.get()
    resting.rest()
    assert bell.rings == [turn, turn]


def test_an_interrupted_put_does_not_silence_the_next(bell: Bell, resting: Mailbox) -> None:
    bell.fails = True
    with pytest.raises(KeyboardInterrupt):
        resting.put(1)
    bell.fails = False
    resting.put(2)
    assert len(bell.rings) == 1
    assert [resting.get(), resting.get()] == [1, 2]


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
