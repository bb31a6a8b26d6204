"""Error codes of HTTP/2, and their names (RFC 9113 7)."""

from __future__ import annotations

import enum
from typing import Final

from quiver.h3.codes import ErrorCode as Http3Code

__all__ = ["ErrorCode", "FramesFault", "code_for", "name_of"]


class ErrorCode(enum.IntEnum):
    """What a connection is closed or a stream is reset with."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


_FOR: Final = {
    Http3Code.H3_NO_ERROR: ErrorCode.NO_ERROR,
    Http3Code.H3_INTERNAL_ERROR: ErrorCode.INTERNAL_ERROR,
    Http3Code.H3_MESSAGE_ERROR: ErrorCode.PROTOCOL_ERROR,
    Http3Code.H3_EXCESSIVE_LOAD: ErrorCode.ENHANCE_YOUR_CALM,
    Http3Code.H3_REQUEST_CANCELLED: ErrorCode.CANCEL,
}


class FramesFault(Exception):
    """The server breaks HTTP/2 in a way that h2 lets pass; the connection is closed with `code`."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def code_for(code: int) -> int:
    """What HTTP/2 says for a code of HTTP/3 (RFC 9114 A.4), as far as a pool has any use for it."""
    return _FOR.get(Http3Code(code), ErrorCode.PROTOCOL_ERROR)


def name_of(code: int) -> str:
    """A code for people: "REFUSED_STREAM (0x7)"."""
    try:
        return f"{ErrorCode(code).name} ({code:#x})"
    except ValueError:
        return f"code {code:#x}"
