"""HTTP/2 without sockets, against h2's own server: the events are those of HTTP/3."""

from __future__ import annotations

from typing import Any

import pytest
from h2.events import (
    DataReceived,
    RequestReceived,
    SettingsAcknowledged,
    StreamReset,
    TrailersReceived,
)
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe.frame import GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

from quiver.errors import ConnectionLost, InvalidRequest
from quiver.h2.codes import ErrorCode
from quiver.h2.reset_budget import BURST, RATE
from quiver.h3 import events
from quiver.h3.codes import ErrorCode as Http3Code
from tests.support.engines.http2_wire import GET, OK, POST, Http2Wire

CANCELLED = Http3Code.H3_REQUEST_CANCELLED
MOST_STREAMS = 1 << 30


@pytest.fixture
def wire() -> Http2Wire:
    return Http2Wire()


# how it begins ----------------------------------------------------------------------------------


def test_it_is_ready_for_one_request_until_the_settings_have_come() -> None:
    wire = Http2Wire(begun=False)
    assert wire.seen == [events.Ready(MOST_STREAMS, False, concurrent=1)]
    assert not wire.client.is_full
    wire.client.open_request(GET, None)
    assert wire.client.is_full
    with pytest.raises(ValueError, match="no room"):
        wire.client.open_request(GET, None)
    wire.give(settings({SettingCodes.MAX_CONCURRENT_STREAMS: 7}))
    assert wire.seen[1:] == [
        events.Settings(connect=False, datagrams=False),
        events.CapacityChanged(MOST_STREAMS, 7),
    ]
    assert not wire.client.is_full
    assert wire.client.settings["MAX_CONCURRENT_STREAMS"] == 7


def test_no_push_is_enabled(wire: Http2Wire) -> None:
    assert wire.server.remote_settings.enable_push == 0
    assert any(isinstance(each, SettingsAcknowledged) for each in wire.heard)


def settings(values: dict[int, int]) -> SettingsFrame:
    return SettingsFrame(0, settings=values)


# responses --------------------------------------------------------------------------------------


def test_a_response(wire: Http2Wire) -> None:
    stream_id = wire.open()
    fields = [(b":status", b"200"), (b"x-a", b"b"), (b"x-b", "ü".encode("latin-1"))]
    wire.answer(stream_id, b"content", fields=fields)
    assert wire.of(stream_id) == [
        events.Headers(stream_id, 200, [("x-a", "b"), ("x-b", "ü")], False),
        events.Body(stream_id, b"content", True),
    ]
    assert wire.client.next_stream_id == stream_id + 2


def test_a_response_without_content(wire: Http2Wire) -> None:
    stream_id = wire.open()
    wire.answer(stream_id)
    assert wire.of(stream_id) == [events.Headers(stream_id, 200, [], True)]


def test_interim_responses_and_trailers(wire: Http2Wire) -> None:
    stream_id = wire.open()
    wire.server.send_headers(stream_id, [(b":status", b"103"), (b"link", b"<a>")])
    wire.server.send_headers(stream_id, OK)
    wire.server.send_data(stream_id, b"x")
    wire.server.send_headers(stream_id, [(b"x-sum", b"1")], end_stream=True)
    wire.pass_on()
    assert wire.of(stream_id) == [
        events.Informational(stream_id, 103, [("link", "<a>")]),
        events.Headers(stream_id, 200, [], False),
        events.Body(stream_id, b"x", False),
        events.TrailersReceived(stream_id, [("x-sum", "1")]),
    ]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([(b"x-a", b"b")], "the response has no :status"),
        ([(b":status", b"2000")], "is not a number of three digits"),
        ([(b":status", b"200"), (b"X-A", b"b")], "has upper-case letters"),
        ([(b":status", b"200"), (b"connection", b"close")], "connection-specific"),
        ([(b":status", b"200"), (b"x-a", b"b\r\nx-b: c")], "has a control character"),
        ([(b":status", b"200"), (b":path", b"/")], "is a pseudo-header field"),
    ],
)
def test_a_malformed_response_costs_its_stream(wire: Http2Wire, fields: Any, said: str) -> None:
    stream_id, other = wire.open(), wire.open()
    wire.give(headers(stream_id, fields, "END_HEADERS"))
    (malformed,) = wire.of(stream_id)
    assert isinstance(malformed, events.StreamMalformed) and said in malformed.reason
    wire.pass_on()
    assert resets(wire) == {stream_id: ErrorCode.PROTOCOL_ERROR}
    wire.answer(other, b"as ever")
    assert wire.of(other)[-1] == events.Body(other, b"as ever", True)


def headers(stream_id: int, fields: Any, *flags: str) -> HeadersFrame:
    """A HEADERS frame whose fields use no table: nothing has to be in step for it."""
    return HeadersFrame(stream_id, data=Encoder().encode(fields), flags=list(flags))


def resets(wire: Http2Wire) -> dict[int, int]:
    found = [each for each in wire.heard if isinstance(each, StreamReset)]
    return {int(each.stream_id or 0): int(each.error_code or 0) for each in found}


def test_a_length_that_is_not_kept_is_for_whoever_counts(wire: Http2Wire) -> None:
    stream_id = wire.open()
    fields = [(b":status", b"200"), (b"content-length", b"5")]
    wire.give(headers(stream_id, fields, "END_HEADERS", "END_STREAM"))
    assert wire.of(stream_id) == [events.Headers(stream_id, 200, [("content-length", "5")], True)]
    assert not wire.client.closed


def test_a_section_over_the_limit_costs_its_stream() -> None:
    wire = Http2Wire(max_header_size=1_000)
    stream_id, other = wire.open(), wire.open()
    fields = [(b":status", b"200"), (b"x-long", b"a" * 2_000)]
    wire.give(headers(stream_id, fields, "END_HEADERS"))
    (large,) = wire.of(stream_id)
    assert isinstance(large, events.HeadersTooLarge) and large.limit == 1_000 and large.size > 2_000
    wire.answer(other)
    assert wire.of(other)


def test_interim_sections_are_limited_together() -> None:
    wire = Http2Wire(max_header_size=1_000)
    stream_id = wire.open()
    for _ in range(4):
        wire.give(headers(stream_id, [(b":status", b"103"), (b"x", b"a" * 300)], "END_HEADERS"))
    assert isinstance(wire.of(stream_id)[-1], events.HeadersTooLarge)


# requests ---------------------------------------------------------------------------------------


def test_a_request_with_a_body_and_trailers(wire: Http2Wire) -> None:
    stream_id = wire.client.open_request(POST, b"first ", ended=False)
    wire.client.send_body(stream_id, b"second", False)
    wire.client.send_trailers(stream_id, [(b"x-sum", b"2")])
    wire.pass_on()
    assert wire.uploaded(stream_id) == (b"first second", True)
    (trailers,) = [each for each in wire.heard if isinstance(each, TrailersReceived)]
    assert trailers.headers == [(b"x-sum", b"2")]
    wire.client.send_body(stream_id, b"late", True)
    wire.pass_on()
    assert wire.uploaded(stream_id)[0] == b"first second"


def test_what_may_be_guessed_is_never_indexed(wire: Http2Wire) -> None:
    secret = [(b"authorization", b"Bearer x"), (b"cookie", b"short"), (b"x-a", b"b")]
    wire.open([*GET, *secret])
    (request,) = [each for each in wire.heard if isinstance(each, RequestReceived)]
    sent: Any = request.headers
    marked = {each[0]: not each.indexable for each in sent}
    assert marked[b"authorization"] and marked[b"cookie"] and not marked[b"x-a"]


def test_a_body_waits_for_the_servers_window() -> None:
    wire = Http2Wire(settings={SettingCodes.INITIAL_WINDOW_SIZE: 10_000})
    stream_id = wire.open(POST, b"x" * 50_000)
    assert len(wire.uploaded(stream_id)[0]) == 10_000
    assert wire.client.unacknowledged(stream_id) == 40_000
    other = wire.open(POST, b"y" * 5_000)
    assert wire.uploaded(other) == (b"y" * 5_000, True)
    wire.server.increment_flow_control_window(40_000, stream_id)
    wire.server.increment_flow_control_window(40_000)
    wire.pass_on()
    assert wire.uploaded(stream_id) == (b"x" * 50_000, True)
    assert wire.client.unacknowledged(stream_id) == 0


def test_bodies_take_turns(wire: Http2Wire) -> None:
    first = wire.client.open_request(POST, b"x" * 40_000)
    second = wire.client.open_request(POST, b"y" * 20_000)
    wire.pass_on()  # the connection's window is 65,535 bytes
    assert wire.uploaded(first)[1] and wire.uploaded(second)[1]
    data = [e.stream_id for e in wire.heard if isinstance(e, DataReceived)]
    assert data[:4] == [first, second, first, second]


def test_the_servers_limit_of_a_section() -> None:
    wire = Http2Wire(settings={SettingCodes.MAX_HEADER_LIST_SIZE: 300})
    with pytest.raises(InvalidRequest, match="the server's limit is 300"):
        wire.client.open_request([*GET, (b"x-long", b"a" * 500)], None)
    wire.answer(wire.open())
    assert not wire.client.closed


# flow control -----------------------------------------------------------------------------------


def test_a_stalled_reader_holds_its_window_and_others_go_on() -> None:
    wire = Http2Wire(window=100_000, window_max=100_000)
    stalled, other = wire.open(window=100_000), wire.open()
    wire.server.send_headers(stalled, OK)
    wire.server.send_headers(other, OK)
    came = send_all(wire, stalled, 1_000_000)
    assert came == 100_000
    assert send_all(wire, other, 3_000_000) == 3_000_000
    wire.client.consumed(stalled, 60_000)
    wire.pass_on()
    assert send_all(wire, stalled, 1_000_000) == 60_000


def send_all(wire: Http2Wire, stream_id: int, size: int) -> int:
    """Send as far as the client lets it. Returns the bytes that have come of it."""
    sent = 0
    while sent < size:
        window = wire.server.local_flow_control_window(stream_id)
        piece = min(size - sent, window, 16_384)
        if piece <= 0:
            break
        wire.server.send_data(stream_id, b"x" * piece)
        sent += piece
        wire.pass_on()
    return sent


def test_what_comes_of_a_request_given_up_is_credited_to_the_connection(wire: Http2Wire) -> None:
    """However much was on its way: there is no RST_STREAM for each of its frames, and no end."""
    for _ in range(20):
        stream_id = wire.open(window=1024 * 1024)
        wire.server.send_headers(stream_id, OK)
        for _ in range(40):
            wire.server.send_data(stream_id, b"x" * 16_384)
        wire.client.cancel(stream_id, CANCELLED)
        wire.pass_on()
    assert not wire.client.closed
    assert sum(isinstance(each, StreamReset) for each in wire.heard) == 20
    last = wire.open()
    wire.answer(last, b"as ever")
    assert wire.of(last)[-1] == events.Body(last, b"as ever", True)


# room -------------------------------------------------------------------------------------------


def test_room_is_what_is_open_at_a_time() -> None:
    wire = Http2Wire(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    first, _second = wire.open(), wire.open()
    assert wire.client.is_full
    wire.answer(first)
    assert not wire.client.is_full
    wire.open()
    assert wire.client.is_full and wire.client.streams_opened == 3


def test_room_may_shrink_below_what_is_open(wire: Http2Wire) -> None:
    streams = [wire.open() for _ in range(5)]
    wire.give(settings({SettingCodes.MAX_CONCURRENT_STREAMS: 3}))
    assert wire.seen[-1] == events.CapacityChanged(MOST_STREAMS, 3)
    assert wire.client.is_full
    for stream_id in streams[:3]:
        wire.answer(stream_id)
    assert not wire.client.is_full


def test_too_many_cancels_wait_and_so_does_their_room() -> None:
    wire = Http2Wire(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 1_000})
    streams = [wire.open() for _ in range(BURST + 50)]
    wire.now += 1.0
    wire.pass_on()
    for stream_id in streams:
        wire.client.cancel(stream_id, CANCELLED)
    wire.pass_on()
    assert len(resets(wire)) == BURST
    wire.tick(0.0)
    assert wire.told(events.CapacityChanged)[-1].concurrent == 950
    due = wire.client.timer()
    assert due is not None and due > wire.now
    wire.tick(10 / RATE)
    assert BURST + 9 <= len(resets(wire)) <= BURST + 11
    wire.answer(streams[-1])  # what the server ends itself needs no reset
    wire.tick(60.0)
    assert len(resets(wire)) == BURST + 49
    assert set(resets(wire).values()) == {ErrorCode.CANCEL}
    assert wire.told(events.CapacityChanged)[-1].concurrent == 1_000


# what the server says of requests ---------------------------------------------------------------


def test_a_refused_stream_was_not_processed(wire: Http2Wire) -> None:
    stream_id = wire.open()
    wire.server.reset_stream(stream_id, ErrorCode.REFUSED_STREAM)
    wire.pass_on()
    (aborted,) = wire.of(stream_id)
    assert aborted.refused and aborted.unprocessed
    assert aborted.said == "the server reset the stream with REFUSED_STREAM (0x7)"
    assert not wire.client.is_full and not resets(wire)


@pytest.mark.parametrize(
    ("code", "unprocessed"), [(ErrorCode.CANCEL, False), (ErrorCode.HTTP_1_1_REQUIRED, True)]
)
def test_a_reset(wire: Http2Wire, code: ErrorCode, unprocessed: bool) -> None:
    stream_id = wire.open()
    wire.server.send_headers(stream_id, OK)
    wire.server.reset_stream(stream_id, code)
    wire.pass_on()
    head, aborted = wire.of(stream_id)
    assert isinstance(head, events.Headers)
    assert (aborted.code, aborted.refused, aborted.unprocessed) == (code, unprocessed, unprocessed)
    assert aborted.http1 is unprocessed


def test_an_early_answer_ends_the_request(wire: Http2Wire) -> None:
    """Whether the server asks for that or not (RFC 9113 8.1)."""
    for asks in (False, True):
        stream_id = wire.client.open_request(POST, b"some", ended=False)
        wire.pass_on()
        wire.server.send_headers(stream_id, [(b":status", b"413")], end_stream=True)
        if asks:
            wire.server.reset_stream(stream_id, ErrorCode.NO_ERROR)
        wire.pass_on()
        assert wire.of(stream_id) == [events.Headers(stream_id, 413, [], True)]
        assert resets(wire).get(stream_id) == (None if asks else ErrorCode.NO_ERROR)
        wire.client.send_body(stream_id, b"more", True)
        wire.client.abort_body(stream_id, CANCELLED)
        wire.pass_on()
        assert wire.uploaded(stream_id)[0] == b"some"
    assert not wire.client.closed


def test_goaway_hands_back_what_is_behind_its_id(wire: Http2Wire) -> None:
    first, second = wire.open(), wire.open()
    wire.give(GoAwayFrame(0, last_stream_id=2**31 - 1))
    assert wire.seen[-1] == events.GoAwayReceived(2**31)  # a graceful one: it hands back nothing
    wire.give(GoAwayFrame(0, last_stream_id=first))
    assert wire.seen[-1] == events.GoAwayReceived(first + 1)
    assert wire.client.is_full
    wire.client.cancel(second, CANCELLED)
    wire.answer(first, b"still")
    assert wire.of(first)[-1] == events.Body(first, b"still", True)
    assert resets(wire) == {}, "it has said that it does not know the other"
    wire.client.lost(None, wire.now)
    wire.pass_on()
    wire.seen += wire.client.events()
    assert "the server closed it" in str(wire.error)


def test_goaway_with_an_error_is_why_it_is_lost(wire: Http2Wire) -> None:
    stream_id = wire.open()
    code = ErrorCode.ENHANCE_YOUR_CALM
    wire.give(
        GoAwayFrame(0, last_stream_id=stream_id, error_code=code, additional_data=b"calm\x07")
    )
    wire.client.lost(None, wire.now)
    wire.seen += wire.client.events()
    assert isinstance(wire.error, ConnectionLost)
    assert wire.error.code == code and wire.error.reason == "calm\\x07"
    assert "ENHANCE_YOUR_CALM (0xb)" in str(wire.error)


def test_it_ends_once(wire: Http2Wire) -> None:
    wire.open()
    wire.client.lost("Connection reset by peer (ECONNRESET)", wire.now)
    wire.client.lost(None, wire.now)
    wire.client.close(Http3Code.H3_NO_ERROR)
    wire.give(RstStreamFrame(1, error_code=0))
    wire.seen += wire.client.events()
    assert "reset by peer" in str(wire.error) and wire.client.closed
    with pytest.raises(ValueError, match="opens no requests"):
        wire.client.open_request(GET, None)


def test_it_says_goodbye(wire: Http2Wire) -> None:
    wire.client.close(Http3Code.H3_NO_ERROR)
    wire.pass_on()
    assert type(wire.heard[-1]).__name__ == "ConnectionTerminated"
    assert wire.client.datagrams(wire.now) == []


# liveness ---------------------------------------------------------------------------------------


def test_one_ping_at_a_time_and_its_answer(wire: Http2Wire) -> None:
    wire.client.ping(7)
    wire.client.probe()
    wire.now += 3.0
    wire.pass_on()
    assert wire.told(events.PingAcknowledged) == [events.PingAcknowledged(7)]
    assert wire.client.heard == wire.now and wire.client.probe_timeout >= 6.0
