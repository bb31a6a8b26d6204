"""Death-watch: exactly one Terminated per watch, whatever the end was."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import gevent
import pykka
import pytest

from quiver.actors import monitor
from quiver.actors.actor import GeventActor, GeventActorRef
from quiver.actors.system_messages import Terminated
from tests.support.waiting import until


class Watcher(GeventActor):
    def __init__(self) -> None:
        super().__init__()
        self.told: list[Terminated] = []

    def on_receive(self, message: Any) -> Any:
        match message:
            case Terminated():
                self.told.append(message)
            case ("watch", ref):
                self.watch(ref)
            case ("unwatch", ref):
                self.unwatch(ref)
            case "forget":
                self.told.clear()
            case "told":
                return list(self.told)
        return None


class Target(GeventActor):
    def on_receive(self, message: Any) -> None:
        raise message


def told(watcher: GeventActorRef[Watcher], count: int = 1) -> list[Terminated]:
    """What it was told, once it is `count` or more, and nothing more is on its way."""
    until(lambda: len(watcher.ask("told")) >= count)
    found: list[Terminated] = watcher.ask("told")
    return found


def end(ref: GeventActorRef[Any], how: str) -> type[BaseException] | None:
    match how:
        case "stop":
            ref.stop()
            return None
        case "kill":
            ref.kill()
            return gevent.GreenletExit
        case "crash":
            ref.tell(KeyError("x"))
            return KeyError
    ref.tell(gevent.Timeout(1))
    return gevent.Timeout


@pytest.mark.parametrize("how", ["stop", "kill", "crash", "timeout"])
def test_one_terminated_with_its_reason(how: str) -> None:
    watcher, target = Watcher.start(), Target.start()
    watcher.ask(("watch", target))
    watcher.ask(("watch", target))  # twice is once
    reason = end(target, how)
    (terminated,) = told(watcher)
    assert terminated.ref is target
    assert terminated.reason is None if reason is None else isinstance(terminated.reason, reason)
    watcher.ask(("watch", target))  # it is gone already: told at once
    assert told(watcher, 2) == [terminated, terminated]
    watcher.stop()


def test_unwatched_is_not_told() -> None:
    watcher, target, other = Watcher.start(), Target.start(), Target.start()
    for ref in (target, other):
        watcher.ask(("watch", ref))
    watcher.ask(("unwatch", target))
    target.stop()
    other.stop()
    assert [each.ref for each in told(watcher)] == [other]
    watcher.stop()


def test_watching_races_with_the_end() -> None:
    for _ in range(30):
        watcher, target = Watcher.start(), Target.start()
        thread = threading.Thread(target=target.stop)
        thread.start()
        watcher.ask(("watch", target))
        thread.join(5)
        assert len(told(watcher)) == 1
        watcher.stop()


def test_a_pykka_actor_watches_and_a_dead_watcher_harms_nobody() -> None:
    heard: list[Terminated] = []
    event = threading.Event()

    class Threaded(pykka.ThreadingActor):
        def on_receive(self, message: Any) -> None:
            heard.append(message)
            event.set()

    gone, watcher, target = Watcher.start(), Threaded.start(), Target.start()
    gone.ask(("watch", target))
    gone.stop()
    monitor.watch(watcher, target)
    target.stop()
    assert event.wait(5) and heard == [Terminated(target, None)]
    with pytest.raises(TypeError, match="only a GeventActor"):
        monitor.watch(target, watcher)
    watcher.stop()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_lives_on_forgets_its_dead_watchers(how: str) -> None:
    watcher, target = Watcher.start(), Target.start()
    watcher.ask(("watch", target))
    end(watcher, how)
    memory = weakref.ref(watcher)
    del watcher

    def forgotten() -> bool:
        gc.collect()
        return memory() is None

    until(forgotten)
    target.stop()


def test_one_call_that_fails_keeps_the_end_from_nobody() -> None:
    death_watch = monitor.DeathWatch()
    called: list[object] = []
    death_watch.add("a", lambda reason: called[99])
    death_watch.add("b", called.append)
    death_watch.end(None)
    death_watch.end(KeyError())
    death_watch.add("c", called.append)
    assert called == [None, None]


def test_a_watcher_remembers_nothing_of_those_that_are_gone() -> None:
    watcher: GeventActorRef[Watcher] = Watcher.start()
    watched = watcher.actor_inbox.death_watch._watched
    for _ in range(20):
        target: GeventActorRef[Target] = Target.start()
        watcher.ask(("watch", target))
        target.stop()
        del target
    told(watcher, 20)
    watcher.ask("forget")

    def none_is_left() -> bool:
        gc.collect()
        return not watched

    until(none_is_left)


def test_who_watches_is_not_kept_by_one_that_lives_on() -> None:
    target: GeventActorRef[Target] = Target.start()
    calls = target.actor_inbox.death_watch._calls
    for _ in range(20):
        watcher: GeventActorRef[Watcher] = Watcher.start()
        watcher.ask(("watch", target))
        watcher.ask(("watch", target))  # which is once
        watcher.stop()
    until(lambda: not calls)
