"""SendPieces: the bytes of a stream on their way out, as they were given. Pure.

What is sent is kept until it is acknowledged. In one buffer all of it would be copied once when it
is written, and again and again while that moves along. Here large pieces stay what they are, slices
of the caller's own body, and are cut up where they lie. Small ones are gathered, so that a stream
of these takes no more memory than its bytes do.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

__all__ = ["SendPieces"]

_SMALL: Final = 2_048  # bytes; a shorter piece is copied
_GATHERED: Final = 16_384  # bytes of small ones in one


class SendPieces:
    """Has what aioquic asks of the bytearray in a stream's sender; and `cut`.

    Positions are counted from the first byte that is still there.
    """

    __slots__ = ("_end", "_first", "_pieces", "_starts")

    def __init__(self) -> None:
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._starts: list[int] = []  # of each, counted from the beginning of the stream, as are
        self._first = self._end = 0  # the first byte that is there, and the end

    def __len__(self) -> int:
        return self._end - self._first

    def __iadd__(self, piece: bytes | bytearray | memoryview) -> SendPieces:
        size = len(piece)
        if not size:
            return self
        pieces = self._pieces
        last = pieces[-1] if pieces else None
        if size >= _SMALL:
            pieces.append(piece)
            self._starts.append(self._end)
        elif isinstance(last, bytearray) and len(last) < _GATHERED:
            last += piece
        else:
            pieces.append(bytearray(piece))
            self._starts.append(self._end)
        self._end += size
        return self

    def __delitem__(self, part: slice) -> None:
        """Drop what is before `part.stop`."""
        self._first = min(self._first + part.stop, self._end)
        gone = bisect_right(self._starts, self._first) - 1
        if self._first == self._end:
            gone += 1
        if gone > 0:
            del self._pieces[:gone], self._starts[:gone]

    def __getitem__(self, part: slice) -> bytes:
        return b"".join(self._parts(self._first + part.start, self._first + part.stop))

    def cut(self, start: int, size: int, count: int) -> list[bytes | memoryview]:
        """As many parts of that size, one after the other."""
        cuts: list[bytes | memoryview] = []
        begin = self._first + start
        while count > 0:
            at = bisect_right(self._starts, begin) - 1
            view, offset = self._view(at), begin - self._starts[at]
            whole = min((len(view) - offset) // size, count)
            cuts += [
                view[each : each + size] for each in range(offset, offset + whole * size, size)
            ]
            if not whole:  # it goes on in the next piece
                cuts.append(b"".join(self._parts(begin, begin + size)))
                whole = 1
            count -= whole
            begin += whole * size
        return cuts

    def _view(self, at: int) -> memoryview:
        """A piece, or a copy of one that may yet grow, which it cannot while there is a view."""
        piece = self._pieces[at]
        return memoryview(bytes(piece) if isinstance(piece, bytearray) else piece)

    def _parts(self, begin: int, end: int) -> list[bytes | memoryview]:
        """What lies between the two, as far as it is there, both counted from the beginning."""
        parts: list[bytes | memoryview] = []
        end = min(end, self._end)
        at = bisect_right(self._starts, begin) - 1
        while begin < end:
            view, start = self._view(at), self._starts[at]
            part = view[begin - start : end - start]
            parts.append(part)
            begin += len(part)
            at += 1
        return parts
