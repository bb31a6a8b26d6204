"""LoopWakeup: calls from any thread run in the loop's; none is lost."""

from __future__ import annotations

import threading
from functools import partial

import gevent
import pytest
from gevent.event import Event

from quiver.actors.native_threads import get_ident
from quiver.actors.wait_queue import LoopWakeup


def test_every_ring_of_racing_threads_is_answered_in_the_loop() -> None:
    wakeup = LoopWakeup.of(gevent.get_hub())
    assert LoopWakeup.of(gevent.get_hub()) is wakeup
    answered: list[int] = []
    everything = Event()

    def answer(number: int) -> None:
        assert get_ident() == wakeup.thread
        answered.append(number)
        if len(answered) == 8000:
            everything.set()

    def ring(first: int) -> None:
        for number in range(first, first + 1000):
            wakeup.call_soon(partial(answer, number))

    threads = [threading.Thread(target=ring, args=(n * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    wakeup.ref()
    assert everything.wait(20)
    wakeup.unref()
    assert sorted(answered) == list(range(8000))


def test_a_call_that_fails_does_not_lose_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wakeup = LoopWakeup.of(gevent.get_hub())
    done = Event()

    def ring() -> None:
        wakeup.call_soon(lambda: 1 // 0)
        wakeup.call_soon(done.set)

    thread = threading.Thread(target=ring)
    thread.start()
    thread.join(5)
    wakeup.ref()
    assert done.wait(5)
    wakeup.unref()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_rings_after_the_loop_has_gone_are_ignored() -> None:
    wakeups: list[LoopWakeup] = []

    def live() -> None:
        wakeups.append(LoopWakeup.of(gevent.get_hub()))
        gevent.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=live)
    thread.start()
    thread.join(5)
    called: list[int] = []
    wakeups[0].call_soon(
        lambda: called.append(1)
    )  # gevent raises ValueError, as the canary below shows
    assert wakeups[0].disconnected and not called


def test_what_is_to_come_after_the_others_does() -> None:
    wakeup, loop = LoopWakeup.of(gevent.get_hub()), gevent.get_hub().loop
    gevent.sleep(0.01)  # whatever was left
    made: list[str] = []
    assert not wakeup.call_after_others(lambda: made.append("alone"))  # there are no others
    loop.run_callback(made.append, "first")
    loop.run_callback(made.append, "second")
    assert wakeup.call_after_others(lambda: made.append("last"))
    refused: list[bool] = []
    thread = threading.Thread(target=lambda: refused.append(wakeup.call_after_others(refused.pop)))
    thread.start()
    thread.join(5)
    gevent.sleep(0.01)
    assert made == ["first", "second", "last"] and refused == [False]


def test_it_knows_whether_its_loop_has_calls_to_make() -> None:
    wakeup, loop = LoopWakeup.of(gevent.get_hub()), gevent.get_hub().loop
    gevent.sleep(0.01)  # whatever was left
    assert not wakeup.has_calls()
    loop.run_callback(lambda: None)
    assert wakeup.has_calls()  # a canary: by a name of gevent's that is not documented
    gevent.sleep(0)
    assert not wakeup.has_calls()


def test_what_a_thread_has_left_is_called_without_a_wait() -> None:
    wakeup, called = LoopWakeup.of(gevent.get_hub()), list[int]()
    thread = threading.Thread(target=wakeup.call_soon, args=(partial(called.append, 1),))
    thread.start()
    thread.join(5)
    assert wakeup.has_calls() and not called
    before = gevent.get_hub().loop.iteration
    gevent.sleep(0)
    assert called == [1]
    assert gevent.get_hub().loop.iteration == before  # it was not in the order of its ring
    gevent.sleep(0.01)
    assert called == [1]  # which brings it no second time


def test_canary_a_destroyed_loop_raises_value_error() -> None:
    raised: list[bool] = []

    def live() -> None:
        watcher = gevent.get_hub().loop.async_(ref=False)
        gevent.get_hub().destroy(destroy_loop=True)
        with pytest.raises(ValueError, match="destroyed"):
            watcher.send()
        raised.append(True)

    thread = threading.Thread(target=live)
    thread.start()
    thread.join(5)
    assert raised
