"""One gevent loop that runs all actors as greenlets.

A program of plain OS threads gets one daemon thread of ours, started on first use. In a
monkey-patched program no thread is added: the actors are greenlets of the caller's own hub.
A forked child starts anew; what the parent left in its memory is ended there without a
packet sent.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Protocol

import gevent
from gevent.event import Event
from gevent.monkey import get_original, is_module_patched

from quiver.actors.doorbell import Doorbell, allocate_lock, get_ident
from quiver.actors.signals import ForkedAway

logger = logging.getLogger("quiver.actors")

EXIT_TIMEOUT = 2.0  # seconds that a stopping hub gives its actors, all together


class HubStopped(RuntimeError):  # noqa: N818 - a state of things, as OTP names them
    """The loop under the actors was stopped, or the interpreter is on its way out."""


class Resident(Protocol):
    """What lives in a hub: an actor."""

    def run(self) -> None:
        """Its whole life, in a greenlet of its own."""

    def expire(self, reason: BaseException | None) -> None:
        """End it, once; a no-op when `run` has seen to that."""


class Hub:
    """Runs residents in one gevent loop. `Hub.current()` is the process's one hub."""

    _current: ClassVar[Hub | None] = None
    _latest: ClassVar[Hub | None] = None  # also when it has been stopped, and is about to end
    _exiting: ClassVar[bool] = False
    _lock: ClassVar[Any] = allocate_lock()
    _of_parent: ClassVar[list[Hub]] = []  # kept: their destructors would touch the parent's epoll

    def __init__(self) -> None:
        self.stopped = False
        self._patience = EXIT_TIMEOUT
        self._residents: dict[Resident, gevent.Greenlet[..., None] | None] = {}
        self._thread_ended = allocate_lock()
        # A thread that is no greenlet hub of a patched program must not run the actors.
        self.embedded = bool(is_module_patched("threading")) and gevent.get_hub().loop.default
        if self.embedded:
            self.doorbell = Doorbell.of(gevent.get_hub())
        else:
            self._start_thread()

    @classmethod
    def current(cls) -> Hub:
        """The hub that runs this process's actors, started if there is none.

        Raises:
            HubStopped: the interpreter is exiting.
        """
        hub = cls._current
        if hub is not None:
            return hub
        with cls._lock:
            if cls._exiting:
                raise HubStopped("no actor can be started while the interpreter exits")
            if cls._current is None:
                cls._current = cls._latest = cls()
            return cls._current

    def spawn(self, resident: Resident) -> None:
        """Start `resident.run` in a greenlet of this hub. From any thread.

        Raises:
            HubStopped: the hub was stopped.
        """
        self._residents[resident] = None
        if self.stopped:
            self._residents.pop(resident, None)
            raise HubStopped("the hub was stopped")
        self.doorbell.ring(partial(self._begin, resident))

    def kill(self, resident: Resident) -> None:
        """Throw GreenletExit into `resident`, wherever it is. From any thread."""
        self.doorbell.ring(partial(self._kill, resident))

    def stop(self, timeout: float = EXIT_TIMEOUT) -> None:
        """End all actors, answering whoever waits for them, then the loop.

        Args:
            timeout: seconds for all of it; what is not done by then is ended from here.
        """
        if not self._resign():
            return
        if self.embedded and get_ident() == self.doorbell.thread:
            self._kill_all(timeout)
        elif get_ident() == self.doorbell.thread:
            self._patience = timeout
            self._farewell.set()  # an actor of ours asked: it cannot wait for itself
            return
        else:
            self._stop_from_outside(timeout)
        self._expire_all()

    def _resign(self) -> bool:
        """Let the next actor have another hub; say whether this one was running until now."""
        with Hub._lock:
            if Hub._current is self:
                Hub._current = None
            was_running, self.stopped = not self.stopped, True
            return was_running

    def _expire_all(self) -> None:
        for resident in list(self._residents):
            resident.expire(HubStopped("the hub was stopped"))

    def _stop_from_outside(self, timeout: float) -> None:
        if self.embedded:
            ended = allocate_lock()
            ended.acquire()
            self.doorbell.ring(partial(gevent.spawn, self._kill_all, timeout, ended.release))
            ended.acquire(True, timeout + 0.5)
        else:
            self._patience = timeout
            self.doorbell.ring(self._farewell.set)
            self._wait_for_thread(timeout + 0.5)

    def _wait_for_thread(self, seconds: float) -> None:
        if self._thread_ended.acquire(True, seconds):
            self._thread_ended.release()  # somebody else may wait as well

    # in the loop's thread -------------------------------------------------------------------

    def _begin(self, resident: Resident) -> None:
        if resident in self._residents and not self.stopped:
            greenlet = self._residents[resident] = gevent.spawn(resident.run)
            greenlet.link(partial(self._ended, resident))

    def _ended(self, resident: Resident, greenlet: gevent.Greenlet[..., None]) -> None:
        # Also for a greenlet that was killed before its first step: `run` never began.
        value = greenlet.value if greenlet.successful() else greenlet.exception
        resident.expire(value if isinstance(value, BaseException) else None)
        self._residents.pop(resident, None)

    def _kill(self, resident: Resident) -> None:
        greenlet = self._residents.get(resident)
        if greenlet is not None:
            greenlet.kill(block=False)
        elif resident in self._residents:  # rung for from another thread, and not begun yet
            del self._residents[resident]
            resident.expire(gevent.GreenletExit())

    def _kill_all(self, timeout: float, then: Callable[[], object] = lambda: None) -> None:
        here = gevent.getcurrent()
        living = list(self._residents.values())  # another thread may be adding one
        greenlets = [g for g in living if g is not None and g is not here]
        gevent.killall(greenlets, timeout=timeout)
        then()

    # the thread of an unpatched program -----------------------------------------------------

    def _start_thread(self) -> None:
        started = allocate_lock()
        started.acquire()
        self._thread_ended.acquire()
        if is_module_patched("threading"):
            get_original("_thread", "start_new_thread")(self._in_thread, (started.release,))
        else:
            threading.Thread(
                target=self._in_thread, args=(started.release,), name="quiver-hub", daemon=True
            ).start()
        started.acquire()

    def _in_thread(self, started: Callable[[], object]) -> None:
        hub = gevent.get_hub()
        self.doorbell = Doorbell.of(hub)
        self.doorbell.hold()  # an idle loop waits for rings; it does not end
        self._farewell = Event()
        started()
        try:
            self._farewell.wait()
        finally:  # also when an error has escaped the loop: nobody shall wait for a dead thread
            self._resign()
            self._end_thread(hub)

    def _end_thread(self, hub: gevent.hub.Hub) -> None:
        try:
            self._kill_all(self._patience)
        finally:
            self._expire_all()
            self.doorbell.disconnect()
            hub.destroy(destroy_loop=True)
            self._thread_ended.release()

    # a forked child -------------------------------------------------------------------------

    @classmethod
    def _after_fork(cls) -> None:
        cls._lock = allocate_lock()
        hub, cls._current = cls._current, None
        cls._latest = None
        if hub is None:
            return
        cls._of_parent.append(hub)
        hub.stopped = True
        if not hub.embedded:
            hub.doorbell.disconnect()
        for resident in list(hub._residents):
            resident.expire(ForkedAway("the actor lives in the parent of this fork"))

    @classmethod
    def _at_exit(cls) -> None:
        cls._exiting = True
        latest = cls._latest
        if cls._current is not None:
            cls._current.stop()
        elif latest is not None and not latest.embedded:  # the end of a thread amid its last
            latest._wait_for_thread(
                EXIT_TIMEOUT
            )  # steps would be the end of the program, by SIGSEGV


os.register_at_fork(after_in_child=Hub._after_fork)
atexit.register(Hub._at_exit)
