"""The control stream: however it is cut, the same is read, or the same is refused."""

from __future__ import annotations

import pytest
from aioquic.buffer import encode_uint_var
from hypothesis import given
from hypothesis import strategies as st

from quiver.h3.codes import ErrorCode
from quiver.h3.control_stream import ControlStreamReader
from quiver.h3.events import GoAwayReceived
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.settings import ServerSettings
from tests.support.servers.frames import OF_HTTP2, frame

SETTINGS = frame(4, b"\x01\x00")
SETTLED = ServerSettings({1: 0})
GREASE = frame(0x21, b"x" * 300)


def goaway(stream_id: int) -> bytes:
    return frame(7, encode_uint_var(stream_id))


def feed_all(
    reader: ControlStreamReader, octets: bytes, size: int = 1
) -> list[ServerSettings | GoAwayReceived]:
    found = []
    for start in range(0, len(octets), size):
        found += reader.feed(octets[start : start + size])
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_goaway_is_found_however_the_stream_is_cut(size: int) -> None:
    octets = SETTINGS + GREASE + goaway(4096) + GREASE + goaway(4) + goaway(0)
    found = feed_all(ControlStreamReader(), octets, size)
    assert found == [SETTLED, GoAwayReceived(4096), GoAwayReceived(4), GoAwayReceived(0)]


@given(
    ids=st.lists(st.integers(0, 2**60 - 1), max_size=4).map(lambda ids: sorted(ids, reverse=True)),
    between=st.lists(st.binary(max_size=80), min_size=4, max_size=4),
    cuts=st.lists(st.integers(1, 40), min_size=1),
)
def test_every_goaway_comes_out_once(ids: list[int], between: list[bytes], cuts: list[int]) -> None:
    octets = SETTINGS
    for stream_id, payload in zip(ids, between, strict=False):
        octets += frame(0x40, payload) + goaway(4 * stream_id)
    reader, found, index = ControlStreamReader(), [], 0
    while octets:
        size = cuts[index % len(cuts)]
        found += reader.feed(octets[:size])
        octets, index = octets[size:], index + 1
    assert found == [SETTLED, *(GoAwayReceived(4 * stream_id) for stream_id in ids)]


LONG = frame(4, b"\x06" + encode_uint_var(2**40))
NO_SETTINGS = ErrorCode.H3_MISSING_SETTINGS
UNEXPECTED = ErrorCode.H3_FRAME_UNEXPECTED


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (goaway(0), NO_SETTINGS),
        (GREASE, NO_SETTINGS),
        (frame(3, b"\x00"), NO_SETTINGS),
        (frame(0, b"x"), NO_SETTINGS),
        (frame(4, length=16_385), ErrorCode.H3_EXCESSIVE_LOAD),
        (frame(4, b"\x06"), ErrorCode.H3_FRAME_ERROR),
        (frame(4, b"\x06\x01\x06\x01"), ErrorCode.H3_SETTINGS_ERROR),
        (SETTINGS + SETTINGS, UNEXPECTED),
        *[(SETTINGS + frame(kind, b"\x00"), UNEXPECTED) for kind in (0, 1, 5, 13, *OF_HTTP2)],
        (SETTINGS + frame(3, b"\x00"), ErrorCode.H3_ID_ERROR),
        (SETTINGS + goaway(2), ErrorCode.H3_ID_ERROR),
        (SETTINGS + goaway(3), ErrorCode.H3_ID_ERROR),
        (SETTINGS + goaway(8) + goaway(12), ErrorCode.H3_ID_ERROR),
        (SETTINGS + frame(7, b""), ErrorCode.H3_FRAME_ERROR),
        (SETTINGS + frame(7, bytes(9)), ErrorCode.H3_FRAME_ERROR),
        (SETTINGS + frame(7, b"\x00\x00"), ErrorCode.H3_FRAME_ERROR),
        (SETTINGS + frame(7, b"\x40"), ErrorCode.H3_FRAME_ERROR),
    ],
)
def test_what_must_not_be_there_is_a_fault(octets: bytes, code: ErrorCode) -> None:
    for size in (1, 1000):
        with pytest.raises(ProtocolError) as fault:
            feed_all(ControlStreamReader(), octets, size)
        assert fault.value.code is code
        assert fault.value.reason


def test_the_same_id_may_come_again() -> None:
    found = ControlStreamReader().feed(SETTINGS + goaway(8) + goaway(8))
    assert found == [SETTLED, GoAwayReceived(8), GoAwayReceived(8)]


def test_a_frame_is_refused_by_its_head() -> None:
    with pytest.raises(ProtocolError):
        ControlStreamReader().feed(SETTINGS + encode_uint_var(13))  # not even its length is there
        ControlStreamReader().feed(SETTINGS + encode_uint_var(13) + encode_uint_var(1 << 40))


def test_long_frames_are_not_held() -> None:
    reader = ControlStreamReader()
    reader.feed(SETTINGS + encode_uint_var(0x21) + encode_uint_var(2**40))
    for _ in range(50):
        reader.feed(bytes(65_536))
        assert reader._held == b""
    assert reader._skipping == 2**40 - 50 * 65_536


def test_what_is_held_of_settings_is_bounded() -> None:
    reader = ControlStreamReader()
    reader.feed(frame(4, length=16_384))
    for _ in range(16_383):
        assert reader.feed(b"\x21") == []
    assert len(reader._held) < 16_400


@given(st.binary(max_size=200), st.lists(st.integers(1, 9), min_size=1))
def test_whatever_comes_is_the_same_cut_or_whole(octets: bytes, cuts: list[int]) -> None:
    def read(pieces: list[bytes]) -> list[object]:
        reader, found = ControlStreamReader(), list[object]()
        try:
            for piece in pieces:
                found += reader.feed(piece)
        except ProtocolError as fault:
            return [fault.code]
        return found

    pieces: list[bytes] = []
    at = 0
    while at < len(octets):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(octets[at : at + size])
        at += size
    assert read(pieces) == read([octets])
