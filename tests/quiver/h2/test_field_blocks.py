"""Blocks beside those of hpack itself: what the one writes the other reads, and the limits."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hpack import Decoder, Encoder, HPACKError, NeverIndexedHeaderTuple
from hypothesis import given
from hypothesis import strategies as st

from quiver.h2.codes import ErrorCode, FramesFault
from quiver.h2.field_blocks import LONGEST, MARGIN, FieldDecoder, FieldEncoder

LIMIT = 65_536
OK = [(b":status", b"200"), (b"server", b"x"), (b"date", b"today")]

names = st.sampled_from([b":status", b":path", b"cookie", b"x-a", b"etag", b"a" * 100])
values = st.sampled_from([b"", b"200", b"/", b"a" * 300]) | st.binary(max_size=40)
sections = st.lists(st.tuples(names, values), max_size=6)
talk = st.lists(sections | st.sampled_from([0, 60, 200, 4096]), max_size=12)
"""Sections, and sizes that the peer lets a table have."""


def marked(section: Any) -> Any:
    """Cookies are never to be indexed."""
    secret = NeverIndexedHeaderTuple
    return [secret(*each) if each[0] == b"cookie" else each for each in section]


@given(talk)
def test_what_we_write_hpack_reads(steps: list[Any]) -> None:
    ours, theirs = FieldEncoder(), Decoder()
    for step in steps:
        if isinstance(step, int):
            ours.header_table_size = theirs.max_allowed_table_size = step
        for section in [marked(step)] * 3 if isinstance(step, list) else []:
            assert list(theirs.decode(ours.encode(section), raw=True)) == section


@given(talk)
def test_what_hpack_writes_we_read(steps: list[Any]) -> None:
    """Within the 4,096 bytes that its table may have. It tells of no size that it has already."""
    theirs, ours = Encoder(), FieldDecoder(LIMIT)
    for step in steps:
        if isinstance(step, int) and step != theirs.header_table_size:
            theirs.header_table_size = step
        for section in [marked(step)] * 3 if isinstance(step, list) else []:
            assert ours.decode(theirs.encode(section)) == section


@given(st.lists(st.binary(max_size=30) | st.sampled_from([b"\x3f\xe1\x1f", b"\x88", b"\x7f"])))
def test_what_nobody_has_written_we_read_as_hpack_does(blocks: list[bytes]) -> None:
    ours, theirs = FieldDecoder(LIMIT), Decoder()
    for block in blocks:
        read: Any = None
        with contextlib.suppress(HPACKError):
            read = theirs.decode(block, raw=True)
        if read is None:
            with pytest.raises(FramesFault):
                ours.decode(block)
            return
        assert ours.decode(block) == read
        assert ours.header_table.dynamic_entries == theirs.header_table.dynamic_entries


def test_a_section_is_remembered_while_the_table_stays_as_it_is() -> None:
    encoder, decoder = FieldEncoder(), FieldDecoder(LIMIT)
    first, second = (encoder.encode(OK) for _ in range(2))
    assert len(second) == len(OK) < len(first)
    assert encoder.encode(OK) == second and encoder.encode(list(OK)) is encoder.encode(OK)
    assert decoder.decode(first) == decoder.decode(second) == OK
    assert decoder.decode(second) is decoder.decode(second)
    other = [*OK, (b"x-new", b"1")]
    changed = encoder.encode(other)
    assert encoder.encode(OK) != second, "its fields have other places now"
    assert decoder.decode(changed) == other
    assert decoder.decode(encoder.encode(OK)) == OK


def test_no_more_is_remembered_than_is_of_use() -> None:
    encoder = FieldEncoder()
    table = encoder.header_table
    blocks = [
        [encoder.encode([NeverIndexedHeaderTuple(b"cookie", b"%d" % n)]) for _ in range(2)]
        for n in range(200)
    ]
    assert blocks[0][0] is blocks[0][1] and blocks[199][0] is not blocks[199][1]
    assert not table.dynamic_entries
    long = [NeverIndexedHeaderTuple(b"cookie", b"c" * 5_000)]
    assert encoder.encode(long) is not encoder.encode(long)


def test_a_long_value_goes_as_it_is() -> None:
    """Huffman's code would be shorter, and take hpack seconds."""
    value = b"a" * 60_000
    block = FieldEncoder().encode([(b"x-long", value), (b"x-short", b"b" * 100)])
    assert value in block and b"b" * 100 not in block
    assert next(iter(Decoder().decode(block, raw=True))) == (b"x-long", value)


def test_of_a_section_that_is_too_large_the_rest_is_dropped_and_the_next_one_is_read() -> None:
    encoder, decoder = FieldEncoder(), FieldDecoder(1_000)
    large = [(b":status", b"200"), *((b"x-%d" % n, b"v" * 100) for n in range(300))]
    section = decoder.decode(encoder.encode(large))
    assert section == large[: len(section)]
    assert 1_000 < sum(len(name) + len(value) + 32 for name, value in section) < 1_200
    assert decoder.decode(encoder.encode([*OK, large[300]])) == [*OK, large[300]]


@pytest.mark.parametrize(
    ("block", "said"),
    [
        (b"\x82" * (LONGEST + 1), f"a header block of {LONGEST + 1} bytes"),
        (b"\x82" * 30_000, "a header section of "),
    ],
)
def test_a_bomb(block: bytes, said: str) -> None:
    assert MARGIN / 42 < 30_000
    with pytest.raises(FramesFault, match=said) as caught:
        FieldDecoder(1_000).decode(block)
    assert caught.value.code is ErrorCode.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # no index
        b"\xbe",  # of nothing
        b"\xff\xff\xff\xff\xff\xff\xff",  # without end
        b"\x40",  # breaks off before a name,
        b"\x40\x05ab",  # in it,
        b"\x40\x01a",  # after it,
        b"\x40\x01a\x05b",  # and in a value
        b"\x40\x81\xff\x00",  # Huffman's padding is too long
        b"\x82\x20",  # a table's size, too late,
        b"\x3f\xe2\x1f",  # and too large
    ],
)
def test_a_block_that_cannot_be_read(block: bytes) -> None:
    with pytest.raises(HPACKError):
        Decoder().decode(block)
    with pytest.raises(FramesFault) as caught:
        FieldDecoder(LIMIT).decode(block)
    assert caught.value.code is ErrorCode.COMPRESSION_ERROR


def test_a_table_that_was_to_be_smaller() -> None:
    decoder = FieldDecoder(LIMIT)
    decoder.max_allowed_table_size = 100
    with pytest.raises(FramesFault, match="not made smaller"):
        decoder.decode(b"\x82")
    assert decoder.decode(b"\x20\x82") == [(b":method", b"GET")]


def test_a_server_may_allow_any_size_and_we_take_no_more() -> None:
    encoder, decoder = FieldEncoder(), Decoder()
    encoder.header_table_size = decoder.max_allowed_table_size = 2**32 - 1
    for number in range(500):
        section = [(b"x-path", b"/%d" % number)]
        assert list(decoder.decode(encoder.encode(section), raw=True)) == section
    assert len(encoder.header_table.dynamic_entries) < 4_096 / 32
