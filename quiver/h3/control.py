"""Reads GOAWAY off the server's control stream (RFC 9114 5.2, 7.2.6), which aioquic discards.

The reader is fed every chunk of the server's unidirectional streams, in order per stream, split
anywhere. It finds out by itself which of them is the control stream. It holds some bytes of a
frame's head and no payloads; what else is wrong on the stream, aioquic judges.
"""

from __future__ import annotations

from typing import Final

from quiver.h3.codes import ErrorCode

__all__ = ["ControlFault", "ControlReader"]

_CONTROL_STREAM: Final = 0x00
_GOAWAY: Final = 0x07
_LONGEST_VARINT: Final = 8
_MOST_STREAMS: Final = 1024
"""Streams that may come before the control stream; a server that opens more is up to no good."""


class ControlFault(Exception):
    """What the server did is an error of the connection; `code` is to close it with."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ControlReader:
    """Finds the GOAWAY frames of one connection."""

    def __init__(self) -> None:
        self._stream_id: int | None = None
        # Before the control stream is known: the first bytes of each stream, None for "another".
        self._others: dict[int, bytes | None] = {}
        self._head = b""  # of a frame, not yet complete; then the payload of a GOAWAY
        self._left = 0  # bytes of the payload still to come
        self._in_goaway = False
        self._last: int | None = None

    def feed(self, stream_id: int, chunk: bytes) -> list[int]:
        """The ids of the GOAWAY frames that `chunk` completes.

        Raises:
            ControlFault: an id is no request's, or above an earlier one (H3_ID_ERROR); the
                frame's length is not that of an id (H3_FRAME_ERROR).
        """
        if self._stream_id is None:
            chunk = self._identify(stream_id, chunk)
        if stream_id != self._stream_id:
            return []
        return self._frames(chunk)

    def _identify(self, stream_id: int, chunk: bytes) -> bytes:
        """Look at the stream's type. The rest of the chunk, if this is the control stream."""
        seen = self._others.get(stream_id, b"")
        if seen is None:
            return b""
        head = seen + chunk
        kind = _varint(head, 0)
        if kind is not None and kind[0] == _CONTROL_STREAM:
            self._stream_id = stream_id
            self._others.clear()
            return head[kind[1] :]
        self._others[stream_id] = head if kind is None else None
        if len(self._others) > _MOST_STREAMS:
            raise ControlFault(ErrorCode.H3_EXCESSIVE_LOAD, "no control stream among 1024 streams")
        return b""

    def _frames(self, chunk: bytes) -> list[int]:
        found = []
        position = 0
        while position < len(chunk):
            if self._in_goaway:
                position = self._payload(chunk, position)
                if not self._left:
                    found.append(self._goaway())
            elif self._left:
                skipped = min(self._left, len(chunk) - position)
                self._left -= skipped
                position += skipped
            else:
                position = self._frame_head(chunk, position)
        return found

    def _frame_head(self, chunk: bytes, position: int) -> int:
        """Take the type and length of a frame. Where its payload begins, or the chunk's end."""
        held = len(self._head)
        head = self._head + chunk[position : position + 2 * _LONGEST_VARINT - held]
        kind = _varint(head, 0)
        length = None if kind is None else _varint(head, kind[1])
        if kind is None or length is None:
            self._head = head
            return len(chunk)  # two varints fit into what was taken, so the chunk was shorter
        self._head = b""
        self._left = length[0]
        self._in_goaway = kind[0] == _GOAWAY
        if self._in_goaway and not 1 <= self._left <= _LONGEST_VARINT:
            raise ControlFault(ErrorCode.H3_FRAME_ERROR, f"a GOAWAY of {self._left} bytes")
        return position + length[1] - held

    def _payload(self, chunk: bytes, position: int) -> int:
        piece = chunk[position : position + self._left]
        self._head += piece
        self._left -= len(piece)
        return position + len(piece)

    def _goaway(self) -> int:
        payload, self._head, self._in_goaway = self._head, b"", False
        parsed = _varint(payload, 0)
        if parsed is None or parsed[1] != len(payload):
            raise ControlFault(ErrorCode.H3_FRAME_ERROR, "a GOAWAY that is not one id")
        stream_id = parsed[0]
        if stream_id % 4:
            raise ControlFault(ErrorCode.H3_ID_ERROR, f"GOAWAY id {stream_id} is no request's")
        if self._last is not None and stream_id > self._last:
            grown = f"GOAWAY id {stream_id} is above {self._last}, the one before"
            raise ControlFault(ErrorCode.H3_ID_ERROR, grown)
        self._last = stream_id
        return stream_id


def _varint(octets: bytes, start: int) -> tuple[int, int] | None:
    """The integer at `start` and where it ends (RFC 9000 16), None if it is not all there."""
    if start >= len(octets):
        return None
    end = start + (1 << (octets[start] >> 6))
    if end > len(octets):
        return None
    value = int.from_bytes(octets[start:end], "big")
    return value & ((1 << (8 * (end - start) - 2)) - 1), end
