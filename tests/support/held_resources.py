"""What this program holds of the system: descriptors, threads, greenlets."""

from __future__ import annotations

import gc
import os
import threading
import time

import attrs
import gevent

from quiver.actors.hub import Hub

__all__ = ["Held", "settles_within"]


@attrs.frozen(order=True)
class Held:
    """What this program holds now.

    Attributes:
        greenlets: those that live, and the actors, of which each has one while it is at work.
    """

    descriptors: int
    threads: int
    greenlets: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        living = sum(
            issubclass(type(thing), gevent.Greenlet) and not thing.dead
            for thing in gc.get_objects()
        )
        hub = Hub.running()
        actors = 0 if hub is None else len(hub._dispatcher.residents())
        return cls(len(os.listdir("/proc/self/fd")), threading.active_count(), living + actors)

    def within(self, other: Held) -> bool:
        """Whether nothing here is more than in `other`."""
        return all(
            mine <= theirs
            for mine, theirs in zip(attrs.astuple(self), attrs.astuple(other), strict=True)
        )


def settles_within(limit: Held, seconds: float = 5.0) -> Held:
    """What is held once it is no more than `limit`, or after `seconds` all the same."""
    due = time.monotonic() + seconds
    while True:
        held = Held.now()
        if held.within(limit) or time.monotonic() > due:
            return held
        threading.Event().wait(0.02)
