"""Reply: the future a caller waits on, and that travels with the request it belongs to.

It may be waited on from an OS thread, from a greenlet of any hub, or with `await`; whoever
answers first wins. Nothing here takes a lock that another thread could hold over a fork:
the claim is a lock that is acquired once and never released.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeVar

import pykka
from gevent._hub_local import get_hub_if_exists
from gevent._waiter import Waiter
from greenlet import getcurrent

from quiver.actors.doorbell import Doorbell, allocate_lock

T = TypeVar("T")
_TIMED_OUT = object()


class ReplyCancelled(Exception):  # noqa: N818 - named as the field does (Future.cancel)
    """The caller cancelled its ask before it was answered."""


class Reply(pykka.Future[T]):
    """A `pykka.Future` that is answered at most once and can be cancelled.

    `cancelled_error` makes the exception that a cancelled reply is answered with.
    """

    def __init__(self, cancelled_error: Callable[[], Exception] = ReplyCancelled) -> None:
        super().__init__()
        self._claim = allocate_lock()
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._waiters: list[Callable[[], object]] = []
        self._cancelled_error = cancelled_error
        self._on_cancel: Callable[[], object] | None = None
        self.cancelled = False

    def __repr__(self) -> str:
        return f"<Reply {'answered' if self._done else 'pending'}>"

    # answering ------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether it has been answered, also with an error or by `cancel()`."""
        return self._done

    def answer(self, value: T) -> bool:
        """Answer with `value`. False when somebody was first."""
        if not self._claim.acquire(False):
            return False
        self._value = value
        self._wake()
        return True

    def fail(self, error: BaseException) -> bool:
        """Answer with `error`, which `get` will raise. False when somebody was first."""
        if not self._claim.acquire(False):
            return False
        self._error = error
        self._wake()
        return True

    def set(self, value: Any = None) -> None:
        """Pykka's name for `answer`."""
        self.answer(value)

    def set_exception(self, exc_info: Any = None) -> None:
        """Pykka's name for `fail`; without an argument, the exception being handled."""
        kind, error, _ = exc_info or sys.exc_info()
        assert kind is not None, "set_exception() outside an except block"
        self.fail(error if error is not None else kind())

    def cancel(self) -> bool:
        """Give up on the answer and tell whoever holds the request now.

        Returns:
            True if the reply was still open; `get` then raises the cancellation.
        """
        if not self._claim.acquire(False):
            return False
        self._error = self._cancelled_error()
        self.cancelled = True
        self._wake()
        if self._on_cancel is not None:
            self._on_cancel()
        return True

    def held_by(self, on_cancel: Callable[[], object]) -> None:
        """Name what `cancel()` shall call from now on. It may be called from any thread."""
        self._on_cancel = on_cancel
        if self.cancelled:
            on_cancel()

    def _wake(self) -> None:
        self._done = True
        waiters = self._waiters
        while waiters:
            try:
                wake = waiters.pop()
            except IndexError:  # its waiter took it back in this moment
                return
            wake()

    # waiting --------------------------------------------------------------------------------

    def get(self, *, timeout: float | None = None) -> T:
        """Wait for the answer and return or raise it.

        Args:
            timeout: seconds to wait; None waits as long as it takes.

        Raises:
            pykka.Timeout: nothing came in time. The ask itself goes on: see `cancel()`.
        """
        if self._get_hook is not None:
            return super().get(timeout=timeout)
        if not self._done and not self._wait(timeout):
            raise pykka.Timeout(f"{timeout} seconds")
        if self._error is not None:
            raise self._error
        result: T = self._value
        return result

    def when_done(self, call: Callable[[], object]) -> None:
        """Call `call` once, from the answering thread, or now when already answered."""
        self._waiters.append(call)
        if self._done and self._take_back(call):
            call()

    def _take_back(self, call: Callable[[], object]) -> bool:
        try:
            self._waiters.remove(call)
        except ValueError:
            return False
        return True

    def _wait(self, timeout: float | None) -> bool:
        if timeout is not None and timeout <= 0:
            return False
        hub = get_hub_if_exists()
        if hub is None:
            return self._wait_in_thread(timeout)
        if getcurrent() is hub:
            raise RuntimeError("a callback of the loop cannot wait for a reply: spawn a greenlet")
        return self._wait_in_greenlet(hub, timeout)

    def _wait_in_thread(self, timeout: float | None) -> bool:
        gate = allocate_lock()
        gate.acquire()
        wake = gate.release
        self.when_done(wake)
        try:
            answered: bool = gate.acquire(True, -1 if timeout is None else timeout)
        finally:
            self._take_back(wake)
        return answered or self._done

    def _wait_in_greenlet(self, hub: Any, timeout: float | None) -> bool:
        bell = Doorbell.of(hub)
        waiter: Waiter[Any] = Waiter(hub)

        def wake() -> None:
            bell.ring(partial(waiter.switch, None))

        timer = None if timeout is None else hub.loop.timer(timeout)
        bell.hold()
        try:
            if timer is not None:
                timer.start(waiter.switch, _TIMED_OUT, update=True)
            self.when_done(wake)
            waiter.get()
            return self._done
        finally:
            bell.let_go()
            self._take_back(wake)
            if timer is not None:
                timer.stop()
                timer.close()

    def __await__(self) -> Generator[Any, None, T]:
        """Wait in an asyncio task; cancelling the task cancels the ask."""
        import asyncio

        if not self._done and self._get_hook is None:
            loop = asyncio.get_running_loop()
            answered = loop.create_future()
            self.when_done(lambda: _call_in(loop, answered))
            try:
                yield from answered.__await__()
            except asyncio.CancelledError:
                self.cancel()
                raise
        return self.get()

    __iter__ = __await__


def _call_in(loop: Any, future: Any) -> None:
    def resolve() -> None:
        if not future.done():
            future.set_result(None)

    try:
        loop.call_soon_threadsafe(resolve)
    except RuntimeError:
        pass  # the caller's loop is closed: nobody waits there any more
