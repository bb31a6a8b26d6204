from __future__ import annotations

import pytest
from aioquic.buffer import encode_uint_var
from hypothesis import given
from hypothesis import strategies as st

from quiver.h3.codes import ErrorCode
from quiver.h3.control import ControlFault, ControlReader
from tests.support.frames import frame

SETTINGS = frame(4, b"\x01\x00")
GREASE = frame(0x21, b"x" * 300)


def goaway(stream_id: int) -> bytes:
    return frame(7, encode_uint_var(stream_id))


def feed_all(reader: ControlReader, stream_id: int, octets: bytes, size: int = 1) -> list[int]:
    found = []
    for start in range(0, len(octets), size):
        found += reader.feed(stream_id, octets[start : start + size])
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_goaway_is_found_however_the_stream_is_cut(size: int) -> None:
    octets = b"\x00" + SETTINGS + GREASE + goaway(4096) + GREASE + goaway(4) + goaway(0)
    assert feed_all(ControlReader(), 3, octets, size) == [4096, 4, 0]


@given(
    ids=st.lists(st.integers(0, 2**60 - 1), max_size=4).map(lambda ids: sorted(ids, reverse=True)),
    between=st.lists(st.binary(max_size=80), min_size=4, max_size=4),
    cuts=st.lists(st.integers(1, 40), min_size=1),
    before=st.booleans(),
)
def test_every_goaway_comes_out_once(
    ids: list[int], between: list[bytes], cuts: list[int], before: bool
) -> None:
    octets = b"\x00" + SETTINGS
    for stream_id, payload in zip(ids, between, strict=False):
        octets += frame(0x40, payload) + goaway(4 * stream_id)
    reader, found, index = ControlReader(), [], 0
    if before:
        reader.feed(7, b"\x02" + octets)  # a QPACK stream with the same bytes is not looked at
    while octets:
        size = cuts[index % len(cuts)]
        found += reader.feed(3, octets[:size])
        octets, index = octets[size:], index + 1
    assert found == [4 * stream_id for stream_id in ids]


def test_a_type_in_a_long_form_counts() -> None:
    reader = ControlReader()
    assert feed_all(reader, 11, b"\x80\x00\x00\x00" + SETTINGS + goaway(8)) == [8]


def test_other_streams_say_nothing() -> None:
    reader = ControlReader()
    assert reader.feed(7, b"\x02" + goaway(8)) == []
    assert reader.feed(7, goaway(8)) == []
    assert reader.feed(3, b"\x00" + SETTINGS) == []
    assert reader.feed(7, goaway(8)) == []
    assert reader.feed(15, b"\x00" + goaway(8)) == []


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (goaway(2), ErrorCode.H3_ID_ERROR),
        (goaway(3), ErrorCode.H3_ID_ERROR),
        (goaway(8) + goaway(12), ErrorCode.H3_ID_ERROR),
        (frame(7, b""), ErrorCode.H3_FRAME_ERROR),
        (frame(7, bytes(9)), ErrorCode.H3_FRAME_ERROR),
        (frame(7, b"\x00\x00"), ErrorCode.H3_FRAME_ERROR),
        (frame(7, b"\x40"), ErrorCode.H3_FRAME_ERROR),
    ],
)
def test_a_bad_goaway_is_a_fault(octets: bytes, code: ErrorCode) -> None:
    for size in (1, 1000):
        with pytest.raises(ControlFault) as fault:
            feed_all(ControlReader(), 3, b"\x00" + SETTINGS + octets, size)
        assert fault.value.code is code
        assert fault.value.reason


def test_the_same_id_may_come_again() -> None:
    assert ControlReader().feed(3, b"\x00" + goaway(8) + goaway(8)) == [8, 8]


def test_long_frames_are_not_held() -> None:
    reader = ControlReader()
    reader.feed(3, b"\x00" + encode_uint_var(0x21) + encode_uint_var(2**40))
    for _ in range(50):
        reader.feed(3, bytes(65_536))
    assert len(reader._head) <= 16


def test_streams_before_the_control_stream_are_counted() -> None:
    reader = ControlReader()
    with pytest.raises(ControlFault) as fault:
        for number in range(2000):
            reader.feed(4 * number + 3, b"\x21")
    assert fault.value.code is ErrorCode.H3_EXCESSIVE_LOAD
