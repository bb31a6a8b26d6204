"""Source: a request body that is read piece by piece while it is sent."""

from __future__ import annotations

import io
import os
import threading
from asyncio import AbstractEventLoop
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, Final

from quiver.errors import InvalidRequest

__all__ = ["AsyncSource", "Source"]

PIECE: Final = 65_536  # bytes read from a file in one go


class Source:
    """A file or an iterable of bytes as a body.

    Nothing is read before the request has a stream, and then in a thread that may block.

    Attributes:
        length: bytes, when known: of a file that can seek, of a list or tuple; else None.
        replayable: whether it can be opened a second time, for another try.

    Raises:
        InvalidRequest: it is no body.
    """

    def __init__(self, body: Any) -> None:
        self._body = body
        self._opened = False
        self._start = 0
        self.length: int | None = None
        if hasattr(body, "read"):
            self._take_file(body)
        elif isinstance(body, list | tuple):
            self.length = sum(len(_piece(piece)) for piece in body)
            self.replayable = True
        elif isinstance(body, Iterable) and not isinstance(body, Mapping | AsyncIterable):
            self.replayable = not isinstance(body, Iterator)
        else:
            raise InvalidRequest(
                f"body is a {type(body).__name__}, not bytes, a binary file or an iterable of bytes"
            )

    @property
    def opened(self) -> bool:
        """Whether anything may have been read."""
        return self._opened

    def __repr__(self) -> str:
        return f"<Source {type(self._body).__name__}, length {self.length}>"

    def open(self) -> Iterator[bytes]:
        """The pieces from the start on. Empty ones are left out.

        Raises:
            InvalidRequest: it has been read before and cannot be again, or (while it is read) a
                piece is not bytes.
        """
        if self._opened and not self.replayable:
            raise InvalidRequest("body: this iterator or pipe has been sent already")
        self._opened = True
        return self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        if hasattr(self._body, "read"):
            yield from self._read()
            return
        pieces = iter(self._body)
        try:
            yield from filter(None, map(_piece, pieces))
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:  # a generator's last words are not left to the collector
                close()

    def _read(self) -> Iterator[bytes]:
        position = self._start
        while True:
            with self._turn:
                if self.replayable:
                    self._body.seek(position)
                piece = _piece(self._body.read(PIECE))
            if not piece:
                return
            position += len(piece)
            yield piece

    def _take_file(self, file: Any) -> None:
        if isinstance(file, io.TextIOBase):
            raise InvalidRequest("body is a file in text mode: open it in binary mode ('rb')")
        self._turn = threading.Lock()  # a file has one position, but may be sent twice at a time
        self.replayable = bool(getattr(file, "seekable", lambda: False)())
        if self.replayable:
            self._start = file.tell()
            self.length = max(0, file.seek(0, os.SEEK_END) - self._start)
            file.seek(self._start)


class AsyncSource(Source):
    """An async iterable of bytes as a body, read by a task of the asyncio loop that it belongs to.

    Args:
        body: yields bytes.
        loop: where it is iterated.
        length: bytes, when known.
    """

    def __init__(
        self, body: AsyncIterable[bytes], loop: AbstractEventLoop, length: int | None = None
    ) -> None:
        super().__init__(())
        self.replayable = False
        self.length = length
        self.loop = loop
        self._pieces_to_come = body

    def aopen(self) -> AsyncIterator[bytes]:
        """The pieces. Errors as of `open`."""
        self.open()
        return aiter(self._pieces_to_come)

    @staticmethod
    def checked(piece: Any) -> bytes:
        """A piece as bytes. Raises InvalidRequest."""
        return _piece(piece)


def _piece(piece: Any) -> bytes:
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, bytearray | memoryview):
        return bytes(piece)
    raise InvalidRequest(f"body: a piece is a {type(piece).__name__}, not bytes")
