"""Wakes a gevent loop from any thread: many rings, one wake-up.

gevent's own events are not safe between threads; a loop's `async_().send()` is. A doorbell
wraps one such watcher with a queue of calls, so that a burst of rings costs one wake-up.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from gevent.monkey import get_original

if TYPE_CHECKING:
    from gevent.hub import Hub as GeventHub

# The unpatched names: a doorbell must tell OS threads apart, not greenlets.
get_ident: Callable[[], int] = get_original("_thread", "get_ident")
allocate_lock: Callable[[], Any] = get_original("_thread", "allocate_lock")


class Doorbell:
    """Runs calls in the loop of one gevent hub, whichever thread rings."""

    _of_thread: ClassVar[Any] = get_original("_thread", "_local")()

    def __init__(self, hub: GeventHub) -> None:
        self._hub = weakref.proxy(hub)
        self._loop = hub.loop
        self.thread = get_ident()
        self._calls: deque[Callable[[], object]] = deque()
        self._holds = 0
        self.disconnected = False
        self._async: Any = hub.loop.async_(ref=False)
        self._async.start(self._answer)

    @classmethod
    def of(cls, hub: GeventHub) -> Doorbell:
        """The doorbell of `hub`, which must be the calling thread's own."""
        bell: Doorbell | None = getattr(cls._of_thread, "bell", None)
        if bell is None or bell.disconnected or bell._loop is not hub.loop:
            bell = cls._of_thread.bell = cls(hub)
        return bell

    def ring(self, call: Callable[[], object]) -> None:
        """Run `call` in the loop, soon. From any thread; never blocks."""
        if self.disconnected:
            return
        if get_ident() == self.thread:
            self._loop.run_callback(call)
            return
        self._calls.append(call)
        try:
            self._async.send()  # libev makes one wake-up of many
        except ValueError:  # the loop was destroyed in this moment
            self.disconnect()

    def hold(self) -> None:
        """Keep the loop running: somebody waits for a ring."""
        self._holds += 1
        if self._holds == 1:
            self._async.ref = True

    def let_go(self) -> None:
        self._holds -= 1
        if self._holds == 0:
            self._async.ref = False

    def disconnect(self) -> None:
        """Later rings are ignored: the loop is gone, or belongs to the parent of a fork."""
        self.disconnected = True
        self._calls.clear()

    def _answer(self) -> None:
        for _ in range(len(self._calls)):
            call = self._calls.popleft()
            try:
                call()
            except BaseException:  # one bad call must not lose the others
                self._hub.handle_error(call, *sys.exc_info())
