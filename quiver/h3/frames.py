"""The frames of HTTP/3 (RFC 9114 7.2): their types, and how one is written."""

from __future__ import annotations

import enum
from typing import Final

from quiver.quic.varint import encode_varint

__all__ = ["HTTP2_FRAME_TYPES", "FrameType", "encode_frame"]


class FrameType(enum.IntEnum):
    """The types that mean something here. All others are skipped (RFC 9114 9)."""

    DATA = 0x00
    HEADERS = 0x01
    CANCEL_PUSH = 0x03
    SETTINGS = 0x04
    PUSH_PROMISE = 0x05
    GOAWAY = 0x07
    MAX_PUSH_ID = 0x0D
    WEBTRANSPORT_STREAM = 0x41  # draft-ietf-webtrans-http3


HTTP2_FRAME_TYPES: Final = frozenset({0x02, 0x06, 0x08, 0x09})
"""PRIORITY, PING, WINDOW_UPDATE, CONTINUATION: an error in HTTP/3 (RFC 9114 7.2.8)."""


def encode_frame(frame_type: int, payload: bytes) -> bytes:
    """A whole frame."""
    return encode_varint(frame_type) + encode_varint(len(payload)) + payload
