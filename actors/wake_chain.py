"""WakeChain: how threads that wait are woken, one after the other.

    call, call ...      by whoever has what they wait for, mostly the loop
    begin               at once, or in the loop when all have called who have their turn now
    pass_on             by each thread that has been woken: it wakes the next
    wait                by the loop, which then finds what all of them want of it together

Woken all at once they would find the interpreter's lock taken, by the loop or by the first of
them, and sleep a second time. A thread that has been woken has the lock; it wakes the next one
and goes about its work, and when that one is up, the lock is about to be free (Andrews calls
this "passing the baton"). While one works the next one wakes up, but for the first of a row and
the loop after the last: so few rows are long ones.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from quiver.actors.native_threads import allocate_lock, sleep

__all__ = ["Gate", "Loop", "WakeChain", "wake_chain"]

_PATIENCE: Final = 0.005  # seconds that a loop waits for the last of a row, as for the lock
_STALE: Final = 0.02  # seconds without a step after which the baton is taken for lost


class Gate(Protocol):
    """A lock that a thread waits at until it is released."""

    def release(self) -> None: ...


class Loop(Protocol):
    """A loop that calls threads."""

    def call_after_others(self, call: Callable[[], object]) -> bool:
        """Run `call` when it has made all calls that it has to make now. False if there are none,
        or in another thread."""


class WakeChain:
    """Releases gates, locks that a thread each waits to acquire, one after the other.

    No lock guards the row: each step is one under the GIL, and who finds it empty looks again after
    having said so. Should a baton be lost, by an exception in just that moment, the loop and the
    next caller each see to it that nobody waits for it: `wait` gives up soon, and `call` when it is
    stale.

    Attributes:
        loop: that of the actors: what they call in its thread is one row.
        held: somebody was called, and has not passed it on yet.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everybody: in a forked child the threads are no more."""
        self.loop: Loop | None = None
        self._row: deque[Gate] = deque()
        self.held = self._alone = False
        self._gathers = False  # the row begins when the loop has made the calls that it has
        self._moved_at = 0.0
        self._over = allocate_lock()  # released at the end of a row
        self._over.acquire()

    def leave(self, loop: Loop) -> None:
        """Gather no more what is called in this loop: it may have no turn again."""
        if self.loop is loop:
            self.loop = None
            self._begin()

    def call(self, gate: Gate) -> None:
        """Release `gate` in its turn. From any thread."""
        # First the gate, then the look: `pass_on` gives `held` up and then looks at the row again.
        self._row.append(gate)
        if self.held or self._gathers:
            self._alone = False
            if time.monotonic() - self._moved_at > _STALE:
                self.held = True
                self.pass_on()
        elif self.loop is None or not self.loop.call_after_others(self._end_of_round):
            self._begin()
        else:
            self._gathers, self._moved_at = True, time.monotonic()

    def _end_of_round(self) -> None:
        self._begin()
        self.wait(lingers=True)

    def _begin(self) -> None:
        """Release the first of the row, unless others are at it."""
        self._gathers = False
        if self._row and not self.held:
            self._alone = len(self._row) == 1
            self.held = True
            self.pass_on()

    def pass_on(self) -> None:
        """Release the next gate. Called once by each thread whose gate was released."""
        self._moved_at = time.monotonic()
        while not self._release_next():
            self.held = False
            self._tell_over()
            if not self._row:
                return
            self.held = True  # somebody came before it was given up, and left it to us

    def _release_next(self) -> bool:
        if not self._row:  # as nearly always for one alone: an exception costs more than this look
            return False
        try:
            gate = self._row.popleft()
        except IndexError:
            return False
        gate.release()
        return True

    def _tell_over(self) -> None:
        if self._over.locked():  # else the end of an earlier row was not waited for
            try:
                self._over.release()
            except RuntimeError:  # another thread has told of it in this moment
                pass

    def wait(self, *, lingers: bool = False) -> None:
        """Let those who were called run. For a loop, which has the lock and shall not keep it.

        With `lingers` it waits for one that was called alone, too, who has the lock then until it
        has asked again, or whatever else it does before it waits.

        A loop that went on would drop the interpreter's lock at each turn, but for a moment so
        short that a thread, once the kernel has started it, finds the lock taken again.
        """
        if self._gathers and time.monotonic() - self._moved_at > _PATIENCE:
            self._begin()  # a long round; or a signal's exception came before its end was asked for
        if not self.held:
            return
        if self._row or (lingers and self._alone):
            self._wait_for_last()
        else:  # one only, which has been called: even a sleep of no time lets it run
            sleep(0)

    def _wait_for_last(self) -> None:
        self._over.acquire(False)  # of an earlier row
        if self.held and not self._over.acquire(True, _PATIENCE):
            while self._release_next():
                pass


wake_chain = WakeChain()
os.register_at_fork(after_in_child=wake_chain.clear)
