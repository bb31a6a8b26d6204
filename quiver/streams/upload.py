"""Upload: reads a request's body into a send buffer, as far as there is room.

A body's iterator runs its owner's code: it is read where that may block (`CallerThreadExecutor`),
or by a task of the asyncio loop that it belongs to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import attrs

from quiver.actors.native_threads import allocate_lock
from quiver.errors import InvalidRequest
from quiver.request import Request, trailer_pairs
from quiver.request_options import HeaderPairs
from quiver.streams.body_source import AsyncBodySource, BodySource
from quiver.streams.caller_thread import CallerThreadExecutor
from quiver.streams.send_buffer import SendBuffer

if TYPE_CHECKING:  # what is to be run by asyncio comes with a loop
    import asyncio

__all__ = ["AsyncUpload", "Upload", "upload_of"]


class Upload:
    """One request's body on its way into a send buffer, read as far as there is room.

    Attributes:
        source: the body.
        pieces: its Reading, or async iterator, while it is open.
        context: the context variables that it is read with.
    """

    def __init__(self, request: Request, send_buffer: SendBuffer) -> None:
        body = request.body
        self.send_buffer = send_buffer
        self.filling = False  # a `fill` has been asked for, and is not done
        self._turn = allocate_lock()  # for who is first: to begin it, or to send it elsewhere
        self._begun = False
        self._taken_back = False
        self._computes_trailers = callable(request.trailers)
        self._computing = False  # that callable is at work
        self._request = request
        given = isinstance(body, BodySource)
        self.source = body if isinstance(body, BodySource) else BodySource([body or b""])
        self.pieces: Any = None
        context = self.source.context if given else request.context or self.source.context
        self.context = context.copy()  # another upload may read it at the same time
        self._read = 0

    def take_back(self) -> bool:
        """Stop reading it here, and tell whether all of it can be sent elsewhere.

        Trailers that are computed at the end may depend on what was read, as a digest does, and
        would be wrong of what was read twice. Such a body must be `kept`: read by no code of its
        owner's.
        """
        with self._turn:  # or `fill`, in its thread, could open it between these two looks
            self._taken_back = True
            if not self._begun:
                return True
            if self.pieces is not None:
                self.source.leave(self.pieces)
            if self._computing:
                return False
        return self.source.kept or (self.source.replayable and not self._computes_trailers)

    @property
    def request(self) -> Request:
        """The request to send elsewhere, with its trailers as they are if they are computed.

        A callable that has computed them once may be unable to do so again.
        """
        return self._request

    @property
    def unfinished(self) -> bool:
        """Tell whether its iterator was left in the middle: one more `fill` closes it."""
        return self.pieces is not None and not self.filling and not self.send_buffer.ended

    def start(self, executor: CallerThreadExecutor, *, own_thread: bool) -> None:
        """Have `fill` called where it may block; `own_thread` as of the executor."""
        executor.submit(self.fill, own_thread=own_thread, context=self.context)

    def fill(self) -> None:
        """Read until the send buffer is full or the body ends. Blocks as the body does."""
        send_buffer = self.send_buffer
        try:
            if self.begin(self.source.open):
                while not (send_buffer.closed or send_buffer.ended or send_buffer.full):
                    self._step()
        except Exception as error:  # noqa: BLE001 - whatever the iterator raised is the answer
            send_buffer.fail(error)
        except BaseException as error:
            send_buffer.fail(error)
            raise
        finally:
            # Before the notice: the connection asks for no `fill` while one is said to go on, so it
            # has to find this one done when it looks.
            self.filling = False
            if send_buffer.closed:
                self._close()
            else:
                send_buffer.notify()

    def begin(self, open: Callable[[], object]) -> bool:  # noqa: A002 - as the source calls it
        """Open the body once, unless it was taken back; tell whether it is read here."""
        with self._turn:
            if not self._begun and not self._taken_back and not self.send_buffer.closed:
                self._begun = True
                self.pieces = open()
            return self._begun and self.send_buffer.error is None  # what raised has no more to give

    def _step(self) -> None:
        assert self.pieces is not None
        self.take(next(self.pieces, b""))

    def take(self, piece: bytes) -> None:
        """Put a piece into the send buffer, or end it at an empty one."""
        self._read += len(piece)
        self._check_length(ended=not piece)
        if self.send_buffer.closed:
            return
        if piece:
            self.send_buffer.put(piece)
        else:
            self.send_buffer.end(self._trailers())

    def _check_length(self, *, ended: bool) -> None:
        declared = self._request.content_length
        if declared is None or self._read == declared or (self._read < declared and not ended):
            return
        raise InvalidRequest(
            f"body: {self._read} bytes or more were read, but content-length is {declared}",
            origin=self.send_buffer.origin,
        )

    def _trailers(self) -> HeaderPairs:
        given = self._request.trailers
        if not callable(given):
            return given
        with self._turn:
            if self._taken_back:  # they are computed where it is sent again
                return ()
            self._computing = True
        pairs = trailer_pairs(given())
        with self._turn:
            self._request = attrs.evolve(self._request, trailers=pairs)
            self._computing = False
        return pairs

    def _close(self) -> None:
        pieces = self.pieces
        if pieces is not None:
            pieces.close()
        self.pieces = None


class AsyncUpload(Upload):
    """An upload that blocks no thread: a task fills the send buffer, and ends when it is full."""

    _task: asyncio.Task[None] | None = None  # held here: its loop has a weak reference only

    def start(self, executor: CallerThreadExecutor, *, own_thread: bool) -> None:  # noqa: ARG002
        source = self.source
        assert isinstance(source, AsyncBodySource)
        try:
            source.loop.call_soon_threadsafe(self._start, source)
        except RuntimeError as error:  # the loop is closed
            self.filling = False
            self.send_buffer.fail(error)

    def _start(self, source: AsyncBodySource) -> None:
        """Begin the task, in its loop: a loop that closes before leaves no coroutine unawaited."""
        self._task = source.loop.create_task(self._fill(source), context=self.context)
        self._task.add_done_callback(_mark_retrieved)

    async def _fill(self, source: AsyncBodySource) -> None:
        send_buffer = self.send_buffer
        try:
            if self.begin(source.aopen):
                while not (send_buffer.closed or send_buffer.ended or send_buffer.full):
                    self.take(source.checked(await self._next()))
        except Exception as error:  # noqa: BLE001 - whatever the iterator raised is the answer
            send_buffer.fail(error)
        except BaseException as error:  # or the iterator's end would be taken for the body's
            send_buffer.fail(error)
            raise
        finally:
            self.filling = False  # before the notice, as in `fill`
            send_buffer.notify()
        if send_buffer.closed:
            await self._aclose()

    async def _next(self) -> bytes:
        """Return the next piece that is not empty, an empty one at the end."""
        pieces: AsyncIterator[bytes] = self.pieces
        async for piece in pieces:
            if piece:
                return piece
        return b""

    async def _aclose(self) -> None:
        pieces, self.pieces = self.pieces, None
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


def _mark_retrieved(filling: asyncio.Task[None]) -> None:
    """Keep asyncio from logging what the task raised: the send buffer has it."""
    if not filling.cancelled():
        filling.exception()


def upload_of(request: Request, send_buffer: SendBuffer) -> Upload:
    """Make the upload that reads this request's body, by a task if that is an async iterable."""
    body: bytes | BodySource | None = request.body
    return (AsyncUpload if isinstance(body, AsyncBodySource) else Upload)(request, send_buffer)
