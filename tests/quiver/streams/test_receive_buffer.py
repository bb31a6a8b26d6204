"""What came for one reader: filled by one thread, emptied by another, closed by a third."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.actors.hub import Hub
from quiver.errors import ConnectionLost, StreamClosed
from quiver.streams.receive_buffer import ReceiveBuffer
from tests.support.waiting import until


class Box(ReceiveBuffer[bytes]):
    """An receive buffer that remembers what its connection was told."""

    def __init__(self, window: int = 100) -> None:
        self.told: list[str] = []
        super().__init__(
            "https://a", window, lambda: self.told.append("taken"), lambda: self.told.append("left")
        )

    def give(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.put(piece, len(piece))
        self.wake_reader()


def everything(box: Box) -> list[bytes]:
    pieces = []
    while (piece := box.take()) is not None:
        pieces.append(piece)
    return pieces


@pytest.fixture
def taking() -> Iterator[Any]:
    """Take one item in a thread of its own: its outcome comes in a list."""
    threads: list[threading.Thread] = []

    def take(box: Box) -> list[Any]:
        outcome: list[Any] = []

        def run() -> None:
            try:
                outcome.append(box.take())
            except Exception as error:
                outcome.append(error)

        threads.append(threading.Thread(target=run, daemon=True))
        threads[-1].start()
        until(lambda: box.wakes)
        return outcome

    yield take
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


# in order -----------------------------------------------------------------------------------


def test_items_in_order_then_the_end() -> None:
    box = Box()
    box.give(b"a", b"bc")
    assert (box.unread, box.ended) == (3, False)
    box.end()
    box.end(ConnectionLost("too late"))
    assert everything(box) == [b"a", b"bc"]
    assert (box.take(), box.unread, box.ended) == (None, 0, True)


def test_what_came_before_an_error_is_taken_first() -> None:
    box = Box()
    box.give(b"a", b"b")
    box.end(ConnectionLost("gone", origin="https://a", code=5))
    assert [box.take(), box.take()] == [b"a", b"b"]
    errors = []
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="gone") as caught:
            box.take()
        errors.append(caught.value)
    assert errors[0] is not errors[1]  # each with its own traceback
    assert [error.code for error in errors] == [5, 5]
    assert not box.ended


def test_an_error_of_the_callers_own_is_that_very_one() -> None:
    box, error = Box(), KeyError("mine")
    box.end(error)
    with pytest.raises(KeyError) as caught:
        box.take()
    assert caught.value is error


def test_all_that_is_there_without_waiting() -> None:
    box = Box()
    assert box.take_ready() == []
    box.give(b"a", b"b")
    assert box.take_ready() == [b"a", b"b"]
    assert (box.take_ready(), box.unread) == ([], 0)


# reports ------------------------------------------------------------------------------------


def test_what_was_taken_is_reported_in_quarters_of_the_window() -> None:
    box = Box(window=100)
    for _ in range(24):
        box.give(b"x")
    everything_there = [box.take() for _ in range(24)]
    assert (len(everything_there), box.told) == (24, [])
    box.give(b"x", b"x" * 60)
    box.take()
    assert box.told == ["taken"]
    box.take()
    assert box.told == ["taken", "taken"]
    assert (box.newly_consumed(), box.newly_consumed()) == (85, 0)
    box.give(b"x" * 50)
    box.end()
    box.take_ready()
    assert box.told == ["taken", "taken"]  # nobody gives credit for what has ended
    assert box.newly_consumed() == 50


@given(st.lists(st.integers(0, 60) | st.none(), max_size=60), st.integers(1, 200))
def test_the_server_never_waits_for_a_report(sizes: list[int | None], window: int) -> None:
    """A reader that waits has left less than a quarter of the window unreported."""
    box = Box(window)
    reported = put = 0
    for size in sizes:
        if size is not None:
            box.give(b"x" * size)
            put += size
        else:
            box.take_ready()
            if box.told:
                reported += box.newly_consumed()
                box.told.clear()
            assert box.unread == 0
            assert put - reported < max(1, window // 4)


# closing ------------------------------------------------------------------------------------


def test_closing_drops_what_is_there_and_tells_once() -> None:
    box = Box()
    box.give(b"a")
    box.close()
    box.close()
    box.give(b"late")
    assert (box.told, box.take_ready(), len(box._items)) == (["left"], [], 0)
    with pytest.raises(StreamClosed, match="https://a: it was closed before its end"):
        box.take()


def test_closing_after_the_end_tells_nobody() -> None:
    box = Box()
    box.end()
    box.close()
    assert box.told == []


def test_an_error_that_came_before_it_was_closed_is_told_rather() -> None:
    box = Box()
    box.end(ConnectionLost("gone"))
    box.close()
    with pytest.raises(ConnectionLost):
        box.take()


def test_threads_that_close_together_tell_once() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            box, start = Box(), threading.Barrier(3)

            def close(box: Box = box, start: threading.Barrier = start) -> None:
                start.wait()
                box.close()

            threads = [threading.Thread(target=close) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert box.told == ["left"]
    finally:
        sys.setswitchinterval(interval)


def test_what_is_put_while_it_is_closed_is_not_kept() -> None:
    """The connection has looked whether it is closed, and then it is."""

    class Interrupted(Box):
        @property
        def closed(self) -> bool:
            return self.is_closed

        @closed.setter
        def closed(self, value: bool) -> None:
            self.is_closed = value

        @property
        def last_read(self) -> float:
            return 0.0

        @last_read.setter
        def last_read(self, value: float) -> None:
            if hasattr(self, "_closing"):
                self.close()

    box = Interrupted()
    box.give(b"late")
    assert box.is_closed
    assert len(box._items) == 0


# waiting ------------------------------------------------------------------------------------


def test_a_reader_waits_until_it_is_stirred(taking: Any) -> None:
    box = Box()
    outcome = taking(box)
    box.give(b"a")
    until(lambda: outcome)
    assert outcome == [b"a"]


@pytest.mark.parametrize("how", ["end", "error", "close"])
def test_a_reader_that_waits_hears_of_the_end(taking: Any, how: str) -> None:
    box = Box()
    outcome = taking(box)
    if how == "end":
        box.end()
    elif how == "error":
        box.end(ConnectionLost("gone"))
    else:
        box.close()
    until(lambda: outcome)
    kinds = {"end": type(None), "error": ConnectionLost, "close": StreamClosed}
    assert isinstance(outcome[0], kinds[how])


def test_a_greenlet_waits_without_blocking_its_hub() -> None:
    box = Box()
    reader = gevent.spawn(everything, box)

    def fill() -> None:
        box.give(b"a")
        box.give(b"b")
        box.end()

    thread = threading.Thread(target=fill)
    gevent.spawn(thread.start)
    assert reader.get(timeout=10) == [b"a", b"b"]
    thread.join()


def test_a_greenlet_that_is_woken_early_loses_nothing() -> None:
    box = Box()
    with pytest.raises(gevent.Timeout), gevent.Timeout(0.01):
        box.take()
    assert box.wakes == []
    box.give(b"a")
    assert box.take() == b"a"


def test_two_threads_lose_nothing_and_miss_no_wake_up() -> None:
    """The filler puts only what the window allows, so each waits for the other all the time."""
    pieces = [bytes([number % 251]) * (number % 40 + 1) for number in range(5_000)]
    box = Box(window=100)
    credit = threading.Semaphore(0)
    box._on_consumed = credit.release
    taken: list[bytes] = []
    reader = threading.Thread(target=lambda: taken.extend(everything(box)), daemon=True)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        reader.start()
        for piece in pieces:
            while box.unread > 100:
                assert credit.acquire(timeout=10)
            box.give(piece)
        box.end()
        reader.join(10)
    finally:
        sys.setswitchinterval(interval)
    assert taken == pieces


# who wants to know when it is over -----------------------------------------------------------


@pytest.mark.parametrize("error", [None, ConnectionLost("gone")])
def test_the_end_is_told_once_when_it_was_read(error: ConnectionLost | None) -> None:
    box, heard = Box(), list[object]()
    box.when_over(heard.append)
    box.give(b"last")
    box.end(error)
    assert box.take() == b"last"
    assert heard == []
    for _ in range(2):
        try:
            assert box.take() is None
        except ConnectionLost:
            assert error is not None
    box.close()
    assert heard == [error]


def test_closing_is_an_end_too() -> None:
    box, heard = Box(), list[object]()
    box.when_over(heard.append)
    box.close()
    box.close()
    assert heard == [None]


def test_who_asks_after_the_end_is_told_at_once() -> None:
    box, heard = Box(), list[object]()
    box.end()
    assert box.take() is None
    box.when_over(heard.append)
    assert heard == [None]


def test_what_the_collector_gives_up_is_told_from_the_loop() -> None:
    """Here the thread holds what the listener wants, as it may when the collector comes."""
    box, heard, held = Box(), list[int](), threading.Lock()

    def listen(_: object) -> None:
        with held:
            heard.append(threading.get_ident())

    loop = Hub.current().wakeup.thread
    box.when_over(listen)
    with held:
        box.abandon()
        assert (box.told, heard) == (["left"], [])
    until(lambda: heard)
    assert heard == [loop]
