"""One gevent loop that runs all actors, each in a greenlet while it is at work.

A program of plain OS threads gets one daemon thread of ours, started on first use. In a
monkey-patched program no thread is added: the actors are greenlets of the caller's own hub.
A forked child starts anew; what the parent left in its memory is ended there without a
packet sent.

What begins something begins it in the loop, as one step: see `run`. Python raises what its signal
handlers raise in the main thread, between any two bytecodes. So a thread that wants something
started only rings for it and waits; the hub itself is made in a thread that is started for that.
"""

from __future__ import annotations

import atexit
import errno
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import ClassVar, TypeVar

import gevent
import pykka
from gevent.event import Event
from gevent.monkey import is_module_patched

from quiver.actors import signal_deferral
from quiver.actors.descriptors import NoneLeft, check_for_loop, make_hub
from quiver.actors.dispatcher import Cell, Dispatcher, Resident
from quiver.actors.fork_pause import ForkPause
from quiver.actors.log import log_forwarder
from quiver.actors.loop_stalls import LoopStalls
from quiver.actors.native_threads import (
    Lock,
    allocate_lock,
    get_ident,
    start_new_thread,
    start_thread,
)
from quiver.actors.reply import AnyReply, Reply
from quiver.actors.system_messages import ForkedAway
from quiver.actors.wait_queue import LoopWakeup
from quiver.actors.wake_chain import wake_chain

logger = logging.getLogger("quiver.actors")

T = TypeVar("T")

EXIT_TIMEOUT = 2.0  # seconds that a stopping hub gives its actors, all together
START_TIMEOUT = 10.0  # seconds within which the loop makes a call; it takes far below one

FORK_PATIENCE = 2.0  # seconds that a fork waits for a loop that begins


class HubStopped(RuntimeError):  # noqa: N818 - a state of things, as OTP names them
    """The loop under the actors was stopped, or the interpreter is on its way out."""


class HubStalled(RuntimeError):  # noqa: N818
    """The loop under the actors did not come to a call in time: something blocks it."""


_EXITING = "no actor can be started while the interpreter exits"


def _started(start: Callable[..., object], *args: object) -> None:
    try:
        start(*args)
    except RuntimeError as error:  # as `threading` says it
        raise NoneLeft(errno.EAGAIN, f"{error}") from error


def _embedded() -> bool:
    """A thread that is no greenlet hub of a patched program must not run the actors."""
    if not is_module_patched("threading"):
        return False
    check_for_loop()
    return bool(gevent.get_hub().loop.default)


class Step:
    """A call that is made in the loop, in a greenlet of its own, while somebody waits for it."""

    never_waits = False

    def __init__(self, call: Callable[[], object]) -> None:
        self.reply: AnyReply = Reply()
        self._call = call

    def run(self) -> bool:
        if self.reply.done:  # given up before it began
            return False
        try:
            self.reply.answer(self._call())
        except gevent.GreenletExit:
            self.expire(None)
        except BaseException as error:  # noqa: BLE001 - it is its caller's
            self.reply.fail(error)
        return False

    def expire(self, reason: BaseException | None) -> None:
        self.reply.fail(reason if isinstance(reason, Exception) else HubStopped("in this moment"))


class Hub:
    """Runs residents in one gevent loop. `Hub.current()` is the process's one hub."""

    _current: ClassVar[Hub | None] = None
    _latest: ClassVar[Hub | None] = None  # also when it has been stopped, and is about to end
    _exiting: ClassVar[bool] = False
    _lock: ClassVar[Lock] = allocate_lock()
    _forking: ClassVar[set[int]] = set()  # threads that have it for their fork
    _of_parent: ClassVar[list[Hub]] = []  # kept: their destructors would touch the parent's epoll

    def __init__(self) -> None:
        check_for_loop()
        self.stopped = False
        self.stalls = LoopStalls()
        self._patience = EXIT_TIMEOUT
        self._dispatcher = Dispatcher()
        self._thread_ended = allocate_lock()
        self.embedded = _embedded()
        if self.embedded:
            self.wakeup = LoopWakeup.of(gevent.get_hub())
            log_forwarder.begin_loop(embedded=True)
            signal_deferral.wrap_handlers()
        else:
            self._start_thread()

    @classmethod
    def current(cls, meanwhile: Callable[[], object] | None = None) -> Hub:
        """The hub that runs this process's actors, started if there is none.

        Args:
            meanwhile: called if it is made in a thread now, which takes half a millisecond.

        Raises:
            HubStopped: the interpreter is exiting.
            HubStalled: it did not begin within START_TIMEOUT.
            NoneLeft: no descriptor is left for its loop, or no thread.
        """
        hub = cls._current
        if hub is not None:
            return hub
        if cls._exiting:
            raise HubStopped(_EXITING)
        if not _embedded():
            return cls._made_by_a_thread(meanwhile)
        # No lock: this is the one thread that embeds, and no greenlet has its turn in between.
        hub = cls._current = cls._latest = cls()
        wake_chain.loop = hub.wakeup
        return hub

    @classmethod
    def _made_by_a_thread(cls, meanwhile: Callable[[], object] | None) -> Hub:
        """Whatever interrupts the wait, the hub is made, and the next who looks finds it."""
        made: list[Hub | BaseException] = []
        gate = allocate_lock()
        gate.acquire()
        _started(start_new_thread, cls._make, (made, gate))
        if meanwhile is not None:
            meanwhile()
        if not gate.acquire(True, START_TIMEOUT):
            raise HubStalled(f"the loop under the actors did not begin in {START_TIMEOUT} seconds")
        hub = made[0]
        if isinstance(hub, BaseException):
            raise hub
        return hub

    @classmethod
    def _make(cls, made: list[Hub | BaseException], gate: Lock) -> None:
        """Of threads that race here, each finds the hub that the first has made."""
        try:
            with cls._lock:
                if cls._exiting:
                    raise HubStopped(_EXITING)
                if cls._current is None:
                    cls._current = cls._latest = cls()
                    wake_chain.loop = cls._current.wakeup
                made.append(cls._current)
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it
            made.append(error)
        finally:
            gate.release()

    def run(self, call: Callable[[], T], timeout: float = START_TIMEOUT) -> T:
        """Make `call` in the loop's thread, wait for it, and return or raise its outcome.

        From any thread; in the loop's own it is made at once. It is made whole or, when whoever
        waits was interrupted before it began, not at all.

        Args:
            call: what may block, as greenlets do.
            timeout: seconds to wait for it.

        Raises:
            HubStopped: the hub was stopped.
            HubStalled: it was not done in time.
        """
        if get_ident() == self.wakeup.thread:
            return call()
        step = Step(call)
        try:
            self.spawn(step)
            return step.reply.get(timeout=timeout)  # type: ignore[no-any-return]
        except pykka.Timeout:
            if step.reply.cancel():
                said = f"the loop under the actors did not do {call} within {timeout} seconds"
                raise HubStalled(f"{said}: what runs in it blocks it") from None
            raise
        except BaseException:
            step.reply.cancel()
            raise
        finally:
            del step  # its reply may hold what is raised, which holds this frame: a cycle

    @classmethod
    def running(cls) -> Hub | None:
        """The hub if there is one: none is started, and no lock taken."""
        return cls._current

    def spawn(self, resident: Resident) -> Cell:
        """Give `resident` its first turn, soon, in a greenlet of this hub. From any thread.

        Returns:
            What is to be called in the loop for each later turn.

        Raises:
            HubStopped: the hub was stopped.
        """
        cell = self._dispatcher.admit(resident)
        try:
            if self.stopped:
                raise HubStopped("the hub was stopped")
            self.wakeup.call_soon(partial(self._begin, resident))
        except BaseException:
            self._dispatcher.forget(resident)  # so that a ring that was heard begins nothing
            raise
        return cell

    def kill(self, resident: Resident, reason: gevent.GreenletExit | None = None) -> None:
        """Throw `reason`, or GreenletExit, into `resident`, wherever it is. From any thread."""
        self.wakeup.call_soon(partial(self._kill, resident, reason))

    def stop(self, timeout: float = EXIT_TIMEOUT) -> None:
        """End all actors, answering whoever waits for them, then the loop.

        Args:
            timeout: seconds for all of it; what is not done by then is ended from here.
        """
        if not self._resign():
            return
        if self.embedded and get_ident() == self.wakeup.thread:
            self._kill_all(timeout)
        elif get_ident() == self.wakeup.thread:
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
            wake_chain.leave(self.wakeup)
            return was_running

    def _expire_all(self) -> None:
        for resident in self._dispatcher.residents():
            resident.expire(HubStopped("the hub was stopped"))

    def _stop_from_outside(self, timeout: float) -> None:
        if self.embedded:
            ended = allocate_lock()
            ended.acquire()
            self.wakeup.call_soon(partial(gevent.spawn, self._kill_all, timeout, ended.release))
            ended.acquire(True, timeout + 0.5)
        else:
            self._patience = timeout
            self.wakeup.call_soon(self._farewell.set)
            self._wait_for_thread(timeout + 0.5)

    def _wait_for_thread(self, seconds: float) -> None:
        if self._thread_ended.acquire(True, seconds):
            self._thread_ended.release()  # somebody else may wait as well

    # in the loop's thread -------------------------------------------------------------------

    def _begin(self, resident: Resident) -> None:
        if not self.stopped:
            self._dispatcher.begin(resident)

    def _kill(self, resident: Resident, reason: gevent.GreenletExit | None = None) -> None:
        self._dispatcher.kill(resident, reason or gevent.GreenletExit())

    def _kill_all(self, timeout: float, then: Callable[[], object] = lambda: None) -> None:
        self._dispatcher.close(self.wakeup, timeout)
        then()

    # the thread of an unpatched program -----------------------------------------------------

    def _start_thread(self) -> None:
        started = allocate_lock()
        started.acquire()
        self._thread_ended.acquire()
        _started(start_thread, self._in_thread, "quiver-hub", started.release)
        started.acquire()

    def _in_thread(self, started: Callable[[], object]) -> None:
        hub = make_hub()
        log_forwarder.begin_loop(embedded=False)
        self.wakeup = LoopWakeup.of(hub)
        self.wakeup.ref()  # an idle loop waits for rings; it does not end
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
            self.stalls.close()
            self.wakeup.disconnect()
            log_forwarder.end_loop()
            hub.destroy(destroy_loop=True)
            self._thread_ended.release()

    # a fork, and its child ------------------------------------------------------------------

    @classmethod
    def before_fork(cls) -> None:
        """Let no loop begin, and the one there is rest, until the fork is over.

        Called by the fork. Who makes a fork wait until this file is imported calls it then: of the
        hooks, a fork calls those that there were when it began.
        """
        me = get_ident()
        if me not in cls._forking and cls._lock.acquire(True, FORK_PATIENCE):
            cls._forking.add(me)
        if cls._current is not None:
            ForkPause.begin(cls._current.wakeup)

    @classmethod
    def _after_fork_in_parent(cls) -> None:
        ForkPause.end()
        me = get_ident()
        if me in cls._forking:
            cls._forking.discard(me)
            cls._lock.release()

    @classmethod
    def _after_fork(cls) -> None:
        ForkPause.clear()
        cls._forking.clear()
        cls._lock = allocate_lock()
        hub, cls._current = cls._current, None
        cls._latest = None
        if hub is None:
            return
        cls._of_parent.append(hub)
        hub.stopped = True
        if not hub.embedded:
            hub.wakeup.disconnect()
        with log_forwarder.withheld():
            for resident in hub._dispatcher.residents():
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


def ring_if_running(call: Callable[[], object]) -> None:
    """Run `call` in the loop if there is one: no lock is taken, no loop started, nothing raised.

    For finalisers. The collector runs them in any thread and in the middle of anything, also
    while that thread holds a lock of ours, or while the interpreter exits.
    """
    hub = Hub.running()
    if hub is not None:
        hub.wakeup.call_soon(call)


def spawn_if_running(call: Callable[[], object]) -> None:
    """As `ring_if_running`, for what may wait: it has a greenlet, where signals are put off."""
    ring_if_running(partial(_spawn, call))


def _spawn(call: Callable[[], object]) -> None:
    signal_deferral.protect(gevent.spawn(call))


os.register_at_fork(
    before=Hub.before_fork,
    after_in_parent=Hub._after_fork_in_parent,
    after_in_child=Hub._after_fork,
)
atexit.register(Hub._at_exit)
