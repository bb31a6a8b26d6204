"""What a hostile server sends: each has its named outcome, and memory is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from h2.settings import SettingCodes
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from quiver.errors import ProtocolViolation
from quiver.h2.idle_frames import MOST
from quiver.h3 import events
from tests.support.engines.http2_wire import OK, POST, Http2Wire

FLOODS: dict[str, Callable[[int], Iterable[bytes | Frame]]] = {
    "PING": lambda _: [PingFrame(0, opaque_data=bytes(8))],
    "SETTINGS": lambda _: [SettingsFrame(0, settings={SettingCodes.MAX_CONCURRENT_STREAMS: 100})],
    "RST_STREAM of what is gone": lambda _: [RstStreamFrame(1)],
    "PRIORITY": lambda n: [PriorityFrame(2 * n + 1, depends_on=0, stream_weight=1)],
    "WINDOW_UPDATE": lambda _: [WindowUpdateFrame(0, window_increment=1)],
    "empty DATA": lambda _: [DataFrame(3)],
    "unknown": lambda _: [b"\x00\x00\x01\xf0\x00\x00\x00\x00\x00x"],
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_flood_ends_the_connection(name: str) -> None:
    wire = Http2Wire()
    wire.answer(wire.open())  # stream 1 is over
    stream_id = wire.open()
    wire.server.send_headers(stream_id, OK)
    wire.pass_on()
    for number in range(MOST + 10):
        if wire.client.closed:
            break
        wire.give(*FLOODS[name](number))
        wire.client.datagrams(wire.now)
    assert isinstance(wire.error, ProtocolViolation)
    assert "ENHANCE_YOUR_CALM (0xb): too many frames that ask for nothing" in str(wire.error)


def test_so_many_over_an_hour_are_no_flood() -> None:
    wire = Http2Wire()
    for _ in range(2 * MOST):
        wire.now += 2.0
        wire.give(PingFrame(0, opaque_data=bytes(8)))
        wire.client.datagrams(wire.now)
    assert not wire.client.closed


def test_a_server_that_takes_no_answers() -> None:
    """Between responses' words it may ask for more, but its answers wait in memory."""
    wire = Http2Wire()
    stream_id = wire.open()
    wire.server.send_headers(stream_id, OK)
    wire.pass_on()
    for _ in range(30):
        if not wire.client.closed:
            wire.give(*[PingFrame(0, opaque_data=bytes(8))] * 500, DataFrame(stream_id, data=b"x"))
    assert isinstance(wire.error, ProtocolViolation)


def test_a_header_block_without_end() -> None:
    wire = Http2Wire()
    stream_id = wire.open()
    wire.give(HeadersFrame(stream_id, data=b"\x82"))
    for _ in range(200):
        wire.give(ContinuationFrame(stream_id, data=b"\x82" * 100))
    assert isinstance(wire.error, ProtocolViolation)
    assert "continuation" in str(wire.error).lower()


def test_a_bomb_of_references() -> None:
    """12 KiB that would decode to 48 MiB."""
    wire = Http2Wire()
    stream_id = wire.open()
    encoder = Encoder()
    block = encoder.encode([(b":status", b"200"), (b"x-bomb", b"a" * 4_000)])
    reference = encoder.encode([(b"x-bomb", b"a" * 4_000)])
    assert len(reference) == 1
    wire.give(HeadersFrame(stream_id, data=block + reference * 12_000, flags=["END_HEADERS"]))
    assert isinstance(wire.error, ProtocolViolation)
    assert "ENHANCE_YOUR_CALM (0xb): a header section of " in str(wire.error)


def test_a_section_far_beyond_the_limit_costs_its_stream_alone() -> None:
    """Beyond what it is refused for it is decoded for those that follow, and for nobody else."""
    wire = Http2Wire(max_header_size=1_000)
    stream_id, other = wire.open(), wire.open()
    large = [*OK, *((b"x-%d" % n, b"v" * 900) for n in range(200))]
    wire.server.send_headers(stream_id, large)
    wire.pass_on()
    (refused,) = wire.of(stream_id)
    assert isinstance(refused, events.HeadersTooLarge) and 1_000 < refused.size < 3_000
    wire.answer(other, fields=[*OK, large[-1]])
    assert wire.of(other) == [events.Headers(other, 200, [("x-199", "v" * 900)], True)]
    assert not wire.client.closed


def test_a_window_of_one_stream_that_overflows_costs_that_stream() -> None:
    wire = Http2Wire()
    stream_id, other = wire.client.open_request(POST, b"", ended=False), wire.open()
    wire.pass_on()
    wire.give(*[WindowUpdateFrame(stream_id, window_increment=2**31 - 1)] * 2)
    (malformed,) = wire.of(stream_id)
    assert "FLOW_CONTROL_ERROR" in malformed.reason
    wire.answer(other)
    assert wire.of(other) and not wire.client.closed


def test_a_window_that_is_taken_back_holds_the_body() -> None:
    """A new initial window may make those of open streams negative (RFC 9113 6.9.2)."""
    wire = Http2Wire(settings={SettingCodes.INITIAL_WINDOW_SIZE: 10_000})
    stream_id = wire.open(POST, b"x" * 20_000)
    wire.server.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
    wire.pass_on()
    wire.server.increment_flow_control_window(5_000, stream_id)
    wire.pass_on()
    assert len(wire.uploaded(stream_id)[0]) == 10_000
    wire.server.increment_flow_control_window(20_000, stream_id)
    wire.pass_on()
    assert wire.uploaded(stream_id) == (b"x" * 20_000, True)
