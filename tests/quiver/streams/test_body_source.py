"""What is taken for a body, what is known of it, and that it can be read again where it says so."""

from __future__ import annotations

import contextlib
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
from quiver.streams.body_source import FILE_PIECE, BodySource, Reading


class Pipe(io.RawIOBase):
    """A binary file that cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._content.read(size)


class Claims(Pipe):
    """It says that it can seek, and cannot."""

    def seekable(self) -> bool:
        return True


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
        (Again(), None, False, b"ab"),  # it might be a wrapper around a generator
        ({b"a"}, None, False, b"a"),
        ({1: b"a"}.values(), None, False, b"a"),
        (map(bytes, [b"a"]), None, False, b"a"),
        (lambda: iter([b"a", b"b"]), None, True, b"ab"),
        (lambda: [b"a", b"", b"b"], None, True, b"ab"),
        (Again, None, True, b"ab"),
        (Claims(b"abc"), None, False, b"abc"),
    ],
)
def test_what_is_known_of_a_body(
    body: Any, length: int | None, replayable: bool, content: bytes
) -> None:
    source = BodySource(body)
    assert (source.length, source.replayable) == (length, replayable)
    for _ in range(2 if replayable else 1):
        reading = source.open()
        pieces = list(reading)
        assert b"".join(pieces) == content
        assert all(type(piece) is bytes and piece for piece in pieces)
        assert source.leave(reading) is replayable
    if not replayable:
        with pytest.raises(InvalidRequest, match="sent already"):
            source.open()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (5, "body is a int"),
        (
            {"a": b"x"},
            r"body is a dict, .*: json= sends values, and urlencode\(...\).encode\(\) makes a form",
        ),
        (io.StringIO("x"), "text mode"),
        ([b"a", "b"], "a piece is a str"),
        ([[1]], "a piece is a list"),
    ],
)
def test_what_is_no_body(body: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        BodySource(body)


@pytest.mark.parametrize("body", [iter([b"a", "b"]), iter([b"a", None]), iter([b"a", 5])])
def test_a_piece_that_is_none_is_found_when_it_is_read(body: Any) -> None:
    pieces = BodySource(body).open()
    assert next(pieces) == b"a"
    with pytest.raises(InvalidRequest, match="a piece is a"):
        next(pieces)


def test_a_list_is_what_it_was_when_it_was_given() -> None:
    given = [b"a", bytearray(b"b")]
    source = BodySource(given)
    given[1][0] = 0  # type: ignore[index]
    given.append(b"c")
    assert list(source.open()) == list(source.open()) == [b"a", b"b"]


def test_a_file_that_is_closed_is_none(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        source = BodySource(file)
    with pytest.raises(ValueError, match="closed"):
        next(source.open())
    with pytest.raises(InvalidRequest, match="closed"):
        BodySource(file)


class OldFile:
    """A file as some write them: `seek` returns nothing."""

    def __init__(self, content: bytes) -> None:
        self._file = io.BytesIO(content)
        self.read, self.tell = self._file.read, self._file.tell

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> None:
        self._file.seek(offset, whence)


def test_a_file_whose_seek_says_nothing() -> None:
    source = BodySource(OldFile(b"abc"))
    assert (source.length, source.replayable) == (3, True)
    assert [*source.open(), *source.open()] == [b"abc"] * 2


def test_it_is_opened_or_it_goes_another_way() -> None:
    """Two threads at the same moment: the one reads, the other one withdraws."""
    for _ in range(200):
        source, start, opened = BodySource(iter([b"a"])), threading.Barrier(2), list[bytes]()

        def read(
            source: BodySource = source,
            start: threading.Barrier = start,
            opened: list[bytes] = opened,
        ) -> None:
            start.wait()
            with contextlib.suppress(InvalidRequest):
                opened += source.open()

        thread = threading.Thread(target=read)
        thread.start()
        start.wait()
        withdrawn = source.withdraw()
        thread.join()
        assert withdrawn is not bool(opened)


# read again -------------------------------------------------------------------------------------


def shared(pieces: list[bytes]) -> Any:
    """A callable that makes no new iterator, but gives one away again and again."""
    one = iter(pieces)
    return lambda: one


class Wrapped:
    """As a bar of progress has it: an iterable around what can be read once."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


def test_a_callable_that_gives_the_same_iterator_is_found_out() -> None:
    wrapped = Wrapped(iter([b"a", b"b", b"c"]))
    for make in (shared([b"a", b"b", b"c"]), lambda: wrapped):
        source = BodySource(make)
        first = source.open()
        assert next(first) == b"a"
        source.leave(first)
        with pytest.raises(InvalidRequest, match=r"the same .* a second time"):
            next(source.open())


def test_a_callable_that_gives_less_than_before_is_found_out() -> None:
    left = iter([b"a"] * 5)
    source = BodySource(lambda: (piece for piece in left))
    first = source.open()
    assert [next(first) for _ in range(3)] == [b"a"] * 3
    source.leave(first)
    second = source.open()
    assert [next(second) for _ in range(2)] == [b"a"] * 2
    with pytest.raises(InvalidRequest, match="ended after 2 bytes, but it had 3 before"):
        next(second)


@pytest.mark.parametrize("closed", [False, True])
def test_a_callable_that_goes_on_where_it_was_is_found_out(closed: bool) -> None:
    """It makes a new iterator each time, over one generator: what is left is more than it had."""
    one = (b"%d" % number for number in range(10))
    source = BodySource(lambda: map(bytes, one))
    first = source.open()
    assert [next(first), next(first)] == [b"0", b"1"]
    source.leave(first)
    if closed:  # as the connection does that gives it up
        first.close()
    second = source.open()
    assert next(second) == b"2"
    with pytest.raises(InvalidRequest, match="its first 2 bytes are not those"):
        next(second)


def test_what_was_read_first_counts_when_it_is_begun_a_third_time() -> None:
    pieces = iter([[b"abc", b"d"], [b"a", b"b"], [b"ab", b"x", b"de"]])
    source = BodySource(lambda: next(pieces))
    first = source.open()
    assert next(first) == b"abc"
    source.leave(first)
    second = source.open()
    assert next(second) == b"a"
    source.leave(second)
    third = source.open()
    assert next(third) == b"ab"
    with pytest.raises(InvalidRequest, match="its first 3 bytes are not those"):
        next(third)


@given(st.binary(min_size=1, max_size=30), st.data())
def test_what_is_the_same_may_come_in_other_pieces(content: bytes, data: st.DataObject) -> None:
    def pieces() -> list[bytes]:
        cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=4)))
        ends = zip([0, *cuts], [*cuts, len(content)], strict=True)
        return [content[begin:end] for begin, end in ends]

    source = BodySource(pieces)
    for _ in range(3):
        reading = source.open()
        for _ in range(data.draw(st.integers(0, 6))):
            next(reading, None)
        source.leave(reading)
    assert b"".join(source.open()) == content


def test_a_callable_may_make_another_body_for_another_request() -> None:
    numbers = iter(range(10))
    source = BodySource(lambda: [b"%d" % next(numbers)])
    assert [b"".join(source.open()) for _ in range(3)] == [b"0", b"1", b"2"]


@pytest.mark.parametrize("spent", ["read", "closed"])
def test_a_generator_that_has_nothing_more_to_give_is_none(spent: str) -> None:
    """It would be sent as an empty body: who tries again with it is told."""
    body = (piece for piece in [b"a", b"b"])
    if spent == "read":
        list(body)
    else:
        body.close()
    with pytest.raises(InvalidRequest, match=r"generator '<genexpr>' has been read or closed"):
        BodySource(body)
    begun = (piece for piece in [b"a", b"b"])
    next(begun)
    assert list(BodySource(begun).open()) == [b"b"]


@pytest.mark.parametrize("made", [None, 5, b"abc", "abc"])
def test_what_a_callable_makes_has_to_be_pieces(made: Any) -> None:
    with pytest.raises(InvalidRequest, match="the callable made a "):
        next(BodySource(lambda: made).open())


def test_a_reading_ends_the_one_that_was_left_before_it_begins() -> None:
    """Both may come from the same place: here, a file that the callable takes back."""
    file, busy, go = io.BytesIO(b"abcdef"), threading.Event(), threading.Event()
    told: list[str] = []

    def pieces() -> Iterator[bytes]:
        try:
            file.seek(0)
            while piece := file.read(1):
                if not busy.is_set():
                    busy.set()
                    assert go.wait(10)
                yield piece
        finally:
            told.append("ended")

    source = BodySource(pieces)
    first = source.open()
    got: list[bytes] = []
    slow = threading.Thread(target=lambda: got.append(next(first)))
    slow.start()
    assert busy.wait(10)
    source.leave(first)
    second = source.open()
    fast = threading.Thread(target=lambda: got.append(b"".join(second)))
    fast.start()
    assert told == []
    go.set()
    slow.join(10)
    fast.join(10)
    assert got == [b"a", b"abcdef"]
    assert told == ["ended"] * 2
    with pytest.raises(InvalidRequest, match="not read here any more"):
        next(first)


def test_one_request_may_be_sent_by_several_at_a_time() -> None:
    source = BodySource(lambda: iter([b"a", b"b"]))
    one, other = source.open(), source.open()
    assert [next(one), next(other), next(one), next(other)] == [b"a", b"a", b"b", b"b"]


def test_what_is_withdrawn_goes_another_way() -> None:
    """All of it, or nothing; and nobody reads it here any more."""
    file = io.BytesIO(b"skipped, sent")
    file.seek(9)
    bodies: list[tuple[Any, bool]] = [
        (iter([b"a", b"b"]), False),
        (file, True),
        ([b"a", b"b"], True),
        (Pipe(b"ab"), False),
    ]
    for body, again in bodies:
        untouched = BodySource(body)
        assert untouched.withdraw()
        with pytest.raises(InvalidRequest):
            untouched.open() if not again else next(untouched.open())
        read = BodySource(body)
        reading = read.open()
        assert next(reading)
        read.leave(reading)
        assert read.withdraw() is again
        with pytest.raises(InvalidRequest):
            next(reading) if again else read.open()
    assert file.read() == b"sent"


def test_who_withdraws_a_file_has_it_for_himself() -> None:
    """It is still being read, in another thread, and was not left for another try."""
    busy, go = threading.Event(), threading.Event()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            busy.set()
            assert go.wait(10)
            return super().read(size)

    file = Slow(b"whole")
    source = BodySource(file)
    reading = source.open()
    slow = threading.Thread(target=lambda: next(reading))
    slow.start()
    assert busy.wait(10)
    withdrawn: list[bool] = []
    other = threading.Thread(target=lambda: withdrawn.append(source.withdraw()))
    other.start()
    other.join(0.05)
    assert withdrawn == []
    go.set()
    slow.join(10)
    other.join(10)
    assert withdrawn == [True]
    assert file.read() == b"whole"


@pytest.mark.parametrize("size", [0, 3, 20])
def test_a_file_that_has_changed_cannot_go_another_way(size: int) -> None:
    file = io.BytesIO(b"hello")
    source = BodySource(file)
    next(source.open())
    file.seek(0)
    file.truncate()
    file.write(b"x" * size)
    assert not source.withdraw()
    closed = io.BytesIO(b"hello")
    source = BodySource(closed)
    next(source.open())
    closed.close()
    assert not source.withdraw()


def test_nothing_is_read_before_its_time() -> None:
    def body() -> Iterator[bytes]:
        read.append(1)
        yield b"a"

    read: list[int] = []
    pieces = BodySource(body()).open()
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
    pieces: Any = BodySource(held).open()
    assert next(pieces) == b"a"
    pieces.close()
    assert closed == [1]
    assert list(held) == []


def test_what_a_body_raises_when_it_is_closed_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def body() -> Iterator[bytes]:
        try:
            yield b"a"
        finally:
            raise LookupError("at its end")

    reading = BodySource(body).open()
    assert next(reading) == b"a"
    reading.close()
    (record,) = caplog.records
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


def test_a_file_is_left_open_by_who_did_not_open_it(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(os.urandom(3 * FILE_PIECE + 5))
    with path.open("rb") as file:
        source = BodySource(file)
        assert [len(piece) for piece in source.open()] == [FILE_PIECE] * 3 + [5]
        assert not file.closed
        assert b"".join(source.open()) == path.read_bytes()
        pieces: Any = source.open()
        next(pieces)
        pieces.close()
        assert not file.closed


@given(st.lists(st.booleans(), max_size=40))
def test_a_file_that_is_sent_twice_at_a_time_is_whole_both_times(turns: list[bool]) -> None:
    """One try may still be reading when the next one has begun on another connection."""
    content = bytes(range(256)) * (FILE_PIECE // 64)
    source = BodySource(io.BytesIO(content))
    readers = [source.open(), source.open()]
    got: list[list[bytes]] = [[], []]
    for turn in turns:
        got[turn].append(next(readers[turn], b""))
    for number, reader in enumerate(readers):
        assert b"".join([*got[number], *reader]) == content


def test_a_file_that_two_threads_send_is_whole_both_times() -> None:
    content = os.urandom(50 * FILE_PIECE)
    source = BodySource(io.BytesIO(content))
    got: dict[int, bytes] = {}

    def read(number: int) -> None:
        got[number] = b"".join(source.open())

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == dict.fromkeys(range(4), content)


def test_a_body_that_closes_its_own_reading_has_an_error_and_no_deadlock() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"first"
        reading.close()
        yield b"never"

    reading = Reading(pieces)
    assert next(reading) == b"first"
    with pytest.raises(ValueError, match="already executing"):
        next(reading)
