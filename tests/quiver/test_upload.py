"""How a body is read into its outlet, and how its iterator ends."""

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
from quiver.upload import FULL, Errands, Outlet, Upload
from tests.support.waiting import until


class Told(list[str]):
    """Counts what the connection was told."""

    def __call__(self) -> None:
        self.append("filled")


def outlet(told: Callable[[], object] = lambda: None) -> Outlet:
    return Outlet("https://a", told)


def all_of(box: Outlet) -> bytes:
    pieces = []
    while piece := box.take(10_000):
        pieces.append(bytes(piece))
    return b"".join(pieces)


# an upload ----------------------------------------------------------------------------------


def upload(body: Any, told: Callable[[], object] = lambda: None, **options: Any) -> Upload:
    return Upload(Request("POST", "/", body=body, **options), outlet(told))


@pytest.mark.parametrize("body", [b"hello", [b"he", b"llo"], io.BytesIO(b"hello"), None])
def test_a_body_is_read_to_its_end(body: Any) -> None:
    up = upload(body)
    up.fill()
    assert all_of(up.outlet) == (b"hello" if body else b"")
    assert up.outlet.drained
    assert not up.unfinished


def test_it_is_read_as_far_as_there_is_room() -> None:
    read: list[int] = []

    def body() -> Iterator[bytes]:
        for number in range(8):
            read.append(number)
            yield b"x" * (FULL // 2)

    told = Told()
    up = upload(body(), told)
    up.fill()
    assert (read, up.unfinished, len(told)) == ([0, 1], True, 1)
    up.outlet.heard()
    up.fill()
    assert read == [0, 1]
    up.outlet.take(FULL)
    up.fill()
    assert read == [0, 1, 2]  # one of the two still lies there
    while not up.outlet.drained:
        all_of(up.outlet)
        up.fill()
    assert read == list(range(8))


def test_trailers_may_be_asked_for_at_the_end() -> None:
    total: list[int] = []

    def body() -> Iterator[bytes]:
        total.append(3)
        yield b"abc"

    up = upload(body(), trailers=lambda: {"X-Sum": str(sum(total))})
    up.fill()
    assert up.outlet.trailers == (("x-sum", "3"),)


@pytest.mark.parametrize(
    "trailers", [lambda: {"content-length": "3"}, lambda: 5, lambda: 1 / 0], ids=str
)
def test_trailers_that_are_none_end_it(trailers: Any) -> None:
    up = upload(iter([b"abc"]), trailers=trailers)
    up.fill()
    assert isinstance(up.outlet.error, InvalidRequest | ZeroDivisionError)
    assert not up.outlet.ended


@pytest.mark.parametrize(
    ("pieces", "sent"),
    [([b"12", b"34"], b"12"), ([b"12345"], b""), ([b"12"], b"12"), ([], b"")],
)
def test_a_declared_length_is_kept(pieces: list[bytes], sent: bytes) -> None:
    """Nothing beyond it goes out, and too little does not end the stream in order."""
    up = upload(iter(pieces), headers={"content-length": "3"})
    up.fill()
    assert all_of(up.outlet) == sent
    assert isinstance(up.outlet.error, InvalidRequest)
    assert "content-length is 3" in str(up.outlet.error)
    assert not up.outlet.ended


def test_a_file_that_grows_or_shrinks_meanwhile_is_found_out() -> None:
    for size in (3, 7):
        file = io.BytesIO(b"hello")
        up = upload(file)
        file.truncate(0)
        file.seek(0)
        file.write(b"x" * size)
        up.fill()
        assert isinstance(up.outlet.error, InvalidRequest)


def test_what_the_iterator_raises_is_the_error() -> None:
    def body() -> Iterator[bytes]:
        yield b"a"
        raise KeyError("mine")

    up = upload(body())
    up.fill()
    assert isinstance(up.outlet.error, KeyError)
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
    assert isinstance(up.outlet.error, error)
    assert (up.filling, len(told)) == (False, 1)


class Body:
    """A generator that says when it was closed."""

    def __init__(self) -> None:
        self.closed = 0
        self.pieces = self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * FULL
        finally:
            self.closed += 1


def test_a_generator_is_closed_with_its_upload() -> None:
    body = Body()
    up = upload(body.pieces)
    up.fill()
    assert (body.closed, up.unfinished) == (0, True)
    up.outlet.close()
    up.fill()
    up.fill()
    assert (body.closed, up.unfinished) == (1, False)


def test_a_generator_that_is_closed_while_it_is_read_is_closed_after_that() -> None:
    def body() -> Iterator[bytes]:
        try:
            yield b"a"
            up.outlet.close()
            yield b"b"
            raise AssertionError("it was asked for more")
        finally:
            closed.append(1)

    closed: list[int] = []
    up = upload(body())
    up.fill()
    assert closed == [1]
    assert up.outlet.error is None


def test_what_has_not_been_touched_is_not_opened_any_more() -> None:
    body = Body()
    up = upload(body.pieces)
    up.outlet.close()
    assert up.take_back()
    up.fill()
    again = Upload(up._request, outlet())
    again.fill()
    assert again.outlet.full
    body.pieces.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "again"), [(lambda: iter([b"abc"]), False), (lambda: [b"abc"], True)]
)
def test_what_has_been_read_can_go_elsewhere_if_it_can_be_read_again(
    body: Callable[[], Any], again: bool
) -> None:
    up = upload(body())
    up.fill()
    up.outlet.close()
    assert up.take_back() is again


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
        up.outlet.close()
        taken = up.take_back()
        thread.join()
        assert not (taken and opened)


# errands ------------------------------------------------------------------------------------


def test_without_a_caller_that_waits_a_thread_runs_them_and_ends() -> None:
    errands, ran = Errands(Reply[object]()), list[threading.Thread]()
    for _ in range(3):
        errands.run(lambda: ran.append(threading.current_thread()))
    until(lambda: len(ran) == 3)
    assert len(set(ran)) == 1
    assert ran[0] is not threading.main_thread()
    errands.close()
    ran[0].join(10)
    assert not ran[0].is_alive()


def test_a_caller_that_waits_runs_them_unless_they_are_to_be_apart() -> None:
    reply, ran = Reply[object](), list[threading.Thread]()
    reply.attended = True
    errands = Errands(reply)
    errands.run(lambda: ran.append(threading.current_thread()))
    errands.run(lambda: ran.append(threading.current_thread()), apart=True)
    until(lambda: ran)
    reply.answer(5)
    reply.get()
    assert len(ran) == 2
    assert ran[1] is threading.main_thread()
    errands.close()


def test_what_one_raises_does_not_keep_the_next_from_being_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    errands, ran = Errands(Reply[object]()), list[int]()
    errands.run(lambda: 1 / 0)
    errands.run(lambda: ran.append(1))
    until(lambda: ran)
    errands.close()
    assert "ZeroDivisionError" in caplog.text


def test_when_its_caller_leaves_a_thread_takes_over() -> None:
    reply, ran = Reply[object](), list[threading.Thread]()
    reply.attended = True
    errands = Errands(reply)
    errands.leave()
    errands.run(lambda: ran.append(threading.current_thread()))
    until(lambda: ran)
    assert ran[0].name == "quiver-errands"
    errands.close()
