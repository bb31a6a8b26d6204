"""What is on its way out on one stream, and who fills it.

The connection takes from an `Outlet` what the server lets it send; whoever fills it waits, or is
asked for more, when there is room. A body's iterator is read by `Upload.fill`, which runs where
it may block: see `Errands`.
"""

from __future__ import annotations

import copy
import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from quiver.actors.doorbell import allocate_lock
from quiver.actors.reply import Reply
from quiver.actors.waking import Wakes, wait, wake
from quiver.errors import InvalidRequest, QuiverError, StreamClosed
from quiver.request import HeaderPairs, Request, trailer_pairs
from quiver.source import Source

__all__ = ["Errands", "Outlet", "Upload"]

logger = logging.getLogger("quiver.upload")

FULL: Final = 262_144  # bytes that wait in an outlet before no more is put in

SMALL: Final = 16_384  # bytes below which a piece is sent together with the next


class Outlet:
    """Bytes for one stream. Filled from any thread, emptied by the connection.

    Args:
        origin: as text, for errors.
        on_filled: told, from the filling thread, when there is something new to take.
    """

    def __init__(self, origin: str, on_filled: Callable[[], object]) -> None:
        self.origin = origin
        self.ended = False
        self.closed = False
        self.trailers: HeaderPairs = ()
        self.error: BaseException | None = None  # what the filler failed with
        self._on_filled = on_filled
        self._reason: QuiverError | None = None
        self._told = False
        self._pieces: deque[bytes] = deque()
        self._rest = memoryview(b"")
        self._counting = allocate_lock()  # several may write to a channel
        self._put = 0  # bytes
        self._taken = 0  # bytes; written by the connection only
        self._wakes: Wakes = []

    @property
    def waiting(self) -> int:
        """Bytes that have not been taken."""
        return self._put - self._taken

    @property
    def full(self) -> bool:
        return self.waiting >= FULL

    # the filler's side ----------------------------------------------------------------------

    def put(self, piece: bytes) -> None:
        """Add bytes. Raises StreamClosed when nobody takes them any more."""
        self.check_open()
        with self._counting:
            self._put += len(piece)
        self._pieces.append(piece)
        if self.closed:  # in this moment
            self._pieces.clear()
        self.tell()

    def end(self, trailers: HeaderPairs = ()) -> None:
        """Nothing more comes but the trailers. Raises StreamClosed."""
        self.check_open()
        self.trailers = trailers
        self.ended = True
        self.tell()

    def fail(self, error: BaseException) -> None:
        """The filler cannot go on: the stream is to be reset."""
        if not self.closed:
            self.error = error
            self.tell()

    def wait_for_room(self) -> None:
        """Block until it is not full, or closed."""
        wait(self._wakes, lambda: not self.full or self.closed)

    # the connection's side ------------------------------------------------------------------

    def take(self, most: int) -> bytes | memoryview:
        """At most `most` bytes; empty when there are none now."""
        if not self._rest:
            if not self._pieces:
                return b""
            self._rest = memoryview(self._gathered())
        piece, self._rest = self._rest[:most], self._rest[most:]
        self._taken += len(piece)
        if not self.full:  # whatever it was before: a filler may be about to wait
            wake(self._wakes)
        return piece

    def _gathered(self) -> bytes:
        """The next piece, or small ones that are there together: each taking is a DATA frame."""
        first = self._pieces.popleft()
        if len(first) >= SMALL or not self._pieces:
            return first
        pieces, size = [first], len(first)
        while self._pieces and size < SMALL:
            pieces.append(self._pieces.popleft())
            size += len(pieces[-1])
        return b"".join(pieces)

    @property
    def drained(self) -> bool:
        """Ended, and all of it taken."""
        return self.ended and not self._rest and not self._pieces

    def heard(self) -> None:
        """What was told has arrived: tell again from now on."""
        self._told = False

    def close(self, reason: QuiverError | None = None) -> None:
        """Nobody takes any more. More than once; the first reason holds, if there is any."""
        self._reason = self._reason or reason
        self.closed = True
        self._pieces.clear()
        self._rest = memoryview(b"")
        wake(self._wakes)

    def check_open(self) -> None:
        """Raises what ended the stream, or StreamClosed."""
        if self._reason is not None:
            raise copy.copy(self._reason)  # there may be several to tell
        if self.closed or self.ended:
            said = "it was finished" if self.ended else "nobody takes any more"
            raise StreamClosed(f"write: {said}", origin=self.origin)

    def tell(self) -> None:
        """Have the connection look at it, unless it is about to."""
        if not self._told:
            self._told = True
            self._on_filled()


class Upload:
    """Reads one request's body into an outlet, as far as there is room."""

    def __init__(self, request: Request, outlet: Outlet) -> None:
        body = request.body
        self.outlet = outlet
        self.filling = False  # a `fill` has been asked for, and is not done
        self._claim = allocate_lock()  # of who is first: to read it, or to send it elsewhere
        self._request = request
        self._source = body if isinstance(body, Source) else Source([body or b""])
        self._pieces: Any = None  # its iterator, once it has been opened
        self._read = 0

    def take_back(self) -> bool:
        """Whether it can be sent elsewhere from its start. To be called when nobody takes it."""
        return self._source.replayable or self._claim.acquire(False)

    @property
    def unfinished(self) -> bool:
        """Whether its iterator has been left in the middle: one more `fill` lets it go."""
        return self._pieces is not None and not self.filling and not self.outlet.ended

    def start(self, errands: Errands, *, apart: bool) -> None:
        """Have it filled soon, where it may block; `apart` as of `Errands.run`."""
        errands.run(self.fill, apart=apart)

    def fill(self) -> None:
        """Read until the outlet is full or the body ends. To be called where it may block."""
        outlet = self.outlet
        try:
            if self._pieces is None and not outlet.closed and self._claim.acquire(False):
                self._pieces = self._source.open()
            while not (outlet.closed or outlet.ended or outlet.full):
                self._step()
        except Exception as error:  # noqa: BLE001 - whatever the iterator raised is the answer
            outlet.fail(error)
        except BaseException as error:
            outlet.fail(error)
            raise
        finally:
            self.filling = False
            if outlet.closed:
                self._close()
            else:
                outlet.tell()

    def _step(self) -> None:
        assert self._pieces is not None
        self._take(next(self._pieces, b""))

    def _take(self, piece: bytes) -> None:
        """Put it into the outlet; an empty one is the end."""
        self._read += len(piece)
        self._check_length(ended=not piece)
        if self.outlet.closed:
            return
        if piece:
            self.outlet.put(piece)
        else:
            self.outlet.end(self._trailers())

    def _check_length(self, *, ended: bool) -> None:
        declared = self._request.content_length
        if declared is None or self._read == declared or (self._read < declared and not ended):
            return
        raise InvalidRequest(
            f"body: {self._read} bytes or more were read, but content-length is {declared}",
            origin=self.outlet.origin,
        )

    def _trailers(self) -> HeaderPairs:
        given = self._request.trailers
        return trailer_pairs(given()) if callable(given) else given

    def _close(self) -> None:
        pieces, self._pieces = self._pieces, None
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


class Errands:
    """Runs what must not run in the loop: in the thread that waits for the reply if there is one.

    Else a thread is started for it; in a monkey-patched program that is a greenlet.
    """

    def __init__(self, reply: Reply[object] | None) -> None:
        self._reply = reply
        self._calls: list[Callable[[], object]] = []
        self._wakes: Wakes = []
        self._serving = False
        self._closed = False

    def run(self, call: Callable[[], object], *, apart: bool = False) -> None:
        """Have `call` made soon, after those before it; `apart`: in no caller's thread."""
        if not apart:
            if self._reply is not None and self._reply.errand(call):
                return
            self.leave()  # its caller has left, or never waited
        self._calls.append(call)
        wake(self._wakes)
        if not self._serving:
            self._serving = True
            threading.Thread(target=self._serve, name="quiver-errands", daemon=True).start()

    def leave(self) -> None:
        """Its caller waits no more: what is still to be run gets a thread."""
        self._reply = None

    def close(self) -> None:
        """Nothing more is to be run: the thread ends when it has done the rest."""
        self._closed = True
        wake(self._wakes)

    def _serve(self) -> None:
        while True:
            wait(self._wakes, lambda: bool(self._calls) or self._closed)
            if not self._calls:
                return
            try:
                self._calls.pop(0)()
            except Exception:  # of a callback; what comes after it is to be run all the same
                logger.exception("a callback of a request raised, and nobody waits to be told")
