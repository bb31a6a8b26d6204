from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aioquic.h3.connection import H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.events import StopSendingReceived, StreamReset

from quiver.config import PoolConfig
from quiver.errors import ConnectionLost, InternalError, InvalidRequest, ProtocolViolation
from quiver.h3 import events
from quiver.h3.client_connection import ClientConnection
from quiver.h3.codes import ErrorCode
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.request import Request
from quiver.testing.authority import Authority
from tests.support.engines.http3_wire import (
    EngineName,
    Server,
    Tableless,
    Wire,
    client,
    connected,
    dial,
)
from tests.support.engines.memory_quic import Limits, MemoryEngine

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
def connect(authority: Authority, certificate: tuple[str, str], engine: EngineName) -> Connect:
    """Connect to a server with this `answer` and these options."""

    def make(answer: Any = None, /, *, size: int = 65_536, **options: Any) -> Wire:
        config = PoolConfig(cafile=authority.cafile)
        server = Server(certificate, answer, engine=engine, **options)
        return connected(config, server, max_header_size=size)

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


def test_before_it_is_ready_there_is_no_room(authority: Authority, engine: EngineName) -> None:
    h3 = client(engine, PoolConfig(cafile=authority.cafile), ORIGIN, 100)
    assert (h3.max_streams, h3.timer(), h3.datagrams(0.0)) == (0, None, [])
    h3.receive(b"junk", 0.0)
    h3.tick(0.0)
    with pytest.raises(ValueError, match="no room"):
        h3.open_request(GET, None)


def test_our_settings_are_what_we_keep(connect: Connect) -> None:
    wire = connect(size=12_345)
    settings = server_of(wire).h3.received_settings
    assert settings[0x06] == 12_345  # MAX_FIELD_SECTION_SIZE
    assert settings[0x01] == settings[0x07] == 0  # no dynamic table, nothing blocked
    assert settings[0x33] == 1  # H3_DATAGRAM
    assert server_of(wire).h3._max_push_id is None


def test_idle_timeout_is_the_shorter_one(connect: Connect) -> None:
    assert connect(idle_timeout=9.0).h3.idle_timeout == 9.0
    assert connect(idle_timeout=900.0).h3.idle_timeout == 35.0


# exchanges ----------------------------------------------------------------------------------


def test_a_request_and_its_response(connect: Connect) -> None:
    wire = connect(hello)
    stream_id = wire.h3.open_request(GET, None)
    wire.settle()
    assert wire.on(stream_id) == [events.Headers(stream_id, 200, [("x-one", "1")], True, b"hello")]
    assert server_of(wire).requests[0].headers == GET
    assert wire.h3.streams_opened == 1


def test_a_body_goes_at_once_or_in_parts_with_trailers(connect: Connect) -> None:
    wire = connect()
    whole = wire.h3.open_request(GET, b"x" * 100_000)
    parts = wire.h3.open_request(GET, b"one", ended=False)
    wire.h3.send_body(parts, b"two", False)
    wire.h3.send_body(parts, b"", False)
    wire.h3.send_trailers(parts, [(b"x-sum", b"6")])
    wire.h3.send_body(parts, b"late", True)  # ended already
    wire.h3.send_trailers(parts, [])
    wire.settle()
    received = {whole: b"", parts: b""}
    for event in server_of(wire).requests:
        if isinstance(event, DataReceived):
            received[event.stream_id] += event.data
    assert received == {whole: b"x" * 100_000, parts: b"onetwo"}
    last = [e for e in server_of(wire).requests if e.stream_id == parts][-1]
    assert isinstance(last, HeadersReceived)
    assert (last.headers, last.stream_ended) == ([(b"x-sum", b"6")], True)


def test_the_last_part_of_a_body_ends_it(connect: Connect) -> None:
    wire = connect()
    stream_id = wire.h3.open_request(GET, b"one", ended=False)
    wire.h3.send_body(stream_id, b"two", True)
    wire.h3.send_body(stream_id, b"late", True)
    wire.settle()
    _, *received = server_of(wire).requests
    assert b"".join(each.data for each in received) == b"onetwo"
    assert received[-1].stream_ended


def test_informational_responses_and_trailers(connect: Connect) -> None:
    def answer(server: Server, event: Any) -> None:
        assert server.h3 is not None
        server.h3.send_headers(event.stream_id, [(b":status", b"103"), (b"link", b"a")])
        server.h3.send_headers(event.stream_id, [(b":status", b"200"), (b"content-length", b"9")])
        server.h3.send_data(event.stream_id, b"abc", False)
        server.h3.send_headers(event.stream_id, [(b"x-sum", b"3")])
        server.send_frame(event.stream_id, 0x21, b"grease", True)

    wire = connect(answer)
    wire.h3.open_request(GET, None)
    wire.settle()
    assert wire.on(0) == [
        events.Informational(0, 103, [("link", "a")]),
        events.Headers(0, 200, [("content-length", "9")], False),  # not ours to compare
        events.Body(0, b"abc", False),
        events.TrailersReceived(0, [("x-sum", "3")]),
    ]


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 1000])
def test_a_response_may_be_cut_anywhere(connect: Connect, cut: int) -> None:
    wire = connect()
    stream_id = wire.h3.open_request(GET, None)
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
    assert stream_id not in wire.responses


def test_a_response_of_headers_only_ends_with_them(connect: Connect) -> None:
    wire = connect(lambda server, event: server.h3.send_headers(event.stream_id, OK, True))
    wire.h3.open_request(GET, None)
    wire.settle()
    assert wire.on(0) == [events.Headers(0, 200, [("x-one", "1")], True)]


# room ---------------------------------------------------------------------------------------


def test_room_is_cumulative_and_growth_is_reported(connect: Connect) -> None:
    wire = connect(hello, max_streams=2)
    for _ in range(2):
        wire.h3.open_request(GET, None)
    with pytest.raises(ValueError, match="2 of 2"):
        wire.h3.open_request(GET, None)
    wire.settle()
    limits = [event.max_streams for event in wire.of(events.CapacityChanged)]
    assert limits == sorted(set(limits))
    assert limits[-1] == wire.h3.max_streams > 2
    for _ in range(wire.h3.max_streams - wire.h3.streams_opened):
        wire.h3.open_request(GET, None)
    wire.settle()
    assert len([e for e in wire.of(events.Headers) if e.content]) == wire.h3.streams_opened > 2


@pytest.mark.one_in(3)
@pytest.mark.parametrize("allowed", [1, 2, 3, 100])
def test_growth_is_reported_as_soon_as_half_the_room_is_not_known(
    connect: Connect, allowed: int
) -> None:
    """However few streams are allowed, and not for each of them when they are many."""
    wire = connect(hello, max_streams=allowed)
    known = wire.h3.max_streams
    for _ in range(120):
        assert known > wire.h3.streams_opened
        wire.h3.open_request(GET, None)
        wire.settle()
        known = max([known, *(event.max_streams for event in wire.of(events.CapacityChanged))])
        room = wire.h3.max_streams - wire.h3.streams_opened
        assert 2 * (known - wire.h3.streams_opened) >= room
    assert len(wire.of(events.CapacityChanged)) <= (120 if allowed < 4 else 5)


# breaking off -------------------------------------------------------------------------------


def test_cancel_ends_both_directions_and_silences_the_stream(connect: Connect) -> None:
    wire = connect()
    stream_id = wire.h3.open_request(GET, b"part", ended=False)
    wire.settle()
    server_of(wire).h3.send_headers(stream_id, OK)
    wire.h3.cancel(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
    wire.settle()
    wire.h3.cancel(stream_id, ErrorCode.H3_REQUEST_CANCELLED)
    wire.h3.send_body(stream_id, b"late", True)
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
    stream_id = wire.h3.open_request(GET, None)
    wire.settle()
    before = len(server_of(wire).seen)
    wire.h3.cancel(stream_id, 0x10C)
    wire.h3.cancel(4000, 0x10C)
    wire.settle()
    assert len(server_of(wire).seen) == before
    assert wire.error is None


def test_a_reset_by_the_server_is_reported_once(connect: Connect) -> None:
    wire = connect()
    stream_id = wire.h3.open_request(GET, b"part", ended=False)
    wire.settle()
    server_of(wire).quic.reset_stream(stream_id, 0x10B)
    wire.settle()
    wire.h3.send_body(stream_id, b"late", True)
    wire.settle()
    assert wire.on(stream_id) == [events.StreamResetReceived(stream_id, 0x10B)]
    assert StreamReset(error_code=0x10C, stream_id=stream_id) in server_of(wire).seen


def test_stop_sending_stops_the_body_not_the_response(connect: Connect) -> None:
    wire = connect()
    stream_id = wire.h3.open_request(GET, b"part", ended=False)
    wire.settle()
    server = server_of(wire)
    server.quic.stop_stream(stream_id, 0x100)
    server.h3.send_headers(stream_id, OK, True)
    wire.settle()
    wire.h3.send_body(stream_id, b"late", True)
    wire.h3.send_trailers(stream_id, [])
    wire.settle()
    assert wire.on(stream_id) == [
        events.StopSendingReceived(stream_id, 0x100),
        events.Headers(stream_id, 200, [("x-one", "1")], True),
    ] or wire.on(stream_id) == [events.Headers(stream_id, 200, [("x-one", "1")], True)]
    assert wire.error is None


# other things -------------------------------------------------------------------------------


def test_goaway_is_reported(connect: Connect) -> None:
    wire = connect(hello)
    server_of(wire).goaway(8)
    server_of(wire).goaway(4)
    wire.settle()
    assert wire.of(events.GoAwayReceived) == [events.GoAwayReceived(8), events.GoAwayReceived(4)]
    wire.h3.open_request(GET, None)
    wire.settle()
    assert wire.on(0)


def test_a_ping_is_answered(connect: Connect) -> None:
    wire = connect()
    wire.h3.ping(77)
    wire.settle()
    assert wire.of(events.PingAcknowledged) == [events.PingAcknowledged(77)]


def test_datagrams_of_open_requests_come_out(connect: Connect) -> None:
    wire = connect(max_datagram_frame_size=1000)
    stream_id = wire.h3.open_request(GET, None)
    wire.settle()
    server_of(wire).h3.send_datagram(stream_id, b"ping")
    server_of(wire).h3.send_datagram(stream_id + 4, b"lost")
    wire.settle()
    assert wire.of(events.HttpDatagramReceived) == [events.HttpDatagramReceived(stream_id, b"ping")]


# the end ------------------------------------------------------------------------------------


def test_close_reports_at_once_and_tells_the_server(connect: Connect) -> None:
    wire = connect()
    wire.h3.open_request(GET, b"part", ended=False)
    wire.h3.close(0x100, "enough" * 1000)
    wire.h3.close(0x101, "again")
    closed: Any = wire.h3.events()[-1]
    assert isinstance(closed.error, ConnectionLost)
    assert "closed by us with H3_" in str(closed.error)
    assert wire.h3.closed
    assert wire.h3.timer() is None
    sent = wire.h3.datagrams(wire.now)
    assert len(sent) == 1
    assert wire.h3.datagrams(wire.now) == []
    server_of(wire).receive(sent[0], wire.now)
    assert server_of(wire).terminated.error_code == 0x100


def test_a_closed_connection_takes_everything_and_says_nothing(connect: Connect) -> None:
    wire = connect(hello)
    stream_id = wire.h3.open_request(GET, b"part", ended=False)
    wire.settle()
    wire.h3.close()
    wire.h3.send_body(stream_id, b"late", True)
    wire.h3.send_trailers(stream_id, [])
    wire.h3.cancel(stream_id, 0x10C)
    wire.h3.ping(1)
    server_of(wire).h3.send_headers(stream_id, OK)
    wire.settle(5)
    wire.h3.tick(wire.now)
    with pytest.raises(ValueError, match="no room"):
        wire.h3.open_request(GET, None)
    assert [type(event) for event in wire.events] == [
        events.Ready,
        events.Settings,
        events.ConnectionEnded,
    ]


def test_a_close_during_the_handshake_reaches_the_server(
    authority: Authority, certificate: tuple[str, str], engine: EngineName
) -> None:
    server = Server(certificate, engine=engine)
    wire = dial(PoolConfig(cafile=authority.cafile), server)
    wire.h3.close()
    wire.settle()
    assert [type(event) for event in wire.events] == [events.ConnectionEnded]
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
    wire.h3.open_request(GET, None)
    wire.run(lambda: bool(kept))
    for datagram in kept:
        wire.h3.receive(datagram, wire.now)
    wire.settle()
    assert [type(e) for e in wire.events] == [
        events.Ready,
        events.Settings,
        events.Headers,
        events.ConnectionEnded,
    ]


def test_a_qlog_is_written_with_headers_that_are_no_utf8(
    authority: Authority, certificate: tuple[str, str], tmp_path: Path
) -> None:
    def answer(server: Server, event: Any) -> None:
        server.send_section(event.stream_id, [(b":status", b"200"), (b"x-bad", b"\xff")], True)

    config = PoolConfig(cafile=authority.cafile, qlog_dir=str(tmp_path))
    wire = connected(config, Server(certificate, answer))
    wire.h3.open_request(GET, None)
    wire.settle()
    wire.h3.close()
    wire.flush()
    [path] = tmp_path.glob("*.qlog")
    text = json.dumps(json.loads(path.read_text())).encode("ascii").decode("unicode_escape")
    assert "x-bad" in text
    assert wire.on(0) == [events.Headers(0, 200, [("x-bad", "ÿ")], True)]


@pytest.mark.parametrize("engine", ["aioquic"], indirect=True)
def test_the_timer_is_due_a_little_after_aioquics(connect: Connect) -> None:
    """At the very moment, rounded floats may call nothing lost yet, and the timer stays."""
    wire = connect()
    wire.h3.ping(1)
    wire.flush()
    engine: Any = wire.h3._engine
    timer, theirs = wire.h3.timer(), engine.connection.get_timer()
    assert timer is not None
    assert theirs is not None
    assert theirs < timer < theirs + 0.001


# signs of life --------------------------------------------------------------------------------


def test_only_packets_that_the_server_has_sealed_are_heard(connect: Connect) -> None:
    wire = connect(hello)
    assert 0.0 < wire.h3.heard <= wire.now
    before, sent = wire.h3.heard, server_of(wire).sent
    wire.settle(1.0)
    for forged in (b"", b"@", b"@" + bytes(40), bytes(1200), sent[-1][:-1] + b"?", sent[-1]):
        wire.h3.receive(forged, wire.now)  # the last is an old one, which anybody may repeat
    assert wire.h3.heard == before
    stream_id = wire.h3.open_request(GET, None)
    wire.run(lambda: bool(wire.on(stream_id)))
    assert wire.h3.heard == wire.now


def test_before_the_handshake_nothing_has_been_heard(
    authority: Authority, engine: EngineName
) -> None:
    wire = dial(PoolConfig(cafile=authority.cafile), None, engine=engine)
    wire.settle(0.5)
    assert wire.h3.heard < 0.0


def test_a_probe_goes_out_beyond_a_full_congestion_window(connect: Connect) -> None:
    wire = connect()
    wire.h3.open_request(GET, bytes(1_000_000), True)
    wire.largest = 0  # nothing arrives any more
    wire.settle(wire.h3.probe_timeout / 2)
    assert wire.h3.datagrams(wire.now) == [], "the window is full"
    wire.h3.probe()
    assert len(wire.h3.datagrams(wire.now)) == 1
    wire.h3.close()
    wire.h3.datagrams(wire.now)
    wire.h3.probe()
    assert wire.h3.datagrams(wire.now) == []


def test_the_probe_timeout_follows_the_path(connect: Connect) -> None:
    wire = connect()
    assert 0.025 < wire.h3.probe_timeout < 1.0  # the time that an ACK may take, and the path's


# a request that does not come about ---------------------------------------------------------


class Noting(H3Connection):
    """A server with a table, which notes what our encoder stream says."""

    instructions = b""

    def _receive_stream_data_uni(self, stream: Any, data: bytes, ended: bool) -> Any:
        happened = super()._receive_stream_data_uni(stream, data, ended)
        if stream.stream_id == self._peer_encoder_stream_id:
            self.instructions += data
        return happened


class NotingTableless(Noting, Tableless):
    """One without."""


def test_requests_use_the_table_that_the_server_offers(connect: Connect) -> None:
    wire = connect(h3=Noting)
    fields = [*GET, (b"x-token", b"abcdefgh" * 20)]
    sent = []
    for _ in range(6):
        sent.append(wire.h3.open_request(fields, None))
        wire.settle()
    assert wire.error is None
    heard = {each.stream_id: each.headers for each in server_of(wire).requests}
    assert heard == dict.fromkeys(sent, fields)
    stream_type, capacity, *inserted = server_of(wire).h3.instructions
    assert (stream_type, capacity >> 5) == (2, 1)  # it is empty until told so (RFC 9204 3.2.2)
    assert len(inserted) > 100


def test_an_encoder_stream_that_fails_once_costs_one_request(connect: Connect) -> None:
    """What it was to carry goes with the next one, or what refers to it would wait for ever."""
    wire = connect(h3=Noting)
    wire.h3.open_request(GET, None)
    wire.settle()
    engine: Any = wire.h3._engine
    whole = engine.send_stream
    refused: list[int] = []

    def failing(stream_id: int, content: bytes, ended: bool) -> None:
        if not refused:
            refused.append(stream_id)
            raise LookupError("odd")
        whole(stream_id, content, ended)

    engine.send_stream = failing
    fields, sent, raised = [*GET, (b"x-token", b"abcdefgh" * 20)], [], 0
    for _ in range(6):
        try:
            sent.append(wire.h3.open_request(fields, None))
        except LookupError:
            raised += 1
        wire.settle()
    heard = {each.stream_id: each.headers for each in server_of(wire).requests}
    assert raised == 1 and wire.error is None
    assert [heard.get(stream_id) for stream_id in sent] == [fields] * 5


def test_where_the_server_offers_none_there_is_no_table(connect: Connect) -> None:
    wire = connect(h3=NotingTableless)
    for _ in range(6):
        wire.h3.open_request(GET, None)
        wire.settle()
    assert wire.error is None
    assert [each.headers for each in server_of(wire).requests] == [GET] * 6
    assert server_of(wire).h3.instructions == b"\x02"


def test_what_the_encoder_refuses_leaves_nothing(connect: Connect) -> None:
    wire = connect()
    h3 = wire.h3
    before = h3.next_stream_id
    with pytest.raises(ValueError, match="too long"):
        h3.open_request([*GET, (b"x", b"a" * 65_536)], None)
    h3.cancel(before, 0x102)
    assert h3.next_stream_id == before
    assert not wire.responses
    assert h3.open_request(GET, None) == before
    wire.settle()
    assert [each.headers for each in server_of(wire).requests] == [GET]


SIZE = sum(32 + len(name) + len(value) for name, value in GET)


class Limited(H3Connection):
    """A server that takes no section larger than that of GET."""

    def _get_local_settings(self) -> dict[int, int]:
        return {**super()._get_local_settings(), 0x06: SIZE}


def test_the_servers_limit_of_a_section(connect: Connect) -> None:
    h3 = connect(h3=Limited).h3
    stream_id = h3.open_request(GET, b"x", ended=False)
    with pytest.raises(InvalidRequest, match=f"{SIZE + 34} bytes.* limit is {SIZE} "):
        h3.open_request([*GET, (b"a", b"b")], None)
    with pytest.raises(InvalidRequest, match="SETTINGS_MAX_FIELD_SECTION_SIZE"):
        h3.send_trailers(stream_id, [(b"a", b"b" * SIZE)])
    h3.send_trailers(stream_id, [(b"a", b"b")])
    assert h3.streams_opened == 1


def test_what_the_engine_refuses_is_undone(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = connect(hello)
    h3: Any = wire.h3
    with monkeypatch.context() as patch:
        patch.setattr(type(h3._engine), "open_stream", failing)
        with pytest.raises(LookupError):
            h3.open_request(GET, b"x", ended=False)
    h3.cancel(0, 0x102)
    assert not wire.responses
    assert h3.open_request(GET, None) == 0
    wire.settle()
    assert wire.on(0) == [events.Headers(0, 200, [("x-one", "1")], True, b"hello")]


def failing(*_: Any) -> Any:
    raise LookupError("odd")


# what nobody foresaw --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "kind"), [(KeyError(7), ProtocolViolation), (OSError(28, "full"), InternalError)]
)
def test_what_reading_raises_ends_the_connection(
    connect: Connect, raised: Exception, kind: type[Exception]
) -> None:
    wire = connect(hello)

    def receive(*_: Any) -> Any:
        raise raised

    h3: Any = wire.h3
    h3._peer_streams.receive = receive
    server_of(wire).goaway(8)
    wire.settle()
    assert type(wire.error) is kind
    assert wire.error.__cause__ is raised
    assert isinstance(wire.events[-1], events.ConnectionEnded)
    assert server_of(wire).terminated.error_code == ErrorCode.H3_INTERNAL_ERROR


# a qlog ---------------------------------------------------------------------------------------


class Noted:
    """A trace that notes what it is told."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def headers(self, event: str, stream_id: int, size: int, fields: Any) -> None:
        assert size > 0
        self.said.append((event, "headers", stream_id, list(fields)))

    def content(self, event: str, stream_id: int, size: int) -> None:
        self.said.append((event, "data", stream_id, size))

    def stream_type(self, stream_id: int, name: str) -> None:
        self.said.append(("stream_type_set", stream_id, name))


def test_frames_and_stream_types_are_traced() -> None:
    trace = Noted()
    server = Server(None, hello, engine="memory")
    traced = ClientConnection(MemoryEngine(Limits(), trace), ORIGIN, max_header_size=1000)
    wire = Wire(traced, server)
    wire.run(lambda: bool(wire.of(events.Ready)))
    wire.h3.open_request(GET, b"abc", ended=False)
    wire.h3.send_body(0, b"de", False)
    wire.h3.send_trailers(0, [(b"x-sum", b"5")])
    wire.settle()
    assert trace.said == [
        ("stream_type_set", 2, "control"),
        ("stream_type_set", 6, "qpack_encoder"),
        ("stream_type_set", 10, "qpack_decoder"),
        ("frame_created", "headers", 0, GET),
        ("frame_created", "data", 0, 3),
        ("frame_created", "data", 0, 2),
        ("frame_created", "headers", 0, [(b"x-sum", b"5")]),
        ("stream_type_set", 3, "control"),
        ("stream_type_set", 7, "qpack_encoder"),
        ("stream_type_set", 11, "qpack_decoder"),
        ("frame_parsed", "headers", 0, OK),
        ("frame_parsed", "data", 0, 5),
    ]
