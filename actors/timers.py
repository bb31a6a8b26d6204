"""Keyed timers of one actor; a stale firing is dropped.

A timer that is moved later is not re-armed: it fires early once, looks at its deadline and
goes back to sleep. That makes moving a deadline back and forth, as QUIC's loss timer does
with every packet, nearly free.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Any

from gevent import get_hub

from quiver.actors.signals import TimerFired

_EARLY = 0.0005  # seconds; libev rounds, and firing half a millisecond early is on time


class _Entry:
    __slots__ = ("armed_for", "deadline", "generation", "watcher")

    def __init__(self, watcher: Any, generation: int) -> None:
        self.watcher = watcher
        self.generation = generation
        self.deadline: float | None = None
        self.armed_for: float | None = None


class Timers:
    """Tells `deliver(TimerFired(key, generation))` when a timer is due.

    To be used from the actor's own greenlet. Times are `time.monotonic()` seconds.
    """

    def __init__(self, deliver: Callable[[TimerFired], object]) -> None:
        self._deliver = deliver
        self._entries: dict[Hashable, _Entry] = {}

    def start(self, key: Hashable, seconds: float) -> None:
        """Fire `key` in `seconds`, instead of any earlier arrangement for it."""
        self.at(key, time.monotonic() + seconds)

    def at(self, key: Hashable, when: float | None) -> None:
        """Fire `key` at the monotonic time `when`; None cancels it."""
        if when is None:
            return self.cancel(key)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry(get_hub().loop.timer(0, ref=False), 0)
        entry.generation += 1
        entry.deadline = when
        if entry.armed_for is None or entry.armed_for > when:
            self._arm(key, entry)

    def cancel(self, key: Hashable) -> None:
        entry = self._entries.get(key)
        if entry is not None:
            entry.generation += 1
            entry.deadline = None

    def close(self) -> None:
        """Cancel all and free their watchers."""
        for entry in self._entries.values():
            entry.watcher.stop()
            entry.watcher.close()
        self._entries.clear()

    def accepts(self, firing: TimerFired) -> bool:
        """Whether `firing` is still wanted: its timer was not moved or cancelled since."""
        entry = self._entries.get(firing.key)
        if entry is None or entry.generation != firing.generation:
            return False
        entry.deadline = None
        return True

    def _arm(self, key: Hashable, entry: _Entry) -> None:
        entry.watcher.stop()
        entry.watcher.close()
        assert entry.deadline is not None
        delay = max(0.0, entry.deadline - time.monotonic())
        entry.watcher = get_hub().loop.timer(delay, ref=False)
        entry.armed_for = entry.deadline
        entry.watcher.start(self._fire, key, entry, update=True)

    def _fire(self, key: Hashable, entry: _Entry) -> None:
        entry.armed_for = None
        if entry.deadline is None:
            return
        if entry.deadline - time.monotonic() > _EARLY:
            self._arm(key, entry)
        else:
            self._deliver(TimerFired(key, entry.generation))
