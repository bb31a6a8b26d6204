"""Event: what tells that something has happened, for whoever waits for that."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gevent
import pytest

from quiver.actors.actor import GeventActor, GeventActorRef
from quiver.actors.hub import Hub
from quiver.actors.wait_queue import Event, WouldWaitForItself
from tests.support.waiting import until


class Idle(GeventActor):
    """Does nothing."""


def test_it_is_set_once_and_for_all() -> None:
    event = Event()
    assert (event.is_set(), repr(event)) == (False, "<Event unset>")
    event.set()
    event.set()
    assert (event.is_set(), event.wait(), repr(event)) == (True, True, "<Event set>")


def test_a_wait_ends_with_its_time() -> None:
    event, began = Event(), time.monotonic()
    assert not event.wait(0.05)
    assert 0.05 <= time.monotonic() - began < 5


def test_all_threads_that_wait_hear_of_an_end() -> None:
    ref: GeventActorRef[Idle] = Idle.start()
    with ThreadPoolExecutor(4) as executor:
        waits = [executor.submit(ref.actor_stopped.wait, 10) for _ in range(4)]
        event = ref.actor_stopped
        until(lambda: len(event._wakes) == 4)  # type: ignore[attr-defined]
        ref.stop()
        assert [each.result(timeout=10) for each in waits] == [True] * 4


def test_a_greenlet_that_waits_does_not_block_its_loop() -> None:
    """An actor of Pykka's own would: its event is a threading.Event."""
    event = Event()

    def in_loop() -> bool:
        waiting = gevent.spawn(event.wait, 10)
        gevent.sleep(0)
        event.set()
        return bool(waiting.get(timeout=5))

    assert Hub.current().run(in_loop)


def test_a_callback_of_the_loop_cannot_wait() -> None:
    event, raised, done = Event(), list[BaseException](), threading.Event()

    def wait() -> None:
        try:
            event.wait(0.1)
        except WouldWaitForItself as error:
            raised.append(error)
        finally:
            done.set()

    Hub.current().wakeup.call_soon(wait)
    assert done.wait(10)
    assert len(raised) == 1


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_who_is_told_by_the_event_finds_the_actor_gone(how: str) -> None:
    ref: GeventActorRef[Idle] = Idle.start()
    getattr(ref, how)()
    assert ref.actor_stopped.wait(10)
    assert not ref.is_alive()
