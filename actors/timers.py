"""Keyed timers of one actor; a stale firing is dropped.

A timer that is moved later is not re-armed: it fires early once, looks at its deadline and
goes back to sleep. That makes moving a deadline back and forth, as QUIC's loss timer does
with every packet, nearly free. Who is going to rest has it re-armed, and is not woken for that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from typing import Any

from gevent import get_hub

from quiver.actors.system_messages import TimerFired

_EARLY = 0.0005  # seconds; libev rounds, and firing half a millisecond early is on time
_STEPS = 16  # in which timers of one length fire together


class _Entry:
    __slots__ = ("armed_for", "deadline", "watcher")

    def __init__(self) -> None:
        self.watcher: Any = None
        self.deadline: float | None = None
        self.armed_for = math.inf  # it is not

    def stop(self) -> None:
        if self.watcher is not None:
            self.watcher.stop()
            self.watcher.close()
            self.watcher = None


class Timers:
    """Tells `deliver(TimerFired(key))` when a timer is due.

    To be used from the actor's own greenlet. Times are `time.monotonic()` seconds.
    """

    def __init__(self, deliver: Callable[[TimerFired], object]) -> None:
        self._deliver = deliver
        self._entries: dict[Hashable, _Entry] = {}

    def start(self, key: Hashable, seconds: float) -> None:
        """Fire `key` in `seconds`, instead of any earlier arrangement for it."""
        self.at(key, time.monotonic() + seconds)

    def start_in_step(self, key: Hashable, seconds: float) -> None:
        """As `start`, but up to a sixteenth sooner, to fire with all others of as many seconds.

        For what many actors do now and then: done together it finds code and data in the
        processor's caches, and the loop wakes once for all of them.
        """
        self.at(key, in_step(time.monotonic(), seconds))

    def at(self, key: Hashable, when: float | None, *, rests: bool = False) -> None:
        """Fire `key` at the monotonic time `when`; None cancels it.

        Args:
            rests: whether it is likely to stay there: then the loop does not wake sooner for it.
        """
        if when is None:
            return self.cancel(key)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._entries[key] = _Entry()
        entry.deadline = when
        if entry.armed_for > when or (rests and entry.armed_for < when):
            self._arm(key, entry)

    def cancel(self, key: Hashable) -> None:
        """Do not fire `key`, also if it is due and only waits for its turn in the inbox."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.deadline = None
            self._forget_idle(key, entry)

    def close(self) -> None:
        """Cancel all and free their watchers."""
        for entry in self._entries.values():
            entry.stop()
        self._entries.clear()

    def accepts(self, firing: TimerFired) -> bool:
        """Whether `firing` is still wanted: its timer is due, and was not cancelled since.

        One that was moved counts if its new deadline has passed as well: an actor that is always
        behind, and sets its timers anew with every batch, would else never see one.
        """
        entry = self._entries.get(firing.key)
        if entry is None or entry.deadline is None or not _due(entry.deadline):
            return False
        entry.deadline = None
        self._forget_idle(firing.key, entry)
        return True

    def _forget_idle(self, key: Hashable, entry: _Entry) -> None:
        if entry.armed_for == math.inf:
            entry.stop()
            del self._entries[key]

    def _arm(self, key: Hashable, entry: _Entry) -> None:
        entry.stop()
        assert entry.deadline is not None
        delay = max(0.0, entry.deadline - time.monotonic())
        entry.watcher = get_hub().loop.timer(delay, ref=False)
        entry.armed_for = entry.deadline
        entry.watcher.start(self._fire, key, entry, update=True)

    def _fire(self, key: Hashable, entry: _Entry) -> None:
        entry.armed_for = math.inf
        if entry.deadline is None:
            self._forget_idle(key, entry)
        elif _due(entry.deadline):
            self._deliver(TimerFired(key))
        else:
            self._arm(key, entry)


def _due(deadline: float) -> bool:
    return deadline - time.monotonic() <= _EARLY


def in_step(now: float, seconds: float) -> float:
    """The last multiple of a sixteenth of `seconds` within them, or up to a millisecond later.

    One who asks again whenever it has come gets it after full `seconds` each time.
    """
    step = seconds / _STEPS
    # A timer may fire early: asked for the next then, it must not name one step less.
    return math.floor((now + 2 * _EARLY + seconds) / step) * step
