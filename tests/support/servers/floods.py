"""What a server may send without end, and what is larger than it seems."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Final

from aioquic.buffer import encode_uint_var

from tests.support.servers.frames import (
    DATA,
    GREASE,
    HEADERS,
    RESPONSE,
    data,
    frame,
    goaway,
    headers,
    response,
)
from tests.support.servers.hostile import CONTROL, Attack, RawPeer

CHUNK: Final = 16 * 1024  # bytes of a flood that are written at once
Step = Callable[[RawPeer, int], object]


def endless(octets: bytes, begin: bytes = b"") -> Attack:
    """`begin`, and then always the same bytes, on the stream of the request."""
    times = max(1, CHUNK // len(octets))

    def steps(peer: RawPeer, stream_id: int) -> Iterator[None]:
        peer.write(stream_id, begin)
        while True:
            peer.write(stream_id, octets * times)
            yield

    return lambda peer, stream_id: peer.flood(steps(peer, stream_id))


def flood(step: Step, count: int, ends: bytes = RESPONSE + data(b"ok")) -> Attack:
    """So many steps, as fast as the client lets us, and then the end of the response."""

    def steps(peer: RawPeer, stream_id: int) -> Iterator[None]:
        for _ in range(count):
            step(peer, stream_id)
            yield
        peer.write(stream_id, ends, ended=True)

    return lambda peer, stream_id: peer.flood(steps(peer, stream_id))


def drop_by_drop(octets: bytes, seconds: float, begin: bytes = b"") -> Attack:
    """A byte every so many seconds, and then the end of the stream."""

    def attack(peer: RawPeer, stream_id: int) -> None:
        peer.write(stream_id, begin)
        peer.every(seconds, _drops(peer, stream_id, octets))

    return attack


def _drops(peer: RawPeer, stream_id: int, octets: bytes) -> Iterator[None]:
    for left in range(len(octets) - 1, -1, -1):
        peer.write(stream_id, octets[-1 - left :][:1], ended=not left)
        yield


def _new_stream(peer: RawPeer, _: int) -> None:
    peer.open(encode_uint_var(GREASE) + b"x", ended=True)


def _datagrams(peer: RawPeer, stream_id: int) -> None:
    """For this request, for one that is not there, and for one that never can be."""
    for number in (stream_id // 4, 1000, 1 << 50):
        peer.datagram(encode_uint_var(number) + b"x" * 1000)


def falling_goaways(count: int) -> Attack:
    """GOAWAY, each with a lower id than the one before; all allow what is open."""
    ids = itertools.count((1 << 62) - 4, -4)
    return flood(lambda peer, _: peer.write(CONTROL, goaway(next(ids))), count)


def one_long_frame(kind: int) -> bytes:
    """The head of a frame of 2^60 bytes."""
    return frame(kind, length=1 << 60)


INTERIM: Final = headers([(b":status", b"103"), (b"link", b"</style.css>; rel=preload")])
STATIC_ENTRIES: Final = b"\xfe"  # x-xss-protection: 1; mode=block, in one byte of QPACK

ENDLESS_INTERIM: Final = endless(INTERIM)
ENDLESS_CONTENT: Final = endless(data(b"x" * CHUNK), RESPONSE)
ENDLESS_FRAME: Final = endless(b"x" * CHUNK, RESPONSE + one_long_frame(DATA))
SILENT_FLOODS: Final[dict[str, Attack]] = {
    "frames of no meaning": endless(frame(GREASE, b"x" * 100), RESPONSE),
    "empty frames of no meaning": endless(frame(GREASE), RESPONSE),
    "empty DATA frames": endless(data(b""), RESPONSE),
    "one frame of no meaning": endless(b"x" * CHUNK, one_long_frame(GREASE)),
}
PASSING_FLOODS: Final[dict[str, Attack]] = {
    "datagrams": flood(_datagrams, 1_500),
    "streams of no meaning": flood(_new_stream, 2_500),
    "a stream of no meaning": flood(
        lambda peer, _: peer.write(15, encode_uint_var(GREASE) + b"x" * CHUNK), 500
    ),
    "control frames of no meaning": flood(
        lambda peer, _: peer.write(CONTROL, frame(GREASE, b"x" * 100) * 100), 500
    ),
}
BOMBS: Final[dict[str, bytes]] = {
    "one long field": response((b"x", b"v" * 5000)),
    "one long name": response((b"n" * 5000, b"")),
    "many fields": response(*[(b"x", b"")] * 1000),
    "many fields of the static table": frame(HEADERS, b"\x00\x00" + STATIC_ENTRIES * 4000),
    "a frame of 2^60 bytes": one_long_frame(HEADERS),
    "long trailers": RESPONSE + response((b"x", b"v" * 5000)),
    "trailers of the static table": RESPONSE + frame(HEADERS, b"\x00\x00" + STATIC_ENTRIES * 4000),
}
