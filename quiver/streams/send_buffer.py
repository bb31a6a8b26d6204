"""SendBuffer: bytes on their way out on one stream, until the server lets them be sent.

The connection takes what the server lets it send; whoever fills it waits, or is asked for more,
when there is room.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from typing import Final

from quiver.actors.native_threads import allocate_lock
from quiver.actors.wait_queue import WaitQueue, wait, wake
from quiver.errors import QuiverError, StreamClosed
from quiver.request_options import HeaderPairs

__all__ = ["HIGH_WATER", "SendBuffer"]

HIGH_WATER: Final = 262_144  # bytes pending at which whoever fills it is to wait

COALESCE_BELOW: Final = 16_384  # bytes: a shorter piece is sent together with the next


class SendBuffer:
    """A queue of bytes for one stream, filled from any thread and emptied by the connection.

    Args:
        origin: as text, for errors.
        on_filled: called in the filling thread when there is something new to take; not again
            until the connection has called `rearm`.
    """

    def __init__(self, origin: str, on_filled: Callable[[], object]) -> None:
        self.origin = origin
        self.ended = False
        self.closed = False
        self.trailers: HeaderPairs = ()
        self.error: BaseException | None = None  # what the filler failed with
        self._on_filled = on_filled
        self._reason: QuiverError | None = None
        self._notified = False
        self._pieces: deque[bytes] = deque()
        self._rest = memoryview(b"")
        self._counting = allocate_lock()  # several threads may write to a channel: `+=` is no step
        self._put = 0  # bytes; written under the lock
        self._taken = 0  # bytes; written by the connection only
        self._wakes: WaitQueue = []

    @property
    def pending(self) -> int:
        """Count the bytes that have not been taken."""
        return self._put - self._taken

    @property
    def full(self) -> bool:
        """Tell whether whoever fills it is to wait."""
        return self.pending >= HIGH_WATER

    # the filler's side ----------------------------------------------------------------------

    def put(self, piece: bytes) -> None:
        """Add bytes. Raises as `check_open`."""
        self.check_open()
        with self._counting:
            self._put += len(piece)
        self._pieces.append(piece)
        # `close` sets the flag and then clears. If it did both since the look above, the piece came
        # too late for its clearing.
        if self.closed:
            self._pieces.clear()
        self.notify()

    def end(self, trailers: HeaderPairs = ()) -> None:
        """Add nothing more but the trailers. Raises as `check_open`."""
        self.check_open()
        self.trailers = trailers  # before the flag, on which the connection looks for them
        self.ended = True
        self.notify()

    def fail(self, error: BaseException) -> None:
        """Say that the body failed with `error`: the connection resets the stream."""
        if not self.closed:
            self.error = error
            self.notify()

    def wait_for_room(self) -> None:
        """Block until it is no longer full, or is closed."""
        wait(self._wakes, lambda: not self.full or self.closed)

    # the connection's side ------------------------------------------------------------------

    def take(self, most: int) -> bytes | memoryview:
        """Remove and return at most `most` bytes; none when there are none now."""
        if not self._rest:
            if not self._pieces:
                return b""
            self._rest = memoryview(self._gathered())
        piece, self._rest = self._rest[:most], self._rest[most:]
        self._taken += len(piece)
        # Also when it was not full before: a filler that has just looked may be about to wait.
        if not self.full:
            wake(self._wakes)
        return piece

    def _gathered(self) -> bytes:
        """Return the next piece, or small ones joined: each `take` becomes a DATA frame."""
        first = self._pieces.popleft()
        if len(first) >= COALESCE_BELOW or not self._pieces:
            return first
        pieces, size = [first], len(first)
        while self._pieces and size < COALESCE_BELOW:
            pieces.append(self._pieces.popleft())
            size += len(pieces[-1])
        return b"".join(pieces)

    @property
    def drained(self) -> bool:
        """Tell whether it has ended and all of it was taken."""
        return self.ended and not self._rest and not self._pieces

    def rearm(self) -> None:
        """Have `on_filled` called again: the connection is about to look at what is there."""
        self._notified = False

    def close(self, reason: QuiverError | None = None) -> None:
        """Drop what is there and take no more. Idempotent; the first `reason` given is raised."""
        self._reason = self._reason or reason
        self.closed = True  # before it is cleared: see `put`
        self._pieces.clear()
        self._rest = memoryview(b"")
        wake(self._wakes)

    def check_open(self) -> None:
        """Raise what ended the stream, or StreamClosed if it takes no more for another reason."""
        if self._reason is not None:
            raise copy.copy(self._reason)  # each of several writers raises one of its own
        if self.closed or self.ended:
            said = "it was finished" if self.ended else "nobody takes any more"
            raise StreamClosed(f"write: {said}", origin=self.origin)

    def notify(self) -> None:
        """Have the connection look at it, unless it is about to."""
        # Two writers may both find it unset: a second message does no harm, a missing one would.
        if not self._notified:
            self._notified = True
            self._on_filled()
