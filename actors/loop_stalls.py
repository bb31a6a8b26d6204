"""Stalls of the loop: its process was stopped, or something kept it from its turn.

What has come meanwhile lies in the sockets' buffers, and what was still to come had no chance. So
nobody's silence is counted for that time. While somebody watches, a heartbeat goes through the
loop, and one that comes late tells how long the loop was stalled:

    stalled += (now - last turn) - HEARTBEAT    where now - last turn > STALLED
"""

from __future__ import annotations

import time
from typing import Any, Final

import gevent

HEARTBEAT: Final = 0.05  # seconds; so much of each stall is taken for normal
STALLED: Final = 0.25  # seconds without a beat: below that, the loop is only busy


def stalled_between(sent: float, taken: float) -> float:
    """Seconds for which a message's loop was stalled, if nobody watched before it was taken."""
    return taken - sent - HEARTBEAT if taken - sent > STALLED else 0.0


class LoopStalls:
    """The stalls of one loop. To be used in its thread; times are `time.monotonic()` seconds."""

    def __init__(self) -> None:
        self.listeners = 0
        self._missed = 0.0
        self._last = 0.0  # when the loop had its turn
        self._watcher: Any = None  # while it beats

    def missed(self, now: float) -> float:
        """Seconds in which the loop was stalled while somebody watched, all until `now`."""
        if self._watcher is not None:
            if now - self._last > STALLED:
                self._missed += stalled_between(self._last, now)
            self._last = now
        return self._missed

    def begin(self, now: float) -> None:
        """Count one more who watches."""
        self.listeners += 1
        if self._watcher is None:
            self._last = now
            self._watcher = gevent.get_hub().loop.timer(HEARTBEAT, HEARTBEAT, ref=False)
            self._watcher.start(self._beat, update=True)

    def end(self) -> None:
        """Count one less who watches."""
        self.listeners -= 1

    def close(self) -> None:
        """Stop the beat."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None

    def _beat(self) -> None:
        self.missed(time.monotonic())
        if not self.listeners:  # not at once: most watch again before long
            self.close()


class StallWatch:
    """The view of one who watches now and then: what was missed since the last look."""

    def __init__(self, stalls: LoopStalls | None = None) -> None:
        self.stalls = stalls  # None before its actor lives in a loop: it misses nothing
        self._listens = False
        self._known = 0.0

    def listen(self, wanted: bool) -> None:
        """Watch from now on, or no more."""
        if wanted is self._listens or self.stalls is None:
            return
        self._listens = wanted
        if wanted:
            now = time.monotonic()
            self._known = self.stalls.missed(now)
            self.stalls.begin(now)
        else:
            self.stalls.end()

    def missed(self, now: float) -> float:
        """Seconds of stalls since it was asked last, or has begun to watch."""
        if not self._listens or self.stalls is None:
            return 0.0
        known, self._known = self._known, self.stalls.missed(now)
        return self._known - known
