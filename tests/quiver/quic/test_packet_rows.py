"""Rows of packets: opened together, they are what each of them is by itself."""

from __future__ import annotations

from typing import Any

import pytest
from aioquic.quic.crypto import CryptoPair
from aioquic.tls import CipherSuite

from quiver.quic.aioquic.packet_keys import PacketKeys
from quiver.quic.aioquic.packet_rows import PacketRows

CID = b"12345678"
AT = 1 + len(CID)
AES = [CipherSuite.AES_128_GCM_SHA256, CipherSuite.AES_256_GCM_SHA384]
CHACHA = CipherSuite.CHACHA20_POLY1305_SHA256


def pair(suite: CipherSuite) -> CryptoPair:
    """Of keys that open what they have sealed."""
    made = CryptoPair()
    secret = b"s" * (48 if suite is CipherSuite.AES_256_GCM_SHA384 else 32)
    for each in (made.send, made.recv):
        each.setup(cipher_suite=suite, secret=secret, version=1)
    return made


def sealed(by: Any, number: int, *, size: int = 2, cid: bytes = CID, bits: int = 0) -> bytes:
    """A packet whose payload is its number, of which it tells so many bytes."""
    header = bytes([0x40 | bits | by.key_phase << 2 | size - 1]) + cid
    header += (number % (1 << 8 * size)).to_bytes(size)
    packet: bytes = by.encrypt_packet(header, b"%05d" % number, number)
    return packet


@pytest.fixture(params=AES, ids=lambda suite: suite.name)
def peer(request: pytest.FixtureRequest) -> CryptoPair:
    return pair(request.param)


@pytest.fixture
def keys(peer: CryptoPair) -> PacketKeys:
    return PacketKeys(pair(peer.send.cipher_suite))  # type: ignore[arg-type]


@pytest.fixture
def rows(keys: PacketKeys) -> PacketRows:
    made = PacketRows.of(keys, AT)
    assert made is not None
    return made


def numbers(rows: PacketRows, row: list[bytes], largest: int = -1) -> list[int]:
    """Those that are opened of it, each with the payload that it was sent with."""
    opened = list(rows.opened(row, CID, largest))
    assert [int(payload) for _, payload, _ in opened] == [number for *_, number in opened]
    return [number for *_, number in opened]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("first", [0, 250, 65_530, (1 << 24) - 3, (1 << 32) + 5])
def test_each_is_what_it_is_by_itself(
    peer: CryptoPair, keys: PacketKeys, rows: PacketRows, size: int, first: int
) -> None:
    row = [sealed(peer, first + n, size=size, bits=0x20 * (n % 2)) for n in range(0, 40, 3)]
    alone, largest = [], first - 1
    for packet in row:
        header, payload, number = keys.decrypt_packet(packet, AT, largest + 1)
        alone.append((header[0], payload, number))
        largest = number
    assert list(rows.opened(row, CID, first - 1)) == alone


def test_numbers_far_ahead_are_read_as_the_protocol_has_it(
    peer: CryptoPair, rows: PacketRows
) -> None:
    """Within half of what their bytes tell (RFC 9000 A.3)."""
    row = [sealed(peer, 128, size=1), sealed(peer, 255, size=1), sealed(peer, 385, size=1)]
    assert numbers(rows, row, 0) == [128, 255]  # of the third one reads 129


@pytest.mark.parametrize(
    "fault", ["forged", "short", "other id", "long header", "reserved", "late", "twice", "phase"]
)
def test_a_row_ends_before_what_is_not_plain(
    peer: CryptoPair, keys: PacketKeys, rows: PacketRows, fault: str
) -> None:
    row = [sealed(peer, number) for number in range(10, 16)]
    plain = row[3]
    if fault == "phase":
        peer.update_key()
    row[3] = {
        "forged": plain[:-1] + bytes([plain[-1] ^ 1]),
        "short": plain[:AT],
        "other id": sealed(peer, 13, cid=CID[::-1]),
        "long header": bytes([plain[0] | 0x80]) + plain[1:],
        "reserved": sealed(peer, 13, bits=0x08),
        "late": sealed(peer, 11),
        "twice": row[2],
        "phase": sealed(peer, 13),
    }[fault]
    assert numbers(rows, row) == ([10, 11, 12] if fault != "short" else [])  # it has no sample
    assert not keys.forged  # it is for the ordinary way to say so
    assert numbers(rows, row[4:], 13) == [14, 15]


def test_the_keys_of_the_present_phase_are_taken(
    peer: CryptoPair, keys: PacketKeys, rows: PacketRows
) -> None:
    """Those of header protection stay (RFC 9001 6)."""
    number = 0
    for _ in range(3):
        assert numbers(rows, [sealed(peer, number + n) for n in range(4)], number - 1) != []
        peer.update_key()
        after = [sealed(peer, number + n) for n in range(4, 8)]
        assert numbers(rows, after, number + 3) == []
        keys.decrypt_packet(after[0], AT, number + 4)
        keys.sealed = 1  # we have answered: the peer may go on
        assert numbers(rows, after[1:], number + 4) == [number + n for n in range(5, 8)]
        peer.send.key_phase, peer.recv.key_phase = keys.recv.key_phase, keys.recv.key_phase
        number += 8


def test_there_is_no_such_way_by_chacha() -> None:
    assert PacketRows.of(PacketKeys(pair(CHACHA)), AT) is None


def test_rows_may_begin_after_an_update(peer: CryptoPair, keys: PacketKeys) -> None:
    """Header protection stays as it was made of the first secret."""
    peer.update_key()
    row = [sealed(peer, number) for number in range(4)]
    keys.decrypt_packet(row[0], AT, 0)
    rows = PacketRows.of(keys, AT)
    assert rows is not None
    assert numbers(rows, row[1:], 0) == [1, 2, 3]
