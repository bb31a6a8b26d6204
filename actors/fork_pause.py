"""A loop's thread at rest while another thread forks.

    before the fork     the loop is rung for, and comes to `hold` between two steps of its own
    after it            it goes on; in the child there is no such thread

C code that lets go of the GIL may hold locks meanwhile, OpenSSL's for one. If another thread forked
in that moment, they would stay locked in the child for ever.
"""

from __future__ import annotations

from typing import ClassVar, Final

from quiver.actors.native_threads import allocate_lock, get_ident
from quiver.actors.wait_queue import LoopWakeup

__all__ = ["ForkPause"]

_PATIENCE: Final = 2.0  # seconds that a fork waits for a loop that something blocks
_LONGEST: Final = 10.0  # seconds that a loop waits for a fork


class ForkPause:
    """One loop's rest for one fork."""

    _by_thread: ClassVar[dict[int, ForkPause]] = {}  # that forks

    def __init__(self) -> None:
        self._reached, self._over = allocate_lock(), allocate_lock()
        self._reached.acquire()
        self._over.acquire()

    def hold(self) -> None:
        """Rest until the fork is over. In the loop's thread."""
        self._reached.release()
        self._over.acquire(True, _LONGEST)

    @classmethod
    def begin(cls, wakeup: LoopWakeup) -> None:
        """Have a loop rest, unless this is its own thread."""
        me = get_ident()
        if me not in cls._by_thread and me != wakeup.thread and not wakeup.disconnected:
            pause = cls._by_thread[me] = cls()
            wakeup.call_soon(pause.hold)
            pause._reached.acquire(True, _PATIENCE)

    @classmethod
    def end(cls) -> None:
        """Let the loop go on."""
        pause = cls._by_thread.pop(get_ident(), None)
        if pause is not None:
            pause._over.release()

    @classmethod
    def clear(cls) -> None:
        """Forget all of them, in a child."""
        cls._by_thread.clear()
