"""What whoever has seen a client's first datagram may answer it with, without end: a table.

Each row yields datagrams for ever; no certificate was seen before them.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Final

from quiver.quic.transport_parameters import LARGEST_TAKEN
from tests.support.servers.initial_packets import Initials, crypto_frame
from tests.support.servers.packet_floods import long_packet
from tests.support.servers.quic_floods import FLOODS, PACKET, Facts, payloads

__all__ = ["HANDSHAKES"]

_UNKNOWN: Final = 0x1A2A3A4A  # a version
_PING: Final = b"\x01"
_HALF: Final = 200
"""Pieces that wait at once; 256 may."""

Attack = Callable[[Initials], Iterator[bytes]]


def _sealed(frames: Callable[[], Iterator[bytes]]) -> Attack:
    """These in as many Initial packets as they take."""
    return lambda initials: map(initials.packet, payloads(lambda _: frames(), Facts(0, 0)))


def _of_flood(name: str) -> Attack:
    return _sealed(lambda: FLOODS[name](Facts(0, 0)))


def _announced(length: int, size: int) -> Attack:
    """A message of such a length, in order and in pieces of that size."""

    def frames() -> Iterator[bytes]:
        yield crypto_frame(0, b"\x02" + length.to_bytes(3, "big"))
        for at in itertools.count(4, size):
            yield crypto_frame(at, bytes(size))

    return _sealed(frames)


def _filled() -> Iterator[bytes]:
    """Every second byte of some, and then those between them: of one message."""
    yield crypto_frame(0, b"\x02\x02\x00\x00")
    for at in itertools.count(4, 2 * _HALF):
        yield from (crypto_frame(at + each, b"x") for each in range(1, 2 * _HALF, 2))
        yield from (crypto_frame(at + each, b"x") for each in range(0, 2 * _HALF, 2))


def _always(make: Callable[[Initials], bytes]) -> Attack:
    return lambda initials: itertools.repeat(make(initials))


def _changed(datagram: bytes) -> bytes:
    return datagram[:-1] + bytes([datagram[-1] ^ 1])


def _forged(initials: Initials) -> Iterator[bytes]:
    return (_changed(initials.packet(_PING * PACKET)) for _ in itertools.count())


def _junk(first: int, size: int, count: int) -> Attack:
    """Packets of keys that the client has not yet; as many in a datagram."""
    return _always(
        lambda initials: long_packet(first, initials.client, b"hostile!", os.urandom(size)) * count
    )


HANDSHAKES: Final[dict[str, Attack]] = {
    "CRYPTO with holes": _sealed(lambda: (crypto_frame(n, b"x") for n in itertools.count(1, 2))),
    "CRYPTO from the end": _sealed(
        lambda: (crypto_frame(n, b"x") for n in itertools.count(100_000, -2))
    ),
    "CRYPTO whose holes are filled": _sealed(_filled),
    "the same CRYPTO": _sealed(lambda: itertools.repeat(crypto_frame(3, b"x"))),
    "a message of 16 MB": _announced((1 << 24) - 1, 900),
    "a message of 128 kB, byte by byte": _announced(1 << 17, 1),
    "PING": _of_flood("PING"),
    "PADDING": _of_flood("PADDING"),
    "ACK of what was not sent": _of_flood("ACK of what was not sent"),
    "packets with a PING each": lambda initials: (
        initials.packet(_PING) for _ in itertools.count()
    ),
    "forged packets": _forged,
    "Retry": _always(Initials.retry),
    "forged Retry": _always(lambda initials: _changed(initials.retry())),
    "Version Negotiation from another": _always(
        lambda initials: initials.negotiation(*[_UNKNOWN] * 250, source=b"another!")
    ),
    "packets of Handshake keys": _junk(0xE3, PACKET, 1),
    "small ones in a datagram": _junk(0xE3, 20, LARGEST_TAKEN // 50),
    "small ones of Initial keys in a datagram": _junk(0xC3, 20, LARGEST_TAKEN // 52),
    "datagrams of one byte": _always(lambda _: b"\xc3"),
}
