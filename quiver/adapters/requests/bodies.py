"""What requests takes as a body, as Quiver takes it: text goes out as UTF-8, as by urllib3."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final, TextIO, cast

from quiver.streams.body_source import BodySource

__all__ = ["TextFile", "body_source"]

PIECE: Final = 16_384  # characters read from a file in one go
COUNTED: Final = 16 * 2**20
"""Bytes of a text file, at most, that are counted before they are sent."""


def body_source(body: object) -> bytes | BodySource | None:
    """Encode text, also piece by piece, and touch nothing before it is read.

    Untouched it can go out over TCP.

    Raises:
        InvalidRequest: it is no body.
    """
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str):
        return body.encode()
    file = _text_file(body)
    if file is not None:
        return TextFile(file)
    if hasattr(body, "read"):
        return BodySource(body)
    with contextlib.suppress(TypeError):
        return memoryview(cast("bytes", body)).tobytes()  # of an array, say, which has items
    pieces = _encoded(cast("Iterable[bytes | str]", body))
    return BodySource(list(pieces) if isinstance(body, list | tuple) else pieces)


def _text_file(body: object) -> TextIO | None:
    """The file in text mode that it is, or wraps, as a NamedTemporaryFile does; or None."""
    for file in (getattr(body, "file", None), body):
        text = isinstance(file, io.TextIOBase)
        # Those of `codecs`, and one that is spooled, are none of `io`.
        if text or (hasattr(file, "read") and isinstance(getattr(file, "encoding", None), str)):
            return cast(TextIO, file)
    return None


class TextFile(BodySource):
    """A file in text mode, from where it stands. Its length in bytes only reading it will tell."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._start: int | None = None
        self._count: int | None = None  # of bytes, as far as they were counted
        with contextlib.suppress(OSError):  # somebody iterates over it, say
            seekable = isinstance(file, io.TextIOBase) and file.seekable()
            self._start = file.tell() if seekable else None
        once = self._start is None
        super().__init__(_pieces(file, None) if once else partial(_pieces, file, self._start))

    def counted(self) -> int | None:
        """Return its length in bytes, found by reading it once; None if it is long, or cannot seek.

        requests takes the size of the file for that, and some servers want to be told.
        """
        if self._count is None and self._start is not None and not self.opened:
            size = 0
            for piece in _pieces(self._file, self._start):
                size += len(piece)
                if size > COUNTED:
                    break
            self._file.seek(self._start)
            self._count = size
        return None if self._count is None or self._count > COUNTED else self._count

    def withdraw(self) -> bool:
        if not super().withdraw():
            return False
        if self._start is not None:
            self._file.seek(self._start)
        return True


def _pieces(file: TextIO, start: int | None) -> Iterator[bytes]:
    if start is not None:
        file.seek(start)
    while piece := file.read(PIECE):
        yield piece.encode()


def _encoded(pieces: Iterable[bytes | str]) -> Iterator[bytes]:
    try:
        for piece in pieces:
            yield piece.encode() if isinstance(piece, str) else piece
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:  # a generator's last words are not left to the collector
            close()
