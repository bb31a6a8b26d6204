"""Hub: one loop, many residents. What needs an OS process of its own is in tests/faults."""

from __future__ import annotations

import threading

import gevent
import pytest

from quiver.actors.hub import Hub, HubStopped
from tests.support.eventually import eventually


class Resident:
    def __init__(self) -> None:
        self.ran_in: gevent.hub.Hub | None = None
        self.ends: list[BaseException | None] = []

    def run(self) -> None:
        self.ran_in = gevent.get_hub()
        gevent.sleep(60)

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


def test_spawn_kill_and_stop() -> None:
    hub = Hub()  # beside the current one
    residents = [Resident() for _ in range(10)]
    for resident in residents:
        hub.spawn(resident)
    eventually(lambda: all(resident.ran_in for resident in residents))
    assert len({resident.ran_in for resident in residents}) == 1
    hub.kill(residents[0])
    eventually(lambda: residents[0].ends)
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

    hub.doorbell.ring(spawn_and_kill)
    eventually(lambda: resident.ends)
    hub.stop()
    assert resident.ran_in is None
    assert [type(end) for end in resident.ends] == [gevent.GreenletExit]


def test_what_does_not_end_in_time_is_ended_from_outside() -> None:
    class Stubborn(Resident):
        def run(self) -> None:
            self.ran_in = gevent.get_hub()
            gate.wait(20)  # blocks the whole thread

    gate = threading.Event()
    hub, resident = Hub(), Stubborn()
    hub.spawn(resident)
    eventually(lambda: resident.ran_in)
    hub.stop(timeout=0.05)
    assert isinstance(resident.ends[0], HubStopped)
    gate.set()
