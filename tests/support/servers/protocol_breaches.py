"""What a server may do wrong, as tables: an attack, and the code (RFC 9114 8.1) that answers it.

Faults of one response end its stream, faults of the connection end that, also when it has hardly
begun, and what is only strange is passed over.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from aioquic.buffer import encode_uint_var

from quiver.h3.codes import ErrorCode
from tests.support.servers.frames import (
    CANCEL_PUSH,
    DATA,
    GOAWAY,
    GREASE,
    HEADERS,
    MAX_PUSH_ID,
    OF_HTTP2,
    OK,
    PUSH_PROMISE,
    RESPONSE,
    SETTINGS,
    SETTINGS_FRAME,
    WEBTRANSPORT,
    data,
    frame,
    goaway,
    headers,
    response,
    settings,
)
from tests.support.servers.hostile import (
    CONTROL,
    DECODER,
    ENCODER,
    Attack,
    RawPeer,
    answer_well,
    greet,
)

HUGE: Final = (1 << 62) - 1


class Case(NamedTuple):
    """`code` is None where nothing is left that could be reset."""

    name: str
    attack: Attack
    code: ErrorCode | None = None


def replies(octets: bytes, *, ended: bool = False) -> Attack:
    """Bytes on the stream of the request."""
    return lambda peer, stream_id: peer.write(stream_id, octets, ended)


def opens(octets: bytes, *, ended: bool = False, unidirectional: bool = True) -> Attack:
    """Bytes on a new stream."""
    return lambda peer, _: peer.open(octets, ended, unidirectional=unidirectional)


def greets(octets: bytes) -> Attack:
    """Other bytes than SETTINGS to begin the control stream with."""
    return lambda peer, _: greet(peer, octets)


def signals(*datagrams: bytes) -> Attack:
    """HTTP datagrams."""

    def attack(peer: RawPeer, _: int) -> None:
        for octets in datagrams:
            peer.datagram(octets)

    return attack


def writes(stream_id: int, octets: bytes, *, ended: bool = False) -> Attack:
    """Bytes on one of the server's own streams."""
    return lambda peer, _: peer.write(stream_id, octets, ended)


def controls(octets: bytes) -> Attack:
    """Bytes on the control stream."""
    return writes(CONTROL, octets)


def then_well(attack: Attack) -> Attack:
    """An attack that should not matter, and the good answer after it."""

    def both(peer: RawPeer, stream_id: int) -> None:
        attack(peer, stream_id)
        answer_well(peer, stream_id)

    return both


def field(name: bytes, value: bytes) -> Attack:
    """A response with one bad field."""
    return replies(response((name, value)))


MALFORMED = ErrorCode.H3_MESSAGE_ERROR
STREAM_FAULTS: Final = [
    Case("no status", replies(headers([(b"x", b"1")])), MALFORMED),
    Case("no field but a request's", replies(headers([(b":method", b"GET")])), MALFORMED),
    Case("status twice", field(b":status", b"200"), MALFORMED),
    Case("another pseudo-header", field(b":path", b"/"), MALFORMED),
    Case("an unknown pseudo-header", field(b":quiver", b"1"), MALFORMED),
    Case("status not first", replies(headers([(b"x", b"1"), *OK])), MALFORMED),
    Case("status of two digits", replies(headers([(b":status", b"20")])), MALFORMED),
    Case("status of letters", replies(headers([(b":status", b"2x0")])), MALFORMED),
    Case("status 101", replies(headers([(b":status", b"101")])), MALFORMED),
    Case("upper-case name", field(b"X-Upper", b"1"), MALFORMED),
    Case("name with a space", field(b"x y", b"1"), MALFORMED),
    Case("connection", field(b"connection", b"close"), MALFORMED),
    Case("keep-alive", field(b"keep-alive", b"timeout=5"), MALFORMED),
    Case("proxy-connection", field(b"proxy-connection", b"close"), MALFORMED),
    Case("transfer-encoding", field(b"transfer-encoding", b"chunked"), MALFORMED),
    Case("upgrade", field(b"upgrade", b"websocket"), MALFORMED),
    Case("te", field(b"te", b"gzip"), MALFORMED),
    Case("value with a line end", field(b"x", b"a\r\nb: c"), MALFORMED),
    Case("value with NUL", field(b"x", b"a\x00b"), MALFORMED),
    Case("value that begins with a space", field(b"x", b" a"), MALFORMED),
    Case("trailers with a status", replies(RESPONSE + RESPONSE), MALFORMED),
    Case("trailers in upper case", replies(RESPONSE + headers([(b"A", b"")])), MALFORMED),
    Case("content-length of letters", field(b"content-length", b"ten"), MALFORMED),
    Case("content-length below 0", field(b"content-length", b"-1"), MALFORMED),
    Case("content-length of two values", field(b"content-length", b"1, 2"), MALFORMED),
    Case(
        "more content than said",
        replies(response((b"content-length", b"2")) + data(b"abc")),
        MALFORMED,
    ),
    Case("less content than said", replies(response((b"content-length", b"9")), ended=True)),
    Case("ended by an interim response", replies(headers([(b":status", b"103")]), ended=True)),
    Case("ended at once", replies(b"", ended=True)),
    Case("ended after a frame of no meaning", replies(frame(GREASE, b"x"), ended=True)),
]


def on_request(kind: int) -> Attack:
    return replies(RESPONSE + frame(kind, b"\x00"))


def on_control(kind: int) -> Attack:
    return controls(frame(kind, b"\x00"))


def stops(stream_id: int) -> Attack:
    """STOP_SENDING for one of the client's own streams, which have ids 2, 6 and 10."""

    def attack(peer: RawPeer, _: int) -> None:
        peer.quic.stop_stream(stream_id, ErrorCode.H3_NO_ERROR)
        peer.touched()

    return attack


def resets(stream_id: int) -> Attack:
    return lambda peer, _: peer.reset(stream_id, ErrorCode.H3_NO_ERROR)


UNEXPECTED = ErrorCode.H3_FRAME_UNEXPECTED
CUT = ErrorCode.H3_FRAME_ERROR
QPACK = ErrorCode.QPACK_DECOMPRESSION_FAILED
CLOSED = ErrorCode.H3_CLOSED_CRITICAL_STREAM
BAD_ID = ErrorCode.H3_ID_ERROR
NEW_STREAM = ErrorCode.H3_STREAM_CREATION_ERROR
BAD_SETTINGS = ErrorCode.H3_SETTINGS_ERROR
BAD_DATAGRAM = ErrorCode.H3_DATAGRAM_ERROR
BAD_ENCODER = ErrorCode.QPACK_ENCODER_STREAM_ERROR
BAD_DECODER = ErrorCode.QPACK_DECODER_STREAM_ERROR

CRITICAL: Final = {
    "control stream": CONTROL,
    "QPACK encoder": ENCODER,
    "QPACK decoder": DECODER,
}
REQUEST_STREAM_FAULTS: Final = [
    Case("DATA first", replies(data(b"x")), UNEXPECTED),
    Case(
        "DATA after an interim response",
        replies(headers([(b":status", b"103")]) + data(b"x")),
        UNEXPECTED,
    ),
    Case(
        "DATA after trailers", replies(RESPONSE + headers([(b"a", b"")]) + data(b"x")), UNEXPECTED
    ),
    Case("HEADERS after trailers", replies(RESPONSE + headers([(b"a", b"")]) * 2), UNEXPECTED),
    Case("CANCEL_PUSH", on_request(CANCEL_PUSH), UNEXPECTED),
    Case("SETTINGS", on_request(SETTINGS_FRAME), UNEXPECTED),
    Case("GOAWAY", on_request(GOAWAY), UNEXPECTED),
    Case("MAX_PUSH_ID", on_request(MAX_PUSH_ID), UNEXPECTED),
    *[Case(f"HTTP/2 frame {kind}", on_request(kind), UNEXPECTED) for kind in OF_HTTP2],
    Case("WebTransport", on_request(WEBTRANSPORT), UNEXPECTED),
    Case("PUSH_PROMISE", replies(frame(PUSH_PROMISE, b"\x00\x00\x00\xd1")), BAD_ID),
    Case("half a frame type", replies(RESPONSE + b"\xc0\x00", ended=True), CUT),
    Case("no length", replies(RESPONSE + b"\x00", ended=True), CUT),
    Case("half a length", replies(RESPONSE + b"\x00\x80", ended=True), CUT),
    Case("half a header section", replies(RESPONSE[:-1], ended=True), CUT),
    Case("half of the content", replies(RESPONSE + frame(DATA, b"ab", length=3), ended=True), CUT),
    Case("half of no meaning", replies(RESPONSE + frame(GREASE, b"", length=9), ended=True), CUT),
    Case("header section of no bytes", replies(frame(HEADERS)), QPACK),
    Case("a name of no bytes", field(b"", b"1"), QPACK),
    Case("header section of noise", replies(frame(HEADERS, b"\xff" * 40)), QPACK),
    Case("static entry 99", replies(frame(HEADERS, b"\x00\x00\xff\x24")), QPACK),
    Case("an integer without end", replies(frame(HEADERS, b"\x00\x00\x27" + b"\xff" * 60)), QPACK),
    Case("a name longer than its frame", replies(frame(HEADERS, b"\0\0\x27\xff\xff\x7f")), QPACK),
    Case("a dynamic table, which has no room", replies(frame(HEADERS, b"\x02\x00\x80")), QPACK),
    Case("a base beyond all", replies(frame(HEADERS, b"\x00\x7f\xff\x7f\x10")), QPACK),
    Case(
        "Huffman code of EOS", replies(frame(HEADERS, b"\0\0\xd9\x5f\0\x84" + b"\xff" * 4)), QPACK
    ),
    Case("Huffman padding of a byte", replies(frame(HEADERS, b"\0\0\x5f\x1d\x82\x1f\xff")), QPACK),
    Case("Huffman padding of zeros", replies(frame(HEADERS, b"\0\0\x5f\x1d\x81\x00")), QPACK),
]
CONTROL_STREAM_FAULTS: Final = [
    Case("SETTINGS twice", controls(SETTINGS), UNEXPECTED),
    Case("DATA", on_control(DATA), UNEXPECTED),
    Case("HEADERS", on_control(HEADERS), UNEXPECTED),
    Case("PUSH_PROMISE", on_control(PUSH_PROMISE), UNEXPECTED),
    Case("MAX_PUSH_ID", on_control(MAX_PUSH_ID), UNEXPECTED),
    *[Case(f"HTTP/2 frame {kind}", on_control(kind), UNEXPECTED) for kind in OF_HTTP2],
    Case("CANCEL_PUSH", on_control(CANCEL_PUSH), BAD_ID),
    Case("GOAWAY for a server's stream", controls(goaway(1)), BAD_ID),
    Case("GOAWAY for a unidirectional stream", controls(goaway(6)), BAD_ID),
    Case(
        "GOAWAY that grows",
        controls(goaway(HUGE - 3) + goaway(HUGE - 7) + goaway(HUGE - 3)),
        BAD_ID,
    ),
    Case("GOAWAY of no bytes", controls(frame(GOAWAY)), CUT),
    Case("GOAWAY of two ids", controls(frame(GOAWAY, b"\x04\x04")), CUT),
    Case("GOAWAY of a cut id", controls(frame(GOAWAY, b"\x80\x00")), CUT),
    Case("GOAWAY of a megabyte", controls(frame(GOAWAY, length=1 << 20)), CUT),
    *[
        Case(f"{name} ended", writes(its, b"", ended=True), CLOSED)
        for name, its in CRITICAL.items()
    ],
    *[Case(f"{name} reset", resets(its), CLOSED) for name, its in CRITICAL.items()],
    Case("our control stream stopped", stops(2), CLOSED),
    Case("our QPACK encoder stopped", stops(6), CLOSED),
    Case("our QPACK decoder stopped", stops(10), CLOSED),
    Case("a second control stream", opens(b"\x00"), NEW_STREAM),
    Case("a second QPACK encoder", opens(b"\x02"), NEW_STREAM),
    Case("a second QPACK decoder", opens(b"\x03"), NEW_STREAM),
    Case("a stream of both ways", opens(b"x", unidirectional=False), NEW_STREAM),
    Case("a push", opens(b"\x01\x00"), BAD_ID),
    Case("QPACK table beyond its capacity", writes(ENCODER, b"\x3f\xe1\x1f"), BAD_ENCODER),
    Case("QPACK entry without room", writes(ENCODER, b"\x44abcd\x01x"), BAD_ENCODER),
    Case("QPACK entry of a gigabyte", writes(ENCODER, b"\x5f\xff\xff\xff\xff\x03"), BAD_ENCODER),
    Case("QPACK section that was not sent", writes(DECODER, b"\xfa"), BAD_DECODER),
    Case("QPACK increment of 0", writes(DECODER, b"\x00"), BAD_DECODER),
    Case("a datagram of no bytes", signals(b""), BAD_DATAGRAM),
    Case("a datagram of half an id", signals(b"\x80"), BAD_DATAGRAM),
    Case("a datagram beyond all ids", signals(encode_uint_var(HUGE)), BAD_DATAGRAM),
]
GREETING_FAULTS: Final = [
    Case("no SETTINGS", greets(goaway(0)), ErrorCode.H3_MISSING_SETTINGS),
    Case(
        "SETTINGS too late",
        greets(frame(GREASE) + SETTINGS),
        ErrorCode.H3_MISSING_SETTINGS,
    ),
    *[
        Case(
            f"HTTP/2 setting {key}",
            greets(settings((key, 0))),
            BAD_SETTINGS,
        )
        for key in (0, 2, 3, 4, 5)
    ],
    Case("a setting twice", greets(settings((6, 1), (6, 1))), BAD_SETTINGS),
    Case("datagrams of 2", greets(settings((0x33, 2))), BAD_SETTINGS),
    Case("a setting without value", greets(frame(SETTINGS_FRAME, b"\x06")), CUT),
    Case("half a value", greets(frame(SETTINGS_FRAME, b"\x06\x80")), CUT),
    Case(
        "SETTINGS of a gigabyte",
        greets(frame(SETTINGS_FRAME, length=1 << 30)),
        ErrorCode.H3_EXCESSIVE_LOAD,
    ),
]

CONNECTION_FAULTS: Final = [
    *[case._replace(name=f"on the request: {case.name}") for case in REQUEST_STREAM_FAULTS],
    *[case._replace(name=f"beside it: {case.name}") for case in CONTROL_STREAM_FAULTS],
]


def resets_a_new_stream(peer: RawPeer, _: int) -> None:
    peer.reset(peer.open(b""), ErrorCode.H3_NO_ERROR)


HARMLESS: Final = [
    Case("a frame of no meaning first", replies(frame(GREASE, b"x" * 5000))),
    Case("empty frames of no meaning", replies(frame(GREASE) * 3000)),
    Case("an interim response", replies(headers([(b":status", b"103"), (b"link", b"</a>")]))),
    Case("a control frame of no meaning", controls(frame(GREASE, b"x" * 5000))),
    Case("a stream of no meaning", opens(encode_uint_var(GREASE) + b"x" * 5000)),
    Case("a stream of no meaning, ended", opens(encode_uint_var(GREASE), ended=True)),
    Case("a stream without a type, ended", opens(b"", ended=True)),
    Case("a stream without a type, reset", resets_a_new_stream),
    Case("half a stream type", opens(b"\xc0\x00", ended=True)),
    Case("a WebTransport stream", opens(b"\x40\x54\x00" + b"x" * 5000)),
    Case("datagrams of no stream", signals(*[b"\x3fx"] * 100)),
    Case("datagrams of a request", lambda p, i: p.datagram(encode_uint_var(i // 4) + b"x")),
    Case("a QPACK table of size 0", writes(ENCODER, b"\x20")),
]
