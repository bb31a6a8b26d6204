"""SETTINGS, both ways (RFC 9114 7.2.4)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final

import attrs

from quiver.h3.codes import ErrorCode
from quiver.h3.frames import FrameType, encode_frame
from quiver.h3.protocol_error import ProtocolError
from quiver.quic.varint import LARGEST_VARINT, encode_varint, read_varint

__all__ = ["ServerSettings", "Setting", "encode_settings", "parse_settings"]


class Setting(enum.IntEnum):
    """The identifiers that mean something here."""

    QPACK_MAX_TABLE_CAPACITY = 0x01  # RFC 9204 5
    MAX_FIELD_SECTION_SIZE = 0x06  # RFC 9114 7.2.4.1
    QPACK_BLOCKED_STREAMS = 0x07
    ENABLE_CONNECT_PROTOCOL = 0x08  # RFC 9220 5
    H3_DATAGRAM = 0x33  # RFC 9297 5.1
    ENABLE_WEBTRANSPORT = 0x2B603742  # draft-ietf-webtrans-http3-02


_GREASE: Final = 0x21
"""One of those without meaning, which we send so that servers go on ignoring them."""

_HTTP2_IDENTIFIERS: Final = frozenset({0x00, 0x02, 0x03, 0x04, 0x05})
"""Settings of HTTP/2 that have no counterpart: an error (RFC 9114 7.2.4.1)."""

_BOOLEAN: Final = (
    Setting.ENABLE_CONNECT_PROTOCOL,
    Setting.H3_DATAGRAM,
    Setting.ENABLE_WEBTRANSPORT,
)
_NAMES: Final = {
    each.value: each.name for each in Setting if each is not Setting.ENABLE_WEBTRANSPORT
}


@attrs.frozen
class ServerSettings:
    """What the server has said of itself, by identifier."""

    values: dict[int, int]

    @property
    def connect_enabled(self) -> bool:
        """Extended CONNECT may be used (RFC 9220 3)."""
        return self.values.get(Setting.ENABLE_CONNECT_PROTOCOL) == 1

    @property
    def takes_datagrams(self) -> bool:
        """The server takes HTTP datagrams (RFC 9297 2.1.1)."""
        return self.values.get(Setting.H3_DATAGRAM) == 1

    @property
    def max_field_section_size(self) -> int | None:
        """The limit for a field section of ours (RFC 9114 4.2.2). None: there is none."""
        return self.values.get(Setting.MAX_FIELD_SECTION_SIZE)

    @property
    def table_capacity(self) -> int:
        """Bytes that QPACK's dynamic table for our requests may have."""
        return self.values.get(Setting.QPACK_MAX_TABLE_CAPACITY, 0)

    @property
    def blocked_streams(self) -> int:
        """Requests of ours that may wait for that table."""
        return self.values.get(Setting.QPACK_BLOCKED_STREAMS, 0)

    def encoded(self) -> bytes:
        """The payload of a frame with them, for `parse_settings`."""
        return _encoded(self.values)

    @property
    def named(self) -> dict[str, int]:
        """All of them by name, without those that are sent to exercise the rule."""
        return {
            _NAMES.get(identifier, f"{identifier:#x}"): value
            for identifier, value in sorted(self.values.items())
            if identifier % 0x1F != _GREASE % 0x1F  # RFC 9114 7.2.4.1
        }


def encode_settings(max_header_size: int, *, datagrams: bool) -> bytes:
    """Our SETTINGS frame: no dynamic table for responses, and what we take of them."""
    settings = {
        Setting.QPACK_MAX_TABLE_CAPACITY: 0,
        Setting.QPACK_BLOCKED_STREAMS: 0,
        _GREASE: 1,
        Setting.MAX_FIELD_SECTION_SIZE: min(max_header_size, LARGEST_VARINT),
    }
    if datagrams:
        settings[Setting.H3_DATAGRAM] = 1
    return encode_frame(FrameType.SETTINGS, _encoded(settings))


def _encoded(settings: Mapping[Setting, int] | Mapping[int, int]) -> bytes:
    pairs = (encode_varint(key) + encode_varint(value) for key, value in settings.items())
    return b"".join(pairs)


def parse_settings(payload: bytes) -> ServerSettings:
    """The settings in a frame's payload.

    Raises ProtocolError: one is cut (H3_FRAME_ERROR), comes twice, is HTTP/2's, or has a value
    that it cannot have (H3_SETTINGS_ERROR).
    """
    values: dict[int, int] = {}
    at = 0
    while at < len(payload):
        identifier, at = read_varint(payload, at)
        value, at = read_varint(payload, at)
        if at > len(payload):
            raise ProtocolError(ErrorCode.H3_FRAME_ERROR, "a setting is cut off")
        if identifier in _HTTP2_IDENTIFIERS:
            raise _bad(f"setting {identifier:#x} is reserved")
        if identifier in values:
            raise _bad(f"setting {identifier:#x} is included twice")
        values[identifier] = value
    for each in _BOOLEAN:
        if values.get(each, 0) not in (0, 1):
            raise _bad(f"{each.name} must be 0 or 1")
    if values.get(Setting.ENABLE_WEBTRANSPORT) and not values.get(Setting.H3_DATAGRAM):
        raise _bad("ENABLE_WEBTRANSPORT requires H3_DATAGRAM")
    return ServerSettings(values)


def _bad(reason: str) -> ProtocolError:
    return ProtocolError(ErrorCode.H3_SETTINGS_ERROR, reason)
