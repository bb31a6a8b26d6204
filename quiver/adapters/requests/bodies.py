"""What requests takes as a body, as Quiver takes it: text goes out as UTF-8, as by urllib3."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final, TextIO, cast

from quiver.request_options import BodyLike
from quiver.streams.body_source import BodySource

__all__ = ["TextFile", "translated_body"]

PIECE: Final = 16_384  # characters read from a file in one go


def translated_body(body: object) -> BodyLike:
    """Encode text, also piece by piece, and touch nothing before it is read.

    Untouched it can go out over TCP.
    """
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, io.TextIOBase):
        return TextFile(cast(TextIO, body))
    if body is None or isinstance(body, bytes | bytearray) or hasattr(body, "read"):
        return cast("BodyLike", body)
    with contextlib.suppress(TypeError):
        return memoryview(cast("bytes", body))  # of an array, say, which has items of its own
    pieces = _encoded(cast("Iterable[bytes | str]", body))
    return list(pieces) if isinstance(body, list | tuple) else pieces


class TextFile(BodySource):
    """A file in text mode, from where it stands. Its length in bytes only its end will tell."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._start = file.tell() if file.seekable() else None
        once = self._start is None
        super().__init__(_pieces(file, None) if once else partial(_pieces, file, self._start))

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
