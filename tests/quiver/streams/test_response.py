"""A streamed body in its reader's hands: pieces, sizes, lines, and how it ends."""

from __future__ import annotations

import asyncio
import copy
import encodings.aliases
import gc
import itertools
import pickle
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quiver.errors import ConnectionLost, StreamClosed
from quiver.streams.receive_buffer import ReceiveBuffer
from quiver.streams.response import GATHER_BELOW, StreamedResponse
from tests.support.short_form import examples
from tests.support.waiting import until


class Body:
    """A streamed response, and the receive buffer that its connection fills."""

    def __init__(self, *pieces: bytes, ended: bool = True, content_type: str | None = None) -> None:
        self.told: list[str] = []
        self.receive_buffer: ReceiveBuffer[bytes] = ReceiveBuffer(
            "https://a", 1000, lambda: None, lambda: self.told.append("left")
        )
        headers = [("a", "1"), ("a", "2")]
        if content_type is not None:
            headers.append(("content-type", content_type))
        self.response = StreamedResponse(200, headers, self.receive_buffer)
        for piece in pieces:
            self.receive_buffer.put(piece, len(piece))
        if ended:
            self.receive_buffer.end()


def response(*pieces: bytes, **options: Any) -> StreamedResponse:
    return Body(*pieces, **options).response


pieces_of = st.lists(st.binary(min_size=1, max_size=12), max_size=12)


class Fed(StreamedResponse):
    """A body whose pieces come one at a time, so that each is decoded alone."""

    def __init__(self, pieces: list[bytes], charset: str = "utf-8") -> None:
        self._pieces = pieces
        headers = [("content-type", f"text/plain; charset={charset}")]
        super().__init__(200, headers, Body().receive_buffer)

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


def cut(content: bytes, cuts: list[int]) -> list[bytes]:
    """Content in pieces, none of them empty."""
    edges = sorted({0, len(content), *(edge for edge in cuts if edge < len(content))})
    return [content[a:b] for a, b in itertools.pairwise(edges)]


# its head -----------------------------------------------------------------------------------


def test_its_head() -> None:
    body = Body(ended=False)
    assert body.response.status == 200
    assert [body.response.header(name) for name in ("A", "b")] == ["1", None]
    assert repr(body.response) == "<StreamedResponse 200, open>"
    body.receive_buffer.end()
    assert repr(body.response) == "<StreamedResponse 200, ended>"


# reading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [None, -1, -5])
def test_none_and_below_zero_are_all_as_files_have_it(size: int | None) -> None:
    pieces = (b"one ", b"two ", b"three")
    whole = response(*pieces)
    assert whole.read(4) == b"one "
    assert whole.read(size) == b"two three"
    assert (whole.ended, whole.read(size)) == (True, b"")
    first = response(*pieces)
    assert (first.read1(size), first.read(2), first.read1(size)) == (b"one ", b"tw", b"o ")

    async def read() -> list[bytes]:
        apart = response(*pieces)
        return [await apart.aread(2), await apart.aread(size), await apart.aread(size)]

    assert asyncio.run(read()) == [b"on", b"e two three", b""]


def test_read_gives_what_was_asked_for_or_the_rest() -> None:
    body = response(b"hello", b"world", b"!")
    assert [body.read(size) for size in (3, 0, 4, 100, 1)] == [b"hel", b"", b"lowo", b"rld!", b""]
    assert (body.ended, body.read()) == (True, b"")
    assert response(b"hello", b"world").read() == b"helloworld"


def test_one_piece_is_not_copied() -> None:
    piece = b"x" * 1000
    assert response(piece).read() is piece
    assert next(iter(response(piece))) is piece


@given(pieces_of, st.lists(st.integers(-1, 20), max_size=20))
def test_whatever_is_read_is_the_body_in_order(pieces: list[bytes], sizes: list[int]) -> None:
    body, content = response(*pieces), b"".join(pieces)
    for size in [*sizes, -1]:
        got = body.read(size)
        expected = content if size < 0 else content[:size]
        assert got == expected
        content = content[len(got) :]
    assert body.ended


@given(pieces_of, st.integers(1, 20))
def test_pieces_of_a_size(pieces: list[bytes], size: int) -> None:
    got = list(response(*pieces).iter_bytes(size))
    assert b"".join(got) == b"".join(pieces)
    assert all(len(piece) == size for piece in got[:-1])
    assert all(0 < len(piece) <= size for piece in got)


@pytest.mark.parametrize("size", [0, -1])
def test_no_pieces_of_no_size(size: int) -> None:
    with pytest.raises(ValueError, match=f"size={size}"):
        list(response(b"x").iter_bytes(size))


@given(pieces_of)
def test_pieces_as_they_come(pieces: list[bytes]) -> None:
    for got in (list(response(*pieces)), list(response(*pieces).iter_bytes())):
        assert b"".join(got) == b"".join(pieces)
        assert all(got)
        assert len(got) <= 1  # all that is there goes in one


def test_a_large_piece_goes_alone() -> None:
    large = b"x" * GATHER_BELOW
    assert list(response(large, large, b"y")) == [large, large, b"y"]


def test_trailers_are_there_after_the_end() -> None:
    body = Body(b"hello", ended=False)
    body.receive_buffer.trailers = [("x-sum", "5")]
    body.receive_buffer.end()
    seen = [body.response.trailers]
    body.response.read(4)
    seen.append(body.response.trailers)
    body.response.read()
    assert [*seen, body.response.trailers] == [[], [], [("x-sum", "5")]]


# lines --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a", ["a"]),
        (b"a\n", ["a"]),
        (b"a\r\nb\n\nc", ["a", "b", "", "c"]),
        (b"\n\n", ["", ""]),
        (b"a\rb\x0bc\xe2\x80\xa8d\r\n", ["a\rb\x0bc\u2028d"]),  # only \n and \r\n end a line
        (b"a\r", ["a"]),
        ("é€\U0001f600\nß".encode(), ["é€\U0001f600", "ß"]),
        (b"a\xff\nb\xe2\x82", ["a\ufffd", "b\ufffd"]),
    ],
)
def test_lines_wherever_the_pieces_are_cut(content: bytes, lines: list[str]) -> None:
    for size in range(1, len(content) + 1):
        pieces = [content[start : start + size] for start in range(0, len(content), size)]
        assert list(Fed(pieces).iter_lines()) == lines


@given(st.text(), st.lists(st.integers(0, 200)), st.sampled_from(["utf-8", "utf-16", "utf-7"]))
@example("a\r\nb", [1, 2, 3], "utf-16")
def test_lines_of_text_in_any_charset(text: str, cuts: list[int], charset: str) -> None:
    content = text.encode(charset, "replace")
    body = Fed(cut(content, cuts), charset)
    expected = [line.removesuffix("\r") for line in content.decode(charset).split("\n")]
    if expected[-1] == "" and not content.decode(charset).endswith("\r"):
        expected.pop()
    assert list(body.iter_lines()) == expected


charsets = sorted({*encodings.aliases.aliases.values(), "undefined", "idna", "punycode", "no-such"})


@given(st.sampled_from(charsets), st.lists(st.binary(min_size=1, max_size=9), max_size=9))
@settings(max_examples=examples(300))
@example("hex_codec", [b"4a", b"zz"])
@example("undefined", [b"a"])
@example("utf_16", [b"a", b"\0b\0"])
@example("no-such", [b"\xff"])
def test_no_charset_makes_reading_fail(charset: str, pieces: list[bytes]) -> None:
    assert all(isinstance(line, str) for line in Fed(pieces, charset).iter_lines())


def test_utf_16_without_its_mark_is_read_as_the_whole_text_would_be() -> None:
    content = "a\nb".encode("utf-16")[2:]
    body = response(content, content_type="text/plain; charset=utf-16")
    assert list(body.iter_lines()) == ["a", "b"]


def test_a_line_without_an_end_takes_time_in_proportion() -> None:
    """Each piece of it is looked at once, not with all before it."""
    body = Fed([b"x" * GATHER_BELOW] * 1024)
    begun = time.thread_time()
    (line,) = body.iter_lines()
    assert len(line) == 1024 * GATHER_BELOW
    assert time.thread_time() - begun < 5.0


# its end ------------------------------------------------------------------------------------


def test_an_error_comes_after_what_came_before_it() -> None:
    body = Body(b"hello", b"world", ended=False)
    body.receive_buffer.end(ConnectionLost("gone"))
    assert body.response.read(7) == b"hellowo"
    for _ in range(2):
        with pytest.raises(ConnectionLost):
            body.response.read(7)
    assert next(iter(body.response)) == b"rld"  # not lost to who asked for more
    with pytest.raises(ConnectionLost):
        body.response.read()
    assert not body.response.ended


def test_a_read_that_is_woken_early_loses_nothing() -> None:
    body = Body(b"hello", ended=False)
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        body.response.read(10)
    body.receive_buffer.put(b"world", 5)
    assert body.response.read(10) == b"helloworld"


def test_close_drops_the_rest_and_tells_the_connection_once() -> None:
    body = Body(b"hello", ended=False)
    body.response.read(2)
    with body.response as same:
        assert same is body.response
    body.response.close()
    assert body.told == ["left"]
    for read in (body.response.read, lambda: list(body.response), lambda: body.response.read(1)):
        with pytest.raises(StreamClosed):
            read()
    assert not body.response.ended


def test_closing_what_was_read_to_its_end_changes_nothing() -> None:
    body = Body(b"hello")
    with body.response as opened:
        opened.read()
    assert (body.told, opened.ended) == ([], True)


def test_complete_is_what_has_all_come_and_is_no_error() -> None:
    body = Body(b"hello", ended=False)
    assert not body.response.complete
    body.receive_buffer.end()
    assert (body.response.complete, body.response.ended) == (True, False)
    assert body.response.read() == b"hello" and body.response.complete
    broken = Body(b"hello", ended=False)
    broken.receive_buffer.end(ConnectionLost("gone"))
    assert not broken.response.complete
    closed = Body(b"hello")
    closed.response.close()
    assert not closed.response.complete


def test_what_was_closed_early_has_not_ended() -> None:
    body = Body(b"hello")
    body.response.close()
    assert (body.response.ended, body.response.trailers) == (False, [])


def test_closing_wakes_the_thread_that_reads() -> None:
    body = Body(b"hello", ended=False)
    raised: list[Exception] = []

    def read() -> None:
        try:
            body.response.read(10)
        except StreamClosed as error:
            raised.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    until(lambda: body.receive_buffer.wakes)
    body.response.close()
    thread.join(10)
    assert len(raised) == 1
    with pytest.raises(StreamClosed):
        body.response.read(5)


def test_what_nobody_holds_is_closed_without_the_collector() -> None:
    body = Body(b"hello", ended=False)
    dropped = weakref.ref(body.response)
    gc.disable()
    try:
        iterator = iter(body.response)
        assert next(iterator) == b"hello"
        del body.response
        assert body.told == []  # the iterator holds it
        del iterator
        assert dropped() is None
    finally:
        gc.enable()
    assert body.told == ["left"]


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_it_has_no_copy_that_would_give_it_up(way: Callable[[object], object]) -> None:
    body = Body(b"one ", b"two")
    with pytest.raises(TypeError, match="a StreamedResponse cannot be pickled or copied"):
        way(body.response)
    gc.collect()
    assert body.told == []
    assert body.response.read() == b"one two"
