"""Supervisor: replaces, counts, stops in order, kills what does not stop."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import pykka
import pytest

from quiver.actors.actor import GeventActor, GeventActorRef
from quiver.actors.supervisor import (
    ChildSpec,
    GetChild,
    Restart,
    RestartIntensityExceeded,
    StartChild,
    StopChild,
    Strategy,
    Supervisor,
    WhichChildren,
)
from quiver.actors.system_messages import Terminated
from tests.support.waiting import until

Family = dict[Any, GeventActorRef[Any]]


class Child(GeventActor):
    def __init__(self, name: str, log: list[str], stops: bool = True) -> None:
        super().__init__()
        self._name, self._log, self._stops = name, log, stops

    def on_start(self) -> None:
        self._log.append(f"+{self._name}")

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, BaseException):
            raise message
        return message

    def on_stop_requested(self) -> bool:
        return self._stops

    def on_exit(self, reason: BaseException | None) -> None:
        gevent.sleep(0.01)  # an end takes its time
        self._log.append(f"-{self._name}")


def spec(name: str, log: list[str], *, stops: bool = True, **options: Any) -> ChildSpec:
    return ChildSpec(name, partial(Child.start, name, log, stops), **options)


def family(ref: GeventActorRef[Supervisor]) -> Family:
    children: Family = ref.ask(WhichChildren())
    return children


def is_dead(ref: GeventActorRef[Any]) -> bool:
    return not ref.is_alive()


def crash(ref: GeventActorRef[Any]) -> None:
    ref.tell(KeyError("crash"))


def replaced(ref: GeventActorRef[Supervisor], before: Family, *names: str) -> Callable[[], bool]:
    def look() -> bool:
        now = family(ref)
        return set(now) == set(before) and all(now[name] is not before[name] for name in names)

    return look


@pytest.fixture
def log() -> list[str]:
    return []


def test_one_for_one(log: list[str]) -> None:
    ref = Supervisor.start([spec(name, log) for name in "abc"])
    before = family(ref)
    assert list(before) == ["a", "b", "c"]
    crash(before["b"])
    until(replaced(ref, before, "b"))
    assert family(ref)["a"] is before["a"] and family(ref)["c"] is before["c"]
    ref.stop()


def test_rest_for_one_counts_one_failure_once(log: list[str]) -> None:
    children = [spec(name, log) for name in "abcd"]
    ref = Supervisor.start(children, strategy=Strategy.REST_FOR_ONE, max_restarts=1)
    before = family(ref)
    crash(before["b"])
    until(replaced(ref, before, "b", "c", "d"))
    assert family(ref)["a"] is before["a"]
    until(lambda: len(log) == 10)
    assert log[-3:] == ["+b", "+c", "+d"] and sorted(log[4:7]) == ["-b", "-c", "-d"]
    ref.stop()


def test_asked_for_a_child_that_is_being_replaced(log: list[str]) -> None:
    children = [spec(name, log) for name in "abc"]
    ref = Supervisor.start(children, strategy=Strategy.REST_FOR_ONE)
    before = family(ref)
    crash(before["a"])
    until(lambda: not before["a"].is_alive())
    assert ref.ask(GetChild("a"), timeout=5).ask("x") == "x"
    found = ref.ask(StartChild(children[2]), timeout=5)
    assert found is family(ref)["c"] is not before["c"]
    ref.stop()
    assert [log.count(f"+{name}") for name in "abc"] == [2, 2, 2]
    assert [log.count(f"-{name}") for name in "abc"] == [2, 2, 2]


@pytest.mark.parametrize(
    ("restart", "failed", "again"),
    [
        (Restart.PERMANENT, False, True),
        (Restart.PERMANENT, True, True),
        (Restart.TRANSIENT, False, False),
        (Restart.TRANSIENT, True, True),
        (Restart.TEMPORARY, True, False),
    ],
)
def test_kinds_of_restart(restart: Restart, failed: bool, again: bool, log: list[str]) -> None:
    ref = Supervisor.start([spec("a", log, restart=restart)])
    child = family(ref)["a"]
    crash(child) if failed else child.stop()
    until(lambda: not child.is_alive())
    assert (ref.ask(GetChild("a"), timeout=5) is not None) is again
    assert (ref.ask(StartChild(spec("a", log)), timeout=5)).ask("x") == "x"
    ref.stop()


def test_too_many_failures_end_it_and_its_children(log: list[str]) -> None:
    ref = Supervisor.start([spec(name, log) for name in "ab"], max_restarts=2, name="family")
    ends: list[BaseException | None] = []
    ref.actor_inbox.death_watch.add("test", ends.append)
    for _ in range(3):
        child = ref.ask(GetChild("a"), timeout=5)
        crash(child)
        until(partial(is_dead, child))
    until(lambda: ends)
    assert isinstance(ends[0], RestartIntensityExceeded)
    assert "family: child a fails too often; last: KeyError('crash')" in str(ends[0])
    until(lambda: log.count("-b") == 1)


def test_a_start_that_fails_is_counted_and_tried_again(log: list[str]) -> None:
    starts: list[int] = []

    def start() -> GeventActorRef[Any]:
        starts.append(1)
        if len(starts) in (2, 3):
            raise OSError("not now")
        return Child.start("a", log)

    ref = Supervisor.start([ChildSpec("a", start)], max_restarts=3)
    crash(family(ref)["a"])
    until(lambda: len(starts) == 4)
    assert ref.ask(GetChild("a"), timeout=5).ask("x") == "x"
    with pytest.raises(OSError, match="never"):
        ref.ask(StartChild(ChildSpec("b", partial(fail, OSError("never")))))
    ref.stop()


def fail(error: Exception) -> GeventActorRef[Any]:
    raise error


def test_its_own_failure_is_no_answer_but_its_end(log: list[str]) -> None:
    children: list[pykka.ActorRef[Any]] = []

    class Careless(Supervisor):
        def watch(self, ref: pykka.ActorRef[Any]) -> None:
            children.append(ref)
            raise RuntimeError("it forgot how to watch")

    ref = Careless.start()
    with pytest.raises(pykka.ActorDeadError):
        ref.ask(StartChild(spec("a", log)), timeout=5)
    until(partial(is_dead, ref))
    until(lambda: not children[0].is_alive())


def test_ordered_shutdown(log: list[str]) -> None:
    ref = Supervisor.start([spec(name, log) for name in "abcd"])
    assert len(family(ref)) == 4
    assert ref.stop() is True
    assert log == ["+a", "+b", "+c", "+d", "-d", "-c", "-b", "-a"]


def test_a_crash_meanwhile_does_not_disturb_the_order(log: list[str]) -> None:
    ref = Supervisor.start([spec("a", log), spec("b", log), spec("c", log, stops=False)])
    before = family(ref)
    stopped = ref.stop(block=False)
    crash(before["a"])
    until(lambda: "-a" in log)
    with pytest.raises(pykka.ActorDeadError):
        ref.ask(StartChild(spec("d", log)), timeout=5)
    assert before["b"].is_alive()  # `c` has not ended yet
    before["c"].kill()
    stopped.get(timeout=5)
    assert log[3:] == ["-a", "-c", "-b"]


def test_one_that_does_not_stop_is_killed(log: list[str]) -> None:
    ref = Supervisor.start([spec("a", log), spec("b", log, stops=False, shutdown=0.05)])
    (_, stubborn) = family(ref).values()
    ends: list[BaseException | None] = []
    stubborn.actor_inbox.death_watch.add("test", ends.append)
    ref.stop(timeout=5)
    assert isinstance(ends[0], gevent.GreenletExit)
    assert log == ["+a", "+b", "-b", "-a"]


def test_stop_child_forgets_it(log: list[str]) -> None:
    ref = Supervisor.start([spec("a", log)])
    child = family(ref)["a"]
    assert ref.ask(StopChild("a")) is True
    assert ref.ask(StopChild("a")) is False
    until(lambda: not child.is_alive())
    assert ref.ask(GetChild("a")) is None and family(ref) == {}
    ref.stop()


def test_children_do_not_outlive_a_killed_supervisor(log: list[str]) -> None:
    ref = Supervisor.start([spec(name, log) for name in "abc"])
    children = family(ref)
    ref.kill()
    until(lambda: not any(child.is_alive() for child in children.values()))


class Stubborn(GeventActor):
    def on_stop_requested(self) -> bool:
        return False


def test_nor_does_one_that_would_not_stop() -> None:
    ref = Supervisor.start([ChildSpec("a", Stubborn.start, shutdown=60.0)])
    child = family(ref)["a"]
    ref.kill()
    until(lambda: not child.is_alive())


def test_a_hundred_threads_start_one_child(log: list[str]) -> None:
    ref = Supervisor.start()
    found: list[GeventActorRef[Any]] = []

    def start() -> None:
        found.append(ref.ask(StartChild(spec("a", log)), timeout=10))

    threads = [threading.Thread(target=start) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == 100 and len(set(found)) == 1 and log == ["+a"]
    ref.stop()


def test_it_is_told_of_strangers_never(log: list[str]) -> None:
    ref = Supervisor.start([spec("a", log)])
    child = family(ref)["a"]
    ref.ask(StopChild("a"))
    until(lambda: "-a" in log)
    assert Terminated(child, None).reason is None
    assert ref.ask(WhichChildren()) == {}
    ref.stop()


# auto_shutdown: an end with the last child ------------------------------------------------------


def with_auto_shutdown() -> GeventActorRef[Supervisor]:
    return Supervisor.start(auto_shutdown=True, name="ends with its children")


def test_auto_shutdown_when_the_last_child_has_ended_in_order() -> None:
    log: list[str] = []
    supervisor = with_auto_shutdown()
    first, second = [
        supervisor.ask(StartChild(spec(name, log, restart=Restart.TRANSIENT))) for name in "ab"
    ]
    first.stop()
    assert list(family(supervisor)) == ["b"]
    second.stop()
    until(lambda: is_dead(supervisor))
    assert log == ["+a", "+b", "-a", "-b"]


def test_auto_shutdown_waits_for_a_first_child() -> None:
    supervisor = with_auto_shutdown()
    assert family(supervisor) == {}
    assert supervisor.is_alive()
    supervisor.stop()


def test_auto_shutdown_is_no_matter_of_a_child_that_is_replaced() -> None:
    log: list[str] = []
    supervisor = with_auto_shutdown()
    child = supervisor.ask(StartChild(spec("a", log, restart=Restart.TRANSIENT)))
    crash(child)
    until(lambda: log.count("+a") == 2)
    assert list(family(supervisor)) == ["a"]
    supervisor.stop()


def test_auto_shutdown_when_the_only_child_did_not_start() -> None:
    def refuse() -> GeventActorRef[Any]:
        raise ValueError("no")

    supervisor = with_auto_shutdown()
    with pytest.raises(ValueError, match="no"):
        supervisor.ask(StartChild(ChildSpec("a", refuse)))
    until(lambda: is_dead(supervisor))


def test_auto_shutdown_does_not_leave_who_asks_for_a_child() -> None:
    """Whoever asks in that moment has a child that lives, or is told that this one is gone."""
    log: list[str] = []
    for _ in range(100):
        supervisor = with_auto_shutdown()
        child = supervisor.ask(StartChild(spec("a", log, restart=Restart.TEMPORARY)))
        child.stop(block=False)
        try:
            other = supervisor.ask(StartChild(spec("b", log, restart=Restart.TEMPORARY)))
        except pykka.ActorDeadError:
            continue
        assert other.is_alive()
        assert supervisor.is_alive()
        supervisor.stop()
