"""What a connection holds of its callers, and above all what it does not."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from quiver.actors.reply import Reply
from quiver.config import PoolConfig
from quiver.errors import ConnectionLost, StreamReset
from quiver.models import Response
from quiver.origin import Origin
from quiver.pool.callers import Caller, Callers, mode_of
from quiver.pool.exchanges import Mode
from quiver.pool.messages import Filled, GiveUp, ReadOn, StartExchange
from quiver.pool.target import PoolTarget
from quiver.request import OpenChannel, Request, StreamRequest
from quiver.streams.channel import Channel, Closed, Trailers
from quiver.streams.response import StreamedResponse
from quiver.streams.send_buffer import HIGH_WATER
from tests.support.waiting import until

GET = Request("GET", "/")
STREAM = StreamRequest("GET", "/")
CHANNEL = OpenChannel("GET", "/")


class Here(Callers):
    """Callers whose connection is the test."""

    def __init__(self) -> None:
        self.told: list[object] = []
        config = PoolConfig(receive_window=16_384, send_buffer=16_384)
        super().__init__(PoolTarget(Origin("https", "a"), config), self.told.append)

    def take(self, request: Request, reply: Reply[Any] | None = None, ticket: int = 7) -> Caller:
        exchange = StartExchange(ticket, request, None)
        _, sent = self.whole_body(request)
        return self.add(exchange, reply or Reply(), 4 * ticket, mode_of(request), sent=sent)


def holds_nothing(callers: Callers) -> bool:
    return not (callers._by_ticket or callers._to_wake or callers.sending)


@pytest.mark.parametrize(
    ("request_", "mode"), [(GET, Mode.BUFFERED), (STREAM, Mode.STREAMED), (CHANNEL, Mode.CHANNEL)]
)
def test_the_kind_of_request_is_the_mode(request_: Request, mode: Mode) -> None:
    assert mode_of(request_) is mode
    assert Here().take(request_).mode is mode


def test_small_bodies_go_with_the_headers_and_others_in_parts() -> None:
    here = Here()
    assert here.whole_body(GET) == (None, True)
    assert here.whole_body(Request("POST", "/", body=b"x" * 16_384))[1]
    in_parts = [
        Request("POST", "/", body=b"x" * 16_385),
        Request("POST", "/", body=[b"x"]),
        Request("POST", "/", body=b"x", trailers={"a": "1"}),
        CHANNEL,
    ]
    for ticket, request in enumerate(in_parts):
        assert here.whole_body(request) == (None, False)
        held = here.take(request, ticket=ticket)
        assert held.send_buffer is not None
        assert (held.upload is None) == (request is CHANNEL)
        assert here.sending[ticket] is held


def test_an_answer_is_the_last_that_is_held() -> None:
    here, reply = Here(), Reply[Any]()
    here.take(GET, reply)
    here.answer(7, Response(200))
    assert reply.get() == Response(200)
    assert holds_nothing(here)


@pytest.mark.parametrize("attended", [False, True])
def test_a_streamed_response_is_its_callers_only(attended: bool) -> None:
    """Without the collector: dropped by its caller, it is gone, and the connection hears of it."""
    here, reply = Here(), Reply[Any]()
    reply.has_waiter = attended
    here.take(StreamRequest("POST", "/", body=[b"x"]), reply)
    here.begin(7, 200, [])
    here.deliver(7, b"hello")
    here.wake_readers()
    response = reply.get()
    assert isinstance(response, StreamedResponse)
    dropped: list[Any] = [weakref.ref(response), weakref.ref(reply)]
    gc.disable()
    try:
        del response, reply
        assert [ref() for ref in dropped] == [None, None]
    finally:
        gc.enable()
    assert here.told == [GiveUp(7)]
    here.give_up(7)
    assert holds_nothing(here)


def test_a_channel_is_its_callers_only() -> None:
    here, reply = Here(), Reply[Any]()
    here.open_channel(here.take(CHANNEL, reply), 100)
    here.begin(7, 200, [])
    here.datagram(7, b"d")
    channel = reply.get()
    assert isinstance(channel, Channel)
    dropped: list[Any] = [weakref.ref(channel), weakref.ref(reply)]
    gc.disable()
    try:
        del channel, reply
        assert [ref() for ref in dropped] == [None, None]
    finally:
        gc.enable()
    assert here.told == [GiveUp(7)]


def test_a_response_that_nobody_takes_any_more_is_given_up() -> None:
    here, reply = Here(), Reply[Any]()
    here.take(STREAM, reply)
    reply.cancel()
    here.begin(7, 200, [])
    assert here.told == [GiveUp(7)]


def test_a_reader_in_the_middle_gets_the_error() -> None:
    here, reply = Here(), Reply[Any]()
    here.take(STREAM, reply)
    here.begin(7, 200, [])
    here.deliver(7, b"hello")
    here.answer(7, StreamReset("gone", code=5))
    response = reply.get()
    assert response.read(5) == b"hello"
    with pytest.raises(StreamReset):
        response.read()
    assert holds_nothing(here)


def test_both_ends_of_a_channel_get_the_error() -> None:
    here, reply = Here(), Reply[Any]()
    here.open_channel(here.take(CHANNEL, reply), 100)
    here.answer(7, ConnectionLost("gone", code=5))
    channel = reply.get()
    with pytest.raises(ConnectionLost):
        channel.write(b"x")
    (closed,) = channel
    assert isinstance(closed, Closed)
    assert closed.reason == "lost"


def test_a_channel_ends_with_its_trailers() -> None:
    here, reply = Here(), Reply[Any]()
    here.open_channel(here.take(CHANNEL, reply), 100)
    here.begin(7, 200, [])
    here.end(7, [("x-sum", "1")])
    assert list(reply.get()) == [Response(200), Trailers([("x-sum", "1")]), Closed("peer")]


def test_readers_and_writers_tell_their_ticket() -> None:
    here, reply = Here(), Reply[Any]()
    here.open_channel(here.take(CHANNEL, reply), 100)
    here.begin(7, 200, [])
    here.deliver(7, b"x" * 5_000)
    channel = reply.get()
    events = iter(channel)
    next(events)
    next(events)
    channel.write(b"x")
    channel.close()
    assert here.told == [ReadOn(7), Filled(7), GiveUp(7)]


def test_all_fail_with_a_copy_each() -> None:
    here, replies = Here(), [Reply[Any]() for _ in range(3)]
    for ticket, reply in enumerate(replies):
        here.take(GET, reply, ticket)
    here.fail_all(ConnectionLost("gone"))
    errors = []
    for reply in replies:
        with pytest.raises(ConnectionLost) as caught:
            reply.get()
        errors.append(caught.value)
    assert len({id(error) for error in errors}) == 3
    assert holds_nothing(here)


# bodies that are left in the middle ---------------------------------------------------------


class Body:
    """An endless generator that says where it was closed."""

    def __init__(self) -> None:
        self.closed: list[threading.Thread] = []
        self.pieces = self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * HIGH_WATER
        finally:
            self.closed.append(threading.current_thread())


@pytest.mark.parametrize("how", ["answer", "error", "give up", "end"])
def test_a_body_left_in_the_middle_is_closed_where_it_may_block(how: str) -> None:
    body, here, reply = Body(), Here(), Reply[Any]()
    kind = StreamRequest if how == "end" else Request
    held = here.take(kind("POST", "/", body=body.pieces), reply)
    assert held.upload is not None
    held.upload.fill()
    if how == "answer":
        here.answer(7, Response(413))
    elif how == "error":
        here.answer(7, ConnectionLost("gone"))
    elif how == "give up":
        here.give_up(7)
    else:
        here.begin(7, 413, [])
        here.end(7, [])
    until(lambda: body.closed)
    assert len(body.closed) == 1
    assert body.closed[0].name == "quiver-caller-thread"
    body.closed[0].join(10)
    assert not body.closed[0].is_alive()


def test_who_waits_for_the_answer_closes_its_own_body_first() -> None:
    body, here, reply = Body(), Here(), Reply[Any]()
    reply.has_waiter = True
    held = here.take(Request("POST", "/", body=body.pieces), reply)
    assert held.upload is not None
    held.upload.fill()
    here.answer(7, Response(413))
    assert body.closed == []
    assert reply.get() == Response(413)
    assert body.closed == [threading.current_thread()]


@pytest.mark.parametrize(
    ("body", "again"),
    [(None, True), ([b"x"], True), (iter([b"x"]), False), ({b"x"}, False), (b"x" * 20_000, True)],
)
def test_what_can_go_elsewhere(body: Any, again: bool) -> None:
    here = Here()
    held = here.take(Request("POST", "/", body=body))
    if held.upload is not None:
        held.upload.fill()
    assert here.take_back(7) is held
    assert held.replayable() is again
    assert holds_nothing(here)
