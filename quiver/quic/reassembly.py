"""What came out of order and waits for what is before it: where it is, and how much it may be.

A peer decides how its data is cut up. Pieces of a byte with holes between them are within any limit
in bytes, so they are counted as well (RFC 9000 21.6), and what is done for one takes no more time
when there are many.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

__all__ = ["MOST_PIECES", "Ranges", "Reassembly", "TooManyPieces"]

MOST_PIECES: Final = 4_096
"""Of all streams of a connection, however small: one lost packet makes one hole."""

_DENSE: Final = 256  # bytes; pieces as large as that on average may be more


class TooManyPieces(Exception):
    """The peer's data is in more pieces than any loss of packets makes of it."""


class Ranges:
    """Integers in ranges that do not touch, in order. Has what aioquic asks of its RangeSet.

    Attributes:
        size: how many integers there are.
    """

    def __init__(self, ranges: Iterable[range] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.size = 0
        for each in ranges:
            self.add(each.start, each.stop)

    def add(self, start: int, stop: int | None = None) -> None:
        """Add the range; without `stop`, one integer."""
        if stop is None:
            stop = start + 1
        starts, stops = self._starts, self._stops
        if not starts or start > stops[-1]:  # as mostly: after all others
            starts.append(start)
            stops.append(stop)
            self.size += stop - start
            return
        first, last = bisect_left(stops, start), bisect_right(starts, stop)  # it touches
        if first != last:
            start, stop = min(start, starts[first]), max(stop, stops[last - 1])
        self.size += stop - start - self._size(first, last)
        starts[first:last], stops[first:last] = [start], [stop]

    def subtract(self, start: int, stop: int) -> None:
        """Take away the range, or what there is of it."""
        starts, stops = self._starts, self._stops
        if starts and start <= starts[0] < stop < stops[0]:  # as mostly: from the beginning
            self.size -= stop - starts[0]
            starts[0] = stop
            return
        first, last = bisect_right(stops, start), bisect_left(starts, stop)  # it overlaps
        if first >= last:
            return
        left = [range(starts[first], start)] if starts[first] < start else []
        right = [range(stop, stops[last - 1])] if stop < stops[last - 1] else []
        rest = left + right
        self.size += sum(map(len, rest)) - self._size(first, last)
        starts[first:last] = [each.start for each in rest]
        stops[first:last] = [each.stop for each in rest]

    def _size(self, first: int, last: int) -> int:
        return sum(self._stops[first:last]) - sum(self._starts[first:last])

    def shift(self) -> range:
        """Take out the first range."""
        start, stop = self._starts.pop(0), self._stops.pop(0)
        self.size -= stop - start
        return range(start, stop)

    def bounds(self) -> range:
        """From the first integer to the last one."""
        return range(self._starts[0], self._stops[-1])

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number < self._stops[at]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and list(self) == list(other)

    def __getitem__(self, index: int) -> range:
        return range(self._starts[index], self._stops[index])

    def __iter__(self) -> Iterator[range]:
        return map(range, self._starts, self._stops)

    def __len__(self) -> int:
        return len(self._starts)

    def __repr__(self) -> str:
        return f"Ranges({list(self)})"


class Reassembly:
    """The pieces that wait on all streams of one connection.

    Attributes:
        pieces, held: how many there are, and how many bytes.
    """

    def __init__(self) -> None:
        self.pieces = self.held = 0
        self._of: dict[int, tuple[int, int]] = {}

    def __iter__(self) -> Iterator[int]:
        """The streams that have some."""
        return iter(self._of)

    def note(self, stream_id: int, pieces: int, held: int) -> None:
        """Take down how many pieces wait on the stream now, and how many bytes are in them.

        Raises TooManyPieces: they are too many, and too small.
        """
        old_pieces, old_held = self._of.pop(stream_id, (0, 0))
        self.pieces += pieces - old_pieces
        self.held += held - old_held
        if pieces:
            self._of[stream_id] = pieces, held
        if self.pieces > MOST_PIECES and self.pieces * _DENSE > self.held:
            said = f"{self.pieces} pieces of streams wait for what is before them"
            raise TooManyPieces(f"{said}, above {MOST_PIECES}")
