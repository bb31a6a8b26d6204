"""How far the server may send: flow control's limits as WINDOW_UPDATE frames (RFC 9113 5.2, 6.9).

QUIC tells limits, HTTP/2 by how much one grows; else the rules are the same, see
`quiver.quic.flow_control`. Padding counts, and is consumed as it comes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from quiver.quic.flow_control import AT_ONCE, FlowControl

__all__ = ["FIRST", "LARGEST", "ReceiveWindows"]

LARGEST: Final = 2**31 - 1
FIRST: Final = 65_535
"""Of the connection, and of streams until our SETTINGS are known."""


class ReceiveWindows:
    """The windows of one connection, and of its streams.

    Args:
        window: bytes that a stream begins with, as our SETTINGS say.
        most: bytes that one with a reader may grow to.
    """

    def __init__(self, window: int, most: int) -> None:
        self._flow_control = FlowControl(min(most, LARGEST))
        self._window = window
        self._streams: dict[int, list[int]] = {}  # by id: bytes received, and the limit
        self._received = 0
        self._limit = FIRST
        self._due: set[int] = set()  # streams whose limit may have to be raised
        self._late = 0  # bytes that may still come of streams that are closed

    def open(self, stream_id: int, window: int | None) -> None:
        """Begin a stream's account; with None all that comes is consumed at once."""
        self._flow_control.open(stream_id, None if window is None else min(window, LARGEST))
        self._streams[stream_id] = [0, self._window]

    def close(self, stream_id: int, over: bool = False) -> None:
        """End it: it gets no more. Unless it is over, what it was allowed may be on its way."""
        self._flow_control.close(stream_id)
        stream = self._streams.pop(stream_id, None)
        if stream is not None and not over:
            self._late += stream[1] - stream[0]
        self._due.discard(stream_id)

    def received(self, stream_id: int, size: int, content: int) -> bool:
        """Count a DATA frame: the bytes that are flow-controlled, and those of content. Returns
        whether the server was allowed to send them; of an open stream h2 looks at that."""
        self._received += size
        stream = self._streams.get(stream_id)
        if stream is None:
            self._late -= size
            return self._late >= 0
        stream[0] += size
        self._flow_control.passed_on(stream_id, content)
        self._due.add(stream_id)
        return True

    def consumed(self, stream_id: int, size: int) -> None:
        """Count what the reader has taken."""
        self._flow_control.consumed(stream_id, size)
        if stream_id in self._streams:
            self._due.add(stream_id)

    def updates(self, now: float, round_trip: float) -> Iterator[tuple[int, int]]:
        """What is to be told: stream, 0 for the connection, and increment."""
        flow_control = self._flow_control
        raised = flow_control.raise_connection(self._received, self._limit, now, round_trip)
        raised = min(raised, self._received + LARGEST)
        if raised > self._limit:
            yield 0, raised - self._limit
            self._limit = raised
        for stream_id in self._due:
            stream, credit = self._streams[stream_id], flow_control.get(stream_id)
            if credit is None:
                continue
            received, limit = stream
            raised = flow_control.raise_stream(credit, received, limit, now, round_trip)
            raised = min(raised, received + LARGEST)
            if raised > limit:
                yield stream_id, raised - limit
                stream[1] = raised
        self._due.clear()


assert AT_ONCE > FIRST, "the first update makes the connection's window what it is to be"
