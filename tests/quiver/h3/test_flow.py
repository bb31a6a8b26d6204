"""What flows on a real connection over the wire in memory: credit, bodies, datagrams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DatagramReceived, DataReceived, HeadersReceived
from aioquic.quic.events import StreamReset

from quiver.config import PoolConfig
from quiver.h3 import events
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.quic.flow_control import AT_ONCE
from quiver.request import Request
from quiver.testing.authority import Authority
from tests.support.engines.http3_wire import (
    ARRIVES,
    LOST,
    EngineName,
    Server,
    Wire,
    connected,
    dial,
)

ORIGIN = Origin("https", "localhost", 4433)
GET = request_fields(Request("GET", "/"), ORIGIN)
OK = [(b":status", b"200")]
WINDOW = 65_536
MUCH = 10 * WINDOW

Connect = Callable[..., Wire]


@pytest.fixture
def connect(authority: Authority, engine: EngineName) -> Connect:
    """Connect to a server with this `answer` and these options."""

    def make(answer: Any = None, /, **options: Any) -> Wire:
        config = PoolConfig(cafile=authority.cafile, receive_window=WINDOW)
        server = Server(authority.issue(), answer, engine=engine, **options)
        return connected(config, server)

    return make


def much(server: Server, event: Any) -> None:
    """Ten windows, whoever asks."""
    if getattr(event, "stream_ended", False):
        assert server.h3 is not None
        server.h3.send_headers(event.stream_id, OK)
        server.h3.send_data(event.stream_id, b"x" * MUCH, True)


def server_of(wire: Wire) -> Any:
    assert wire.server is not None
    return wire.server


def came(wire: Wire, stream_id: int) -> int:
    """Bytes of content that came on a stream."""
    return sum(len(getattr(event, "content", b"")) for event in wire.on(stream_id))


def ended(wire: Wire, stream_id: int) -> bool:
    return any(getattr(event, "ended", False) for event in wire.on(stream_id))


# backpressure -------------------------------------------------------------------------------


def test_what_nobody_takes_stops_the_server_at_the_window(connect: Connect) -> None:
    wire = connect(much)
    stream_id = wire.h3.open_request(GET, None, window=WINDOW)
    wire.settle(30.0)
    assert WINDOW - 100 < came(wire, stream_id) <= WINDOW
    assert server_of(wire).may_send(stream_id) == WINDOW
    assert wire.error is None


def test_it_goes_on_as_it_is_consumed_and_no_further(connect: Connect) -> None:
    wire = connect(much)
    stream_id = wire.h3.open_request(GET, None, window=WINDOW)
    consumed = 0
    for _ in range(100):
        wire.settle(1.0)
        unread = came(wire, stream_id) - consumed
        assert unread <= WINDOW
        if ended(wire, stream_id):
            break
        wire.h3.consumed(stream_id, unread)
        consumed += unread
    assert came(wire, stream_id) == MUCH


@pytest.mark.one_in(3)
@pytest.mark.parametrize("stalled", [1, 20])
def test_the_others_go_on_meanwhile(connect: Connect, stalled: int) -> None:
    wire = connect(much)
    stuck = [wire.h3.open_request(GET, None, window=WINDOW) for _ in range(stalled)]
    wire.settle(2.0)
    whole = wire.h3.open_request(GET, None)
    wire.run(lambda: ended(wire, whole))
    assert came(wire, whole) == MUCH
    assert all(came(wire, stream_id) <= WINDOW for stream_id in stuck)
    assert not any(ended(wire, stream_id) for stream_id in stuck)


@pytest.mark.long
@pytest.mark.one_in(3)
def test_more_than_the_connections_window_comes_on_one_stream(connect: Connect) -> None:
    size = AT_ONCE + AT_ONCE // 16

    def answer(server: Server, event: Any) -> None:
        assert server.h3 is not None
        server.h3.send_headers(event.stream_id, OK)
        server.h3.send_data(event.stream_id, b"x" * size, True)

    wire = connect(answer)
    stream_id = wire.h3.open_request(GET, None)
    # Not `ended`, which looks through all events, and there are tens of thousands.
    wire.run(lambda: getattr(wire.events[-1], "ended", False), limit=100_000)
    assert ended(wire, stream_id)
    assert came(wire, stream_id) == size


@pytest.mark.one_in(3)
def test_lost_credit_is_given_again(authority: Authority, engine: EngineName) -> None:
    """A third of all datagrams is lost, MAX_STREAM_DATA frames among them."""

    def fates() -> Any:
        for _ in range(40):  # the handshake
            yield ARRIVES
        while True:
            yield from (ARRIVES, ARRIVES, LOST)

    config = PoolConfig(cafile=authority.cafile, receive_window=WINDOW)
    wire = dial(config, Server(authority.issue(), much, engine=engine), fates=fates())
    wire.run(lambda: bool(wire.of(events.Ready)))
    stream_id = wire.h3.open_request(GET, None, window=WINDOW)
    consumed = 0

    def done() -> bool:
        nonlocal consumed
        unread = came(wire, stream_id) - consumed
        assert unread <= WINDOW
        if unread > WINDOW // 2:
            wire.h3.consumed(stream_id, unread)
            consumed += unread
            wire.flush()
        return ended(wire, stream_id)

    wire.run(done, limit=50_000)
    assert came(wire, stream_id) == MUCH


@pytest.mark.parametrize("how", ["cancel", "reset", "malformed"])
def test_what_is_broken_off_gets_no_more_credit(connect: Connect, how: str) -> None:
    wire = connect()
    stream_id = wire.h3.open_request(GET, None, window=WINDOW)
    wire.settle()
    server = server_of(wire)
    server.h3.send_headers(stream_id, OK)
    server.h3.send_data(stream_id, b"x" * (WINDOW // 2), False)
    wire.settle()
    wire.h3.consumed(stream_id, WINDOW // 2)
    limit = server_of(wire).may_send(stream_id)
    if how == "cancel":
        wire.h3.cancel(stream_id, 0x10C)
    elif how == "reset":
        server.quic.reset_stream(stream_id, 0x102)
    else:
        server.send_section(stream_id, [(b":status", b"200")])  # as trailers
    if server.engine != "memory":
        server.quic._streams[stream_id].receiver.is_finished = True  # it listens no more
    wire.settle()
    wire.h3.consumed(stream_id, WINDOW)
    wire.settle()
    if stream_id in server.quic._streams:
        assert server_of(wire).may_send(stream_id) == limit
    assert wire.flow_control.get(stream_id) is None
    assert vars(wire.flow_control)["_unread"] == 0
    assert wire.error is None


def test_what_has_ended_leaves_no_account(connect: Connect) -> None:
    wire = connect(much)
    for window in (None, 2 * MUCH, None):
        stream_id = wire.h3.open_request(GET, None, window=window)
        wire.settle(2.0)
        assert ended(wire, stream_id)
        wire.h3.consumed(stream_id, came(wire, stream_id))
    account = wire.flow_control
    assert (account._streams, account._window, account._unread) == ({}, AT_ONCE, 0)


# sending ------------------------------------------------------------------------------------


def test_what_is_sent_is_held_until_it_is_acknowledged(connect: Connect) -> None:
    wire = connect()
    stream_id = wire.h3.open_request(GET, None, ended=False)
    wire.settle()
    assert wire.h3.unacknowledged(stream_id) == 0
    wire.h3.send_body(stream_id, b"x" * 1000, False)
    assert wire.h3.unacknowledged(stream_id) >= 1000
    wire.flush()
    assert wire.h3.unacknowledged(stream_id) >= 1000
    wire.settle()
    assert wire.h3.unacknowledged(stream_id) == 0
    assert wire.h3.unacknowledged(stream_id + 4) == 0


def test_what_the_server_does_not_take_stays_unacknowledged(connect: Connect) -> None:
    wire = connect(max_stream_data=10_000)
    server_of(wire).withhold_credit()
    stream_id = wire.h3.open_request(GET, None, ended=False)
    wire.h3.send_body(stream_id, b"x" * 30_000, False)
    wire.settle(5.0)
    assert 20_000 <= wire.h3.unacknowledged(stream_id) < 20_200


def test_a_body_can_be_given_up_while_the_response_goes_on(connect: Connect) -> None:
    wire = connect()
    stream_id = wire.h3.open_request(GET, b"part", ended=False)
    wire.settle()
    wire.h3.abort_body(stream_id, 0x10C)
    wire.h3.abort_body(stream_id, 0x10D)
    wire.h3.send_body(stream_id, b"late", True)
    wire.settle()
    server = server_of(wire)
    server.h3.send_headers(stream_id, OK)
    server.h3.send_data(stream_id, b"hello", True)
    wire.settle()
    resets = [event for event in server.seen if isinstance(event, StreamReset)]
    assert resets == [StreamReset(error_code=0x10C, stream_id=stream_id)]
    received = [e.data for e in server.requests if isinstance(e, DataReceived)]
    assert b"".join(received) == b"part"
    assert (came(wire, stream_id), ended(wire, stream_id)) == (5, True)


def test_a_body_that_has_ended_is_not_given_up(connect: Connect) -> None:
    wire = connect()
    stream_id = wire.h3.open_request(GET, b"whole")
    wire.h3.abort_body(stream_id, 0x10C)
    wire.settle()
    assert not [event for event in server_of(wire).seen if isinstance(event, StreamReset)]


# datagrams ----------------------------------------------------------------------------------


@pytest.mark.parametrize("theirs", [20, 63, 64, 65, 66, 67, 1000, 65_536])
def test_a_datagram_of_exactly_the_limit_arrives(connect: Connect, theirs: int) -> None:
    wire = connect(max_datagram_frame_size=theirs)
    stream_id = wire.h3.open_request(GET, None, ended=False)
    wire.settle()
    limit = wire.h3.max_datagram_size(stream_id)
    payload = bytes(number % 251 for number in range(limit))
    assert wire.h3.send_datagram(stream_id, payload)
    assert not wire.h3.send_datagram(stream_id, payload + b"!")
    wire.settle()
    assert wire.error is None
    assert received(wire) == [payload]


def received(wire: Wire) -> list[bytes]:
    return [e.data for e in server_of(wire).requests if isinstance(e, DatagramReceived)]


@pytest.mark.parametrize("theirs", [20, 64, 65, 66, 67, 1000, 65_536])
def test_one_byte_more_would_not_arrive(connect: Connect, theirs: int) -> None:
    """The limit is not timid: QUIC refuses one byte more, or has no packet for it."""
    wire = connect(max_datagram_frame_size=theirs)
    stream_id = wire.h3.open_request(GET, None, ended=False)
    wire.settle()
    limit = wire.h3.max_datagram_size(stream_id)
    assert wire.h3._engine.send_datagram(stream_id, b"\x00" + b"x" * (limit + 1))
    wire.settle()
    assert received(wire) == []


def test_without_agreement_there_are_no_datagrams(connect: Connect) -> None:
    wire = connect()  # the server has none
    stream_id = wire.h3.open_request(GET, None, ended=False)
    wire.settle()
    assert wire.h3.max_datagram_size(stream_id) == 0
    assert not wire.h3.send_datagram(stream_id, b"x")
    assert wire.of(events.Settings) == [events.Settings(True, False)]


def test_datagrams_that_wait_are_bounded(connect: Connect) -> None:
    wire = connect(max_datagram_frame_size=1000)
    stream_id = wire.h3.open_request(GET, None, ended=False)
    wire.settle()
    taken = [wire.h3.send_datagram(stream_id, b"x" * 900) for _ in range(300)]
    assert taken == [True] * 256 + [False] * 44
    wire.settle(10.0)
    assert len(received(wire)) == 256
    assert wire.h3.send_datagram(stream_id, b"x")


def test_a_datagram_goes_after_its_streams_header_section(connect: Connect) -> None:
    """A server drops one whose stream it does not know yet (RFC 9297 2.1)."""
    wire = connect(max_datagram_frame_size=1000)
    first = wire.h3.open_request(GET, None, ended=False)
    wire.settle()
    second = wire.h3.open_request(GET, None, ended=False)
    for number, stream_id in enumerate([second, first, second]):
        assert wire.h3.send_datagram(stream_id, b"%d" % number)
    wire.settle()
    happened = [
        e.stream_id if isinstance(e, HeadersReceived) else e.data
        for e in server_of(wire).requests
        if isinstance(e, HeadersReceived | DatagramReceived)
    ]
    assert happened == [first, b"1", second, b"0", b"2"]


def test_datagrams_of_a_stream_that_never_begins_take_no_room(connect: Connect) -> None:
    wire = connect(max_datagram_frame_size=1000)
    given_up = wire.h3.open_request(GET, None, ended=False)
    while wire.h3.send_datagram(given_up, b"early"):
        pass
    wire.h3.cancel(given_up, 0x10C)
    wire.settle()
    stream_id = wire.h3.open_request(GET, None, ended=False)
    assert wire.h3.send_datagram(stream_id, b"x")
    wire.settle()
    assert received(wire)[-1:] == [b"x"]


# settings -----------------------------------------------------------------------------------


def test_settings_may_come_late(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    late: list[Any] = []
    begin = H3Connection._init_connection

    def hold_back(h3: Any) -> None:
        if h3._is_client:
            begin(h3)
        else:
            late.append(h3)
            h3.handle_event = lambda event: []

    monkeypatch.setattr(H3Connection, "_init_connection", hold_back)
    wire = connect(max_datagram_frame_size=1000)
    assert wire.of(events.Ready)
    assert wire.of(events.Settings) == []
    stream_id = wire.h3.open_request(GET, None, ended=False)
    assert wire.h3.max_datagram_size(stream_id) == 0
    wire.settle()
    del late[0].handle_event
    begin(late[0])
    wire.settle()
    assert wire.of(events.Settings) == [events.Settings(True, True)]
    assert wire.h3.max_datagram_size(stream_id) > 900


def test_settings_are_reported_once(connect: Connect) -> None:
    wire = connect(max_datagram_frame_size=1000)
    for _ in range(3):
        server_of(wire).goaway(40)
        wire.settle()
    assert wire.of(events.Settings) == [events.Settings(True, True)]
