"""Death-watch: exactly one `Terminated` per watch, whatever killed the actor.

Each actor's inbox carries a DeathWatch. The runtime ends it once, last of all; a watch that
comes later is told at once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Hashable
from functools import partial
from weakref import ref

import pykka

from quiver.actors.native_threads import allocate_lock
from quiver.actors.system_messages import AnyActorRef, ForkedAway, Terminated

logger = logging.getLogger("quiver.actors")

OnEnd = Callable[[BaseException | None], object]


class DeathWatch:
    """Who wants to hear of one actor's end, and whose end that actor wants to hear of."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._calls: dict[Hashable, OnEnd] = {}
        self._watched: dict[ref[DeathWatch], Hashable] = {}
        self._ended = False
        self._reason: BaseException | None = None

    def add(self, key: Hashable, call: OnEnd) -> None:
        """Have `call(reason)` made once, at the end, or now if that has been. One per key."""
        with self._lock:
            if not self._ended:
                self._calls[key] = call
                return
        call(self._reason)

    def remove(self, key: Hashable) -> None:
        with self._lock:
            self._calls.pop(key, None)

    def undo_at_end(self, other: DeathWatch, key: Hashable) -> None:
        """This one's actor watches that of `other`, which must not keep it beyond its end."""
        watched = self._watched
        watched[ref(other, partial(_forget, watched))] = key

    def end(self, reason: BaseException | None) -> None:
        with self._lock:
            if self._ended:
                return
            self._ended, self._reason = True, reason
            calls, self._calls = self._calls, {}
        for call in calls.values():
            try:
                call(reason)
            except Exception:  # one that fails must not keep the end from the others
                logger.exception("a watcher cannot be told of an end")
        if not isinstance(reason, ForkedAway):  # in a child others' locks may be held for ever
            for watched, key in self._watched.copy().items():  # one step, in which none is freed
                other = watched()
                if other is not None:
                    other.remove(key)

    def renew(self) -> None:
        """Take a fresh lock: in a forked child, its owner may be a thread that is no more."""
        self._lock = allocate_lock()


def _forget(watched: dict[ref[DeathWatch], Hashable], ended: ref[DeathWatch]) -> None:
    watched.pop(ended, None)


def watch(watcher: AnyActorRef, target: AnyActorRef) -> None:
    """Have `watcher` told `Terminated(target, reason)` once, when `target` is gone.

    `target` is a GeventActor; the watcher may be any Pykka actor. Watching twice is watching
    once. An actor that is gone already is reported at once.
    """
    death_watch = death_watch_of(target)
    if isinstance(own := getattr(watcher.actor_inbox, "death_watch", None), DeathWatch):
        own.undo_at_end(death_watch, watcher.actor_urn)
    death_watch.add(watcher.actor_urn, lambda reason: _tell(watcher, target, reason))


def unwatch(watcher: AnyActorRef, target: AnyActorRef) -> None:
    """Undo `watch`. A Terminated that is already in the inbox stays there."""
    death_watch_of(target).remove(watcher.actor_urn)


def death_watch_of(target: AnyActorRef) -> DeathWatch:
    death_watch = getattr(target.actor_inbox, "death_watch", None)
    if not isinstance(death_watch, DeathWatch):
        raise TypeError(f"{target} cannot be watched: only a GeventActor has a death_watch")
    return death_watch


def _tell(watcher: AnyActorRef, target: AnyActorRef, reason: BaseException | None) -> None:
    with contextlib.suppress(pykka.ActorDeadError):  # the watcher went first
        watcher.tell(Terminated(target, reason))
