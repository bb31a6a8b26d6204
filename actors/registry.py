"""Unique names for live actors, with a marker: register once, released on death."""

from __future__ import annotations

import os
from collections.abc import Hashable
from functools import partial
from typing import ClassVar

from quiver.actors import signal_deferral
from quiver.actors.actor import GeventActor
from quiver.actors.hub import Hub
from quiver.actors.monitor import death_watch_of
from quiver.actors.native_threads import Lock, allocate_lock
from quiver.actors.ref import AnyGeventActorRef
from quiver.actors.system_messages import AnyActorRef, ForkedAway


class Registry:
    """name -> ref. Looking up takes no lock."""

    _lock: ClassVar[Lock] = allocate_lock()  # of all registries: it is held for a moment only
    _markers: ClassVar[dict[str, object]] = {}  # by urn

    def __init__(self) -> None:
        self._refs: dict[Hashable, AnyGeventActorRef] = {}

    def find(self, name: Hashable) -> AnyGeventActorRef | None:
        """The live actor of this name, or None."""
        ref = self._refs.get(name)
        return ref if ref is not None and ref.is_alive() else None

    def names(self) -> list[Hashable]:
        """The names of all live actors here."""
        return [name for name, ref in list(self._refs.items()) if ref.is_alive()]

    def register(self, name: Hashable, ref: AnyGeventActorRef, marker: object) -> AnyGeventActorRef:
        """Give `ref` this name until it is gone. Returns the ref that had it first, or `ref`."""
        with Registry._lock:
            first = self.find(name)
            if first is not None:
                return first
            self._refs[name] = ref
            Registry._markers[ref.actor_urn] = marker
        death_watch_of(ref).add((id(self), name), partial(self._release, name, ref))
        return ref

    def start(self, name: Hashable, marker: object, actor: GeventActor) -> AnyGeventActorRef:
        """Register a constructed actor and launch it, in one step, unless the name is taken.

        Returns the ref that has the name. Raises HubStopped when nothing can run it, HubStalled
        when the loop does not come to it.
        """
        start = partial(self._start, name, marker, actor)
        return Hub.current().run(partial(signal_deferral.uninterrupted, start))

    def _start(self, name: Hashable, marker: object, actor: GeventActor) -> AnyGeventActorRef:
        ref = self.register(name, actor.actor_ref, marker)
        if ref is actor.actor_ref:
            actor.launch()
        return ref

    def _release(
        self, name: Hashable, ref: AnyGeventActorRef, reason: BaseException | None
    ) -> None:
        if isinstance(reason, ForkedAway):
            Registry._lock = allocate_lock()
        with Registry._lock:
            Registry._markers.pop(ref.actor_urn, None)
            if self._refs.get(name) is ref:
                del self._refs[name]


def marker_of(ref: AnyActorRef) -> object | None:
    """The marker that `ref` was registered with, or given last, while it lives."""
    return Registry._markers.get(getattr(ref, "actor_urn", ""))


def mark(ref: AnyActorRef, marker: object) -> None:
    """Give `ref` another marker, if it is registered still."""
    with Registry._lock:
        if ref.actor_urn in Registry._markers:
            Registry._markers[ref.actor_urn] = marker


def _renew() -> None:
    Registry._lock = allocate_lock()


os.register_at_fork(after_in_child=_renew)
default = Registry()
