"""Hub: one loop, many residents. What needs an OS process of its own is in tests/faults."""

from __future__ import annotations

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import gevent
import pytest

from quiver.actors.hub import Hub, HubStalled, HubStopped
from quiver.actors.reply import Reply
from quiver.actors.wake_chain import wake_chain
from tests.support.waiting import until


class Resident:
    never_waits = False

    def __init__(self) -> None:
        self.ran_in: gevent.hub.Hub | None = None
        self.ends: list[BaseException | None] = []

    def run(self) -> bool:
        self.ran_in = gevent.get_hub()
        gevent.sleep(60)
        return False

    def expire(self, reason: BaseException | None) -> None:
        self.ends.append(reason)


def test_racing_threads_find_one_hub() -> None:
    barrier = threading.Barrier(20)
    found: list[Hub] = []

    def find() -> None:
        barrier.wait(5)
        found.append(Hub.current())

    threads = [threading.Thread(target=find) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(found) == 20 and len(set(found)) == 1


def test_something_else_is_done_while_it_is_made() -> None:
    Hub.current().stop()
    done: list[bool] = []
    hub = Hub.current(lambda: done.append(True))
    assert done == [True] and hub is Hub.running()
    assert Hub.current(lambda: done.append(False)) is hub
    assert done == [True], "there was one"
    Hub.current().stop()
    with pytest.raises(ZeroDivisionError):
        Hub.current(lambda: 1 / 0)
    assert Hub.current().run(lambda: "it is made all the same")


def test_spawn_kill_and_stop() -> None:
    hub = Hub()  # beside the current one
    residents = [Resident() for _ in range(10)]
    for resident in residents:
        hub.spawn(resident)
    until(lambda: all(resident.ran_in for resident in residents))
    assert len({resident.ran_in for resident in residents}) == 1
    hub.kill(residents[0])
    until(lambda: residents[0].ends)
    hub.kill(residents[0])  # nothing to kill any more
    hub.stop()
    hub.stop()
    for resident in residents:
        assert len(resident.ends) >= 1
        assert isinstance(resident.ends[0], gevent.GreenletExit | HubStopped)
    late = Resident()
    with pytest.raises(HubStopped):
        hub.spawn(late)
    assert late.ran_in is None


def test_killed_before_it_began_it_never_runs() -> None:
    hub = Hub()
    resident = Resident()

    def spawn_and_kill() -> None:  # in the loop: the ring of `spawn` has not been answered
        hub.spawn(resident)
        hub._kill(resident)

    hub.wakeup.call_soon(spawn_and_kill)
    until(lambda: resident.ends)
    hub.stop()
    assert resident.ran_in is None
    assert [type(end) for end in resident.ends] == [gevent.GreenletExit]


def test_what_does_not_end_in_time_is_ended_from_outside() -> None:
    class Stubborn(Resident):
        def run(self) -> bool:
            self.ran_in = gevent.get_hub()
            gate.wait(20)  # blocks the whole thread
            return False

    gate = threading.Event()
    hub, resident = Hub(), Stubborn()
    hub.spawn(resident)
    until(lambda: resident.ran_in)
    hub.stop(timeout=0.05)
    assert isinstance(resident.ends[0], HubStopped)
    gate.set()


def test_a_step_is_made_in_the_loop_and_answers_whoever_waits() -> None:
    hub = Hub.current()
    assert hub.run(threading.get_ident) == hub.wakeup.thread
    with pytest.raises(ZeroDivisionError):
        hub.run(lambda: 1 // 0)
    assert hub.run(lambda: hub.run(gevent.getcurrent) is gevent.getcurrent())  # at once there


def test_a_step_of_a_loop_that_is_blocked_is_given_up_and_never_made() -> None:
    hub, gate, made = Hub(), threading.Event(), threading.Event()
    hub.wakeup.call_soon(lambda: gate.wait(20))
    with pytest.raises(HubStalled, match=r"within 0\.05 seconds: what runs in it blocks it"):
        hub.run(made.set, timeout=0.05)
    gate.set()
    hub.run(lambda: None)
    hub.stop()
    assert not made.is_set()


def test_a_step_that_the_end_of_the_hub_cuts_short() -> None:
    hub, begun = Hub(), threading.Event()

    def endless() -> None:
        begun.set()
        gevent.sleep(60)

    def stop() -> None:
        begun.wait(20)
        hub.stop()

    stopper = threading.Thread(target=stop)
    stopper.start()
    with pytest.raises(HubStopped):
        hub.run(endless)
    stopper.join(10)
    with pytest.raises(HubStopped):
        hub.run(endless)


def test_a_lost_baton_holds_up_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that a signal's exception hit lost it, just before the next wanted something."""
    hub = Hub.current()
    monkeypatch.setattr(wake_chain, "held", True)
    monkeypatch.setattr(wake_chain, "_moved_at", math.inf)
    done = threading.Event()

    def ask() -> None:
        hub.run(lambda: None, timeout=60.0)
        done.set()

    threading.Thread(target=ask, daemon=True).start()
    assert done.wait(20.0)


def test_threads_that_different_actors_answer_in_one_round_are_one_row() -> None:
    """None is woken while the next actor has its turn; each then wakes the next."""
    hub, replies, seen = Hub.current(), [Reply[int](), Reply[int]()], list[bool]()
    with ThreadPoolExecutor(2) as executor:
        outcomes = [executor.submit(reply.get, timeout=10) for reply in replies]
        until(lambda: all(reply._wakes for reply in replies) and not wake_chain.held)

        def turn(mine: int) -> None:
            seen.append(wake_chain.held)
            replies[mine].answer(mine)

        def round_of_two() -> None:
            for mine in range(2):
                hub.wakeup.call_soon(partial(turn, mine))

        hub.run(round_of_two)
        assert [outcome.result(10) for outcome in outcomes] == [0, 1]
    assert seen == [False, False]
    until(lambda: not wake_chain.held)


def test_a_hub_that_ends_leaves_nobody_whom_it_has_called() -> None:
    hub, reply = Hub.current(), Reply[int]()
    with ThreadPoolExecutor(1) as executor:
        outcome = executor.submit(reply.get, timeout=20)
        until(lambda: bool(reply._wakes))

        def answer_and_stop() -> None:
            gevent.get_hub().loop.run_callback(time.sleep, 0)  # somebody else has a turn
            reply.answer(1)
            hub.stop()

        hub.run(answer_and_stop)
        assert outcome.result(10) == 1
    assert wake_chain.loop is not hub.wakeup
