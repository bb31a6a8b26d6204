"""Receive credit: how far the server may send ahead of what was consumed (RFC 9000 4). Pure.

aioquic doubles its windows when bytes are *received*, so that a reader who stops would have
everything in memory in the end. Here the limit of a stream is what was consumed of it plus its
window, and that of the connection is what was consumed of all streams plus the windows of those
whose reader may stop, plus a share that such readers can never use up.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Credits", "StreamCredit"]

MIB: Final = 1024 * 1024

AT_ONCE: Final = 8 * MIB
"""The window of what is consumed as it comes, of a stream and of the connection; bytes."""


class StreamCredit:
    """One stream's account: `unread` bytes of content are passed on but not consumed."""

    __slots__ = ("held_back", "unread", "window")

    def __init__(self, window: int | None) -> None:
        self.held_back = window is not None
        self.window = AT_ONCE if window is None else window
        self.unread = 0

    def limit(self, delivered: int, limit: int) -> int:
        """The stream's next limit: the present one until half of a window is used.

        `delivered` are the bytes that QUIC has passed on in order, `limit` is what stands now.
        """
        if (limit - delivered) * 2 >= min(self.window, limit):
            return limit
        return _raised(limit, delivered - self.unread + self.window, self.window)


_AS_IT_COMES: Final = StreamCredit(None)  # nothing is counted there: one account serves all


class Credits:
    """The accounts of one connection, by stream. A stream that has none gets no more credit."""

    def __init__(self) -> None:
        self._streams: dict[int, StreamCredit] = {}
        self._window = AT_ONCE  # of the connection
        self._unread = 0

    def open(self, stream_id: int, window: int | None) -> None:
        """A request was opened. `window` None: all that comes of it is consumed at once."""
        self._streams[stream_id] = _AS_IT_COMES if window is None else StreamCredit(window)
        self._window += window or 0

    def close(self, stream_id: int) -> None:
        """The stream has ended or was given up; what its reader still holds is his own."""
        credit = self._streams.pop(stream_id, None)
        if credit is not None and credit.held_back:
            self._window -= credit.window
            self._unread -= credit.unread

    def get(self, stream_id: int) -> StreamCredit | None:
        return self._streams.get(stream_id)

    def passed_on(self, stream_id: int, size: int) -> None:
        """Content has gone to the stream's reader."""
        self._add(stream_id, size)

    def consumed(self, stream_id: int, size: int) -> None:
        """The reader has taken so many bytes."""
        self._add(stream_id, -size)

    def _add(self, stream_id: int, size: int) -> None:
        credit = self._streams.get(stream_id)
        if credit is not None and credit.held_back:
            credit.unread += size
            self._unread += size

    def limit(self, received: int, limit: int) -> int:
        """The connection's next limit, as `StreamCredit.limit` has it for streams."""
        if (limit - received) * 2 >= self._window:
            return limit
        # The step is not one of the whole window: those who stalled would keep the others waiting.
        return _raised(limit, received - self._unread + self._window, AT_ONCE)


def _raised(limit: int, target: int, window: int) -> int:
    """`target`, unless that gains too little to be worth a frame."""
    return target if target - limit >= window // 8 else limit
