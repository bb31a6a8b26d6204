"""ReceiveBuffer: what has come for one reader of a stream, and the reader's way to wait for it.

The connection fills it in the loop's thread, the reader empties it in any other. No message passes
between them for a piece, and no lock is taken: each attribute is written by one side only, and the
order of the writes does the rest. The reader reports what it has consumed once for each quarter of
the window, and the server gets credit for that (RFC 9000 4).
"""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, NoReturn, Self, TypeVar

from quiver.actors.hub import spawn_if_running
from quiver.actors.native_threads import allocate_lock
from quiver.actors.wait_queue import WaitQueue, wait, wait_in_task, wake
from quiver.errors import QuiverError, StreamClosed
from quiver.fields import Pairs
from quiver.models import Response

__all__ = ["Reader", "ReceiveBuffer", "WhenOver"]

T = TypeVar("T")

WhenOver = Callable[[BaseException | None], object]
"""A callback that is given what ended the stream early, or None."""


class ReceiveBuffer(Generic[T]):
    """A queue of items, each with its size in bytes, that closes with an end or an error.

    Args:
        origin: as text, for errors.
        window: bytes that the server may send ahead of the reader.
        on_consumed: called in the reader's thread when a quarter of the window was consumed.
        on_closed: called once, in any thread, when the reader wants no more.

    Attributes:
        response: of a channel, when that has come.
    """

    def __init__(
        self,
        origin: str,
        window: int,
        on_consumed: Callable[[], object],
        on_closed: Callable[[], object],
    ) -> None:
        self.origin = origin
        self.wakes: WaitQueue = []
        self.last_read = time.monotonic()
        self.closed = False
        self.trailers: Pairs = []
        self.response: Response | None = None
        self._items: deque[tuple[T, int]] = deque()
        self._report_every = max(1, window // 4)  # bytes
        self._on_consumed = on_consumed
        self._on_closed = on_closed
        self._received = 0  # bytes; written by the connection only
        self._consumed = 0  # bytes; written by the reader only
        self._reported = 0  # of these, by the reader
        self._credited = 0  # of these, by the connection
        self._ended = False
        self._error: BaseException | None = None
        self._closing = allocate_lock()  # taken once, by whoever closes it, and never released
        self._over = False
        self._over_callbacks: list[WhenOver] = []

    # the connection's side ------------------------------------------------------------------

    @property
    def unread(self) -> int:
        """Count the bytes that the reader has not consumed."""
        return self._received - self._consumed

    def put(self, item: T, size: int) -> None:
        """Add an item, without waking the reader (see `wake_reader`)."""
        if not self.closed:
            if not self._items:
                self.last_read = time.monotonic()
            self._received += size
            self._items.append((item, size))
            # `close` sets the flag and then clears. If it did both since the look above, the item
            # came too late for its clearing, and would be kept for as long as the reader is.
            if self.closed:
                self._items.clear()

    def end(self, error: BaseException | None = None) -> None:
        """Close the queue behind what is in it. Only the first call counts."""
        if not self._ended:
            self._error = error  # before the flag, on which the reader looks for it
            self._ended = True
            self.wake_reader()

    def wake_reader(self) -> None:
        """Wake the reader, if it waits."""
        if self.wakes:
            wake(self.wakes)

    def newly_consumed(self) -> int:
        """Return the bytes consumed since the last call: the credit that the server is due."""
        consumed = self._consumed  # once: the reader goes on counting
        newly, self._credited = consumed - self._credited, consumed
        return newly

    # the reader's side ----------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Tell whether the reader has got everything, and no error."""
        return self._ended and not self._items and self._error is None

    @property
    def complete(self) -> bool:
        """Tell whether everything has come, read or not, and no error."""
        return self._ended and self._error is None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is something to take; return False when that took too long.

        Args:
            timeout: seconds; None waits as long as it takes.
        """
        return wait(self.wakes, self._has_news, timeout)

    def take(self) -> T | None:
        """Wait for the next item and return it; None at the end.

        Raises:
            QuiverError: what ended it early, once everything that came before has been taken.
            StreamClosed: the reader has closed it.
        """
        self.wait()
        return self._take()

    async def atake(self) -> T | None:
        """Do as `take`, in an asyncio task, whose loop goes on meanwhile."""
        await wait_in_task(self.wakes, self._has_news)
        return self._take()

    def take_ready(self) -> list[T]:
        """Return all items that are there now, without waiting."""
        items: list[T] = []
        total = 0
        while True:
            try:  # `close`, in another thread, may clear it after any look at its length
                item, size = self._items.popleft()
            except IndexError:
                self._consume(total)
                return items
            items.append(item)
            total += size

    def touch(self) -> None:
        """Note that the reader is at work, if only on an item that it took before."""
        self.last_read = time.monotonic()

    def close(self) -> None:
        """Drop what is there and take no more. Idempotent; callable from any thread."""
        self._drop()
        self._call_back()

    def abandon(self) -> None:
        """Do as `close`, for the garbage collector, which may run in the middle of anything.

        The callbacks are made in the loop: here one might wait for a lock that the interrupted
        code holds.
        """
        self._drop()
        if self._over_callbacks:
            spawn_if_running(self._call_back_in_loop)

    def when_over(self, call: WhenOver) -> None:
        """Call `call(error)` once the reader has met the end or the error, or has closed it."""
        self._over_callbacks.append(call)
        # After the append, as `_call_back` sets the flag before it looks: one of the two finds it.
        if self._over:
            self._call_back()

    def _call_back(self) -> None:
        self._over = True
        while self._over_callbacks:
            try:  # two threads may come here; each callback is popped, and made, by one of them
                call = self._over_callbacks.pop()
            except IndexError:
                return
            call(self._error)

    def _call_back_in_loop(self) -> None:
        """Make the callbacks by `wake`, which keeps what they raise from ending the loop."""
        while self._over_callbacks:
            wake([self._call_back])

    def _drop(self) -> None:
        if not self._closing.acquire(False):
            return
        self.closed = True  # before it is cleared: see `put`
        self._items.clear()
        if not self._ended:
            self._on_closed()
            self.wake_reader()

    def _take(self) -> T | None:
        """Return the next item; at the end None, or raise what ended it."""
        try:  # not `if self._items`: `close`, in another thread, may clear it in between
            item, size = self._items.popleft()
        except IndexError:
            if self._ended:
                self._call_back()
            self._raise_end()
            return None
        self._consume(size)
        return item

    def _consume(self, size: int) -> None:
        self._consumed += size
        self.last_read = time.monotonic()
        if self._consumed - self._reported >= self._report_every:
            self._reported = self._consumed
            if not self._ended:  # the server needs no credit for what it has sent to its end
                self._on_consumed()

    def _has_news(self) -> bool:
        return bool(self._items) or self._ended or self.closed

    def _raise_end(self) -> None:
        if isinstance(self._error, QuiverError):
            raise copy.copy(self._error)  # the one that is kept must not grow a traceback a read
        if self._error is not None:
            raise self._error
        if self.closed:
            raise StreamClosed("it was closed before its end", origin=self.origin)


class Reader(Generic[T]):
    """The caller's hold on a receive buffer: base of streamed responses and channels.

    Leaving a `with` closes it, and so does the garbage collector when nobody holds it any more.

    Attributes:
        receive_buffer: what has come, for subclasses.
    """

    def __init__(self, receive_buffer: ReceiveBuffer[T]) -> None:
        self.receive_buffer = receive_buffer

    def close(self) -> None:
        """Give it up and have the server told; do nothing when it is over."""
        self.receive_buffer.close()

    def when_over(self, call: WhenOver) -> None:
        """Call `call(error)` once its reader has come to the end, or has closed it.

        It is called in the thread that reads or closes, or in the loop's when nobody holds it any
        more. `error` is the QuiverError that ended it early, None after its end or `close()`.
        """
        self.receive_buffer.when_over(call)

    def __reduce__(self) -> NoReturn:
        # A copy that is dropped would give up what its original reads.
        kind = type(self).__name__
        raise TypeError(f"a {kind} cannot be pickled or copied: what comes is read once")

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
        self.receive_buffer.abandon()
