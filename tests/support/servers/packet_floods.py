"""What a server, or who knows a client's connection ids, may send in packets without end: a table.

Each row yields datagrams for ever. What is in well-sealed packets stands in `quic_floods`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from aioquic.buffer import encode_uint_var
from aioquic.tls import Epoch

from quiver.quic.transport_parameters import LARGEST_TAKEN
from tests.support.servers.quic_floods import PACKET, Facts, Flood, payloads

__all__ = ["PACKETS", "Sealer", "long_packet"]

_VERSION: Final = 1
_INITIAL, _HANDSHAKE, _RETRY = 0xC3, 0xE3, 0xF0  # the first byte (RFC 9000 17.2)
_TAG: Final = 16
PING: Final = b"\x01\x00\x00\x00"


class Sealer:
    """Makes 1-RTT packets of a server.

    Attributes:
        cid: the connection id that its client has chosen.
        ours: what the client knows as the server's.
        number: of the next packet.
        facts: what a flood of frames has to know.
        followed: the client has sent something since the keys were updated, with these.
    """

    def __init__(self, quic: Any) -> None:
        self._quic = quic
        self._keys = quic._cryptos[Epoch.ONE_RTT]
        self.cid, self.ours = quic._peer_cid.cid, quic.host_cid
        self.number = quic._packet_number
        tls = quic._crypto_streams[Epoch.ONE_RTT].sender._buffer_stop
        on = {number: each.sender._buffer_stop for number, each in quic._streams.items()}
        self._space = quic._spaces[Epoch.ONE_RTT]
        self.facts = Facts(tls, self._space.largest_received_packet, on)
        self.followed = True

    def packet(self, payload: bytes, number: int | None = None) -> bytes:
        """One with these frames; without `number` it follows the last one."""
        if number is None:
            number, self.number = self.number, self.number + 1
        octets = (number & 0xFFFFFFFF).to_bytes(4, "big")
        first = 0x43 | self._quic._spin_bit << 5 | self._keys.key_phase << 2
        header = bytes([first]) + self.cid + octets
        sealed: bytes = self._keys.encrypt_packet(header, payload.ljust(4, b"\x00"), number)
        return sealed

    def all_packets(self, flood: Flood, size: int = PACKET) -> Iterator[bytes]:
        """Those of a flood of frames."""
        return map(self.packet, payloads(flood, self.facts, size))

    def update(self) -> None:
        """Go on with the next keys, in both directions."""
        self._keys.update_key()
        self.followed = False

    def take(self, datagrams: Iterable[bytes], now: float) -> None:
        """See whether the client has followed."""
        before = self._space.largest_received_packet
        for each in datagrams:
            self._quic.receive_datagram(each, ("client", 1), now)
        self.followed |= self._space.largest_received_packet > before


def long_packet(first: int, to: bytes, of: bytes, sealed: bytes, version: int = _VERSION) -> bytes:
    """A packet with a long header, whose payload nobody can open."""
    ids = bytes([len(to)]) + to + bytes([len(of)]) + of
    token = b"\x00" if first == _INITIAL else b""
    length = b"" if first == _RETRY else encode_uint_var(len(sealed))
    return bytes([first]) + version.to_bytes(4, "big") + ids + token + length + sealed


def _junk(size: int) -> Iterator[bytes]:
    """Random octets, always others."""
    pool = os.urandom(1 << 16)
    return (pool[at : at + size] for at in itertools.cycle(range(0, len(pool) - size, 7)))


def _forged(phase: int) -> Callable[[Sealer], Iterator[bytes]]:
    def made(sealer: Sealer) -> Iterator[bytes]:
        first = bytes([0x43 | phase << 2])
        return (first + sealer.cid + each for each in _junk(PACKET))

    return made


def _longs(first: int, size: int, count: int, version: int = _VERSION) -> Any:
    """As many in each datagram."""

    def made(sealer: Sealer) -> Iterator[bytes]:
        each = (long_packet(first, sealer.cid, sealer.ours, one, version) for one in _junk(size))
        return (b"".join(itertools.islice(each, count)) for _ in itertools.count())

    return made


def _coalesced(sealer: Sealer) -> Iterator[bytes]:
    """Packets of the handshake, whose keys are gone, before each good one."""
    for junk in _longs(_HANDSHAKE, 20, 20)(sealer):
        yield junk + sealer.packet(PING)


def _negotiations(sealer: Sealer) -> Iterator[bytes]:
    return (long_packet(0x80, sealer.cid, sealer.ours, b"", 0) + each for each in _junk(PACKET))


def _falling(sealer: Sealer) -> Iterator[bytes]:
    for row in itertools.count(1):
        for number in range(200 * row, 200 * (row - 1), -2):
            yield sealer.packet(PING, sealer.number + number)


def _updated(sealer: Sealer) -> Iterator[bytes]:
    """As soon as the client has followed the last one: else it is an error (RFC 9001 6.2)."""
    while True:
        if sealer.followed:
            sealer.update()
        yield sealer.packet(PING)


def _updated_at_once(sealer: Sealer) -> Iterator[bytes]:
    while True:
        sealer.update()
        yield sealer.packet(PING)


def _long_pings(sealer: Sealer) -> Iterator[bytes]:
    size = LARGEST_TAKEN - 1 - len(sealer.cid) - 4 - _TAG
    return (sealer.packet(b"\x01" * size) for _ in itertools.count())


PACKETS: Final[dict[str, Callable[[Sealer], Iterator[bytes]]]] = {
    "forged packets": _forged(0),
    "forged packets of the other key phase": _forged(1),
    "the same packet": lambda sealer: itertools.repeat(sealer.packet(PING)),
    "packets with a PING each": lambda sealer: (sealer.packet(PING) for _ in itertools.count()),
    "every second packet": lambda sealer: (
        sealer.packet(PING, sealer.number + 2 * n) for n in itertools.count()
    ),
    "packets from the last to the first": _falling,
    "the largest packets, of frames of a byte": _long_pings,
    "key updates": _updated,
    "key updates too soon": _updated_at_once,
    "packets of Initial keys": _longs(_INITIAL, PACKET, 1),
    "packets of Handshake keys": _longs(_HANDSHAKE, PACKET, 1),
    "packets of another version": _longs(_INITIAL, PACKET, 1, 0x1A2A3A4A),
    "small ones in a datagram": _longs(_HANDSHAKE, 20, LARGEST_TAKEN // 48),
    "small ones before a good one": _coalesced,
    "Version Negotiation": _negotiations,
    "Retry": _longs(_RETRY, PACKET, 1),
    "other connections' packets": lambda _: (b"\x43" + each for each in _junk(PACKET)),
    "datagrams of one byte": lambda _: itertools.repeat(b"\x40"),
    "empty datagrams": lambda _: itertools.repeat(b""),
}
