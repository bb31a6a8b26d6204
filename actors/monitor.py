"""Death-watch: exactly one `Terminated` per watch, whatever killed the actor.

Each actor's inbox carries a Lifeline. The runtime ends it once, last of all; a watch that
comes later is told at once.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Hashable
from typing import Any

import pykka

from quiver.actors.doorbell import allocate_lock
from quiver.actors.signals import Terminated

logger = logging.getLogger("quiver.actors")

OnEnd = Callable[[BaseException | None], object]


class Lifeline:
    """Who wants to hear of one actor's end."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._calls: dict[Hashable, OnEnd] = {}
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

    def renew(self) -> None:
        """Take a fresh lock: in a forked child, its owner may be a thread that is no more."""
        self._lock = allocate_lock()


def watch(watcher: pykka.ActorRef[Any], target: pykka.ActorRef[Any]) -> None:
    """Have `watcher` told `Terminated(target, reason)` once, when `target` is gone.

    `target` is a GeventActor; the watcher may be any Pykka actor. Watching twice is watching
    once. An actor that is gone already is reported at once.
    """
    lifeline_of(target).add(watcher.actor_urn, lambda reason: _tell(watcher, target, reason))


def unwatch(watcher: pykka.ActorRef[Any], target: pykka.ActorRef[Any]) -> None:
    """Undo `watch`. A Terminated that is already in the inbox stays there."""
    lifeline_of(target).remove(watcher.actor_urn)


def lifeline_of(target: pykka.ActorRef[Any]) -> Lifeline:
    lifeline = getattr(target.actor_inbox, "lifeline", None)
    if not isinstance(lifeline, Lifeline):
        raise TypeError(f"{target} cannot be watched: only a GeventActor has a lifeline")
    return lifeline


def _tell(
    watcher: pykka.ActorRef[Any], target: pykka.ActorRef[Any], reason: BaseException | None
) -> None:
    with contextlib.suppress(pykka.ActorDeadError):  # the watcher went first
        watcher.tell(Terminated(target, reason))
