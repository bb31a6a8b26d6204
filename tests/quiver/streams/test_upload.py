"""How a body is read into its send buffer, and how its iterator ends."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from quiver.actors.reply import Reply
from quiver.errors import InvalidRequest
from quiver.request import Request
from quiver.streams.caller_thread import CallerThreadExecutor
from quiver.streams.send_buffer import HIGH_WATER, SendBuffer
from quiver.streams.upload import Upload
from tests.support.waiting import until


class Told(list[str]):
    """Counts what the connection was told."""

    def __call__(self) -> None:
        self.append("filled")


def send_buffer(told: Callable[[], object] = lambda: None) -> SendBuffer:
    return SendBuffer("https://a", told)


def all_of(box: SendBuffer) -> bytes:
    pieces = []
    while piece := box.take(10_000):
        pieces.append(bytes(piece))
    return b"".join(pieces)


# an upload ----------------------------------------------------------------------------------


def upload(body: Any, told: Callable[[], object] = lambda: None, **options: Any) -> Upload:
    return Upload(Request("POST", "/", body=body, **options), send_buffer(told))


@pytest.mark.parametrize("body", [b"hello", [b"he", b"llo"], io.BytesIO(b"hello"), None])
def test_a_body_is_read_to_its_end(body: Any) -> None:
    up = upload(body)
    up.fill()
    assert all_of(up.send_buffer) == (b"hello" if body else b"")
    assert up.send_buffer.drained
    assert not up.unfinished


def test_it_is_read_as_far_as_there_is_room() -> None:
    read: list[int] = []

    def body() -> Iterator[bytes]:
        for number in range(8):
            read.append(number)
            yield b"x" * (HIGH_WATER // 2)

    told = Told()
    up = upload(body(), told)
    up.fill()
    assert (read, up.unfinished, len(told)) == ([0, 1], True, 1)
    up.send_buffer.rearm()
    up.fill()
    assert read == [0, 1]
    up.send_buffer.take(HIGH_WATER)
    up.fill()
    assert read == [0, 1, 2]  # one of the two still lies there
    while not up.send_buffer.drained:
        all_of(up.send_buffer)
        up.fill()
    assert read == list(range(8))


def test_trailers_may_be_asked_for_at_the_end() -> None:
    total: list[int] = []

    def body() -> Iterator[bytes]:
        total.append(3)
        yield b"abc"

    up = upload(body(), trailers=lambda: {"X-Sum": str(sum(total))})
    up.fill()
    assert up.send_buffer.trailers == (("x-sum", "3"),)


@pytest.mark.parametrize(
    "trailers",
    [lambda: {"content-length": "3"}, lambda: 5, lambda: 1 / 0],
    ids=["a length", "no fields", "an error"],
)
def test_trailers_that_are_none_end_it(trailers: Any) -> None:
    up = upload(iter([b"abc"]), trailers=trailers)
    up.fill()
    assert isinstance(up.send_buffer.error, InvalidRequest | ZeroDivisionError)
    assert not up.send_buffer.ended


@pytest.mark.parametrize(
    ("pieces", "sent"),
    [([b"12", b"34"], b"12"), ([b"12345"], b""), ([b"12"], b"12"), ([], b"")],
)
def test_a_declared_length_is_kept(pieces: list[bytes], sent: bytes) -> None:
    """Nothing beyond it goes out, and too little does not end the stream in order."""
    up = upload(iter(pieces), headers={"content-length": "3"})
    up.fill()
    assert all_of(up.send_buffer) == sent
    assert isinstance(up.send_buffer.error, InvalidRequest)
    assert "content-length is 3" in str(up.send_buffer.error)
    assert not up.send_buffer.ended


def test_a_file_that_grows_or_shrinks_meanwhile_is_found_out() -> None:
    for size in (3, 7):
        file = io.BytesIO(b"hello")
        up = upload(file)
        file.truncate(0)
        file.seek(0)
        file.write(b"x" * size)
        up.fill()
        assert isinstance(up.send_buffer.error, InvalidRequest)


def test_what_the_iterator_raises_is_the_error() -> None:
    def body() -> Iterator[bytes]:
        yield b"a"
        raise KeyError("mine")

    up = upload(body())
    up.fill()
    assert isinstance(up.send_buffer.error, KeyError)
    assert up.filling is False


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, gevent.GreenletExit])
def test_what_ends_the_thread_ends_it_too_and_is_raised(error: type[BaseException]) -> None:
    def body() -> Iterator[bytes]:
        yield b"a"
        raise error

    told = Told()
    up = upload(body(), told)
    up.filling = True
    with pytest.raises(error):
        up.fill()
    assert isinstance(up.send_buffer.error, error)
    assert (up.filling, len(told)) == (False, 1)


class Body:
    """A generator that says when it was closed."""

    def __init__(self) -> None:
        self.closed = 0
        self.pieces = self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * HIGH_WATER
        finally:
            self.closed += 1


def test_a_generator_is_closed_with_its_upload() -> None:
    body = Body()
    up = upload(body.pieces)
    up.fill()
    assert (body.closed, up.unfinished) == (0, True)
    up.send_buffer.close()
    up.fill()
    up.fill()
    assert (body.closed, up.unfinished) == (1, False)


def test_a_generator_that_is_closed_while_it_is_read_is_closed_after_that() -> None:
    def body() -> Iterator[bytes]:
        try:
            yield b"a"
            up.send_buffer.close()
            yield b"b"
            raise AssertionError("it was asked for more")
        finally:
            closed.append(1)

    closed: list[int] = []
    up = upload(body())
    up.fill()
    assert closed == [1]
    assert up.send_buffer.error is None


def test_what_has_not_been_touched_is_not_opened_any_more() -> None:
    body = Body()
    up = upload(body.pieces)
    up.send_buffer.close()
    assert up.take_back()
    up.fill()
    again = Upload(up._request, send_buffer())
    again.fill()
    assert again.send_buffer.full
    body.pieces.close()  # type: ignore[attr-defined]


BODIES: dict[str, tuple[Callable[[], Any], bool, bool]] = {
    "bytes": (lambda: b"abc", True, True),
    "list": (lambda: [b"abc"], True, True),
    "file": (lambda: io.BytesIO(b"abc"), True, False),
    "callable": (lambda: lambda: iter([b"abc"]), True, False),
    "iterator": (lambda: iter([b"abc"]), False, False),
    "set": (lambda: {b"abc"}, False, False),
}  # and whether it can be read again; and whether nobody hears of that


@pytest.mark.parametrize("ended", [False, True], ids=["taken away", "refused"])
@pytest.mark.parametrize("kind", BODIES)
def test_what_has_been_read_can_go_elsewhere_if_it_can_be_read_again(
    kind: str, ended: bool
) -> None:
    make, again, quietly = BODIES[kind]
    for trailers, expected in (((), again), ([("x-a", "1")], again), (list, quietly)):
        up = upload(make(), trailers=trailers)
        up.fill()
        if ended:
            up.send_buffer.close()
            up.fill()
        assert up.take_back() is expected
        other = Upload(up._request, send_buffer())
        other.fill()
        if again:
            assert all_of(other.send_buffer) == b"abc"
        else:
            assert isinstance(other.send_buffer.error, InvalidRequest)


def test_trailers_go_elsewhere_as_they_were_computed() -> None:
    pairs = iter([("x-a", "1")])
    up = upload(b"abc", trailers=lambda: pairs)
    up.fill()
    assert up.send_buffer.trailers == (("x-a", "1"),)
    assert up.take_back()
    again = Upload(up.request, send_buffer())
    again.fill()
    assert again.send_buffer.trailers == (("x-a", "1"),)


def test_what_has_trailers_in_the_making_goes_nowhere() -> None:
    """They would be asked for a second time, while that may still be at work."""
    busy, go = threading.Event(), threading.Event()

    def trailers() -> dict[str, str]:
        busy.set()
        assert go.wait(10)
        return {}

    up = upload(b"abc", trailers=trailers)
    thread = threading.Thread(target=up.fill)
    thread.start()
    assert busy.wait(10)
    assert not up.take_back()
    go.set()
    thread.join(10)


def test_trailers_are_not_asked_for_here_when_it_has_gone_elsewhere() -> None:
    up = upload(b"abc", trailers=lambda: pytest.fail("asked for"))
    up.send_buffer._put = HIGH_WATER  # as if what was read before had not been taken
    up.fill()
    up.send_buffer._put = 0
    assert not up.send_buffer.ended
    assert up.take_back()
    up.fill()
    assert up.send_buffer.error is None


def test_what_raised_is_not_asked_for_more() -> None:
    """A generator that raised only ends when it is asked again."""

    def body() -> Iterator[bytes]:
        yield b"a"
        raise KeyError("mine")

    up = upload(body())
    up.fill()
    up.fill()
    assert isinstance(up.send_buffer.error, KeyError)
    assert not up.send_buffer.ended


def test_either_it_is_read_here_or_it_goes_elsewhere() -> None:
    """Two threads at the same moment: the one reads, the other one takes it back."""
    for _ in range(200):
        opened: list[int] = []

        def body(opened: list[int] = opened) -> Iterator[bytes]:
            opened.append(1)
            yield b"a"

        up = upload(body())
        start = threading.Barrier(2)

        def fill(up: Upload = up, start: threading.Barrier = start) -> None:
            start.wait()
            up.fill()

        thread = threading.Thread(target=fill)
        thread.start()
        start.wait()
        up.send_buffer.close()
        taken = up.take_back()
        thread.join()
        assert not (taken and opened)


# executor ------------------------------------------------------------------------------------


def test_without_a_caller_that_waits_a_thread_runs_them_and_ends() -> None:
    executor, ran = CallerThreadExecutor(Reply[object]()), list[threading.Thread]()
    for _ in range(3):
        executor.submit(lambda: ran.append(threading.current_thread()))
    until(lambda: len(ran) == 3)
    assert len(set(ran)) == 1
    assert ran[0] is not threading.main_thread()
    executor.shutdown()
    ran[0].join(10)
    assert not ran[0].is_alive()


def test_a_caller_that_waits_runs_them_unless_they_are_to_be_apart() -> None:
    reply, ran = Reply[object](), list[threading.Thread]()
    reply.has_waiter = True
    executor = CallerThreadExecutor(reply)
    executor.submit(lambda: ran.append(threading.current_thread()))
    executor.submit(lambda: ran.append(threading.current_thread()), own_thread=True)
    until(lambda: ran)
    reply.answer(5)
    reply.get()
    assert len(ran) == 2
    assert ran[1] is threading.main_thread()
    executor.shutdown()


def test_what_one_raises_does_not_keep_the_next_from_being_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor, ran = CallerThreadExecutor(Reply[object]()), list[int]()
    executor.submit(lambda: 1 / 0)
    executor.submit(lambda: ran.append(1))
    until(lambda: ran)
    executor.shutdown()
    assert "ZeroDivisionError" in caplog.text


def test_when_its_caller_leaves_a_thread_takes_over() -> None:
    reply, ran = Reply[object](), list[threading.Thread]()
    reply.has_waiter = True
    executor = CallerThreadExecutor(reply)
    executor.detach()
    executor.submit(lambda: ran.append(threading.current_thread()))
    until(lambda: ran)
    assert ran[0].name == "quiver-caller-thread"
    executor.shutdown()
