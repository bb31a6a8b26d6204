"""What goes out besides header sections, over the wire in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aioquic.h3.events import DataReceived
from aioquic.quic.events import StreamReset

from quiver import telemetry
from quiver.actors.reply import Reply
from quiver.config import PoolConfig
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.pool.callers import Caller, drop_unsent, send_datagrams, send_stream
from quiver.pool.exchanges import Mode
from quiver.pool.messages import StartExchange
from quiver.pool.reports import ConnectionReport
from quiver.request import Request
from quiver.streams.channel import ChannelBuffers
from quiver.streams.send_buffer import SendBuffer
from quiver.testing.authority import Authority
from tests.support.engines.http3_wire import Server, Wire, connected

GET = request_fields(Request("GET", "/"), Origin("https", "localhost", 4433))
BUFFER = 16_384

Start = Callable[..., tuple[Wire, Caller, SendBuffer]]


@pytest.fixture
def start(authority: Authority) -> Start:
    """A wire with one exchange whose request is open."""

    def make(mode: Mode = Mode.CHANNEL, **options: Any) -> tuple[Wire, Caller, SendBuffer]:
        server = Server(authority.issue(), max_datagram_frame_size=1000, **options)
        wire = connected(PoolConfig(cafile=authority.cafile), server)
        stream_id = wire.h3.open_request(GET, None, ended=False)
        wire.settle()
        send_buffer = SendBuffer("https://a", lambda: None)
        reply: Reply[Any] = Reply()
        exchange = StartExchange(7, Request("GET", "/"), None)
        held = Caller(exchange, reply, stream_id, mode, send_buffer=send_buffer)
        if mode is Mode.CHANNEL:
            held.channel = ChannelBuffers(send_buffer, 4)
        return wire, held, send_buffer

    return make


def arrived(wire: Wire) -> tuple[bytes, bool]:
    """The content that the server got, and whether its end came in order."""
    assert wire.server is not None
    events = [event for event in wire.server.requests if isinstance(event, DataReceived)]
    return b"".join(event.data for event in events), any(event.stream_ended for event in events)


def resets(wire: Wire) -> list[int]:
    assert wire.server is not None
    return [event.error_code for event in wire.server.seen if isinstance(event, StreamReset)]


def test_what_is_on_its_way_is_bounded_by_the_buffer(start: Start) -> None:
    wire, held, send_buffer = start()
    send_buffer.put(b"x" * 100_000)
    rounds = 0
    while send_buffer.pending:
        send_stream(wire.h3, held, BUFFER)
        assert wire.h3.unacknowledged(held.stream_id) <= BUFFER + 100  # frames' own bytes
        wire.settle()
        rounds += 1
    assert 100_000 // BUFFER <= rounds <= 10
    assert arrived(wire) == (b"x" * 100_000, False)


def test_the_end_is_sent_when_all_is(start: Start) -> None:
    wire, held, send_buffer = start()
    send_buffer.put(b"hello")
    send_buffer.end()
    send_stream(wire.h3, held, BUFFER)
    wire.settle()
    drop_unsent(wire.h3, held, 0x10C)
    wire.settle()
    assert arrived(wire) == (b"hello", True)
    assert resets(wire) == []


def test_a_channel_that_is_over_ends_in_order(start: Start) -> None:
    wire, held, send_buffer = start()
    send_buffer.put(b"hello")
    send_stream(wire.h3, held, BUFFER)
    send_buffer.close()
    drop_unsent(wire.h3, held, 0x10C)
    wire.settle()
    assert arrived(wire) == (b"hello", True)
    assert resets(wire) == []


def test_what_is_cut_short_does_not_look_whole(start: Start) -> None:
    wire, held, send_buffer = start()
    send_buffer.put(b"x" * (BUFFER + 5))
    send_stream(wire.h3, held, BUFFER)
    send_buffer.close()
    drop_unsent(wire.h3, held, 0x10C)
    wire.settle()
    assert not arrived(wire)[1]
    assert resets(wire) == [0x10C]


def test_a_body_that_is_not_wanted_any_more_is_reset(start: Start) -> None:
    wire, held, send_buffer = start(Mode.BUFFERED)
    send_buffer.put(b"hello")
    send_stream(wire.h3, held, BUFFER)
    send_buffer.close()
    drop_unsent(wire.h3, held, 0x10C)
    wire.settle()
    assert not arrived(wire)[1]
    assert resets(wire) == [0x10C]


def test_datagrams_that_cannot_go_are_counted(start: Start) -> None:
    wire, held, _ = start()
    assert held.channel is not None
    limit = wire.h3.max_datagram_size(held.stream_id)
    held.channel.unsent.extend([b"x" * limit, b"x" * (limit + 1), b"y"])
    heard: list[tuple[str, dict[str, Any]]] = []
    names = ("datagram.sent", "datagram.dropped")
    telemetry.attach("test", names, lambda name, measured, _: heard.append((name, measured)))
    try:
        send_datagrams(wire.h3, held, ConnectionReport("https://a", 1))
    finally:
        telemetry.detach("test")
    assert len(held.channel.unsent) == 0
    assert heard == [
        ("datagram.sent", {"count": 2, "size": limit + 1}),
        ("datagram.dropped", {"count": 1}),
    ]
