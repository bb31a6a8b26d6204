"""TLS messages out of pieces: whole ones, in order, bounded, and each byte is copied once."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.quic.tls_messages import LONGEST_MESSAGE, MessageTooLong, TlsMessages

MESSAGES = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=8)
CUTS = st.lists(st.integers(0, 400), max_size=12)


def message(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + len(content).to_bytes(3, "big") + content


@given(MESSAGES, CUTS)
def test_however_they_are_cut_they_come_whole_and_in_order(
    given_messages: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    whole = [message(*each) for each in given_messages]
    octets = b"".join(whole)
    at = [0, *sorted(min(cut, len(octets)) for cut in cuts), len(octets)]
    taking = TlsMessages()
    pieces = [octets[start:stop] for start, stop in itertools.pairwise(at)]
    assert [each for piece in pieces for each in taking.take(piece)] == whole


def test_the_longest() -> None:
    octets = message(11, bytes(LONGEST_MESSAGE))
    assert list(TlsMessages().take(octets + octets)) == [octets, octets]


def test_one_that_is_longer_is_refused_at_its_head() -> None:
    taking = TlsMessages()
    head = bytes([11]) + (LONGEST_MESSAGE + 1).to_bytes(3, "big")
    taken = taking.take(message(8, b"x") + head)
    assert next(taken) == message(8, b"x")
    with pytest.raises(MessageTooLong, match="131073 bytes was announced, above 131072"):
        next(taken)


@pytest.mark.long
def test_byte_by_byte_it_holds_one_message_and_copies_it_once() -> None:
    """aioquic's own way copies what it has for each piece: 8 GB here."""
    taking, octets = TlsMessages(), message(11, bytes(LONGEST_MESSAGE))
    tracemalloc.start()
    try:
        taken = [each for byte in octets for each in taking.take(bytes([byte]))]
        assert tracemalloc.get_traced_memory()[1] < 4 * len(octets)
    finally:
        tracemalloc.stop()
    assert taken == [octets]
