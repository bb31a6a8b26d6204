"""Gives actors their turns: a greenlet for as long as there is something to do.

An actor whose inbox is empty has no greenlet, whose stack would take more than all else of it. When
something comes it is given one, for a turn; one that blocks amid a message keeps it until it has
gone on. Dispatcher and cell are Akka's words for this.

A greenlet goes from one actor to the next only when nobody knows it. A `gevent.Timeout` that was
left running does, as do a `gevent.local`, a greenlet that it has spawned, and whoever is to switch
to it: what belongs to one actor would reach the other.
"""

from __future__ import annotations

import contextlib
import sys
import time
import weakref
from contextvars import Context
from functools import partial
from typing import Any, Final, Protocol

import gevent
from gevent.event import Event
from greenlet import GreenletExit, greenlet

from quiver.actors import signal_deferral
from quiver.actors.wait_queue import LoopWakeup
from quiver.actors.wake_chain import wake_chain

__all__ = ["Cell", "Dispatcher", "Resident"]

_MOST_IDLE: Final = 64  # workers; each holds some 8 KiB, and to make one takes some 8 µs


class Resident(Protocol):
    """An inhabitant of a hub: an actor.

    Attributes:
        never_waits: a blocking wait for a reply is refused in its greenlet.
    """

    never_waits: bool

    def run(self) -> bool:
        """Do what there is to do, in a greenlet. Returns whether there may be more, later."""

    def expire(self, reason: BaseException | None) -> None:
        """End it, once; a no-op when `run` has seen to that."""


class Cell:
    """Where one resident lives, between its turns as well. To call it is to give it a turn.

    Attributes:
        worker: the greenlet that it has, while it has a turn.
        context: the values of context variables that it has set in those before.
    """

    __slots__ = ("_dispatcher", "context", "resident", "worker")

    def __init__(self, dispatcher: Dispatcher, resident: Resident) -> None:
        self._dispatcher = dispatcher
        self.resident = resident
        self.worker: _Worker | None = None
        self.context: Context | None = None

    def __call__(self, worker: _Worker | None = None) -> None:
        """Have it do what there is to do, unless it is at it. In the loop, as `kill` is."""
        if self.worker is None:
            if worker is None:
                worker = self._dispatcher.worker()
            self.worker = worker
            worker.cell = self
            if self.context is not None:
                worker.gr_context = self.context
            worker.switch()

    def kill(self, reason: GreenletExit) -> None:
        """Throw `reason` into it, wherever it is."""
        if self.worker is not None:
            self.worker.killed = reason
            self.worker.throw(reason)
        else:
            worker = _Worker(self._dispatcher)
            worker.killed = reason
            self(worker)


class _Worker(greenlet):
    """A greenlet that one resident after the other has for a turn.

    Attributes:
        cell: that of who has it now.
        killed: why it ends with this turn, as its resident does: see `propagation`.
        signals_deferred: see `signal_deferral`.
    """

    __slots__ = ("_dispatcher", "cell", "killed")
    signals_deferred = True

    def __init__(self, dispatcher: Dispatcher) -> None:
        super().__init__(self._live, gevent.get_hub())
        self._dispatcher = dispatcher
        self.cell: Cell | None = None
        self.killed: GreenletExit | None = None

    @property
    def resident(self) -> Resident | None:
        """Who has it now: what others know an actor's greenlet by."""
        return None if self.cell is None else self.cell.resident

    def throw(self, *args: Any) -> Any:
        """Raise this in it, unless it has ended: what was meant for who had it is nobody's then."""
        return None if self.dead else super().throw(*args)

    def _live(self) -> None:
        hub, dispatcher, switch = self.parent, self._dispatcher, greenlet.switch
        idle = dispatcher.idle
        assert hub is not None
        unused = weakref.getweakrefcount(self)  # one, if coverage measures
        while self._work() and len(idle) < dispatcher.most_idle:
            if self.__dict__ or weakref.getweakrefcount(self) > unused:
                return  # somebody has left something with it, or will know it again
            idle.append(self)
            try:
                while self.cell is None:
                    switch(hub)
            except BaseException:  # noqa: BLE001 - of a turn that is over: it is nobody's any more
                with contextlib.suppress(ValueError):
                    idle.remove(self)
                return

    def _work(self) -> bool:
        """Let the resident have its turn. Returns whether the greenlet is as good as new."""
        cell = self.cell
        assert cell is not None
        reason: BaseException | None
        try:
            if self.killed is not None:
                raise self.killed
            if cell.resident.run():
                if self.gr_context is not None:
                    cell.context, self.gr_context = self.gr_context, None
                cell.worker = self.cell = self.killed = None  # one that caught that goes on
                return True
            reason = None
        except BaseException as error:  # noqa: BLE001 - also a Timeout or GreenletExit
            reason = error
        try:
            self._dispatcher.end(cell, reason)
            if isinstance(reason, KeyboardInterrupt) and signal_deferral.active:
                raise reason  # it may have been meant for the main greenlet
        finally:
            cell.worker = self.cell = None
            del cell, reason  # who remembers the reason holds this frame
        return False


class _Nobody:
    """A resident that does nothing, and leaves nothing behind."""

    never_waits = False

    def run(self) -> bool:
        return True

    def expire(self, reason: BaseException | None) -> None: ...


class Dispatcher:
    """The residents of one loop. To be used in its thread, but where it says from any.

    Attributes:
        idle: greenlets that nobody has now.
        most_idle: how many of them are kept for later turns.
    """

    def __init__(self) -> None:
        self.idle: list[_Worker] = []
        self.most_idle = _MOST_IDLE
        self._fewest = 0  # references to one that nobody knows, when that is measured
        self._cells: dict[Resident, Cell] = {}  # in the order of their start
        self._one_ended = Event()

    def admit(self, resident: Resident) -> Cell:
        """Have `resident` live here. From any thread."""
        cell = self._cells[resident] = Cell(self, resident)
        return cell

    def forget(self, resident: Resident) -> None:
        """It has ended, or is not to begin. From any thread."""
        self._cells.pop(resident, None)

    def residents(self) -> list[Resident]:
        """All that have not ended. From any thread."""
        return list(self._cells)

    def worker(self) -> _Worker:
        """A greenlet that nobody has, nor knows. In the loop: who resumed it has let go of it."""
        while self.idle:
            worker = self.idle.pop()
            if sys.getrefcount(worker) <= self._fewest:
                return worker
            worker.throw()
        if self.most_idle and not self._fewest:
            self._fewest = self._measured()
        return _Worker(self)

    def _measured(self) -> int:
        """The references to a greenlet that nobody knows: there are as many to its own frames, and
        that differs between releases of Python and greenlet."""
        Cell(self, _Nobody())(_Worker(self))
        if not self.idle:  # a tracer has left something with it, as it will with all
            return 0
        worker = self.idle.pop()
        references = sys.getrefcount(worker)
        worker.throw()
        return references

    def begin(self, resident: Resident) -> None:
        """Give `resident` a turn, unless it has ended. In the loop."""
        cell = self._cells.get(resident)
        if cell is not None:
            cell()

    def kill(self, resident: Resident, reason: GreenletExit) -> None:
        """Throw `reason` into `resident`, unless it has ended. In the loop."""
        cell = self._cells.get(resident)
        if cell is not None:
            cell.kill(reason)

    def end(self, cell: Cell, reason: BaseException | None) -> None:
        """End the resident, in its own greenlet."""
        try:
            cell.resident.expire(reason)
        finally:
            self.forget(cell.resident)
            self._one_ended.set()
            wake_chain.wait()  # its last answers were given after its last batch

    def close(self, wakeup: LoopWakeup, timeout: float) -> None:
        """Kill all but the one that calls, and wait for them. From a greenlet.

        Args:
            wakeup: that of the loop.
            timeout: seconds to wait.
        """
        self.most_idle = 0
        for resident in self._others():
            wakeup.call_soon(partial(self.kill, resident, GreenletExit()))
        wakeup.call_soon(self._dismiss)
        due = time.monotonic() + timeout
        while (self._others() or self.idle) and (left := due - time.monotonic()) > 0:
            self._one_ended.clear()
            self._one_ended.wait(left)

    def _others(self) -> list[Resident]:
        here = gevent.getcurrent()
        cells = list(self._cells.values())  # another thread may be adding one
        return [cell.resident for cell in cells if cell.worker is not here]

    def _dismiss(self) -> None:
        while self.idle:
            self.idle.pop().throw()
        self._one_ended.set()
