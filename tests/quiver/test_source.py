"""What is taken for a body, what is known of it, and that it can be read again where it says so."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.errors import InvalidRequest
from quiver.source import PIECE, Source


class Pipe(io.RawIOBase):
    """A binary file that cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._content.read(size)


class Again:
    """An iterable that begins anew each time."""

    def __iter__(self) -> Iterator[bytes]:
        yield from (b"a", b"", b"b")


def half_read() -> io.BytesIO:
    file = io.BytesIO(b"hello")
    file.read(2)
    return file


@pytest.mark.parametrize(
    ("body", "length", "replayable", "content"),
    [
        ([b"a", b"", bytearray(b"b"), memoryview(b"c")], 3, True, b"abc"),
        ((b"a",), 1, True, b"a"),
        ([], 0, True, b""),
        (half_read(), 3, True, b"llo"),  # from where it stands
        (Pipe(b"abc"), None, False, b"abc"),
        (iter([b"a", b"b"]), None, False, b"ab"),
        ((piece for piece in (b"a", b"b")), None, False, b"ab"),
        (Again(), None, True, b"ab"),
        ({b"a"}, None, True, b"a"),
    ],
)
def test_what_is_known_of_a_body(
    body: Any, length: int | None, replayable: bool, content: bytes
) -> None:
    source = Source(body)
    assert (source.length, source.replayable) == (length, replayable)
    for _ in range(2 if replayable else 1):
        pieces = list(source.open())
        assert b"".join(pieces) == content
        assert all(type(piece) is bytes and piece for piece in pieces)
    if not replayable:
        with pytest.raises(InvalidRequest, match="sent already"):
            source.open()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (5, "body is a int"),
        ({"a": b"x"}, "body is a dict"),
        (io.StringIO("x"), "text mode"),
        ([b"a", "b"], "a piece is a str"),
        ([[1]], "a piece is a list"),
    ],
)
def test_what_is_no_body(body: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Source(body)


@pytest.mark.parametrize("body", [iter([b"a", "b"]), iter([b"a", None]), iter([b"a", 5])])
def test_a_piece_that_is_none_is_found_when_it_is_read(body: Any) -> None:
    pieces = Source(body).open()
    assert next(pieces) == b"a"
    with pytest.raises(InvalidRequest, match="a piece is a"):
        next(pieces)


def test_nothing_is_read_before_its_time() -> None:
    def body() -> Iterator[bytes]:
        read.append(1)
        yield b"a"

    read: list[int] = []
    pieces = Source(body()).open()
    assert read == []
    assert next(pieces) == b"a"
    assert read == [1]


def test_closing_what_is_read_closes_a_generator() -> None:
    def body() -> Iterator[bytes]:
        try:
            yield b"a"
            yield b"b"
        finally:
            closed.append(1)

    closed: list[int] = []
    held = body()  # as the request does
    pieces: Any = Source(held).open()
    assert next(pieces) == b"a"
    pieces.close()
    assert closed == [1]
    assert list(held) == []


def test_a_file_is_left_open_by_who_did_not_open_it(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(os.urandom(3 * PIECE + 5))
    with path.open("rb") as file:
        source = Source(file)
        assert [len(piece) for piece in source.open()] == [PIECE] * 3 + [5]
        assert not file.closed
        assert b"".join(source.open()) == path.read_bytes()
        pieces: Any = source.open()
        next(pieces)
        pieces.close()
        assert not file.closed


@given(st.lists(st.booleans(), max_size=40))
def test_a_file_that_is_sent_twice_at_a_time_is_whole_both_times(turns: list[bool]) -> None:
    """One try may still be reading when the next one has begun on another connection."""
    content = bytes(range(256)) * (PIECE // 64)
    source = Source(io.BytesIO(content))
    readers = [source.open(), source.open()]
    got: list[list[bytes]] = [[], []]
    for turn in turns:
        got[turn].append(next(readers[turn], b""))
    for number, reader in enumerate(readers):
        assert b"".join([*got[number], *reader]) == content


def test_a_file_that_two_threads_send_is_whole_both_times() -> None:
    content = os.urandom(50 * PIECE)
    source = Source(io.BytesIO(content))
    got: dict[int, bytes] = {}

    def read(number: int) -> None:
        got[number] = b"".join(source.open())

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == dict.fromkeys(range(4), content)
