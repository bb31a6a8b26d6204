"""Receive credit: how far the server may send ahead of what was consumed (RFC 9000 4). Pure.

    max_stream_data = consumed of the stream + its window
    max_data        = consumed of all streams + the window of each whose reader may stop + 8 MiB

The last term is a share that readers who have stopped can never use up. aioquic doubles its windows
when bytes are *received* instead: with a reader who stops all would be in memory in the end.

A window carries one window's bytes in a round trip at most, so one that is in the way doubles:
it was consumed at the rate of a window in two round trips, and what waits for the reader was less
than half of it. All windows of a connection may grow by 64 MiB together, and a stream that has
ended gives its part of that back. A limit that was told never shrinks: what a reader leaves unread
is at most the window that its stream had grown to.
"""

from __future__ import annotations

import math
from typing import Final

from quiver.quic.varint import LARGEST_VARINT

__all__ = ["AT_ONCE", "GROWTH", "FlowControl", "StreamCredit"]

AT_ONCE: Final = 8 * 1024 * 1024
"""The window of what is consumed as it comes, of a stream and of the connection; bytes."""

GROWTH: Final = 64 * 1024 * 1024
"""By how much the windows of one connection may grow, all together; bytes."""

_MOST_AT_ONCE: Final = AT_ONCE + GROWTH // 2  # the rest is for streams with a reader


class StreamCredit:
    """One account: `unread` bytes of content are passed on but not consumed."""

    __slots__ = ("_measured_at", "_measured_from", "grown", "held_back", "unread", "window")

    def __init__(self, window: int | None) -> None:
        self.held_back = window is not None
        self.window = AT_ONCE if window is None else window
        self.grown = 0  # bytes of the window that it did not begin with
        self.unread = 0
        self._measured_from = 0  # bytes consumed, when the stretch that is measured began
        self._measured_at = math.inf  # then

    def limit(self, delivered: int, limit: int) -> int:
        """The stream's next limit: the present one until a quarter of a window is used.

        Args:
            delivered: bytes that QUIC has passed on in order.
            limit: what stands now.
        """
        if (limit - delivered) * 4 >= 3 * min(self.window, limit):
            return limit
        return _raised(limit, delivered - self.unread + self.window, self.window)

    def is_in_the_way(self, consumed: int, now: float, round_trip: float) -> bool:
        """Whether the window holds the peer back, and not the reader or the path. To be asked when
        credit is given; it measures from one answer to the next.

        Args:
            consumed: bytes in all.
            round_trip: seconds; 0 for unknown.
        """
        if self._measured_at > now:  # the first time
            self._measured_from, self._measured_at = consumed, now
            return False
        # Half a window is enough to tell. Slow start doubles what comes in each round trip, and a
        # window that is judged after a whole one would fall behind it.
        size = consumed - self._measured_from
        if 2 * size < self.window:
            return False
        time = now - self._measured_at
        self._measured_from, self._measured_at = consumed, now
        keeps_up = 2 * self.unread <= self.window
        return keeps_up and round_trip > 0 and time * self.window <= 2 * round_trip * size

    def grow(self, size: int) -> None:
        self.window += size
        self.grown += size


class FlowControl:
    """The accounts of one connection, by stream. A stream that has none gets no more credit.

    Args:
        most: bytes that a window may grow to; one that is larger stays as it is.

    Attributes:
        as_it_comes: the one account of all streams whose content is consumed as it comes.
        growth_left: bytes by which windows may still grow.
    """

    def __init__(self, most: int = 0) -> None:
        self._most = most
        self._streams: dict[int, StreamCredit] = {}
        self.as_it_comes = StreamCredit(None)
        self._window = AT_ONCE  # of the connection
        self._unread = 0
        self._for_readers = 0  # bytes in all; what else is received is consumed as it comes
        self.growth_left = GROWTH

    def open(self, stream_id: int, window: int | None) -> None:
        """Begin a stream's account; with None for `window`, all that comes is consumed at once."""
        self._streams[stream_id] = self.as_it_comes if window is None else StreamCredit(window)
        self._window += window or 0

    def close(self, stream_id: int) -> None:
        """End an account: the stream is over or given up; what its reader holds counts no more."""
        credit = self._streams.pop(stream_id, None)
        if credit is not None and credit.held_back:
            self._window -= credit.window
            self._unread -= credit.unread
            self.growth_left += credit.grown

    def get(self, stream_id: int) -> StreamCredit | None:
        return self._streams.get(stream_id)

    def passed_on(self, stream_id: int, size: int) -> None:
        """Count content that has gone to the stream's reader, unless it was the last."""
        credit = self._streams.get(stream_id)
        if credit is not None and credit.held_back:
            credit.unread += size
            self._unread += size
            self._for_readers += size

    def consumed(self, stream_id: int, size: int) -> None:
        """Count bytes that the reader has taken."""
        credit = self._streams.get(stream_id)
        if credit is not None and credit.held_back:
            credit.unread -= size
            self._unread -= size

    def limit(self, received: int, limit: int) -> int:
        """The connection's next limit, as `StreamCredit.limit` has it for streams."""
        if (limit - received) * 4 >= 3 * self._window:
            return limit
        # The step is not one of the whole window: those who stalled would keep the others waiting.
        return _raised(limit, received - self._unread + self._window, AT_ONCE)

    # growth: where a limit is told, and its window was in the way -----------------------------

    def raise_stream(
        self, credit: StreamCredit, delivered: int, limit: int, now: float, round_trip: float
    ) -> int:
        """The limit to tell of a stream, see `StreamCredit.limit`; its window may grow by that."""
        raised = credit.limit(delivered, limit)
        if raised == limit or not credit.held_back:
            return raised
        if credit.is_in_the_way(delivered - credit.unread, now, round_trip):
            self._grow(credit, self._most)
        return credit.limit(delivered, limit)

    def raise_connection(self, received: int, limit: int, now: float, round_trip: float) -> int:
        """The limit to tell of the connection. The window of all that is consumed as it comes,
        which is its share of this one, may grow by that."""
        raised = self.limit(received, limit)
        if raised == limit:
            return raised
        credit = self.as_it_comes
        if credit.is_in_the_way(received - self._for_readers, now, round_trip):
            self._grow(credit, min(self._most, _MOST_AT_ONCE))
        return self.limit(received, limit)

    def _grow(self, credit: StreamCredit, most: int) -> None:
        size = min(credit.window, most - credit.window, self.growth_left)
        if size > 0:
            credit.grow(size)
            self._window += size
            self.growth_left -= size


def _raised(limit: int, target: int, window: int) -> int:
    """`target`, as far as it can be told, unless that gains too little to be worth a frame."""
    target = min(target, LARGEST_VARINT)
    return target if target - limit >= window // 8 else limit
