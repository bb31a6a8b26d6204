"""Waiting for something to change: in an OS thread, a greenlet of any hub, or an asyncio task.

Whoever waits leaves a call in a list; whoever changes something makes all calls in it, once. The
list needs no lock: `append`, `pop` and `remove` are each one step under the GIL, and a waiter
looks again after it has left its call.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from gevent._hub_local import get_hub_if_exists
from gevent._waiter import Waiter
from greenlet import getcurrent

from quiver.actors.baton import baton
from quiver.actors.doorbell import Doorbell, allocate_lock

logger = logging.getLogger("quiver.actors")

Wakes = list[Callable[[], object]]

_TURN: Final = 1.0  # seconds at most for the turn of a thread that was called as its time was up


def wake(wakes: Wakes) -> None:
    """Wake everybody who waits in `wakes` now. From any thread."""
    while wakes:
        try:
            call = wakes.pop()
        except IndexError:  # its waiter took it back in this moment
            return
        try:
            call()
        except Exception:  # one that fails must neither reach who answers, nor stop the others
            logger.exception("a call that was left to be made has failed")


def take_back(wakes: Wakes, call: Callable[[], object]) -> bool:
    """Remove `call`, if it has not been made yet; False if it has."""
    if not wakes:  # as nearly always after a wake-up: an exception costs more than this look
        return False
    try:
        wakes.remove(call)
    except ValueError:
        return False
    return True


def wait(wakes: Wakes, met: Callable[[], bool], timeout: float | None = None) -> bool:
    """Wait until `met()`, looking again at every wake-up.

    Args:
        wakes: the list that is woken when `met` may have changed.
        timeout: seconds; None waits as long as it takes.

    Returns:
        What `met()` says at the end: False when the time is up.

    Raises:
        RuntimeError: called by a callback of the loop, which cannot wait.
    """
    if met():
        return True
    due = math.inf if timeout is None else time.monotonic() + timeout
    hub = get_hub_if_exists()
    if hub is not None and getcurrent() is hub:
        raise RuntimeError("a callback of the loop cannot wait for a reply: spawn a greenlet")
    while (left := due - time.monotonic()) > 0:
        if hub is None:
            _wait_in_thread(wakes, met, left)
        else:
            _wait_in_greenlet(hub, wakes, met, left)
        if met():
            return True
    return met()


async def wait_in_task(wakes: Wakes, met: Callable[[], bool]) -> None:
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


def _call_in(loop: Any, call: Callable[[], object]) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        pass  # the loop is closed: nobody waits there any more


def _wait_in_thread(wakes: Wakes, met: Callable[[], bool], seconds: float) -> None:
    gate = allocate_lock()
    gate.acquire()
    call = partial(baton.call, gate)
    called = False
    wakes.append(call)
    try:
        if not met():
            called = gate.acquire(True, -1 if seconds == math.inf else seconds)
    finally:
        if called or (not take_back(wakes, call) and gate.acquire(True, _TURN)):
            baton.pass_on()


def _wait_in_greenlet(hub: Any, wakes: Wakes, met: Callable[[], bool], seconds: float) -> None:
    bell = Doorbell.of(hub)
    waiter: Waiter[Any] = Waiter(hub)
    ring = partial(waiter.switch, None)
    call = partial(bell.ring, ring)
    timer = None if seconds == math.inf else hub.loop.timer(seconds)
    bell.hold()
    wakes.append(call)
    try:
        if timer is not None:
            timer.start(ring, update=True)
        if not met():
            waiter.get()
    finally:
        bell.let_go()
        take_back(wakes, call)
        if timer is not None:
            timer.stop()
            timer.close()
