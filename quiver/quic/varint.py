"""Variable-length integers of QUIC (RFC 9000 16), which HTTP/3 is written with too."""

from __future__ import annotations

from typing import Final

__all__ = ["LARGEST_VARINT", "encode_varint", "read_varint", "varint_size"]

LARGEST_VARINT: Final = (1 << 62) - 1

_OF_ONE_BYTE: Final = tuple([bytes([value]) for value in range(0x40)])


def encode_varint(value: int) -> bytes:
    """The shortest form of a value. Raises ValueError for one that has none."""
    if value < 0:
        raise ValueError(f"{value} is below 0")
    if value < 0x40:
        return _OF_ONE_BYTE[value]
    if value < 0x4000:
        return (value | 0x4000).to_bytes(2)
    if value < 0x4000_0000:
        return (value | 0x8000_0000).to_bytes(4)
    if value <= LARGEST_VARINT:
        return (value | 0xC000_0000_0000_0000).to_bytes(8)
    raise ValueError(f"{value} is above {LARGEST_VARINT}")


def varint_size(value: int) -> int:
    """The bytes of a value's shortest form."""
    return len(encode_varint(value))


def read_varint(octets: bytes, at: int) -> tuple[int, int]:
    """The value that begins at `at`, and where it ends.

    The end lies beyond the octets if they do not hold all of it; the value means nothing then.
    """
    try:
        first = octets[at]
    except IndexError:
        return 0, at + 1
    if first < 0x40:
        return first, at + 1
    end = at + (1 << (first >> 6))
    return int.from_bytes(octets[at:end]) & ((1 << (8 * (end - at) - 2)) - 1), end
