"""Waiting for something to change: in an OS thread, a greenlet of any hub, or an asyncio task.

Whoever waits leaves a call in a list; whoever changes something makes all calls in it, once. The
list needs no lock: `append`, `pop` and `remove` are each one step under the GIL, and a waiter
looks again after it has left its call.

    wait, wake        by whoever waits; by whoever has changed something
    Event             of which that is that it has happened
    LoopWakeup        how a greenlet's loop is woken from another thread

How threads are woken is in `wake_chain`.
"""

from __future__ import annotations

import logging
import math
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from gevent._hub_local import get_hub, get_hub_if_exists
from greenlet import getcurrent

from quiver.actors.native_threads import Lock, allocate_lock, get_ident, thread_local
from quiver.actors.propagation import must_propagate_from_call
from quiver.actors.wake_chain import wake_chain

if TYPE_CHECKING:
    import asyncio

    from gevent.hub import Hub
    from greenlet import greenlet

logger = logging.getLogger("quiver.actors")

WaitQueue = list[Callable[[], object]]


class WouldWaitForItself(RuntimeError):  # noqa: N818 - what would be, not an error's kind
    """A wait in the loop, or in one of its actors, for what only that one could bring about."""


_LONGEST: Final = 1e9  # seconds; much beyond, some systems can wait for ever only
_LATE: Final = 0.1  # seconds after its time that a waiter has its turn, if nothing has stopped it
_CHANCE: Final = 0.5  # seconds for the loop after that
_LOOK: Final = 0.5  # seconds between a main thread's looks at signals
_TURN: Final = 1.0  # seconds at most for the turn of a thread that was called as its time was up


def wake(wakes: WaitQueue) -> None:
    """Wake everybody who waits in `wakes` now. From any thread."""
    while wakes:
        try:
            call = wakes.pop()
        except IndexError:  # its waiter took it back in this moment
            return
        try:
            call()
        except BaseException as error:  # it must neither reach who answers, nor stop the others
            if must_propagate_from_call(error):
                raise
            logger.exception("a call that was left to be made has failed")


def take_back(wakes: WaitQueue, call: Callable[[], object]) -> bool:
    """Remove `call`, if it has not been made yet; False if it has."""
    if not wakes:  # as nearly always after a wake-up: an exception costs more than this look
        return False
    try:
        wakes.remove(call)
    except ValueError:
        return False
    return True


def wait(wakes: WaitQueue, met: Callable[[], bool], timeout: float | None = None) -> bool:
    """Wait until `met()`, looking again at every wake-up.

    Args:
        wakes: the list that is woken when `met` may have changed.
        timeout: seconds; None waits as long as it takes.

    Returns:
        What `met()` says at the end: False when the time is up.

    Raises:
        WouldWaitForItself: called by a callback of the loop, or in an actor that never waits.
    """
    due = math.inf if timeout is None else time.monotonic() + timeout
    return met() or wait_until(wakes, met, due)


def wait_until(wakes: WaitQueue, met: Callable[[], bool], due: float) -> bool:
    """As `wait`, until this time of `time.monotonic`, for who has just seen that it is not met."""
    hub, wait_here = get_hub_if_exists(), _wait_in_thread
    if hub is not None:
        _refuse_to_wait(hub)
        wait_here = _wait_in_greenlet
    while (left := due - time.monotonic()) > 0:
        wait_here(wakes, met, left)
        if met():
            return True
    if left < -_LATE:  # whoever waits was stopped, as the loop may have been that had the answer
        wait_here(wakes, met, _CHANCE)
    return met()


def _refuse_to_wait(hub: Hub) -> None:
    current = getcurrent()
    if current is hub:
        said = "a callback of the loop cannot wait for a reply: spawn a greenlet"
        raise WouldWaitForItself(f"{said}, or hand it to a thread")
    if getattr(getattr(current, "resident", None), "never_waits", False):  # see `dispatcher`
        said = "this was called by an actor that must not wait for a reply, which may be its own"
        raise WouldWaitForItself(f"{said} to give: hand it to a thread, or ask with block=False")


async def wait_in_task(wakes: WaitQueue, met: Callable[[], bool]) -> None:
    """Wait in an asyncio task until `met()`, looking again at every wake-up."""
    import asyncio

    loop = asyncio.get_running_loop()
    while not met():
        woken = asyncio.Event()
        call = partial(_call_in, loop, woken.set)
        wakes.append(call)
        try:
            if not met():
                await woken.wait()
        finally:
            take_back(wakes, call)


def _call_in(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        pass  # the loop is closed: nobody waits there any more


class Event:
    """Something that happens once: a threading.Event that takes less than its kilobyte, and whose
    `wait` does not block the loop."""

    __slots__ = ("_set", "_wakes")

    def __init__(self) -> None:
        self._set = False
        self._wakes: WaitQueue = []

    def __repr__(self) -> str:
        return f"<Event {'set' if self._set else 'unset'}>"

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        wake(self._wakes)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for so many seconds, None: as long as it takes. Returns whether it is set.

        Raises WouldWaitForItself in a callback of the loop, or an actor that never waits.
        """
        return wait(self._wakes, self.is_set, timeout)


# Bound once: a method of what was imported is looked up in 40 ns, each time.
_call_in_turn: Final = wake_chain.call
_pass_on: Final = wake_chain.pass_on


class _Gate:
    """A lock that a thread waits to acquire, and that says itself that it was released.

    An exception of a signal's may come between its being acquired and the next step of who waited,
    and the chain must go on.
    """

    __slots__ = ("called", "lock")

    def __init__(self) -> None:
        self.called = False
        self.lock = allocate_lock()
        self.lock.acquire()

    def __call__(self) -> None:
        _call_in_turn(self)

    def release(self) -> None:
        self.called = True
        self.lock.release()


def _wait_in_thread(wakes: WaitQueue, met: Callable[[], bool], seconds: float) -> None:
    gate = _Gate()
    wakes.append(gate)
    try:
        # Looked at again after the call was left: who changed it wakes, or we see it.
        if not met() and not gate.lock.acquire(True, min(seconds, _LOOK)):
            _wait_on(gate.lock, seconds - _LOOK)
    finally:
        # Whoever was called passes it on, or nobody after it in the row is woken. A call that can
        # no longer be taken back is being made in this moment: its turn comes at once.
        if gate.called or (not take_back(wakes, gate) and gate.lock.acquire(True, _TURN)):
            _pass_on()


def _wait_on(lock: Lock, seconds: float) -> None:
    """Wait as long again as there is left; in the main thread not at all, so that it looks whether
    a signal has come.

    One that comes while a thread drops the interpreter's lock, in order to wait for another, does
    not interrupt that wait. It drops it when the thread that wants it has it, which takes a moment.
    """
    # Not by `current_thread`, which would have `threading` know of others' threads for ever.
    if seconds > 0 and get_ident() != threading.main_thread().ident:
        lock.acquire(True, -1 if seconds > _LONGEST else seconds)


class _Sleeper:
    """The calling greenlet, which sleeps until this is called, from any thread.

    gevent's Waiter, with its switch bound to it and to a loop's wakeup, is six objects: here it is
    one, for each ask.

    Attributes:
        greenlet: until it has been rung for, or waits no more.
    """

    __slots__ = ("_wakeup", "greenlet")

    def __init__(self, wakeup: LoopWakeup) -> None:
        self._wakeup = wakeup
        self.greenlet: greenlet | None = getcurrent()

    def __call__(self) -> None:
        self._wakeup.call_soon(self.ring)

    def ring(self) -> None:
        """Wake it, once. In its loop, which has no turn before it sleeps."""
        sleeping, self.greenlet = self.greenlet, None
        if sleeping is not None:
            sleeping.switch()


def _wait_in_greenlet(wakes: WaitQueue, met: Callable[[], bool], seconds: float) -> None:
    hub = get_hub()
    wakeup = LoopWakeup.of(hub)
    sleeper = _Sleeper(wakeup)
    timer = None if seconds == math.inf else hub.loop.timer(seconds)
    wakeup.ref()
    wakes.append(sleeper)
    try:
        if timer is not None:
            timer.start(sleeper.ring, update=True)
        if not met():
            hub.switch()
    finally:
        sleeper.greenlet = None
        wakeup.unref()
        take_back(wakes, sleeper)
        if timer is not None:
            timer.stop()
            timer.close()


# the loop, woken from any thread ----------------------------------------------------------------


class LoopWakeup:
    """Runs calls in the loop of one gevent hub, whichever thread they come from.

    gevent's own events are not safe between threads; a loop's `async_().send()` is. One such
    watcher has a queue of calls, so that a burst of them costs one wake-up. asyncio has the same
    as `call_soon_threadsafe`.
    """

    _of_thread: ClassVar[Any] = thread_local()

    def __init__(self, hub: Hub) -> None:
        self._hub = weakref.proxy(hub)
        self._loop: Any = hub.loop
        self.thread = get_ident()  # the loop's; 0 when that is gone
        self._calls: deque[Callable[[], object]] = deque()
        self._holds = 0
        self.disconnected = False
        self._async: Any = hub.loop.async_(ref=False)
        self._async.start(self._answer)

    @classmethod
    def of(cls, hub: Hub) -> LoopWakeup:
        """The wakeup of `hub`, which must be the calling thread's own."""
        wakeup: LoopWakeup | None = getattr(cls._of_thread, "wakeup", None)
        if wakeup is None or wakeup.disconnected or wakeup._loop is not hub.loop:
            wakeup = cls._of_thread.wakeup = cls(hub)
        return wakeup

    def call_soon(self, call: Callable[[], object]) -> None:
        """Run `call` in the loop, soon. From any thread; never blocks."""
        if get_ident() == self.thread:
            self._loop.run_callback(call)
        elif not self.disconnected:
            self._calls.append(call)
            try:
                self._async.send()  # libev makes one wake-up of many
            except ValueError:  # the loop was destroyed in this moment
                self.disconnect()

    def call_after_look(self, call: Callable[[], object]) -> None:
        """Run `call` when the loop has looked at its sockets, timers and other threads' calls.

        It makes 50 calls that come one from the other before it looks. In the loop's own thread.
        """
        if not self.disconnected:
            self._calls.append(call)
            self._async.send()

    def has_calls(self) -> bool:
        """Whether the loop has calls to make before it waits, also those that threads have left.

        In the loop's own thread.
        """
        if self._calls:  # it has been rung for, and would hear that only when it waits
            self._loop.run_callback(self._answer)
        return bool(self._loop._callbacks)

    def call_after_others(self, call: Callable[[], object]) -> bool:
        """Run `call` when the loop has made all calls that it has to make now.

        Returns whether it will: not where there are none, nor from another thread.
        """
        if get_ident() != self.thread or not self._loop._callbacks:
            return False
        self._loop.run_callback(call)
        return True

    def ref(self) -> None:
        """Keep the loop running: somebody waits for a call. Undone by `unref`, as in libuv."""
        self._holds += 1
        if self._holds == 1:
            self._async.ref = True

    def unref(self) -> None:
        """Let the loop end if nothing else keeps it."""
        self._holds -= 1
        if self._holds == 0:
            self._async.ref = False

    def disconnect(self) -> None:
        """Ignore later calls: the loop is gone, or belongs to the parent of a fork."""
        self.disconnected, self.thread = True, 0
        self._calls.clear()

    def _answer(self) -> None:
        for _ in range(len(self._calls)):
            call = self._calls.popleft()
            try:
                call()
            except BaseException:  # one bad call must not lose the others
                self._hub.handle_error(call, *sys.exc_info())
