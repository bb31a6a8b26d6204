"""Keys of 1-RTT packets: their phases, who moves when, and what a forger has us derive."""

from __future__ import annotations

import itertools
from typing import Any
from unittest.mock import patch

import pytest
from aioquic._crypto import CryptoError
from aioquic.quic.crypto import CryptoPair, KeyUnavailableError, next_key_phase
from aioquic.tls import CipherSuite

from quiver.quic.aioquic import packet_keys
from quiver.quic.aioquic.packet_keys import PacketKeys
from quiver.quic.codes import TransportCode

CID = b"12345678"
SUITES = [
    CipherSuite.AES_128_GCM_SHA256,
    CipherSuite.AES_256_GCM_SHA384,
    CipherSuite.CHACHA20_POLY1305_SHA256,
]


def pair(suite: CipherSuite, sends: bytes, receives: bytes) -> CryptoPair:
    made = CryptoPair()
    size = 48 if suite is CipherSuite.AES_256_GCM_SHA384 else 32
    made.send.setup(cipher_suite=suite, secret=sends * size, version=1)
    made.recv.setup(cipher_suite=suite, secret=receives * size, version=1)
    return made


class Ends:
    """Ours, and the peer's: aioquic's own, or as ours."""

    def __init__(self, suite: CipherSuite = SUITES[0], *, theirs_as_ours: bool = False) -> None:
        self.ours = PacketKeys(pair(suite, b"c", b"s"))
        peer = pair(suite, b"s", b"c")
        self.theirs: Any = PacketKeys(peer) if theirs_as_ours else peer
        self.number = itertools.count()

    def sent(self, sender: Any, number: int | None = None) -> bytes:
        """A packet of the sender's, whose payload is its number."""
        number = next(self.number) if number is None else number
        first = 0x40 | sender.key_phase << 2 | 3
        header = bytes([first]) + CID + number.to_bytes(4, "big")
        sealed: bytes = sender.encrypt_packet(header, b"%05d" % number, number)
        return sealed

    def from_them(self, number: int | None = None) -> bytes:
        return self.sent(self.theirs, number)

    def opened(self, packet: bytes, by: Any = None) -> int:
        header, payload, number = (by or self.ours).decrypt_packet(packet, 1 + len(CID), 0)
        assert int(payload) == number
        assert header[1:9] == CID
        assert isinstance(number, int)
        return number

    def round_trip(self) -> None:
        self.opened(self.sent(self.ours), self.theirs)
        self.opened(self.from_them())


@pytest.fixture(params=SUITES, ids=lambda suite: suite.name)
def ends(request: pytest.FixtureRequest) -> Ends:
    return Ends(request.param)


def forged(packet: bytes, phase: bool) -> bytes:
    """One that nobody has sealed, whose first byte comes out with that phase or the other."""
    return bytes([packet[0] ^ 0x04 * phase]) + packet[1:-1] + bytes([packet[-1] ^ 1])


def test_the_peer_may_update_again_and_again(ends: Ends) -> None:
    for times in range(1, 4):
        ends.theirs.update_key()
        ends.round_trip()
        assert ends.ours.key_phase == times % 2
        ends.round_trip()


def test_we_may_update_again_and_again(ends: Ends) -> None:
    for times in range(1, 4):
        ends.ours.update_key()
        ends.round_trip()
        assert ends.ours.key_phase == times % 2
        ends.round_trip()


def test_what_was_on_its_way_when_we_began_is_opened(ends: Ends) -> None:
    """aioquic's own pair would take the next keys for it."""
    before = [ends.from_them() for _ in range(3)]
    ends.ours.update_key()
    ours = ends.sent(ends.ours)
    assert [ends.opened(each) for each in before] == [0, 1, 2]
    assert ends.opened(ours, ends.theirs) == 3


def test_what_comes_late_after_an_update_is_opened(ends: Ends) -> None:
    late = [ends.from_them() for _ in range(3)]
    ends.theirs.update_key()
    first, second = ends.from_them(), ends.from_them()
    assert ends.opened(second) == 4
    assert [ends.opened(each) for each in late] == [0, 1, 2]
    assert ends.opened(first) == 3
    assert ends.opened(ends.from_them()) == 5


def test_we_do_not_begin_another_before_the_peer_has_followed() -> None:
    ends = Ends()
    ends.ours.update_key()
    ends.sent(ends.ours)
    ends.ours.update_key()
    assert ends.ours.key_phase == 1
    ends.sent(ends.ours)
    assert ends.ours.key_phase == 1


@pytest.mark.parametrize("theirs_first", [True, False])
def test_both_begin_at_once(theirs_first: bool) -> None:
    ends = Ends(theirs_as_ours=True)
    ends.ours.update_key()
    ends.theirs.update_key()
    ours, theirs = ends.sent(ends.ours), ends.from_them()
    if theirs_first:
        ends.opened(theirs)
        ends.opened(ours, ends.theirs)
    else:
        ends.opened(ours, ends.theirs)
        ends.opened(theirs)
    assert ends.ours.key_phase == ends.theirs.key_phase == 1
    ends.round_trip()


def test_an_update_that_was_wanted_when_the_peer_began_is_that_one() -> None:
    ends = Ends()
    ends.theirs.update_key()
    ends.ours.update_key()
    ends.opened(ends.from_them())
    assert ends.ours.key_phase == 1
    ends.round_trip()
    assert ends.ours.key_phase == 1


@pytest.mark.parametrize("phase", [False, True])
def test_forged_packets_cost_one_derivation_at_most(ends: Ends, phase: bool) -> None:
    ends.theirs.update_key()
    ends.round_trip()
    with patch.object(packet_keys, "next_key_phase", wraps=next_key_phase) as derive:
        for number in range(100, 200):
            with pytest.raises(CryptoError):
                ends.opened(forged(ends.from_them(number), phase))
            with pytest.raises(CryptoError):  # below what came: by the former keys
                ends.opened(forged(ends.from_them(0), phase))
        assert derive.call_count <= 1
    ends.round_trip()
    ends.theirs.update_key()
    ends.round_trip()
    assert ends.ours.key_phase == 0


def test_nothing_is_opened_without_keys() -> None:
    packet = Ends().from_them()
    with pytest.raises(KeyUnavailableError):
        PacketKeys(CryptoPair()).decrypt_packet(packet, 9, 0)
    ends = Ends()
    ends.ours.teardown()
    with pytest.raises(KeyUnavailableError):
        ends.opened(packet)


def test_what_is_too_short_is_not_the_peers() -> None:
    with pytest.raises(CryptoError):
        Ends().opened(b"\x40" + CID + bytes(19))


# limits (RFC 9001 6.6) -------------------------------------------------------------------------


def test_packets_are_counted_by_phase(ends: Ends) -> None:
    for _ in range(3):
        ends.round_trip()
    assert (ends.ours.sealed, ends.ours.first_sealed) == (3, 0)
    ends.ours.update_key()
    ends.round_trip()
    assert (ends.ours.sealed, ends.ours.first_sealed) == (1, 6)
    ends.ours.judge_sealed()
    assert ends.ours.fault is None


def test_no_more_are_sealed_with_one_key_than_may_be(ends: Ends) -> None:
    chacha = ends.ours.send.cipher_suite is CipherSuite.CHACHA20_POLY1305_SHA256
    ends.ours.sealed = (1 << 23) - 1
    ends.ours.judge_sealed()
    assert ends.ours.fault is None
    ends.sent(ends.ours)
    ends.ours.judge_sealed()
    fault = TransportCode.AEAD_LIMIT_REACHED, "8388608 packets were sent with one key"
    assert ends.ours.fault == (None if chacha else fault)


def test_no_more_fail_to_be_opened_than_may(ends: Ends) -> None:
    chacha = ends.ours.send.cipher_suite is CipherSuite.CHACHA20_POLY1305_SHA256
    most = 1 << (36 if chacha else 52)
    ends.ours.forged = most - 2
    for fault in (None, (TransportCode.AEAD_LIMIT_REACHED, f"{most} packets could not be opened")):
        with pytest.raises(CryptoError):
            ends.opened(forged(ends.from_them(), False))
        assert ends.ours.fault == fault


def test_a_peer_that_does_not_wait_for_us_is_at_fault(ends: Ends) -> None:
    """RFC 9001 6.2. Its first update may come before we have sent anything."""
    ends.theirs.update_key()
    ends.opened(ends.from_them())
    assert ends.ours.fault is None
    again = ends.from_them()
    ends.theirs.update_key()
    with pytest.raises(CryptoError, match="twice"):
        ends.opened(ends.from_them())
    assert ends.ours.fault is not None
    assert ends.ours.fault[0] is TransportCode.KEY_UPDATE_ERROR
    ends.opened(again)


def test_the_former_keys_can_be_forgotten(ends: Ends) -> None:
    late = ends.from_them()
    ends.theirs.update_key()
    ends.round_trip()
    assert ends.ours.former is not None
    ends.ours.former = None
    with pytest.raises(CryptoError):
        ends.opened(late)
    ends.round_trip()
