from __future__ import annotations

import pytest
from aioquic.buffer import Buffer, encode_uint_var, size_uint_var  # type: ignore[attr-defined]
from hypothesis import given
from hypothesis import strategies as st

from quiver.quic.varint import LARGEST_VARINT, encode_varint, read_varint, varint_size

EDGES = [0, 1, 63, 64, 16_383, 16_384, 2**30 - 1, 2**30, LARGEST_VARINT]
values = st.integers(0, LARGEST_VARINT) | st.sampled_from(EDGES)


@given(values, st.binary(max_size=9))
def test_it_is_written_as_aioquic_does_and_read_again(value: int, after: bytes) -> None:
    octets = encode_varint(value)
    assert octets == encode_uint_var(value)
    assert varint_size(value) == size_uint_var(value) == len(octets)
    assert read_varint(octets + after, 0) == (value, len(octets))


@given(values, st.sampled_from([1, 2, 4, 8]))
def test_longer_forms_are_read_too(value: int, size: int) -> None:
    if size >= varint_size(value):
        prefix = {1: 0, 2: 1, 4: 2, 8: 3}[size] << (8 * size - 2)
        assert read_varint(b"?" + (value | prefix).to_bytes(size), 1) == (value, 1 + size)


@given(values)
def test_what_is_cut_off_ends_beyond(value: int) -> None:
    octets = encode_varint(value)
    for size in range(len(octets)):
        assert read_varint(octets[:size], 0)[1] > size


@given(st.binary(min_size=1, max_size=12))
def test_whatever_it_is_aioquic_reads_the_same(octets: bytes) -> None:
    value, end = read_varint(octets, 0)
    if end <= len(octets):
        buffer = Buffer(data=octets)
        assert (buffer.pull_uint_var(), buffer.tell()) == (value, end)


@pytest.mark.parametrize("value", [-1, LARGEST_VARINT + 1])
def test_what_has_no_form_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match=str(value)):
        encode_varint(value)
