"""Error codes of HTTP/3 and QPACK, and their names (RFC 9114 8.1, 9204 6)."""

from __future__ import annotations

import enum

__all__ = ["ErrorCode", "name_of"]


class ErrorCode(enum.IntEnum):
    """What an application closes a connection or resets a stream with."""

    H3_DATAGRAM_ERROR = 0x33
    H3_NO_ERROR = 0x100
    H3_GENERAL_PROTOCOL_ERROR = 0x101
    H3_INTERNAL_ERROR = 0x102
    H3_STREAM_CREATION_ERROR = 0x103
    H3_CLOSED_CRITICAL_STREAM = 0x104
    H3_FRAME_UNEXPECTED = 0x105
    H3_FRAME_ERROR = 0x106
    H3_EXCESSIVE_LOAD = 0x107
    H3_ID_ERROR = 0x108
    H3_SETTINGS_ERROR = 0x109
    H3_MISSING_SETTINGS = 0x10A
    H3_REQUEST_REJECTED = 0x10B
    H3_REQUEST_CANCELLED = 0x10C
    H3_REQUEST_INCOMPLETE = 0x10D
    H3_MESSAGE_ERROR = 0x10E
    H3_CONNECT_ERROR = 0x10F
    H3_VERSION_FALLBACK = 0x110
    QPACK_DECOMPRESSION_FAILED = 0x200
    QPACK_ENCODER_STREAM_ERROR = 0x201
    QPACK_DECODER_STREAM_ERROR = 0x202


def name_of(code: int) -> str:
    """An application's code for people: "H3_REQUEST_REJECTED (0x10b)"."""
    try:
        return f"{ErrorCode(code).name} ({code:#x})"
    except ValueError:
        return f"code {code:#x}"
