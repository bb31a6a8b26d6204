"""Reply: the future a caller waits on, and that travels with the request it belongs to.

It may be waited on from an OS thread, from a greenlet of any hub, or with `await`; whoever
answers first wins. Nothing here takes a lock that another thread could hold over a fork:
the claim is a lock that is acquired once and never released.
"""

from __future__ import annotations

import math
import queue
import sys
import time
from collections.abc import Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import pykka

from quiver.actors.deprecated import MovedAttribute
from quiver.actors.native_threads import allocate_lock
from quiver.actors.wait_queue import WaitQueue, take_back, wait_until, wake

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]
"""What `sys.exc_info` gives; a class without its exception stands for one that is to be made."""


class ReplyCancelled(Exception):  # noqa: N818 - named as the field does (Future.cancel)
    """The caller cancelled its ask before it was answered."""


class Reply(pykka.Future[T]):
    """A `pykka.Future` that is answered at most once and can be cancelled.

    `cancelled_error` makes the exception that a cancelled reply is answered with.

    While a thread or greenlet is known to wait for it (`has_waiter`), work that must not run in the
    loop can be handed to that one: see `call_in_caller`.
    """

    # One is made for each ask: what most of them never need is not made with it.
    has_waiter = False
    _value: Any = None
    _error: BaseException | None = None
    _traceback: TracebackType | None = None
    _calls: WaitQueue | None = None  # of `when_done`
    _caller_calls: list[Callable[[], object]] | None = None
    _on_cancel: Callable[..., object] | None = None
    _on_cancel_args: tuple[object, ...] = ()
    _left = False  # nobody waits any more
    _get_hook = None  # Pykka's: see `set_get_hook`
    cancelled = False

    attended, errand, held_by = map(MovedAttribute, ("has_waiter", "call_in_caller", "on_cancel"))

    def __init__(self, cancelled_error: Callable[[], Exception] = ReplyCancelled) -> None:
        self._claim = allocate_lock()
        self._wakes: WaitQueue = []
        self._done = False
        self._cancelled_error = cancelled_error

    def __repr__(self) -> str:
        return f"<Reply {'answered' if self._done else 'pending'}>"

    # answering ------------------------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether it has been answered, also with an error or by `cancel()`."""
        return self._done

    @property
    def outcome(self) -> Any:
        """The answer of one that is done, or the error that `get` raises: to look at it only."""
        return self._value if self._error is None else self._error

    def answer(self, value: T) -> bool:
        """Answer with `value`. False when somebody was first."""
        if not self._claim.acquire(False):
            return False
        self._value = value
        self._wake()
        return True

    def fail(self, error: BaseException) -> bool:
        """Answer with `error`, which `get` will raise. False when somebody was first."""
        return self._fail(error, error.__traceback__)

    def _fail(self, error: BaseException, traceback: TracebackType | None) -> bool:
        if not self._claim.acquire(False):
            return False
        self._error, self._traceback = error, traceback
        self._wake()
        return True

    def set(self, value: T | None = None) -> None:
        """Answer as Pykka's futures are answered. Raises queue.Full when somebody was first."""
        if not self.answer(cast("T", value)):
            raise queue.Full

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        """Fail as Pykka's futures do. Raises queue.Full when somebody was first.

        Args:
            exc_info: as `sys.exc_info()` returns it; by default the exception being handled.
        """
        exc_info = exc_info or sys.exc_info()
        if not self._fail(_raised(exc_info), exc_info[2]):
            raise queue.Full

    def set_get_hook(self, func: Callable[[float | None], T]) -> None:
        """Have `get` call `func(timeout)`. Raises queue.Full when there is an answer.

        The hook is the answer from now on: what comes later is refused.
        """
        # The claim decides between an answer and a hook that race; of hooks, the last one counts.
        if self._get_hook is None:
            if not self._claim.acquire(False):
                raise queue.Full
            super().__init__()  # what Pykka has of a future is all for its hook
        super().set_get_hook(func)

    def cancel(self) -> bool:
        """Give up on the answer and tell whoever holds the request now.

        Returns:
            True if the reply was still open; `get` then raises the cancellation.
        """
        return self._leave(self._cancelled_error, cancelled=True)

    def give_up(self, error: BaseException) -> bool:
        """As `cancel`, but `get` then raises `error`: it was raised in the caller's name."""
        return self._leave(lambda: error, cancelled=False)

    def _leave(self, why: Callable[[], BaseException], *, cancelled: bool) -> bool:
        if not self._claim.acquire(False):
            return False
        self._error = why()
        self._traceback = self._error.__traceback__
        self.cancelled, self._left = cancelled, True
        self._wake()
        if self._on_cancel is not None:
            self._on_cancel(*self._on_cancel_args)
        return True

    def on_cancel(self, on_cancel: Callable[..., object], *args: object) -> None:
        """Name what `cancel()` shall call from now on, with `args`. It may be called from any
        thread."""
        self._on_cancel_args, self._on_cancel = args, on_cancel
        if self._left:
            on_cancel(*args)

    def _wake(self) -> None:
        self._done = True
        wake(self._wakes)
        if self._calls is not None:
            wake(self._calls)

    def call_in_caller(self, call: Callable[[], object]) -> bool:
        """Have whoever waits in `get` make `call`, in its own thread or greenlet, in order.

        Returns:
            False when nobody is known to wait: the answer is there, or it was asked without
            blocking. What is accepted is made before `get` returns or raises the answer.
        """
        if not self.has_waiter or self._done:
            return False
        vars(self).setdefault("_caller_calls", []).append(call)
        wake(self._wakes)
        return True

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
        if not self._done or self._caller_calls:
            self._attend(timeout)
        if self._error is not None:
            try:
                # With the traceback it came with, or each caller's would be added to it.
                raise self._error.with_traceback(self._traceback)
            finally:
                del self  # else the error holds this frame, which holds the error: a cycle
        result: T = self._value
        return result

    def when_done(self, call: Callable[[], object]) -> None:
        """Call `call` once, from the answering thread, or now when already answered."""
        calls: WaitQueue = vars(self).setdefault("_calls", [])  # one step: others may come too
        calls.append(call)
        if self._done and take_back(calls, call):
            call()

    def _attend(self, timeout: float | None) -> None:
        due = math.inf if timeout is None else time.monotonic() + max(0.0, timeout)
        while True:
            if not wait_until(self._wakes, self._stirred, due):
                raise pykka.Timeout(f"{timeout} seconds")
            while self._caller_calls:
                self._caller_calls.pop(0)()
            if self._done and not self._caller_calls:
                return

    def _stirred(self) -> bool:
        return self._done or bool(self._caller_calls)

    def __await__(self) -> Generator[Any, None, T]:
        """Wait in an asyncio task; cancelling the task cancels the ask."""
        import asyncio

        if self._get_hook is not None:  # a `map` or `join` of others: Pykka's wait would block
            running = asyncio.get_running_loop().run_in_executor(None, self.get)
            return (yield from running.__await__())
        if not self._done:
            loop = asyncio.get_running_loop()
            answered = loop.create_future()
            self.when_done(lambda: _call_in(loop, answered))
            try:
                yield from answered.__await__()
            except asyncio.CancelledError:
                self.cancel()
                raise
        try:
            return self.get()
        finally:
            del self  # as in `get`

    __iter__ = __await__


AnyReply: TypeAlias = Reply[Any]
"""A reply, whatever it is answered with."""


class LateReply(pykka.Future[T]):
    """The `reply_to` of an actor of Pykka's own: an answer that comes too late is dropped.

    The loop of such an actor calls `set`, and would end by the queue.Full of a Reply whose asker
    has given up.
    """

    def __init__(self, reply: Reply[T]) -> None:
        super().__init__()
        self.reply = reply

    def get(self, *, timeout: float | None = None) -> T:
        return self.reply.get(timeout=timeout)

    def set(self, value: T | None = None) -> None:
        self.reply.answer(cast("T", value))

    def set_exception(self, exc_info: ExcInfo | None = None) -> None:
        self.reply.fail(_raised(exc_info))


def _raised(exc_info: ExcInfo | None) -> BaseException:
    kind, error, _ = exc_info or sys.exc_info()
    assert kind is not None, "set_exception() outside an except block"
    return kind() if error is None else error


def _call_in(loop: asyncio.AbstractEventLoop, future: asyncio.Future[None]) -> None:
    def resolve() -> None:
        if not future.done():
            future.set_result(None)

    try:
        loop.call_soon_threadsafe(resolve)
    except RuntimeError:
        pass  # the caller's loop is closed: nobody waits there any more
