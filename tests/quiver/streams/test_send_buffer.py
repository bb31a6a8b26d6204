"""A send buffer between who fills it and the connection that empties it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.errors import ConnectionLost, StreamClosed
from quiver.streams.send_buffer import HIGH_WATER, SendBuffer
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


# a send buffer ----------------------------------------------------------------------------------


def test_bytes_come_out_in_order_and_in_pieces_as_asked() -> None:
    box = send_buffer()
    box.put(b"hello")
    box.put(b"world")
    assert (box.pending, box.drained) == (10, False)
    assert [bytes(box.take(most)) for most in (2, 5, 100, 100)] == [
        *(b"he", b"llowo", b"rld", b"")  # small pieces that are there go together
    ]
    assert (box.pending, box.drained) == (0, False)
    box.end((("x-sum", "1"),))
    assert (box.drained, box.trailers) == (True, (("x-sum", "1"),))


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=20), st.integers(1, 40))
def test_whatever_is_put_is_taken(pieces: list[bytes], most: int) -> None:
    box = send_buffer()
    taken = b""
    for piece in pieces:
        box.put(piece)
        taken += box.take(most)
    taken += all_of(box)
    assert (taken, box.pending) == (b"".join(pieces), 0)


def test_it_is_full_from_its_limit_on() -> None:
    box = send_buffer()
    box.put(b"x" * (HIGH_WATER - 1))
    assert not box.full
    box.put(b"x")
    assert box.full
    box.take(1)
    assert not box.full


def test_many_are_told_as_one_until_it_is_heard() -> None:
    told = Told()
    box = send_buffer(told)
    for _ in range(5):
        box.put(b"x")
    assert len(told) == 1
    box.rearm()
    assert len(told) == 1
    box.end()
    assert len(told) == 2
    box.rearm()
    box.fail(KeyError("mine"))
    assert len(told) == 3
    assert isinstance(box.error, KeyError)


def test_after_its_end_nothing_is_put() -> None:
    box = send_buffer()
    box.end()
    with pytest.raises(StreamClosed, match="it was finished"):
        box.put(b"x")
    with pytest.raises(StreamClosed, match="it was finished"):
        box.end()


def test_when_it_is_closed_nothing_is_kept() -> None:
    told = Told()
    box = send_buffer(told)
    box.put(b"x" * 100)
    box.take(10)
    box.close()
    told.clear()
    assert (bytes(box.take(100)), box._rest.nbytes, len(box._pieces)) == (b"", 0, 0)
    with pytest.raises(StreamClosed, match="nobody takes any more"):
        box.put(b"x")
    box.fail(KeyError("too late"))
    assert (box.error, told) == (None, [])


def test_each_writer_gets_its_own_copy_of_what_ended_it() -> None:
    box = send_buffer()
    box.close(ConnectionLost("gone", origin="https://a", code=5))
    box.close(ConnectionLost("again", origin="https://a"))
    errors = []
    for _ in range(2):
        with pytest.raises(ConnectionLost, match="gone") as caught:
            box.put(b"x")
        errors.append(caught.value)
    assert errors[0] is not errors[1]
    assert [error.code for error in errors] == [5, 5]


# waiting for room ---------------------------------------------------------------------------


@pytest.fixture
def running() -> Iterator[Callable[[Callable[[], object]], threading.Thread]]:
    """Run something in a thread of its own, which must have ended with the test."""
    threads: list[threading.Thread] = []

    def run(target: Callable[[], object]) -> threading.Thread:
        threads.append(threading.Thread(target=target, daemon=True))
        threads[-1].start()
        return threads[-1]

    yield run
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize("ends", [False, True])
def test_room_or_the_end_wakes_a_thread_that_waits(running: Any, ends: bool) -> None:
    box = send_buffer()
    box.put(b"x" * HIGH_WATER)
    thread = running(box.wait_for_room)
    until(lambda: box._wakes)
    if ends:
        box.close()
    else:
        box.take(1)
    thread.join(10)
    assert not thread.is_alive()


def test_a_greenlet_may_wait_too() -> None:
    box = send_buffer()
    box.put(b"x" * HIGH_WATER)
    waiting = gevent.spawn(box.wait_for_room)
    gevent.sleep(0)
    assert not waiting.ready()
    thread = threading.Timer(0.05, lambda: box.take(1))
    thread.start()
    waiting.get(timeout=10)
    thread.join()


def test_who_begins_to_wait_while_something_is_taken_is_woken(running: Any) -> None:
    """It fills up and waits after the connection has looked, and before it has counted."""

    class Interrupted(SendBuffer):
        count = 0

        @property
        def _taken(self) -> int:
            return self.count

        @_taken.setter
        def _taken(self, count: int) -> None:
            if count and not writers:
                writers.append(running(self._write))
                until(lambda: self._wakes)
            self.count = count

        def _write(self) -> None:
            self.put(b"x" * (HIGH_WATER - 5))
            self.wait_for_room()

    writers: list[threading.Thread] = []
    box = Interrupted("https://a", lambda: None)
    box.put(b"y" * 10)
    assert len(box.take(10)) == 10
    writers[0].join(10)
    assert not writers[0].is_alive()


@pytest.mark.parametrize("writers", [1, 3])
def test_what_threads_put_is_bounded_counted_and_complete(running: Any, writers: int) -> None:
    """No wake-up is lost in either direction: each side waits for the other only."""
    heard = threading.Semaphore(0)
    box = send_buffer(heard.release)
    rounds, piece = 200, b"x" * 20_000
    done: list[int] = []

    def write() -> None:
        for _ in range(rounds):
            box.wait_for_room()
            box.put(piece)
        done.append(1)
        box.notify()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for _ in range(writers):
            running(write)
        taken = 0
        while len(done) < writers or box.pending:
            assert heard.acquire(timeout=10)
            box.rearm()
            assert box.pending <= HIGH_WATER + writers * len(piece)
            while got := box.take(30_000):
                taken += len(got)
    finally:
        sys.setswitchinterval(interval)
    assert taken == writers * rounds * len(piece)
    assert box.pending == 0
