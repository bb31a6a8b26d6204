"""A body that is kept until it is whole: right in any pieces, and in memory once."""

from __future__ import annotations

import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from quiver.pool.buffered_body import BufferedBody

PIECE = 50_000  # bytes
MANY = 200


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_it_is_what_came(pieces: list[bytes]) -> None:
    body = BufferedBody()
    for piece in pieces:
        body.add(piece)
    assert body.whole() == b"".join(pieces)


def test_one_piece_is_passed_on_as_it_is() -> None:
    body, piece = BufferedBody(), bytes(PIECE)
    body.add(piece)
    assert body.whole() is piece


def test_many_pieces_are_in_memory_once() -> None:
    body = BufferedBody()
    tracemalloc.start()
    try:
        for _ in range(MANY):
            body.add(bytes(PIECE))
        content = body.whole()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(content) == MANY * PIECE
    assert peak < 1.5 * len(content)


def test_the_last_piece_comes_with_the_question() -> None:
    body = BufferedBody()
    body.add(b"one, ")
    assert body.whole(b"two") == b"one, two"
