"""A channel in its caller's hands, with the test as its connection."""

from __future__ import annotations

import gc
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.errors import (
    ConnectionLost,
    DatagramsDisabled,
    DatagramTooLarge,
    GoAway,
    PoolStopped,
    QuiverError,
    RequestTimeout,
    StreamClosed,
    StreamIdleTimeout,
    StreamReset,
)
from quiver.models import Response
from quiver.streams.channel import (
    UNSENT,
    Channel,
    ChannelBuffers,
    Closed,
    Datagram,
    ReceivedItem,
    StreamData,
    Trailers,
    cont,
    halt,
    run,
)
from quiver.streams.receive_buffer import ReceiveBuffer
from quiver.streams.send_buffer import SendBuffer


class Far:
    """The connection's side of a channel, which is `near`."""

    def __init__(self, *, held: int = 4, limit: int = 100) -> None:
        self.told: list[str] = []
        self.receive_buffer = ReceiveBuffer[ReceivedItem](
            "https://a", 1000, lambda: None, lambda: self.told.append("left")
        )
        self.send_buffer = SendBuffer("https://a", lambda: self.told.append("filled"))
        self.buffers = ChannelBuffers(self.send_buffer, held)
        self.buffers.max_datagram_size = limit
        self.near = Channel(self.receive_buffer, self.buffers)

    def datagram(self, payload: bytes) -> bool:
        return self.buffers.receive(self.receive_buffer, payload)

    def content(self, content: bytes) -> None:
        self.receive_buffer.put(StreamData(content), len(content))

    def end(self, error: QuiverError | None = None) -> None:
        self.send_buffer.close(error)
        self.receive_buffer.end(error)


# receiving ----------------------------------------------------------------------------------


def test_events_in_order_and_closed_last() -> None:
    far = Far()
    response, trailers = Response(200), Trailers([("x-sum", "1")])
    far.datagram(b"early")
    far.receive_buffer.put(response, 0)
    far.content(b"hello")
    far.datagram(b"d")
    far.receive_buffer.put(trailers, 0)
    far.end()
    assert list(far.near) == [
        *(Datagram(b"early"), response, StreamData(b"hello"), Datagram(b"d"), trailers),
        Closed("peer"),
    ]
    assert list(far.near) == []


@pytest.mark.parametrize(
    ("error", "reason", "code", "stream_id"),
    [
        (StreamReset("gone", code=7), "reset", 7, None),
        (GoAway("gone", id=8), "goaway", None, 8),
        (ConnectionLost("gone"), "lost", None, None),
        (PoolStopped("gone"), "lost", None, None),
        (RequestTimeout("gone"), "lost", None, None),
        (StreamIdleTimeout("gone"), "lost", None, None),
        (StreamClosed("gone"), "closed", None, None),
    ],
)
def test_closed_says_why(
    error: QuiverError, reason: str, code: int | None, stream_id: int | None
) -> None:
    far = Far()
    far.content(b"before")
    far.end(error)
    before, closed = far.near
    assert before == StreamData(b"before")
    assert isinstance(closed, Closed)
    assert (closed.reason, closed.code, closed.id) == (reason, code, stream_id)
    assert type(closed.error) is type(error)


def test_closed_here_says_so() -> None:
    far = Far()
    far.content(b"dropped")
    with far.near as channel:
        assert channel is far.near
    far.near.close()
    (closed,) = far.near
    assert isinstance(closed, Closed)
    assert (closed.reason, far.told) == ("closed", ["left"])


def test_what_nobody_holds_is_closed_without_the_collector() -> None:
    far = Far()
    dropped = weakref.ref(far.near)
    gc.disable()
    try:
        del far.near
        assert dropped() is None
    finally:
        gc.enable()
    assert far.told == ["left"]


# datagrams that arrive ----------------------------------------------------------------------


def test_the_oldest_gives_way() -> None:
    far = Far(held=3)
    kept = [far.datagram(bytes([number])) for number in range(5)]
    far.end()
    assert kept == [True, True, True, False, False]
    assert list(far.near) == [*(Datagram(bytes([number])) for number in (2, 3, 4)), Closed("peer")]


@given(st.lists(st.sampled_from(["arrives", "data", "read"]), max_size=60), st.integers(1, 4))
def test_what_is_held_is_what_is_read(steps: list[str], held: int) -> None:
    """For each datagram there is one stand-in in the buffer, and neither grows without bound."""
    far = Far(held=held)
    expected: deque[bytes] = deque(maxlen=held)
    data = 0
    events = iter(far.near)
    for number, step in enumerate(steps):
        if step == "arrives":
            assert far.datagram(bytes([number])) is (len(expected) < held)
            expected.append(bytes([number]))
        elif step == "data":
            far.content(b"x")
            data += 1
        elif expected or data:
            event = next(events)
            if isinstance(event, Datagram):
                assert event.payload == expected.popleft()
            else:
                data -= 1
        assert len(far.buffers.arrived) == len(expected)
        assert len(far.receive_buffer._items) == len(expected) + data


def test_a_reader_that_takes_one_in_the_same_moment_misses_none() -> None:
    """The connection has seen that it is full; then the reader takes the oldest."""

    class Interrupted(deque[bytes]):
        def __len__(self) -> int:
            size = super().__len__()
            if size >= 2 and not read:
                read.append(None)
                read[0] = next(events)
            return size

    read: list[Any] = []
    far = Far(held=2)
    events = iter(far.near)
    far.datagram(b"1")
    far.datagram(b"2")
    far.buffers.arrived = Interrupted(far.buffers.arrived)
    far.datagram(b"3")
    far.end()
    rest = list(events)
    assert rest[-1] == Closed("peer")
    assert Datagram(b"3") in rest
    assert len(far.receive_buffer._items) == 0
    assert len(far.buffers.arrived) == 0


def test_datagrams_between_threads_are_whole_and_in_order() -> None:
    far, got = Far(held=8), []

    def read() -> None:
        got.extend([event.payload for event in far.near if isinstance(event, Datagram)])

    reader = threading.Thread(target=read, daemon=True)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        reader.start()
        dropped = 0
        for number in range(5_000):
            dropped += not far.datagram(number.to_bytes(2, "big"))
            far.receive_buffer.wake_reader()
        far.end()
        reader.join(10)
    finally:
        sys.setswitchinterval(interval)
    assert len(got) == 5_000 - dropped
    assert got == sorted(got)
    assert got[-1] == (4_999).to_bytes(2, "big")


# sending ------------------------------------------------------------------------------------


def test_a_datagram_of_the_limit_and_one_byte_more() -> None:
    far = Far(limit=10)
    assert far.near.max_datagram_size == 10
    far.near.send(b"x" * 10)
    assert list(far.buffers.unsent) == [b"x" * 10]
    with pytest.raises(DatagramTooLarge, match="11 bytes exceeds max_datagram_size=10") as caught:
        far.near.send(b"x" * 11)
    assert caught.value.limit == 10
    assert len(far.buffers.unsent) == 1


def test_without_datagrams_none_is_sent() -> None:
    with pytest.raises(DatagramsDisabled):
        Far(limit=0).near.send(b"")


def test_what_waits_to_be_sent_is_bounded_and_told_once() -> None:
    far = Far()
    for number in range(2 * UNSENT):
        far.near.send(number.to_bytes(2, "big"))
    assert (len(far.buffers.unsent), far.told) == (UNSENT, ["filled"])


def test_two_that_send_in_the_same_moment_are_heard() -> None:
    """Each finds two waiting, and neither is the first."""

    class Interrupted(deque[bytes]):
        def append(self, payload: bytes) -> None:
            super().append(payload)
            if payload == b"one":
                far.near.send(b"two")

    far = Far()
    far.buffers.unsent = Interrupted(maxlen=UNSENT)
    far.near.send(b"one")
    assert list(far.buffers.unsent) == [b"one", b"two"]
    assert far.told == ["filled"]


def test_write_and_finish() -> None:
    far = Far()
    far.near.write(b"hello")
    far.near.finish()
    assert bytes(far.send_buffer.take(100)) == b"hello"
    assert far.send_buffer.drained
    with pytest.raises(StreamClosed, match="finished"):
        far.near.write(b"more")
    far.near.finish()  # what is finished stays so


SENDERS: list[Callable[[Channel], None]] = [
    lambda channel: channel.send(b"x"),
    lambda channel: channel.write(b"x"),
    lambda channel: channel.finish(),
]


@pytest.mark.parametrize("act", SENDERS)
def test_who_sends_hears_what_ended_it(act: Callable[[Channel], None]) -> None:
    far = Far()
    far.end(ConnectionLost("gone", code=5))
    with pytest.raises(ConnectionLost) as caught:
        act(far.near)
    assert caught.value.code == 5


@pytest.mark.parametrize("act", SENDERS)
def test_who_sends_after_closing_hears_that(act: Callable[[Channel], None]) -> None:
    far = Far()
    far.near.close()
    with pytest.raises(StreamClosed):
        act(far.near)


# the loop -----------------------------------------------------------------------------------


def test_the_loop_hands_its_accumulator_on() -> None:
    far = Far()
    for content in (b"a", b"b"):
        far.content(content)
    far.end()
    seen = run(far.near, lambda event, channel, acc: cont([*acc, event]), [])
    assert seen == [StreamData(b"a"), StreamData(b"b"), Closed("peer")]


def test_the_loop_halts_with_a_value_and_closes() -> None:
    far = Far()
    far.content(b"a")
    far.content(b"b")
    assert run(far.near, lambda event, channel, acc: halt(event), None) == StreamData(b"a")
    assert far.told == ["left"]


def test_the_loop_takes_nothing_else() -> None:
    far = Far()
    far.content(b"a")
    with pytest.raises(TypeError, match="handler returned 5: use cont"):
        run(far.near, lambda event, channel, acc: 5, None)  # type: ignore[arg-type, return-value]
    assert far.told == ["left"]
