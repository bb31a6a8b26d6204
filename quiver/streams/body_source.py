"""BodySource: a request body that is read piece by piece while it is sent.

A body is read a second time only where it is proved to give all of it again: pieces that are kept
here, a file that can seek back, and a callable that makes a new iterator. Any other iterable may
wrap a generator, and would give what is left of that, or nothing. So may a callable, if what it
makes shares a generator with what it made before: therefore a second reading is compared with the
first by length and CRC-32, as far as that had come.
"""

from __future__ import annotations

import inspect
import io
import logging
import os
import threading
import zlib
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextvars import copy_context
from typing import IO, TYPE_CHECKING, Final, NamedTuple, Protocol, Self, cast

from quiver.errors import InvalidRequest

if TYPE_CHECKING:  # asyncio takes longer to import than all of the other modules here
    from asyncio import AbstractEventLoop

__all__ = ["AsyncBodySource", "BodySource", "Reading"]

logger = logging.getLogger("quiver.upload")

FILE_PIECE: Final = 65_536  # bytes read from a file in one go


class BodySource:
    """A request body that is a file, an iterable of bytes, or a callable that makes one.

    Nothing is read before the request has a stream, and then in a thread that may block.

    Attributes:
        length: bytes, when known: of a file that can seek, of a list or tuple; else None.
        replayable: whether it can be opened a second time, for another try: a list or tuple,
            which is copied; a file that can seek; a callable.
        opened: whether it has been opened, so that some of it may have been read.
        kept: whether its pieces are kept here, so that reading them runs no code of their owner's.
        context: the context variables of whoever gave it.

    Raises:
        InvalidRequest: it is no body.
    """

    def __init__(self, body: object, type_name: str | None = None) -> None:
        self._kind = _kind_of(body)
        self._type = type_name or type(body).__name__  # as messages name it
        self._turn = threading.RLock()  # for steps that do not block; a finaliser may come amid one
        self.opened = False
        self._withdrawn = False
        self._readings: list[Reading] = []  # that go on, or were left and not followed by another
        self.length = self._kind.length
        self.replayable = self._kind.replayable
        self.kept = isinstance(self._kind, _Kept)
        self.context = copy_context()

    def __repr__(self) -> str:
        return f"<BodySource {self._type}, length {self.length}>"

    def open(self) -> Reading:
        """Begin to read all of it, from the start.

        Raises:
            InvalidRequest: it has been read before and cannot be again; or, while it is read, a
                piece is not bytes, or differs from what a reading before it had.
        """
        kind = self._kind
        with self._turn:
            self._claim()
            before = [reading for reading in self._readings if reading.left]
            reading = Reading(kind.pieces, before, compared=isinstance(kind, _Made))
            self._readings.append(reading)
        return reading

    def leave(self, reading: Reading) -> bool:
        """Give up a reading in favour of another one, and tell whether there can be one.

        The next one closes it before it begins, since both may read from the same file or iterator.
        It is not closed here: that would wait for a piece in the making.
        """
        if self.replayable:
            reading.left = True
        return self.replayable

    def withdraw(self) -> bool:
        """Open it no more, and tell whether its owner can read all of it from now on.

        Readings are closed first, since one may be at work in another thread; a file is put back
        where it stood.
        """
        with self._turn:
            if self.opened and not self.replayable:
                return False
            self._withdrawn = True
            opened, readings = self.opened, list(self._readings)
        for reading in readings:  # without the lock: closing waits for a piece in the making
            reading.close()
        return not opened or self._kind.rewind()

    def claim(self) -> None:
        """Mark it as opened. Errors as of `open`."""
        with self._turn:
            self._claim()

    def _claim(self) -> None:
        """Mark it as opened; the lock is held."""
        if self._withdrawn or (self.opened and not self.replayable):
            raise InvalidRequest(
                f"body: this {self._type} can be read once, and has been sent already; "
                "a list, a file that can seek or a callable that makes an iterator can be "
                "sent again"
            )
        self.opened = True
        self._readings = [reading for reading in self._readings if reading.matters]


class Beginning(NamedTuple):
    """The length of what a reading had given when it was left, and its CRC-32."""

    size: int
    crc: int


class Reading:
    """An iterator over the pieces of a body, none of them empty, for one thread at a time.

    Args:
        begin: makes the pieces; called when the first one is asked for.
        before: the readings that it replaces.
        compared: whether it must begin with the same bytes as those, not only be as long.
    """

    def __init__(
        self,
        begin: Callable[[], Iterator[bytes]],
        before: Sequence[Reading] = (),
        *,
        compared: bool = False,
    ) -> None:
        self.closed = False
        self.left = False  # another one is to take its place
        self._followed = False
        self._ended = False
        self._given = Beginning(0, 0)
        self._due: list[Beginning] = []  # of those before, which it has not reached yet
        self._compared = compared
        self._begin = begin
        self._before = before
        self._pieces: Iterator[bytes] | None = None
        self._turn = threading.RLock()  # held while a piece is made

    def __iter__(self) -> Self:
        return self

    @property
    def matters(self) -> bool:
        """Tell whether it may go on, or is still to be compared with the one that replaces it."""
        return not (self.closed or self._ended) or (self.left and not self._followed)

    def __next__(self) -> bytes:
        with self._turn:
            if self.closed:  # a StopIteration would be taken for the body's end
                raise InvalidRequest("body: it is not read here any more")
            if self._pieces is None:
                self._take_over()
                self._pieces = self._begin()
            for piece in self._pieces:
                if piece:
                    self._note(piece)
                    return piece
            self._ended = True
        if self._due:
            raise InvalidRequest(
                f"body: read anew it ended after {self._given.size} bytes, but it had "
                f"{self._due[-1].size} before"
            )
        raise StopIteration

    def close(self) -> None:
        """Read no more, and close the iterator. Any thread may; it waits for a piece in the making.

        A generator's `finally` runs here. What it raises is logged, since the request has its
        outcome without it.
        """
        raised: Exception | None = None
        with self._turn:
            self.closed = True
            pieces, self._pieces = self._pieces, None
            close = getattr(pieces, "close", None)
            try:
                if close is not None:  # a generator's `finally` is not left to the collector
                    close()
            except Exception as error:
                if getattr(pieces, "gi_running", False):  # it closes itself, from within
                    raise
                raised = error
        if raised is not None:  # logged without the lock: a handler may do anything
            logger.error("a request's body raised when it was closed", exc_info=raised)

    def _take_over(self) -> None:
        for reading in self._before:
            reading.close()
            reading._followed = True
            self._due += [*reading._due, reading._given]
        self._due = sorted(each for each in self._due if each.size)
        self._before = ()

    def _note(self, piece: bytes) -> None:
        """Count a piece, and check that it goes on as the readings before did."""
        size, crc = self._given
        while self._due and self._due[0].size <= size + len(piece):
            due = self._due.pop(0)
            if self._compared and zlib.crc32(piece[: due.size - size], crc) != due.crc:
                raise InvalidRequest(
                    f"body: the callable made something else the second time: its first {due.size} "
                    "bytes are not those that were read before"
                )
        self._given = Beginning(size + len(piece), zlib.crc32(piece, crc) if self._compared else 0)


class AsyncBodySource(BodySource):
    """A request body that is an async iterable of bytes, read once, by a task of its loop.

    Args:
        body: yields bytes.
        loop: where it is iterated.
        length: bytes, when known.
    """

    def __init__(
        self, body: AsyncIterable[bytes], loop: AbstractEventLoop, length: int | None = None
    ) -> None:
        _check_unspent(body)
        super().__init__(iter(()), type(body).__name__)
        self.length = length
        self.loop = loop
        self._pieces_to_come = body

    def aopen(self) -> AsyncIterator[bytes]:
        """Begin to read it. Errors as of `open`."""
        self.claim()
        return aiter(self._pieces_to_come)

    @staticmethod
    def checked(piece: object) -> bytes:
        """Return a piece as bytes. Raises InvalidRequest."""
        return _piece(piece)


def _check_unspent(body: object) -> None:
    """Raise InvalidRequest for a generator that is exhausted.

    It would be sent as an empty body, for example when its owner tries the request once more.
    """
    sync = inspect.isgenerator(body) and body.gi_frame is None
    if sync or (inspect.isasyncgen(body) and body.ag_frame is None):
        name = getattr(body, "__name__", "")
        raise InvalidRequest(
            f"body: the generator {name!r} has been read or closed already; make a new one, or "
            "give a callable that makes it"
        )


# what a body may be ---------------------------------------------------------------------------


class _Kind(Protocol):
    length: int | None
    replayable: bool

    def pieces(self) -> Iterator[bytes]:
        """Begin to read, from the start."""

    def rewind(self) -> bool:
        """Put it back as its owner gave it, and tell whether it is."""


def _kind_of(body: object) -> _Kind:
    if hasattr(body, "read"):
        return _File(cast("IO[bytes]", body))
    if isinstance(body, list | tuple):
        return _Kept(body)
    if isinstance(body, Iterable) and not isinstance(body, Mapping | AsyncIterable):
        return _Once(body)
    if callable(body):
        return _Made(body)
    values = ": json= sends values, and urlencode(...).encode() makes a form of them"
    raise InvalidRequest(
        f"body is a {type(body).__name__}, not bytes, a binary file, an iterable of bytes or a "
        f"callable that makes one{values if isinstance(body, Mapping) else ''}"
    )


class _Kept:
    """Pieces in memory, copied, so that its owner may change the list."""

    replayable = True

    def __init__(self, pieces: Iterable[object]) -> None:
        self._pieces = tuple([_piece(each) for each in pieces])
        self.length: int | None = sum(map(len, self._pieces))

    def pieces(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def rewind(self) -> bool:
        return True


class _File:
    """A file from where it stands to its end; whoever sends it checks its length."""

    def __init__(self, file: IO[bytes]) -> None:
        if isinstance(file, io.TextIOBase):
            raise InvalidRequest("body is a file in text mode: open it in binary mode ('rb')")
        self._file = file
        self._turn = threading.RLock()  # two requests may send it at a time; it has one position
        try:
            extent = _extent(file)
        except ValueError as error:  # it is closed
            raise InvalidRequest(f"body: {error}") from error
        self.replayable = extent is not None
        self._start: int | None = None
        self.length: int | None = None
        if extent is not None:
            self._start, self.length = extent

    def pieces(self) -> Iterator[bytes]:
        position = self._start
        while True:
            with self._turn:
                if position is not None:
                    self._file.seek(position)
                piece = _piece(self._file.read(FILE_PIECE))
            if not piece:
                return
            if position is not None:
                position += len(piece)
            yield piece

    def rewind(self) -> bool:
        assert self._start is not None  # one that cannot seek is read once, and is not asked
        try:
            self._file.seek(self._start)
            return _extent(self._file) == (self._start, self.length)
        except (OSError, ValueError):  # it was closed, say
            return False


class _Once:
    """Any other iterable: a generator, or what may wrap one."""

    length: int | None = None
    replayable = False

    def __init__(self, body: Iterable[object]) -> None:
        _check_unspent(body)
        self._body = body

    def pieces(self) -> Iterator[bytes]:
        return _checked(self._body)

    def rewind(self) -> bool:
        return False


class _Made:
    """A callable that makes a new iterator each time."""

    length: int | None = None
    replayable = True

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = make
        self._made: object = None

    def pieces(self) -> Iterator[bytes]:
        made = self._make()
        if isinstance(made, bytes | str) or not isinstance(made, Iterable):
            raise InvalidRequest(
                f"body: the callable made a {type(made).__name__}, not an iterator of bytes"
            )
        if made is self._made and not isinstance(made, list | tuple):
            raise InvalidRequest(
                f"body: the callable gave the same {type(made).__name__} a second time; "
                "it has to make a new one"
            )
        self._made = made
        return _checked(made)

    def rewind(self) -> bool:
        return True


def _extent(file: IO[bytes]) -> tuple[int, int] | None:
    """Return where a file stands, and its bytes from there on; None if it cannot seek.

    Raises:
        ValueError: it is closed.
        OSError: it cannot go back.
    """
    if not getattr(file, "seekable", lambda: False)():
        return None
    try:
        start = file.tell()
        file.seek(0, os.SEEK_END)
    except OSError:  # it says more than it can do
        return None
    end = file.tell()
    file.seek(start)
    return start, max(0, end - start)


def _checked(body: Iterable[object]) -> Iterator[bytes]:
    pieces = iter(body)
    try:
        yield from map(_piece, pieces)
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _piece(piece: object) -> bytes:
    if type(piece) is bytes:
        return piece
    if isinstance(piece, bytes | bytearray | memoryview):
        return memoryview(piece).tobytes()  # a subclass may say anything of its length
    raise InvalidRequest(f"body: a piece is a {type(piece).__name__}, not bytes")
