"""Errands: what whoever waits for a reply does meanwhile, in its own thread or greenlet."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gevent
import pykka
import pytest

from quiver.actors.reply import Reply
from tests.support.waiting import until

Waiting = Callable[[Reply[Any]], list[Any]]


def awaited() -> Reply[Any]:
    """A reply as a blocking ask makes it."""
    reply: Reply[Any] = Reply()
    reply.has_waiter = True
    return reply


def outcome_of(reply: Reply[Any], outcome: list[Any], timeout: float | None = None) -> None:
    try:
        outcome.append(reply.get(timeout=timeout))
    except Exception as error:
        outcome.append(error)


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    """Wait for a reply in a thread of its own: what comes of it is put in a list."""
    threads: list[threading.Thread] = []

    def wait(reply: Reply[Any]) -> list[Any]:
        outcome: list[Any] = []
        threads.append(threading.Thread(target=outcome_of, args=(reply, outcome), daemon=True))
        threads[-1].start()
        until(lambda: reply._wakes or outcome)
        return outcome

    yield wait
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def test_nobody_runs_errands_who_does_not_wait() -> None:
    reply: Reply[Any] = Reply()
    assert not reply.call_in_caller(lambda: None)
    reply = awaited()
    reply.answer(5)
    assert not reply.call_in_caller(lambda: None)


def test_the_thread_that_waits_runs_them_in_order(waiting: Waiting) -> None:
    reply, ran = awaited(), []
    outcome = waiting(reply)
    for number in range(5):
        call = partial(lambda number: ran.append((number, threading.get_ident())), number)
        assert reply.call_in_caller(call)
    until(lambda: len(ran) == 5)
    assert outcome == []
    reply.answer("done")
    until(lambda: outcome)
    assert outcome == ["done"]
    assert [number for number, _ in ran] == list(range(5))
    assert len({thread for _, thread in ran}) == 1
    assert threading.get_ident() not in {thread for _, thread in ran}


def test_a_greenlet_that_waits_runs_them_too() -> None:
    reply, ran = awaited(), []
    outcome: list[Any] = []
    caller = gevent.spawn(outcome_of, reply, outcome)
    gevent.sleep(0)

    def errand() -> None:
        ran.append(gevent.getcurrent())
        gevent.sleep(0.01)  # it may block: only its own greenlet waits

    def from_elsewhere() -> None:
        assert reply.call_in_caller(errand)
        assert reply.call_in_caller(errand)
        until(lambda: len(ran) == 2)
        reply.answer(5)

    thread = threading.Thread(target=from_elsewhere)
    thread.start()
    caller.join(timeout=10)
    thread.join(10)
    assert (outcome, ran) == ([5], [caller, caller])


def test_what_was_accepted_is_run_before_the_answer_is_returned() -> None:
    reply, ran = awaited(), []
    assert reply.call_in_caller(lambda: ran.append(1))
    reply.answer(5)
    assert (reply.get(), ran) == (5, [1])


def test_an_errand_may_bring_the_next_one_and_the_answer() -> None:
    reply, ran = awaited(), []

    def first() -> None:
        ran.append("first")
        assert reply.call_in_caller(second)

    def second() -> None:
        ran.append("second")
        reply.answer(5)

    assert reply.call_in_caller(first)
    assert reply.get(timeout=10) == 5
    assert ran == ["first", "second"]


def test_what_an_errand_raises_goes_to_who_waits() -> None:
    def fail() -> None:
        raise KeyError("mine")

    reply, ran = awaited(), []
    assert reply.call_in_caller(fail)
    assert reply.call_in_caller(lambda: ran.append(1))
    with pytest.raises(KeyError):
        reply.get()
    reply.answer(5)
    assert (reply.get(), ran) == (5, [1])


def test_time_runs_out_between_errands_too() -> None:
    reply, ran = awaited(), []
    assert reply.call_in_caller(lambda: ran.append(1))
    with pytest.raises(pykka.Timeout):
        reply.get(timeout=0.05)
    assert ran == [1]


def test_no_errand_is_lost_or_run_twice_when_threads_race(waiting: Waiting) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            reply, ran = awaited(), list[int]()
            outcome = waiting(reply)
            accepted = [
                number
                for number in range(100)
                if reply.call_in_caller(lambda number=number, ran=ran: ran.append(number))  # type: ignore[misc]
            ]
            reply.answer(5)
            until(lambda outcome=outcome: outcome)  # type: ignore[misc]
            assert outcome == [5]
            assert ran == accepted == list(range(100))
    finally:
        sys.setswitchinterval(interval)
