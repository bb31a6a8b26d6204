"""ControlStreamReader: what the server says on its control stream (RFC 9114 6.2.1, 7.2).

Frames may be cut anywhere. SETTINGS, which come first and once, and GOAWAY are held until they are
whole, and are bounded; every other frame is an error by its type, or is skipped without being held.
"""

from __future__ import annotations

from typing import Final

from quiver.h3.codes import ErrorCode
from quiver.h3.events import GoAwayReceived
from quiver.h3.frames import HTTP2_FRAME_TYPES, FrameType
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.settings import ServerSettings, parse_settings
from quiver.quic.varint import read_varint

__all__ = ["ControlStreamReader"]

_LARGEST_SETTINGS: Final = 16_384
"""Bytes; real ones have some tens."""

_LONGEST_ID: Final = 8  # bytes

_MISPLACED: Final = frozenset(
    {
        FrameType.DATA,
        FrameType.HEADERS,
        FrameType.PUSH_PROMISE,
        FrameType.MAX_PUSH_ID,  # a client's to send (RFC 9114 7.2.7)
        *HTTP2_FRAME_TYPES,
    }
)


class ControlStreamReader:
    """Reads one connection's control stream, without the stream type that it begins with."""

    def __init__(self) -> None:
        self._held = b""  # of a frame that is to be read whole, or of a frame's first bytes
        self._skipping = 0  # bytes of a frame without meaning that are still to come
        self._settled = False  # SETTINGS have come
        self._last_id: int | None = None  # of a GOAWAY

    def feed(self, chunk: bytes) -> list[ServerSettings | GoAwayReceived]:
        """What these bytes complete.

        Raises ProtocolError.
        """
        happened: list[ServerSettings | GoAwayReceived] = []
        if self._skipping:
            skipped = min(self._skipping, len(chunk))
            self._skipping -= skipped
            chunk = chunk[skipped:]
        octets, self._held = self._held + chunk, b""
        at, end = 0, len(octets)
        while at < end:
            frame_type, start = read_varint(octets, at)
            length, start = read_varint(octets, start)
            if start > end:
                break
            self._check(frame_type, length)
            stop = start + length
            if frame_type not in (FrameType.SETTINGS, FrameType.GOAWAY):
                self._skipping = max(0, stop - end)
                at = min(stop, end)
                continue
            if stop > end:
                break
            happened.append(self._take(frame_type, octets[start:stop]))
            at = stop
        self._held = octets[at:]
        return happened

    def _check(self, frame_type: int, length: int) -> None:
        """Refuse a frame by its head, before its payload is held."""
        if frame_type == FrameType.SETTINGS:
            if self._settled:
                raise _unexpected("SETTINGS have already been received")
            if length > _LARGEST_SETTINGS:
                raise ProtocolError(ErrorCode.H3_EXCESSIVE_LOAD, "SETTINGS are too long")
        elif not self._settled:  # nor does a frame without meaning come first (RFC 9114 6.2.1)
            raise ProtocolError(ErrorCode.H3_MISSING_SETTINGS, "the first frame is not SETTINGS")
        elif frame_type in _MISPLACED:
            raise _unexpected(f"a frame of type {frame_type:#x} on the control stream")
        elif frame_type == FrameType.CANCEL_PUSH:  # RFC 9114 7.2.3
            reason = "a push was cancelled, but no push id was offered"
            raise ProtocolError(ErrorCode.H3_ID_ERROR, reason)
        elif frame_type == FrameType.GOAWAY and not 1 <= length <= _LONGEST_ID:
            raise ProtocolError(ErrorCode.H3_FRAME_ERROR, f"a GOAWAY of {length} bytes")

    def _take(self, frame_type: int, payload: bytes) -> ServerSettings | GoAwayReceived:
        if frame_type == FrameType.GOAWAY:
            return self._goaway(payload)
        self._settled = True
        return parse_settings(payload)

    def _goaway(self, payload: bytes) -> GoAwayReceived:
        stream_id, end = read_varint(payload, 0)
        if end != len(payload):
            raise ProtocolError(ErrorCode.H3_FRAME_ERROR, "a GOAWAY that is not one id")
        if stream_id % 4:
            reason = f"GOAWAY id {stream_id} is no request's"
            raise ProtocolError(ErrorCode.H3_ID_ERROR, reason)
        if self._last_id is not None and stream_id > self._last_id:  # RFC 9114 5.2
            reason = f"GOAWAY id {stream_id} is above {self._last_id}, the one before"
            raise ProtocolError(ErrorCode.H3_ID_ERROR, reason)
        self._last_id = stream_id
        return GoAwayReceived(stream_id)


def _unexpected(reason: str) -> ProtocolError:
    return ProtocolError(ErrorCode.H3_FRAME_UNEXPECTED, reason)
