from __future__ import annotations

import sys

import pytest
from aioquic.h3.connection import ProtocolError as TheirError
from aioquic.h3.connection import parse_settings as aioquic_parses
from hypothesis import given
from hypothesis import strategies as st

from quiver.h3.codes import ErrorCode
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.settings import ServerSettings, Setting, encode_settings, parse_settings
from quiver.quic.varint import LARGEST_VARINT
from tests.support.servers.frames import settings

CAPACITY, BLOCKED = Setting.QPACK_MAX_TABLE_CAPACITY, Setting.QPACK_BLOCKED_STREAMS
WEBTRANSPORT = 0x2B603742


def payload(*pairs: tuple[int, int]) -> bytes:
    """Of a SETTINGS frame, which has a head of two bytes, or of three."""
    framed = settings(*pairs)
    return framed[2:] if framed[1] < 0x40 else framed[3:]


def test_what_we_say_of_ourselves() -> None:
    said = parse_settings(encode_settings(12_345, datagrams=True)[2:])
    assert said.values == {CAPACITY: 0, BLOCKED: 0, 0x21: 1, 0x06: 12_345, 0x33: 1}
    assert 0x33 not in parse_settings(encode_settings(5, datagrams=False)[2:]).values
    said = parse_settings(encode_settings(sys.maxsize, datagrams=False)[2:])
    assert said.values[0x06] == LARGEST_VARINT, "as large as can be said"


def test_what_the_server_says() -> None:
    nothing = parse_settings(b"")
    assert (nothing.connect_enabled, nothing.takes_datagrams) == (False, False)
    assert (nothing.table_capacity, nothing.blocked_streams) == (0, 0)
    assert nothing.max_field_section_size is None
    said = parse_settings(payload((1, 4096), (7, 16), (6, 9), (8, 1), (0x33, 1)))
    assert (said.connect_enabled, said.takes_datagrams) == (True, True)
    assert (said.table_capacity, said.blocked_streams) == (4096, 16)
    assert said.max_field_section_size == 9


def test_by_name_without_those_of_no_meaning() -> None:
    named = ServerSettings({0x33: 1, 0x21: 5, 0x21 + 0x1F * 9: 5, 1: 7, 0x4D46: 2}).named
    assert named == {"QPACK_MAX_TABLE_CAPACITY": 7, "H3_DATAGRAM": 1, "0x4d46": 2}
    assert list(named) == ["QPACK_MAX_TABLE_CAPACITY", "H3_DATAGRAM", "0x4d46"]


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        *[(payload((key, 0)), ErrorCode.H3_SETTINGS_ERROR) for key in (0, 2, 3, 4, 5)],
        (payload((6, 1), (6, 1)), ErrorCode.H3_SETTINGS_ERROR),
        (payload((0x33, 2)), ErrorCode.H3_SETTINGS_ERROR),
        (payload((0x08, 2)), ErrorCode.H3_SETTINGS_ERROR),
        (payload((WEBTRANSPORT, 2), (0x33, 1)), ErrorCode.H3_SETTINGS_ERROR),
        (payload((WEBTRANSPORT, 1)), ErrorCode.H3_SETTINGS_ERROR),
        (payload((WEBTRANSPORT, 1), (0x33, 0)), ErrorCode.H3_SETTINGS_ERROR),
        (b"\x06", ErrorCode.H3_FRAME_ERROR),
        (b"\x46", ErrorCode.H3_FRAME_ERROR),
        (b"\x06\x80", ErrorCode.H3_FRAME_ERROR),
    ],
)
def test_what_is_refused(octets: bytes, code: ErrorCode) -> None:
    with pytest.raises(ProtocolError) as fault:
        parse_settings(octets)
    assert fault.value.code is code


def test_webtransport_with_datagrams_is_none_of_our_business() -> None:
    assert parse_settings(payload((WEBTRANSPORT, 1), (0x33, 1))).takes_datagrams


@given(st.binary(max_size=40))
def test_aioquic_reads_the_same(octets: bytes) -> None:
    try:
        theirs: object = aioquic_parses(octets)
    except TheirError as error:
        theirs = int(error.error_code)
    try:
        ours: object = parse_settings(octets).values
    except ProtocolError as error:
        if error.reason.endswith(("0 or 1", "H3_DATAGRAM")):  # which it looks at later
            return
        ours = int(error.code)
    assert ours == theirs
