"""Registry: a name has one live actor, and is free when that is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from quiver.actors.actor import GeventActor, GeventActorRef
from quiver.actors.registry import Registry, marker_of
from tests.support.waiting import until


class Named(GeventActor):
    launched = 0

    def on_start(self) -> None:
        Named.launched += 1

    def on_receive(self, message: Any) -> Any:
        return message


def has_no_marker(ref: GeventActorRef[Any]) -> bool:
    return marker_of(ref) is None


def test_racing_threads_start_one() -> None:
    for _ in range(10):
        registry, before = Registry(), Named.launched
        barrier = threading.Barrier(20)
        refs: list[GeventActorRef[Any]] = []

        def start(
            registry: Registry = registry,
            barrier: threading.Barrier = barrier,
            refs: list[GeventActorRef[Any]] = refs,
        ) -> None:
            barrier.wait(5)
            refs.append(registry.start("name", "marker", Named()))

        threads = [threading.Thread(target=start) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert len(refs) == 20 and len(set(refs)) == 1
        assert refs[0].ask("x") == "x"
        assert Named.launched == before + 1
        assert registry.find("name") is refs[0] and registry.names() == ["name"]
        refs[0].stop()


def test_released_on_death_with_its_marker() -> None:
    registry = Registry()
    ends: list[Callable[[GeventActorRef[Any]], object]] = [GeventActorRef.stop, GeventActorRef.kill]
    for end in ends:
        ref = registry.start("name", "marker", Named())
        assert marker_of(ref) == "marker"
        end(ref)
        until(partial(has_no_marker, ref))
        assert registry.find("name") is None and registry.names() == []


def test_a_dead_one_does_not_take_the_name_of_its_successor() -> None:
    registry = Registry()
    first = registry.start("name", 1, Named())
    first.stop()
    second = registry.start("name", 2, Named())
    assert second is not first
    registry._release("name", first, None)
    assert registry.find("name") is second
    assert registry.register("name", second, 3) is second
    second.stop()


def test_what_was_never_registered() -> None:
    ref = Named.start()
    assert marker_of(ref) is None
    assert Registry().find("name") is None
    ref.stop()
