"""Bodies on their way out, as far as the server's windows let them (RFC 9113 5.2)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from quiver.h2.library import Library

__all__ = ["SendQueue"]

_AT_ONCE: Final = 262_144
"""Bytes that become frames in one go: what follows waits until the transport has sent them."""

_LONGEST: Final = 65_536  # bytes of one frame, whatever the server takes: others have their turns


class _Body:
    __slots__ = ("ended", "pieces", "size", "trailers")

    def __init__(self) -> None:
        self.pieces: deque[memoryview] = deque()
        self.size = 0  # bytes in them
        self.ended = False  # nothing is added any more
        self.trailers: list[tuple[bytes, bytes]] | None = None


class SendQueue:
    """What waits, by stream; streams take turns, frame by frame."""

    def __init__(self, h2: Library) -> None:
        self._h2 = h2
        self._bodies: dict[int, _Body] = {}

    def __bool__(self) -> bool:
        """Whether any body is not sent to its end."""
        return bool(self._bodies)

    def open(self, stream_id: int) -> None:
        """Begin a body."""
        self._bodies[stream_id] = _Body()

    def takes(self, stream_id: int) -> bool:
        """Whether something may be added to it."""
        body = self._bodies.get(stream_id)
        return body is not None and not body.ended

    def pending(self, stream_id: int) -> int:
        """Bytes of it that wait."""
        body = self._bodies.get(stream_id)
        return 0 if body is None else body.size

    def add(self, stream_id: int, content: bytes | memoryview, ended: bool) -> None:
        """Add to it. Ignored when it was ended, or is no more."""
        body = self._bodies.get(stream_id)
        if body is None or body.ended:
            return
        if content:
            body.pieces.append(memoryview(content))
            body.size += len(content)
        body.ended = ended

    def finish(self, stream_id: int, trailers: list[tuple[bytes, bytes]]) -> None:
        """End it by a trailer section. Ignored as in `add`."""
        body = self._bodies.get(stream_id)
        if body is not None and not body.ended:
            body.ended, body.trailers = True, trailers

    def close(self, stream_id: int) -> None:
        """Drop what is left of it."""
        self._bodies.pop(stream_id, None)

    def clear(self) -> None:
        """Drop all."""
        self._bodies.clear()

    def write(self) -> None:
        """Make frames of what may go out."""
        left = _AT_ONCE
        going = list(self._bodies)
        while going and left > 0:
            still = []
            for stream_id in going:
                sent = self._write_frame(stream_id, self._bodies[stream_id])
                left -= sent
                if sent and stream_id in self._bodies:
                    still.append(stream_id)
            going = still
        for stream_id in going:  # behind those that may have had no turn
            self._bodies[stream_id] = self._bodies.pop(stream_id)

    def _write_frame(self, stream_id: int, body: _Body) -> int:
        """Write one, or the end. Returns the bytes that are sent of it."""
        sent = 0
        if body.size:
            window = self._h2.local_flow_control_window(stream_id)
            most = min(window, self._h2.max_outbound_frame_size, _LONGEST)
            if most <= 0:
                return 0
            piece = body.pieces.popleft()
            if len(piece) > most:
                body.pieces.appendleft(piece[most:])
                piece = piece[:most]
            sent = len(piece)
            body.size -= sent
            last = body.ended and not body.size and body.trailers is None
            self._h2.send_data(stream_id, piece, end_stream=last)
            if last:
                del self._bodies[stream_id]
                return sent
        if body.ended and not body.size:
            if body.trailers is None:
                self._h2.end_stream(stream_id)
            else:
                self._h2.send_headers(stream_id, body.trailers, end_stream=True)
            del self._bodies[stream_id]
        return sent
