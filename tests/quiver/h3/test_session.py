from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.events import StopSendingReceived, StreamReset

from quiver.config import PoolConfig
from quiver.errors import ConnectionLost
from quiver.h3 import events
from quiver.h3.codes import ErrorCode
from quiver.h3.configuration import make_configuration
from quiver.h3.headers import request_fields
from quiver.h3.session import Session
from quiver.origin import Origin
from quiver.request import Request
from quiver.testing.authority import Authority
from tests.support.wire import Server, Wire, connected, dial

ORIGIN = Origin("https", "localhost", 4433)
GET = request_fields(Request("GET", "/"), ORIGIN)
OK = [(b":status", b"200"), (b"x-one", b"1")]

Connect = Callable[..., Wire]


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as authority:
        yield authority


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> tuple[str, str]:
    return authority.issue()


@pytest.fixture
def connect(authority: Authority, certificate: tuple[str, str]) -> Connect:
    """Connect to a server with this `answer` and these options."""

    def make(answer: Any = None, /, *, size: int = 65_536, **options: Any) -> Wire:
        config = PoolConfig(cafile=authority.cafile)
        return connected(config, Server(certificate, answer, **options), max_header_size=size)

    return make


def hello(server: Server, event: Any) -> None:
    if event.stream_ended:
        assert server.h3 is not None
        server.h3.send_headers(event.stream_id, OK)
        server.h3.send_data(event.stream_id, b"hello", True)


def server_of(wire: Wire) -> Any:
    assert wire.server is not None
    return wire.server


# the handshake ------------------------------------------------------------------------------


def test_ready_says_what_was_agreed(connect: Connect) -> None:
    wire = connect(max_streams=7, max_datagram_frame_size=1000)
    assert wire.events == [events.Ready(7, False), events.Settings(True, True)]
    assert connect().events == [events.Ready(128, False), events.Settings(True, False)]


def test_before_it_is_ready_there_is_no_room(authority: Authority) -> None:
    config = PoolConfig(cafile=authority.cafile)
    session = Session(make_configuration(config, ORIGIN), ORIGIN, max_header_size=100)
    assert (session.max_streams, session.timer(), session.datagrams(0.0)) == (0, None, [])
    session.receive(b"junk", 0.0)
    session.tick(0.0)
    with pytest.raises(ValueError, match="no room"):
        session.open_request(GET, None)


def test_our_settings_are_what_we_keep(connect: Connect) -> None:
    wire = connect(size=12_345)
    settings = server_of(wire).h3.received_settings
    assert settings[0x06] == 12_345  # MAX_FIELD_SECTION_SIZE
    assert settings[0x01] == settings[0x07] == 0  # no dynamic table, nothing blocked
    assert settings[0x33] == 1  # H3_DATAGRAM
    assert server_of(wire).h3._max_push_id is None


def test_idle_timeout_is_the_shorter_one(connect: Connect) -> None:
    assert connect(idle_timeout=9.0).session.idle_timeout == 9.0
    assert connect(idle_timeout=900.0).session.idle_timeout == 35.0


# exchanges ----------------------------------------------------------------------------------


def test_a_request_and_its_response(connect: Connect) -> None:
    wire = connect(hello)
    stream_id = wire.session.open_request(GET, None)
    wire.settle()
    assert wire.on(stream_id) == [
        events.Headers(stream_id, 200, [("x-one", "1")], False),
        events.Body(stream_id, b"hello", True),
    ]
    assert server_of(wire).requests[0].headers == GET
    assert wire.session.streams_opened == 1


def test_a_body_goes_at_once_or_in_parts_with_trailers(connect: Connect) -> None:
    wire = connect()
    whole = wire.session.open_request(GET, b"x" * 100_000)
    parts = wire.session.open_request(GET, b"one", ended=False)
    wire.session.send_body(parts, b"two", False)
    wire.session.send_body(parts, b"", False)
    wire.session.send_trailers(parts, [(b"x-sum", b"6")])
    wire.session.send_body(parts, b"late", True)  # ended already
    wire.session.send_trailers(parts, [])
    wire.settle()
    received = {whole: b"", parts: b""}
    for event in server_of(wire).requests:
        if isinstance(event, DataReceived):
            received[event.stream_id] += event.data
    assert received == {whole: b"x" * 100_000, parts: b"onetwo"}
    last = [e for e in server_of(wire).requests if e.stream_id == parts][-1]
    assert isinstance(last, HeadersReceived)
    assert (last.headers, last.stream_ended) == ([(b"x-sum", b"6")], True)


def test_informational_responses_and_trailers(connect: Connect) -> None:
    def answer(server: Server, event: Any) -> None:
        assert server.h3 is not None
        server.h3.send_headers(event.stream_id, [(b":status", b"103"), (b"link", b"a")])
        server.h3.send_headers(event.stream_id, [(b":status", b"200"), (b"content-length", b"9")])
        server.h3.send_data(event.stream_id, b"abc", False)
        server.h3.send_headers(event.stream_id, [(b"x-sum", b"3")])
        server.send_frame(event.stream_id, 0x21, b"grease", True)

    wire = connect(answer)
    wire.session.open_request(GET, None)
    wire.settle()
    assert wire.on(0) == [
        events.Informational(0, 103, [("link", "a")]),
        events.Headers(0, 200, [("content-length", "9")], False),  # not ours to compare
        events.Body(0, b"abc", False),
        events.Trailers(0, [("x-sum", "3")]),
    ]


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 1000])
def test_a_response_may_be_cut_anywhere(connect: Connect, cut: int) -> None:
    wire = connect()
    stream_id = wire.session.open_request(GET, None)
    wire.settle()
    server = server_of(wire)
    block = server.h3._encode_headers(stream_id, OK)
    octets = b"\x01" + bytes([len(block)]) + block + b"\x00\x05hello\x00\x00" + b"\x21\x02gg"
    for start in range(0, len(octets), cut):
        server.send_raw(stream_id, octets[start : start + cut])
        wire.settle(0.05)
    server.send_raw(stream_id, b"", True)
    wire.settle()
    first, *rest = wire.on(stream_id)
    assert first == events.Headers(stream_id, 200, [("x-one", "1")], False)
    assert b"".join(event.content for event in rest) == b"hello"
    assert [event.ended for event in rest] == [False] * (len(rest) - 1) + [True]
    assert all(event.content for event in rest[:-1])
    assert wire.session._h3 is not None
    assert stream_id not in wire.session._h3.open


def test_a_response_of_headers_only_ends_with_them(connect: Connect) -> None:
    wire = connect(lambda server, event: server.h3.send_headers(event.stream_id, OK, True))
    wire.session.open_request(GET, None)
    wire.settle()
    assert wire.on(0) == [events.Headers(0, 200, [("x-one", "1")], True)]


# room ---------------------------------------------------------------------------------------


def test_room_is_cumulative_and_growth_is_reported(connect: Connect) -> None:
    wire = connect(hello, max_streams=2)
    for _ in range(2):
        wire.session.open_request(GET, None)
    with pytest.raises(ValueError, match="2 of 2"):
        wire.session.open_request(GET, None)
    wire.settle()
    limits = [event.max_streams for event in wire.of(events.CapacityChanged)]
    assert limits == sorted(set(limits))
    assert limits[-1] == wire.session.max_streams > 2
    for _ in range(wire.session.max_streams - wire.session.streams_opened):
        wire.session.open_request(GET, None)
    wire.settle()
    assert len([e for e in wire.of(events.Body) if e.ended]) == wire.session.streams_opened > 2


@pytest.mark.parametrize("allowed", [1, 2, 3, 100])
def test_growth_is_reported_as_soon_as_half_the_room_is_not_known(
    connect: Connect, allowed: int
) -> None:
    """However few streams are allowed, and not for each of them when they are many."""
    wire = connect(hello, max_streams=allowed)
    known = wire.session.max_streams
    for _ in range(120):
        assert known > wire.session.streams_opened
        wire.session.open_request(GET, None)
        wire.settle()
        known = max([known, *(event.max_streams for event in wire.of(events.CapacityChanged))])
        room = wire.session.max_streams - wire.session.streams_opened
        assert 2 * (known - wire.session.streams_opened) >= room
    assert len(wire.of(events.CapacityChanged)) <= (120 if allowed < 4 else 5)


# breaking off -------------------------------------------------------------------------------


def test_cancel_ends_both_directions_and_silences_the_stream(connect: Connect) -> None:
    wire = connect()
    stream_id = wire.session.open_request(GET, b"part", ended=False)
    wire.settle()
    server_of(wire).h3.send_headers(stream_id, OK)
    wire.session.cancel(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
    wire.settle()
    wire.session.cancel(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
    wire.session.send_body(stream_id, b"late", True)
    wire.settle()
    assert wire.on(stream_id) == []
    seen = server_of(wire).seen
    assert StreamReset(error_code=0x10C, stream_id=stream_id) in seen
    assert [e for e in seen if isinstance(e, StopSendingReceived)] == [
        StopSendingReceived(error_code=0x10C, stream_id=stream_id)
    ]
    assert wire.error is None


def test_cancel_after_the_end_does_nothing(connect: Connect) -> None:
    wire = connect(hello)
    stream_id = wire.session.open_request(GET, None)
    wire.settle()
    before = len(server_of(wire).seen)
    wire.session.cancel(stream_id, 0x10C)
    wire.session.cancel(4000, 0x10C)
    wire.settle()
    assert len(server_of(wire).seen) == before
    assert wire.error is None


def test_a_reset_by_the_server_is_reported_once(connect: Connect) -> None:
    wire = connect()
    stream_id = wire.session.open_request(GET, b"part", ended=False)
    wire.settle()
    server_of(wire).quic.reset_stream(stream_id, 0x10B)
    wire.settle()
    wire.session.send_body(stream_id, b"late", True)
    wire.settle()
    assert wire.on(stream_id) == [events.StreamReset(stream_id, 0x10B)]
    assert StreamReset(error_code=0x10C, stream_id=stream_id) in server_of(wire).seen


def test_stop_sending_stops_the_body_not_the_response(connect: Connect) -> None:
    wire = connect()
    stream_id = wire.session.open_request(GET, b"part", ended=False)
    wire.settle()
    server = server_of(wire)
    server.quic.stop_stream(stream_id, 0x100)
    server.h3.send_headers(stream_id, OK, True)
    wire.settle()
    wire.session.send_body(stream_id, b"late", True)
    wire.session.send_trailers(stream_id, [])
    wire.settle()
    assert wire.on(stream_id) == [
        events.StopSending(stream_id, 0x100),
        events.Headers(stream_id, 200, [("x-one", "1")], True),
    ] or wire.on(stream_id) == [events.Headers(stream_id, 200, [("x-one", "1")], True)]
    assert wire.error is None


# other things -------------------------------------------------------------------------------


def test_goaway_is_reported(connect: Connect) -> None:
    wire = connect(hello)
    server_of(wire).goaway(8)
    server_of(wire).goaway(4)
    wire.settle()
    assert wire.of(events.GoAway) == [events.GoAway(8), events.GoAway(4)]
    wire.session.open_request(GET, None)
    wire.settle()
    assert wire.on(0)


def test_a_ping_is_answered(connect: Connect) -> None:
    wire = connect()
    wire.session.ping(77)
    wire.settle()
    assert wire.of(events.PingAcknowledged) == [events.PingAcknowledged(77)]


def test_datagrams_of_open_requests_come_out(connect: Connect) -> None:
    wire = connect(max_datagram_frame_size=1000)
    stream_id = wire.session.open_request(GET, None)
    wire.settle()
    server_of(wire).h3.send_datagram(stream_id, b"ping")
    server_of(wire).h3.send_datagram(stream_id + 4, b"lost")
    wire.settle()
    assert wire.of(events.Datagram) == [events.Datagram(stream_id, b"ping")]


# the end ------------------------------------------------------------------------------------


def test_close_reports_at_once_and_tells_the_server(connect: Connect) -> None:
    wire = connect()
    wire.session.open_request(GET, b"part", ended=False)
    wire.session.close(0x100, "enough" * 1000)
    wire.session.close(0x101, "again")
    closed: Any = wire.session.events()[-1]
    assert isinstance(closed.error, ConnectionLost)
    assert "closed by us" in str(closed.error)
    assert wire.session.closed
    assert wire.session.timer() is None
    sent = wire.session.datagrams(wire.now)
    assert len(sent) == 1
    assert wire.session.datagrams(wire.now) == []
    server_of(wire).receive(sent[0], wire.now)
    assert server_of(wire).terminated.error_code == 0x100


def test_a_closed_session_takes_everything_and_says_nothing(connect: Connect) -> None:
    wire = connect(hello)
    stream_id = wire.session.open_request(GET, b"part", ended=False)
    wire.settle()
    wire.session.close()
    wire.session.send_body(stream_id, b"late", True)
    wire.session.send_trailers(stream_id, [])
    wire.session.cancel(stream_id, 0x10C)
    wire.session.ping(1)
    server_of(wire).h3.send_headers(stream_id, OK)
    wire.settle(5)
    wire.session.tick(wire.now)
    with pytest.raises(ValueError, match="no room"):
        wire.session.open_request(GET, None)
    assert [type(event) for event in wire.events] == [events.Ready, events.Settings, events.Closed]


def test_a_close_during_the_handshake_reaches_the_server(
    authority: Authority, certificate: tuple[str, str]
) -> None:
    server = Server(certificate)
    wire = dial(PoolConfig(cafile=authority.cafile), server)
    wire.session.close()
    wire.settle()
    assert [type(event) for event in wire.events] == [events.Closed]
    assert server.terminated is not None
    assert server.terminated.error_code == 0x0C


def test_what_came_before_a_close_is_still_reported(connect: Connect) -> None:
    def answer_and_leave(server: Server, event: Any) -> None:
        hello(server, event)
        assert server.quic is not None
        for datagram, _ in server.quic.datagrams_to_send(0.5):
            kept.append(datagram)
        server.quic.close(0x100, reason_phrase="bye")

    kept: list[bytes] = []
    wire = connect(answer_and_leave)
    wire.session.open_request(GET, None)
    wire.run(lambda: bool(kept))
    for datagram in kept:
        wire.session.receive(datagram, wire.now)
    wire.settle()
    assert [type(e) for e in wire.events] == [
        events.Ready,
        events.Settings,
        events.Headers,
        events.Body,
        events.Closed,
    ]


def test_a_qlog_is_written_with_headers_that_are_no_utf8(
    authority: Authority, certificate: tuple[str, str], tmp_path: Path
) -> None:
    def answer(server: Server, event: Any) -> None:
        server.send_section(event.stream_id, [(b":status", b"200"), (b"x-bad", b"\xff")], True)

    config = PoolConfig(cafile=authority.cafile, qlog_dir=str(tmp_path))
    wire = connected(config, Server(certificate, answer))
    wire.session.open_request(GET, None)
    wire.settle()
    wire.session.close()
    wire.flush()
    [path] = tmp_path.glob("*.qlog")
    text = json.dumps(json.loads(path.read_text())).encode("ascii").decode("unicode_escape")
    assert "x-bad" in text
    assert wire.on(0) == [events.Headers(0, 200, [("x-bad", "ÿ")], True)]


def test_the_timer_is_due_a_little_after_aioquics(connect: Connect) -> None:
    """At the very moment, rounded floats may call nothing lost yet, and the timer stays."""
    wire = connect()
    wire.session.ping(1)
    wire.flush()
    timer, theirs = wire.session.timer(), wire.session._quic.get_timer()
    assert timer is not None
    assert theirs is not None
    assert theirs < timer < theirs + 0.001
