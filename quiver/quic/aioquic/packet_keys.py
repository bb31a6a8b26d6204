"""The keys of 1-RTT packets, and their updates (RFC 9001 6), around aioquic's.

aioquic derives the next keys for each packet whose phase bit is another, before it knows whether
the packet is the peer's: who forges packets has us do that each time. And it moves both directions
at once, so that what is still on its way under the old keys is lost. Here the next keys to receive
with are derived once in each phase, the former ones are kept for what comes late, and receiving
follows the peer's phase while sending has moved on.
"""

from __future__ import annotations

from typing import Any, Final

from aioquic.quic.crypto import (  # type: ignore[attr-defined]
    CryptoError,
    CryptoPair,
    apply_key_phase,
    next_key_phase,
)
from aioquic.quic.packet import decode_packet_number
from aioquic.tls import CipherSuite

from quiver.quic.codes import TransportCode

__all__ = ["TAG", "UPDATE_AFTER", "PacketKeys"]

TAG: Final = 16
"""Bytes of an AEAD tag (RFC 9001 5.3)."""

# The tables that OpenSSL makes for these keys are made with the import, as in `configuration`.
CryptoPair().setup_initial(b"anybody", is_client=True, version=1)

UPDATE_AFTER: Final = 1 << 22
"""Packets that are sent with one key, before the next one is asked for."""

_MOST_SEALED: Final = 1 << 23
"""Packets that may be sent with one key of AES; of ChaCha20 more than there are (RFC 9001 6.6)."""

_MOST_FORGED: Final = {CipherSuite.CHACHA20_POLY1305_SHA256: 1 << 36}
_MOST_FORGED_OF_AES: Final = 1 << 52
"""Packets that may fail to be opened in a connection's life, with all its keys (RFC 9001 6.6)."""

_PHASE: Final = 0x04  # of a short header's first byte (RFC 9000 17.3.1)
_NUMBER_LENGTH: Final = 0x03  # of any header's


class PacketKeys:
    """In the place of aioquic's CryptoPair, whose two contexts it takes over.

    Attributes:
        recv, send: the contexts of the present phase, as aioquic knows and sets them up.
        sealed: packets that were sent in this phase, the first of which was `first_sealed`.
        forged: packets that could not be opened, in all phases.
        most_sealed, most_forged: how many of these there may be; None as the cipher has it.
        former: what opens packets of the last phase; None when they are not opened any more.
        has_moved: whether it is not the first phase to receive in.
        fault: why the connection is to be closed: a code, and a reason.
    """

    def __init__(self, pair: Any) -> None:
        self.recv, self.send = pair.recv, pair.send
        self.aead_tag_size: int = pair.aead_tag_size
        self.sealed = self.first_sealed = self.forged = 0
        self.most_sealed: int | None = None
        self.most_forged: int | None = None
        self.former: Any = None
        self.fault: tuple[TransportCode, str] | None = None
        self.has_moved = False
        self._wants_update = False
        self._next: Any = None  # the context to receive with in the next phase
        self._first = 0  # the least packet number that came in the present phase

    @property
    def key_phase(self) -> int:
        """The phase bit of the next packet that is sent."""
        return int(self.send.key_phase) ^ self._wants_update

    def teardown(self) -> None:
        """Forget the keys."""
        self._next = self.former = None
        self.recv.teardown()
        self.send.teardown()

    def update_key(self) -> None:
        """Send with the next keys from the next packet on.

        Ignored until the peer has followed the last update (RFC 9001 6.1).
        """
        self._wants_update = self.send.key_phase == self.recv.key_phase

    # sending --------------------------------------------------------------------------------

    def encrypt_packet(
        self, plain_header: bytes, plain_payload: bytes, packet_number: int
    ) -> bytes:
        context = self.begin_run(packet_number, 1)
        sealed: bytes = context.encrypt_packet(plain_header, plain_payload, packet_number)
        return sealed

    def begin_run(self, first: int, count: int) -> Any:
        """The context for so many packets, numbered from `first` on, which the caller seals."""
        if self._wants_update:
            self._send_with_next("local_update")
        if not self.sealed:
            self.first_sealed = first
        self.sealed += count
        return self.send

    def _send_with_next(self, trigger: str) -> None:
        self._wants_update = False
        self.sealed = 0
        apply_key_phase(self.send, next_key_phase(self.send), trigger=trigger)

    def judge_sealed(self) -> None:
        """Set `fault` when no more packets may be sent with these keys."""
        most = self.most_sealed
        if most is None:
            chacha = self.send.cipher_suite is CipherSuite.CHACHA20_POLY1305_SHA256
            most = 1 << 62 if chacha else _MOST_SEALED
        if self.sealed >= most:
            self._reached(f"{self.sealed} packets were sent with one key")

    # receiving ------------------------------------------------------------------------------

    def decrypt_packet(
        self, packet: bytes, encrypted_offset: int, expected_packet_number: int
    ) -> tuple[bytes, bytes, int]:
        """Header, payload and packet number. Raises CryptoError: it is not the peer's."""
        recv = self.recv
        if recv.aead is None:
            recv.decrypt_packet(packet, encrypted_offset, expected_packet_number)  # says so
        header, truncated = recv.hp.remove(packet, encrypted_offset)
        bits = 8 * ((header[0] & _NUMBER_LENGTH) + 1)
        number = decode_packet_number(truncated, bits, expected_packet_number)
        try:
            if bool(header[0] & _PHASE) != recv.key_phase:
                return header, self._other_phase(packet[len(header) :], header, number), number
            payload = recv.aead.decrypt(packet[len(header) :], header, number)
        except CryptoError:
            self._failed()
            raise
        if number < self._first:
            self._first = number
        return header, payload, number

    def _failed(self) -> None:
        self.forged += 1
        most = self.most_forged
        if most is None:
            most = _MOST_FORGED.get(self.recv.cipher_suite, _MOST_FORGED_OF_AES)
        if self.forged >= most:
            self._reached(f"{self.forged} packets could not be opened")

    def _reached(self, said: str) -> None:
        self.fault = TransportCode.AEAD_LIMIT_REACHED, said

    def _other_phase(self, sealed: bytes, header: bytes, number: int) -> bytes:
        """Open what came in the last phase or in the next one (RFC 9001 6.5)."""
        if self.former is not None and number < self._first:
            late: bytes = self.former.decrypt(sealed, header, number)
            return late
        if self._next is None:
            self._next = next_key_phase(self.recv)
        payload: bytes = self._next.aead.decrypt(sealed, header, number)
        if self.has_moved and not self.sealed:  # it cannot know that we have followed (6.2)
            said = "the peer updated its keys twice, and we had sent nothing in between"
            self.fault = TransportCode.KEY_UPDATE_ERROR, said
            raise CryptoError(said)
        self.former, self._first, self.has_moved = self.recv.aead, number, True
        apply_key_phase(self.recv, self._next, trigger="remote_update")
        self._next = None
        if self.send.key_phase != self.recv.key_phase:  # it was the peer that began
            self._send_with_next("remote_update")
        return payload
