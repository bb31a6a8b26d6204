"""The baton: of threads that are woken together, each wakes the next.

Woken all at once they would find the interpreter's lock taken, by the loop or by the first of
them, and sleep a second time. A thread that has been woken has the lock; it passes the baton on
and goes about its work, and when the next one is up, the lock is about to be free ("passing the
baton" is Andrews's term). The loop that woke the first waits for the last, and then finds what
all of them want of it together.

No lock guards the row: each step is one under the GIL, and who finds it empty looks again after
having said so. Should a baton be lost, by an exception in just that moment, the loop and the next
caller each see to it that nobody waits for it: `wait` gives up soon, and `call` when it is stale.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from gevent.monkey import get_original

from quiver.actors.doorbell import allocate_lock

__all__ = ["Baton", "baton"]

_PATIENCE: Final = 0.005  # seconds that a loop waits for the last of a row, as for the lock
_STALE: Final = 0.02  # seconds without a step after which the baton is taken for lost

_sleep: Callable[[float], None] = get_original("time", "sleep")


class Baton:
    """Releases gates, locks that a thread each waits to acquire, one after the other.

    Attributes:
        held: somebody was called, and has not passed it on yet.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everybody: in a forked child the threads are no more."""
        self._row: deque[Any] = deque()
        self.held = False
        self._passed_at = 0.0
        self._over = allocate_lock()  # released at the end of a row
        self._over.acquire()

    def call(self, gate: Any) -> None:
        """Release `gate` in its turn. From any thread."""
        self._row.append(gate)
        if not self.held or time.monotonic() - self._passed_at > _STALE:
            self.held = True
            self.pass_on()

    def pass_on(self) -> None:
        """To be called by each thread whose gate was released, once."""
        self._passed_at = time.monotonic()
        while not self._release_next():
            self.held = False
            self._tell_over()
            if not self._row:
                return
            self.held = True  # somebody came, and left it to us

    def _release_next(self) -> bool:
        try:
            gate = self._row.popleft()
        except IndexError:
            return False
        gate.release()
        return True

    def _tell_over(self) -> None:
        with contextlib.suppress(RuntimeError):  # the end of an earlier row was not waited for
            self._over.release()

    def wait(self) -> None:
        """Let those who were called run. For a loop, which has the lock and shall not keep it.

        A loop that went on would drop the interpreter's lock at each turn, but for a moment so
        short that a thread, once the kernel has started it, finds the lock taken again.
        """
        if not self.held:
            return
        if self._row:
            self._wait_for_last()
        else:  # one only, which has been called: even a sleep of no time lets it run
            _sleep(0)

    def _wait_for_last(self) -> None:
        self._over.acquire(False)  # of an earlier row
        if self.held and not self._over.acquire(True, _PATIENCE):
            while self._release_next():
                pass


baton = Baton()
os.register_at_fork(after_in_child=baton.clear)
