"""Doorbell: calls from any thread run in the loop's; none is lost."""

from __future__ import annotations

import threading
from functools import partial

import gevent
import pytest
from gevent.event import Event

from quiver.actors.doorbell import Doorbell, get_ident


def test_every_ring_of_racing_threads_is_answered_in_the_loop() -> None:
    bell = Doorbell.of(gevent.get_hub())
    assert Doorbell.of(gevent.get_hub()) is bell
    answered: list[int] = []
    everything = Event()

    def answer(number: int) -> None:
        assert get_ident() == bell.thread
        answered.append(number)
        if len(answered) == 8000:
            everything.set()

    def ring(first: int) -> None:
        for number in range(first, first + 1000):
            bell.ring(partial(answer, number))

    threads = [threading.Thread(target=ring, args=(n * 1000,)) for n in range(8)]
    for thread in threads:
        thread.start()
    bell.hold()
    assert everything.wait(20)
    bell.let_go()
    assert sorted(answered) == list(range(8000))


def test_a_call_that_fails_does_not_lose_the_others(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bell = Doorbell.of(gevent.get_hub())
    done = Event()

    def ring() -> None:
        bell.ring(lambda: 1 // 0)
        bell.ring(done.set)

    thread = threading.Thread(target=ring)
    thread.start()
    thread.join(5)
    bell.hold()
    assert done.wait(5)
    bell.let_go()
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_rings_after_the_loop_has_gone_are_ignored() -> None:
    bells: list[Doorbell] = []

    def live() -> None:
        bells.append(Doorbell.of(gevent.get_hub()))
        gevent.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=live)
    thread.start()
    thread.join(5)
    called: list[int] = []
    bells[0].ring(lambda: called.append(1))  # gevent raises ValueError, as the canary below shows
    assert bells[0].disconnected and not called


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
