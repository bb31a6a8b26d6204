"""Inlet: what a connection has received for one reader, and the reader's way to wait for it.

The connection fills it from the loop's thread, the reader empties it from any other; no message
passes between them for a piece. The reader reports what it has taken in batches, and the server
gets credit for that (RFC 9000 4).
"""

from __future__ import annotations

import contextlib
import copy
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Generic, Self, TypeVar

import gevent

from quiver.actors.doorbell import allocate_lock
from quiver.actors.hub import Hub, HubStopped
from quiver.actors.waking import Wakes, wait, wait_in_task, wake
from quiver.errors import QuiverError, StreamClosed

__all__ = ["Inlet", "Reader", "WhenOver"]

T = TypeVar("T")

WhenOver = Callable[[BaseException | None], object]
"""Called with what ended it early, or None."""


class Inlet(Generic[T]):
    """Items in order, each with its size in bytes; then an end, or an error.

    Args:
        origin: as text, for errors.
        window: bytes that the server may send ahead of the reader.
        on_taken: told, from the reader's thread, when a quarter of the window was taken.
        on_closed: told once, from any thread, when the reader wants no more.
    """

    def __init__(
        self,
        origin: str,
        window: int,
        on_taken: Callable[[], object],
        on_closed: Callable[[], object],
    ) -> None:
        self.origin = origin
        self.wakes: Wakes = []
        self.last_taken = time.monotonic()
        self.closed = False
        self.trailers: list[tuple[str, str]] = []
        self._items: deque[tuple[T, int]] = deque()
        self._step = max(1, window // 4)
        self._on_taken = on_taken
        self._on_closed = on_closed
        self._put = 0  # bytes; written by the connection only
        self._taken = 0  # bytes; written by the reader only
        self._reported = 0
        self._settled = 0
        self._ended = False
        self._error: BaseException | None = None
        self._claim = allocate_lock()  # of who closes it
        self._over = False
        self._over_calls: list[WhenOver] = []

    # the connection's side ------------------------------------------------------------------

    @property
    def unread(self) -> int:
        """Bytes that the reader has not taken."""
        return self._put - self._taken

    def put(self, item: T, size: int) -> None:
        """Add an item. The reader is not woken: see `stir`."""
        if not self.closed:
            if not self._items:
                self.last_taken = time.monotonic()
            self._put += size
            self._items.append((item, size))
            if self.closed:  # in this moment
                self._items.clear()

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes. The first end holds."""
        if not self._ended:
            self._error = error
            self._ended = True
            self.stir()

    def stir(self) -> None:
        """Wake the reader, if it waits."""
        if self.wakes:
            wake(self.wakes)

    def settle(self) -> int:
        """The bytes taken since this was asked last."""
        taken = self._taken
        newly, self._settled = taken - self._settled, taken
        return newly

    # the reader's side ----------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the reader has got everything, and no error."""
        return self._ended and not self._items and self._error is None

    def take(self) -> T | None:
        """The next item, waited for; None at the end.

        Raises:
            QuiverError: what ended it early. What had come before is taken first.
            StreamClosed: the reader has closed it.
        """
        wait(self.wakes, self._stirred)
        return self._take()

    async def atake(self) -> T | None:
        """As `take`, in an asyncio task, whose loop goes on meanwhile."""
        await wait_in_task(self.wakes, self._stirred)
        return self._take()

    def take_ready(self) -> list[T]:
        """All items that are there now, without waiting."""
        items: list[T] = []
        total = 0
        while True:
            try:
                item, size = self._items.popleft()
            except IndexError:
                self._count(total)
                return items
            items.append(item)
            total += size

    def touch(self) -> None:
        """The reader is at work, if only on an item that it took before."""
        self.last_taken = time.monotonic()

    def close(self) -> None:
        """The reader wants no more; what is there is dropped. From any thread, more than once."""
        self._drop()
        self._tell_over()

    def abandon(self) -> None:
        """As `close`, for the garbage collector: it may come in the middle of anything.

        Who hears of it is called from the loop, for here it might wait for a lock of its own.
        """
        self._drop()
        if self._over_calls:
            with contextlib.suppress(HubStopped):
                Hub.current().doorbell.ring(partial(gevent.spawn, self._tell_over))

    def when_over(self, call: WhenOver) -> None:
        """Call `call(error)` once: the reader has had the end or the error, or has closed it."""
        self._over_calls.append(call)
        if self._over:
            self._tell_over()

    def _tell_over(self) -> None:
        self._over = True
        while self._over_calls:
            try:
                call = self._over_calls.pop()
            except IndexError:  # another thread has made it
                return
            call(self._error)

    def _drop(self) -> None:
        if not self._claim.acquire(False):
            return
        self.closed = True
        self._items.clear()
        if not self._ended:
            self._on_closed()
            self.stir()

    def _take(self) -> T | None:
        """The next item, or what there is instead of one."""
        try:
            item, size = self._items.popleft()
        except IndexError:
            if self._ended:
                self._tell_over()
            self._raise_end()
            return None
        self._count(size)
        return item

    def _count(self, size: int) -> None:
        self._taken += size
        self.last_taken = time.monotonic()
        if self._taken - self._reported >= self._step:
            self._reported = self._taken
            if not self._ended:
                self._on_taken()

    def _stirred(self) -> bool:
        return bool(self._items) or self._ended or self.closed

    def _raise_end(self) -> None:
        if isinstance(self._error, QuiverError):
            raise copy.copy(self._error)  # or the traceback of each read would be added to it
        if self._error is not None:
            raise self._error
        if self.closed:
            raise StreamClosed("it was closed before its end", origin=self.origin)


class Reader(Generic[T]):
    """What a caller holds of an inlet: a body, a channel.

    Leaving a `with` closes it, and so does the garbage collector when nobody holds it any more.
    """

    def __init__(self, inlet: Inlet[T]) -> None:
        self._inlet = inlet

    def close(self) -> None:
        """Give it up; the server is told. Does nothing when it is over."""
        self._inlet.close()

    def when_over(self, call: WhenOver) -> None:
        """Call `call(error)` once, when it is over, as its reader knows, or closed.

        That is in the thread that reads or closes it, or in the loop's when nobody holds it any
        more. `error` is the QuiverError that ended it early, None after its end or `close()`.
        """
        self._inlet.when_over(call)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self._inlet.abandon()
