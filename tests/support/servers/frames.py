"""HTTP/3 written by hand: frames and header sections, good ones and bad ones (RFC 9114 7)."""

from __future__ import annotations

from typing import Final

from aioquic._buffer import Buffer, BufferReadError
from aioquic.buffer import encode_uint_var

from quiver.h3.headers import Fields

DATA: Final = 0x0
HEADERS: Final = 0x1
CANCEL_PUSH: Final = 0x3
SETTINGS_FRAME: Final = 0x4
PUSH_PROMISE: Final = 0x5
GOAWAY: Final = 0x7
MAX_PUSH_ID: Final = 0xD
WEBTRANSPORT: Final = 0x41
GREASE: Final = 0x21 + 0x1F * 7  # of no meaning, for ever: RFC 9114 7.2.8
OF_HTTP2: Final = (0x2, 0x6, 0x8, 0x9)  # reserved: RFC 9114 7.2.8

OK: Final[Fields] = [(b":status", b"200")]


def frame(kind: int, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """One frame (RFC 9114 7.1), with a false length if that is wanted."""
    size = len(payload) if length is None else length
    return encode_uint_var(kind) + encode_uint_var(size) + payload


def block(fields: Fields) -> bytes:
    """A header section in QPACK, all in literals and unchecked (RFC 9204 4.5.6)."""
    lines = (
        integer(0x20, 3, len(name)) + name + integer(0, 7, len(value)) + value
        for name, value in fields
    )
    return b"\x00\x00" + b"".join(lines)


def integer(flags: int, bits: int, value: int) -> bytes:
    """An integer of QPACK with a prefix of so many bits (RFC 7541 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes([flags | value])
    octets = bytearray([flags | most])
    value -= most
    while value >= 0x80:
        octets.append(0x80 | value & 0x7F)
        value >>= 7
    octets.append(value)
    return bytes(octets)


def headers(fields: Fields) -> bytes:
    """A HEADERS frame."""
    return frame(HEADERS, block(fields))


def response(*more: tuple[bytes, bytes]) -> bytes:
    """The header section of a response with status 200 and `more` fields."""
    return headers([*OK, *more])


def data(content: bytes) -> bytes:
    """A DATA frame."""
    return frame(DATA, content)


def settings(*pairs: tuple[int, int]) -> bytes:
    """A SETTINGS frame; identifiers may come twice."""
    payload = b"".join(encode_uint_var(key) + encode_uint_var(value) for key, value in pairs)
    return frame(SETTINGS_FRAME, payload)


def goaway(identifier: int) -> bytes:
    """A GOAWAY frame."""
    return frame(GOAWAY, encode_uint_var(identifier))


def first_section(octets: bytes) -> bytes | None:
    """The header block that a request begins with, None when it is not all there."""
    buffer = Buffer(data=octets)
    try:
        while buffer.pull_uint_var() != HEADERS:
            buffer.pull_bytes(buffer.pull_uint_var())
        return buffer.pull_bytes(buffer.pull_uint_var())
    except BufferReadError:
        return None


RESPONSE: Final = response()
SETTINGS: Final = settings()
