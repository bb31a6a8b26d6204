"""Frames that break HTTP/2, section by section of RFC 9113, as h2spec has them for servers.

Each ends the connection, or its stream alone, with the code that the RFC names.

A stream's error may be taken for the connection's (5.4.2), as h2 does with some.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from hpack import Encoder

from quiver.errors import ProtocolViolation
from quiver.h2.codes import ErrorCode, name_of
from quiver.h3 import events
from quiver.h3.headers import Fields
from tests.support.engines.http2_wire import GET, OK, Http2Wire

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY = range(8)
WINDOW_UPDATE, CONTINUATION, UNKNOWN = 8, 9, 0xF0
END_STREAM = ACK = 1
END_HEADERS, PADDED, WITH_PRIORITY = 4, 8, 32

PROTOCOL = ErrorCode.PROTOCOL_ERROR
FLOW, SIZE = ErrorCode.FLOW_CONTROL_ERROR, ErrorCode.FRAME_SIZE_ERROR
CLOSED, COMPRESSION = ErrorCode.STREAM_CLOSED, ErrorCode.COMPRESSION_ERROR


def frame(
    kind: int, flags: int = 0, stream: int = 1, content: bytes = b"", length: int | None = None
) -> bytes:
    size = len(content) if length is None else length
    return b"%b%c%c%b%b" % (
        size.to_bytes(3, "big"),
        kind,
        flags,
        stream.to_bytes(4, "big"),
        content,
    )


def block(fields: Fields) -> bytes:
    return Encoder().encode(fields)


def setting(number: int, value: int) -> bytes:
    content = number.to_bytes(2, "big") + value.to_bytes(4, "big")
    return frame(SETTINGS, stream=0, content=content)


def section(*fields: tuple[bytes, bytes]) -> list[bytes]:
    """A whole response of a header section."""
    return [frame(HEADERS, END_HEADERS | END_STREAM, content=block(list(fields)))]


STATUS: Final = OK[0]
HEAD: Final = frame(HEADERS, END_HEADERS, content=block(OK))
WHOLE: Final = frame(HEADERS, END_HEADERS | END_STREAM, content=block(OK))
TRAILERS: Final = frame(HEADERS, END_HEADERS | END_STREAM, content=block([(b"x", b"1")]))
WIDEST: Final = b"\x7f\xff\xff\xff"

# The client has asked on stream 1, and has got nothing but SETTINGS.
OF_THE_CONNECTION: dict[str, tuple[ErrorCode, Sequence[bytes]]] = {
    "3.4 no HTTP/2 at all": (SIZE, [b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
    "4.2 a frame that is too long": (SIZE, [frame(DATA, length=16_385)]),
    "4.3 an index of nothing": (COMPRESSION, [frame(HEADERS, END_HEADERS, content=b"\xff\x00")]),
    "4.3 an integer without end": (COMPRESSION, [frame(HEADERS, END_HEADERS, content=b"\xff" * 9)]),
    "4.3 a block that breaks off": (
        COMPRESSION,
        [frame(HEADERS, END_HEADERS, content=b"\x40\x05a")],
    ),
    "4.3 a table that was not allowed": (
        COMPRESSION,
        [frame(HEADERS, END_HEADERS, content=b"\x3f\xe2\x1f\x88")],
    ),
    "5.1 DATA of an idle stream": (PROTOCOL, [frame(DATA, stream=3, content=b"x")]),
    "5.1 HEADERS of an idle stream": (PROTOCOL, [frame(HEADERS, 4, 99, block(OK))]),
    "5.1 RST_STREAM of an idle stream": (PROTOCOL, [frame(RST_STREAM, stream=3, content=bytes(4))]),
    "5.1 WINDOW_UPDATE of an idle stream": (PROTOCOL, [frame(WINDOW_UPDATE, 0, 3, b"\0\0\0\1")]),
    "5.1 DATA after the end": (CLOSED, [WHOLE, frame(DATA, content=b"x")]),
    "5.1 HEADERS after the end": (CLOSED, [WHOLE, HEAD]),
    "5.1 DATA after a reset": (
        CLOSED,
        [HEAD, frame(RST_STREAM, content=bytes(4)), frame(DATA, content=b"x")],
    ),
    "5.1.1 a stream that the server opens": (PROTOCOL, [frame(HEADERS, 4, 2, block(OK))]),
    "5.3.1 a stream that depends on itself": (
        PROTOCOL,
        [frame(PRIORITY, content=b"\0\0\0\1\x05")],
    ),
    "6.1 DATA of the connection": (PROTOCOL, [frame(DATA, stream=0, content=b"x")]),
    "6.1 padding beyond DATA": (PROTOCOL, [HEAD, frame(DATA, PADDED, content=b"\x05x")]),
    "6.2 HEADERS of the connection": (PROTOCOL, [frame(HEADERS, 4, 0, block(OK))]),
    "6.2 padding beyond HEADERS": (
        PROTOCOL,
        [frame(HEADERS, END_HEADERS | PADDED, content=b"\xff" + block(OK))],
    ),
    "6.2 a priority that breaks off": (
        SIZE,
        [frame(HEADERS, END_HEADERS | WITH_PRIORITY, content=b"\0\0")],
    ),
    "6.3 PRIORITY of the connection": (PROTOCOL, [frame(PRIORITY, 0, 0, b"\0\0\0\3\x05")]),
    "6.3 PRIORITY of another length": (SIZE, [frame(PRIORITY, content=bytes(4))]),
    "6.4 RST_STREAM of the connection": (PROTOCOL, [frame(RST_STREAM, 0, 0, bytes(4))]),
    "6.4 RST_STREAM of a server's stream": (PROTOCOL, [frame(RST_STREAM, 0, 2, bytes(4))]),
    "6.4 RST_STREAM of another length": (SIZE, [frame(RST_STREAM, content=bytes(3))]),
    "6.5 SETTINGS of a stream": (PROTOCOL, [frame(SETTINGS)]),
    "6.5 SETTINGS of another length": (SIZE, [frame(SETTINGS, stream=0, content=bytes(5))]),
    "6.5 an ACK with content": (PROTOCOL, [frame(SETTINGS, ACK, 0, bytes(6))]),  # hyperframe's
    "6.5.2 a push enabled by a server": (PROTOCOL, [setting(2, 1)]),
    "6.5.2 a window that is too large": (FLOW, [setting(4, 2**31)]),
    "6.5.2 a frame size that is too small": (PROTOCOL, [setting(5, 16_383)]),
    "6.5.2 a frame size that is too large": (PROTOCOL, [setting(5, 2**24)]),
    "6.6 a push": (
        PROTOCOL,
        [frame(PUSH_PROMISE, END_HEADERS, content=b"\0\0\0\2" + block(GET))],
    ),
    "6.7 PING of a stream": (PROTOCOL, [frame(PING, content=bytes(8))]),
    "6.7 PING of another length": (SIZE, [frame(PING, 0, 0, bytes(6))]),
    "6.8 GOAWAY of a stream": (PROTOCOL, [frame(GOAWAY, content=bytes(8))]),
    "6.8 GOAWAY that breaks off": (SIZE, [frame(GOAWAY, 0, 0, bytes(4))]),
    "6.9 an update by nothing": (PROTOCOL, [frame(WINDOW_UPDATE, 0, 0, bytes(4))]),
    "6.9 a stream's update by nothing": (PROTOCOL, [frame(WINDOW_UPDATE, content=bytes(4))]),
    "6.9 WINDOW_UPDATE of another length": (SIZE, [frame(WINDOW_UPDATE, 0, 0, bytes(3))]),
    "6.9 more DATA than was allowed": (FLOW, [HEAD, *[frame(DATA, content=bytes(16_384))] * 5]),
    "6.9.1 a window that overflows": (FLOW, [frame(WINDOW_UPDATE, 0, 0, WIDEST)]),
    "6.9.2 a stream's that overflows by SETTINGS": (
        FLOW,
        [frame(WINDOW_UPDATE, content=b"\0\1\0\0"), setting(4, 2**31 - 1)],
    ),
    "6.10 CONTINUATION alone": (PROTOCOL, [frame(CONTINUATION, END_HEADERS, content=block(OK))]),
    "6.10 CONTINUATION after the block": (PROTOCOL, [HEAD, frame(CONTINUATION, END_HEADERS)]),
    "6.10 CONTINUATION of the connection": (
        PROTOCOL,
        [frame(HEADERS, content=block(OK)), frame(CONTINUATION, END_HEADERS, 0)],
    ),
    "6.10 CONTINUATION of another stream": (
        PROTOCOL,
        [frame(HEADERS, content=block(OK)), frame(CONTINUATION, END_HEADERS, 3)],
    ),
    "6.10 a frame within a block": (
        PROTOCOL,
        [frame(HEADERS, content=block(OK)), frame(PING, 0, 0, bytes(8))],
    ),
    "6.10 an unknown frame within a block": (
        PROTOCOL,
        [frame(HEADERS, content=block(OK)), frame(UNKNOWN, 0, 0, bytes(8))],
    ),
    "8.1 DATA before HEADERS": (PROTOCOL, [frame(DATA, content=b"x")]),
    "8.1 trailers that do not end": (
        PROTOCOL,
        [HEAD, frame(HEADERS, END_HEADERS, content=block([(b"x", b"1")]))],
    ),
    "8.1 trailers after trailers": (CLOSED, [HEAD, TRAILERS, TRAILERS]),
    "8.1 an interim response that ends": (PROTOCOL, section((b":status", b"103"))),
}

OF_THE_STREAM: dict[str, Sequence[bytes]] = {
    "6.9.1 a window that overflows": [frame(WINDOW_UPDATE, content=WIDEST)],
    "8.1.1 a status that is missing": section((b"x", b"1")),
    "8.1.1 no field at all": section(),
    "8.2.1 an upper-case name": section(STATUS, (b"X", b"1")),
    "8.2.2 a field of the connection's": section(STATUS, (b"connection", b"close")),
    "8.2.2 chunks": section(STATUS, (b"transfer-encoding", b"chunked")),
    "8.3 two of one": section(STATUS, STATUS),
    "8.3 a pseudo-header field after another": section((b"x", b"1"), STATUS),
    "8.3 one of requests": section(STATUS, (b":path", b"/")),
    "8.3 one in trailers": [HEAD, WHOLE],
    "8.3.2 a status that is none": section((b":status", b"abc")),
    "8.6 an upgrade": [frame(HEADERS, END_HEADERS, content=block([(b":status", b"101")]))],
}

HARMLESS: dict[str, Sequence[bytes]] = {
    "4.1 an unknown frame": [frame(UNKNOWN, 0xFF, 1, b"x")],
    "5.1 WINDOW_UPDATE after a reset": [
        frame(RST_STREAM, content=bytes(4)),
        frame(WINDOW_UPDATE, content=b"\0\0\0\1"),
    ],
    "5.3 PRIORITY of an idle stream": [frame(PRIORITY, stream=9, content=b"\0\0\0\0\x05")],
    "6.5.2 an unknown setting": [setting(0xF08, 1)],
    "6.5.3 an ACK that nobody needs": [frame(SETTINGS, ACK, 0)],
    "6.8 a last id that grows": [
        frame(GOAWAY, 0, 0, bytes(4) + bytes(4)),
        frame(GOAWAY, 0, 0, b"\0\0\0\5" + bytes(4)),
    ],
}


def asked() -> Http2Wire:
    wire = Http2Wire(window=65_535, window_max=65_535)
    assert wire.open(window=65_535) == 1
    wire.seen.clear()
    return wire


def codes(sent: bytes, kind: int) -> list[int]:
    """Those in the frames of a kind."""
    found, at = [], 0
    while at < len(sent):
        content = sent[at + 9 : at + 9 + int.from_bytes(sent[at : at + 3], "big")]
        if sent[at + 3] == kind:
            found.append(int.from_bytes(content[4:8] if kind == GOAWAY else content, "big"))
        at += 9 + len(content)
    return found


@pytest.mark.parametrize("name", OF_THE_CONNECTION)
def test_a_breach_that_ends_the_connection(name: str) -> None:
    code, frames = OF_THE_CONNECTION[name]
    wire = asked()
    wire.give(*frames)
    assert isinstance(wire.error, ProtocolViolation), wire.seen
    begins = f"https://example.com: the server broke the protocol: {name_of(code)}: "
    assert str(wire.error).startswith(begins)
    assert codes(b"".join(wire.client.datagrams(wire.now)), GOAWAY) == [code]


@pytest.mark.parametrize("name", OF_THE_STREAM)
def test_a_breach_that_ends_its_stream(name: str) -> None:
    wire = asked()
    other = wire.open()
    wire.give(*OF_THE_STREAM[name])
    assert isinstance(wire.of(1)[-1], events.StreamMalformed), wire.seen
    sent = b"".join(wire.client.datagrams(wire.now))
    assert set(codes(sent, RST_STREAM)) <= {PROTOCOL, FLOW} and not codes(sent, GOAWAY)
    wire.give(frame(HEADERS, END_HEADERS | END_STREAM, other, block(OK)))
    assert wire.of(other) == [events.Headers(other, 200, [], True)]


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_none(name: str) -> None:
    wire = asked()
    wire.give(*HARMLESS[name])
    sent = b"".join(wire.client.datagrams(wire.now))
    assert not wire.client.closed and not codes(sent, GOAWAY) and not codes(sent, RST_STREAM)


@pytest.mark.parametrize(
    "first", [HEAD, frame(PING, 0, 0, bytes(8)), frame(SETTINGS, ACK, 0), frame(UNKNOWN)]
)
def test_a_server_that_begins_by_another_frame_than_settings(first: bytes) -> None:
    """RFC 9113 3.4."""
    wire = Http2Wire(begun=False)
    wire.client.open_request(GET, None)
    wire.client.datagrams(wire.now)
    wire.give(first)
    assert str(wire.error).endswith("PROTOCOL_ERROR (0x1): the first frame is no SETTINGS")
    assert not wire.of(1)


def test_what_came_before_a_breach_counts() -> None:
    wire = asked()
    wire.give(WHOLE, frame(SETTINGS, stream=0, content=bytes(5)))
    assert wire.of(1) == [events.Headers(1, 200, [], True)]
    assert isinstance(wire.error, ProtocolViolation)


def test_what_was_on_its_way_when_a_stream_was_given_up_is_none_and_more_is() -> None:
    wire = asked()
    wire.give(HEAD)
    wire.client.cancel(1, 0x10C)
    wire.client.datagrams(wire.now)
    wire.give(*[frame(DATA, content=bytes(16_383))] * 4)
    assert not wire.client.closed
    wire.give(frame(DATA, content=bytes(16_383)))
    assert "STREAM_CLOSED (0x5): DATA of stream 1, which is over" in str(wire.error)
