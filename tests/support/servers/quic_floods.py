"""What a server may send in well-sealed packets, without end, and what it makes us do: a table.

Each row yields frames, or parts of them, for ever; `packets` says how many go into one packet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import attrs
from aioquic.buffer import encode_uint_var

from tests.support.servers.frames import (
    GREASE,
    RESPONSE,
    data,
    frame,
    goaway,
    headers,
    response,
)
from tests.support.servers.initial_packets import crypto_frame

__all__ = ["FLOODS", "PACKET", "Facts", "Flood", "payloads"]

PACKET: Final = 1_100  # bytes of frames in a packet
STREAMS: Final = 100
"""Of the client's and of ours, that some of them take; a client of quiver's lets us open 128."""

CONTROL, ENCODER, DECODER, _FREE = 3, 7, 11, 15
"""Streams that the server opens, in order; no other is before the fourth one."""

_LARGEST: Final = 1 << 60


@attrs.frozen
class Facts:
    """What a flood has to know of its connection.

    Attributes:
        tls: bytes of CRYPTO frames that were sent in 1-RTT packets.
        sent: the largest packet number of the client's that came.
        on: bytes that were sent on each stream.
    """

    tls: int
    sent: int
    on: Mapping[int, int] = attrs.field(factory=dict)


Flood = Callable[[Facts], Iterator[bytes]]


def _v(*numbers: int) -> bytes:
    return b"".join(map(encode_uint_var, numbers))


def piece(stream_id: int, offset: int, content: bytes) -> bytes:
    """A STREAM frame with offset and length (RFC 9000 19.8)."""
    return b"\x0e" + _v(stream_id, offset, len(content)) + content


def _ack(largest: int, ranges: int = 0) -> bytes:
    """Of one packet, and of every second one below it (RFC 9000 19.3)."""
    return b"\x02" + _v(largest, 0, ranges, 0) + _v(0, 0) * ranges


def _alone(frames: bytes) -> bytes:
    """With so much PADDING that no more of it goes into a packet."""
    return frames.ljust(PACKET // 2 + 1, b"\x00")


def _new_connection_id(number: int, retired: int) -> bytes:
    return b"\x18" + _v(number, retired) + b"\x08" + number.to_bytes(8) + number.to_bytes(16)


def _stream(octets: bytes, begin: bytes = b"", stream_id: int = 0) -> Flood:
    """Always the same on the stream of the request or another one, after `begin`, in order."""

    def frames(facts: Facts) -> Iterator[bytes]:
        start = facts.on.get(stream_id, 0)
        if begin:
            yield piece(stream_id, start, begin)
        whole = octets * (1 + 500 // len(octets))
        for at in itertools.count(start + len(begin), len(whole)):
            yield piece(stream_id, at, whole)

    return frames


def _in_turns(first: int, step: int) -> Flood:
    """A byte of each of many streams, and then the next one, or the next but one."""
    ids = range(first, first + 4 * STREAMS, 4)
    return lambda _: (
        piece(stream_id, at, b"\x21") for at in itertools.count(step - 1, step) for stream_id in ids
    )


INTERIM: Final = headers([(b":status", b"103"), (b"link", b"</style.css>; rel=preload")])
_TICKET: Final = b"\x04\x00\x00\x0d" + bytes(13)  # the shortest one (RFC 8446 4.6.1)


def _tickets(facts: Facts) -> Iterator[bytes]:
    for at in itertools.count(facts.tls, len(_TICKET)):
        yield crypto_frame(at, _TICKET)


def _tickets_at_once(facts: Facts) -> Iterator[bytes]:
    """Sixteen kilobytes of them wait for the first byte, again and again."""
    many = 900
    for at in itertools.count(facts.tls, many * len(_TICKET)):
        whole = _TICKET * many
        for start in range(1, len(whole), 1_000):
            yield crypto_frame(at + start, whole[start : start + 1_000])
        yield crypto_frame(at, whole[:1])


def _filled(_: Facts) -> Iterator[bytes]:
    """Every second byte of some thousands, and then those between them: frames of no meaning."""
    for at in itertools.count(0, 6_000):
        yield from (piece(0, at + each, b"\x00") for each in range(1, 6_000, 2))
        yield from (piece(0, at + each, b"\x21") for each in range(0, 6_000, 2))


def _goaways(facts: Facts) -> Iterator[bytes]:
    """Each with a lower id than the one before."""
    ids = itertools.count((1 << 62) - 4, -4)
    for at in itertools.count(facts.on.get(CONTROL, 0), 50 * 10):
        yield piece(CONTROL, at, b"".join(goaway(next(ids)) for _ in range(50)))


def _always(octets: bytes) -> Flood:
    return lambda _: itertools.repeat(octets)


def _rising(make: Callable[[int], bytes]) -> Flood:
    return lambda _: map(make, itertools.count())


FLOODS: Final[dict[str, Flood]] = {
    "a byte of a stream, each with a hole": _rising(lambda n: piece(0, 2 * n + 1, b"x")),
    "the same, from the end": lambda _: (piece(0, n, b"x") for n in itertools.count(1 << 22, -2)),
    "pieces of a stream that may be many": _rising(lambda n: piece(0, 257 * n + 1, bytes(256))),
    "holes that are made and filled": _filled,
    "the same byte of a stream": _always(piece(0, 1, b"x")),
    "a byte of many streams, each with a hole": _in_turns(_FREE, 2),
    "many streams, byte by byte": _in_turns(_FREE, 1),
    "a byte of many requests, each with a hole": _in_turns(0, 2),
    "many requests, byte by byte": _in_turns(0, 1),
    "far bytes of many streams": _rising(lambda n: piece(_FREE + 4 * (n % STREAMS), 60_000, b"x")),
    "the first byte of one that has ended": _always(piece(0, 0, b"")),
    "CRYPTO with holes": lambda facts: (
        crypto_frame(facts.tls + at, b"x") for at in itertools.count(1, 2)
    ),
    "the same CRYPTO": _always(crypto_frame(0, b"x")),
    "tickets": _tickets,
    "tickets at once": _tickets_at_once,
    "the same ACK": lambda facts: itertools.repeat(_ack(facts.sent)),
    "ACK, one in a packet": lambda facts: itertools.repeat(_alone(_ack(facts.sent) + b"\x01")),
    "ACK of what was not sent": _rising(lambda n: _alone(_ack(1 << 20 | n))),
    "ACK with many ranges": _always(_alone(_ack(2_000, 500))),
    "connection ids that are known": _always(_new_connection_id(1, 0)),
    "connection ids that retire others": _rising(lambda n: _new_connection_id(n + 8, n + 8)),
    "too many connection ids": _rising(lambda n: _new_connection_id(n + 8, 0)),
    "challenges": _always(b"\x1a12345678"),
    "responses to no challenge": _always(b"\x1b12345678"),
    "credit for a stream": _rising(lambda n: b"\x11" + _v(0, _LARGEST | n)),
    "more streams": _rising(lambda n: b"\x12" + _v(_LARGEST + n)),
    "more streams, one by one": _rising(lambda n: b"\x12" + _v(1_000 + n)),
    "more streams of the other kind": _rising(lambda n: b"\x13" + _v(1_000 + n)),
    "credit": _rising(lambda n: b"\x10" + _v(_LARGEST + n)),
    "DATA_BLOCKED": _always(b"\x14" + _v(0)),
    "STREAMS_BLOCKED": _always(b"\x16" + _v(0)),
    "connection ids that are retired": _always(b"\x19" + _v(1)),
    "HANDSHAKE_DONE": _always(b"\x1e"),
    "ACK with counts of ECN": lambda facts: itertools.repeat(
        _alone(b"\x03" + _v(facts.sent, 0, 0, 0, 1, 1, 1) + b"\x01")
    ),
    "datagrams of a byte": _always(b"\x31\x02\x00x"),
    "datagrams of another request": _always(b"\x31\x02\x3fx"),
    "RESET_STREAM of many": _rising(lambda n: b"\x04" + _v(_FREE + 4 * (n % STREAMS), 0, 0)),
    "STREAM_DATA_BLOCKED": _always(b"\x15" + _v(0, 0)),
    "STOP_SENDING": _always(b"\x05" + _v(0, 0)),
    "RESET_STREAM": _always(b"\x04" + _v(0, 0, 0)),
    "tokens": _always(b"\x07\x01x"),
    "PING": _always(b"\x01"),
    "PADDING": _always(bytes(500)),
    "DATA frames of a byte": _stream(data(b"x"), RESPONSE),
    "empty DATA frames": _stream(data(b""), RESPONSE),
    "frames of no meaning": _stream(frame(GREASE)),
    "interim responses": _stream(INTERIM),
    "header sections without end": _stream(b"\xfe", b"\x01\x80\x10\x00\x00\x00\x00"),
    "trailers": _stream(response(), RESPONSE),
    "control frames of no meaning": _stream(frame(GREASE), stream_id=CONTROL),
    "GOAWAY": _goaways,
    "QPACK, sizes of the table": _stream(b"\x20", stream_id=ENCODER),
    "QPACK, streams that are cancelled": _stream(b"\x40", stream_id=DECODER),
    "QPACK, fields for the table": _stream(b"\x41a\x01b", stream_id=ENCODER),
}


def payloads(flood: Flood, facts: Facts, size: int = PACKET) -> Iterator[bytes]:
    """What the flood's packets hold, each as much as fits `size` bytes."""
    payload = b""
    for each in flood(facts):
        if payload and len(payload) + len(each) > size:
            yield payload
            payload = b""
        payload += each
