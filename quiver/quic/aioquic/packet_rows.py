"""1-RTT packets: rows of them, opened and sealed together, and one as it is written. Touches
aioquic's private names.

One call of AES makes the masks of header protection of all that came together (RFC 9001 5.4.3),
and one copy of each packet goes to the AEAD; aioquic takes each packet apart for itself. Only what
is plain is opened here: packets of the present phase, in the order of their numbers, that are the
peer's. Whatever is not goes the ordinary way, by `PacketKeys`, as if it had not been looked at.
What is sealed is what aioquic would make of each packet.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter, itemgetter
from typing import Any, Final, Self

from aioquic._buffer import Buffer
from aioquic.quic.crypto import CryptoContext
from aioquic.quic.packet import NON_ACK_ELICITING_FRAME_TYPES, PACKET_FIXED_BIT
from aioquic.quic.packet_builder import PACKET_NUMBER_SEND_SIZE, QuicPacketBuilderStop
from aioquic.tls import CipherSuite
from cryptography.exceptions import InvalidTag

from quiver.quic.aioquic.packet_keys import PacketKeys
from quiver.quic.aioquic.sent_runs import OneRtt

__all__ = ["Packet", "PacketRows", "seal_run", "short_header"]

_CIPHERS: Final = (CipherSuite.AES_128_GCM_SHA256, CipherSuite.AES_256_GCM_SHA384)

_FORM, _SHORT = 0xC0, 0x40  # of a packet's first byte (RFC 9000 17.3.1)
_FIRST: Final = PACKET_FIXED_BIT | PACKET_NUMBER_SEND_SIZE - 1  # but for spin and phase
_RESERVED, _PHASE = 0x18, 0x04
_PLAIN: Final = _FORM | _RESERVED | _PHASE
_PROTECTED: Final = 0x1F  # bits of it (RFC 9001 5.4.1)
_SAMPLE: Final = 16  # bytes, as many as a mask has
_SAMPLED_AFTER: Final = 4  # bytes, as if the packet number were as long
_NUMBER: Final = (1 << 8 * PACKET_NUMBER_SEND_SIZE) - 1  # bits of a packet's number that are sent
_SEALED_AFTER: Final = _SAMPLED_AFTER - PACKET_NUMBER_SEND_SIZE
_LEAST: Final = _SEALED_AFTER  # bytes of frames that header protection needs for its sample
_SEALED: Final = slice(_SEALED_AFTER, _SEALED_AFTER + _SAMPLE)  # its sample (RFC 9001 5.4.2)
_NONCE: Final = 12  # bytes (RFC 9001 5.3)
_LENGTHS: Final = tuple([(size, 32 - 8 * size, (1 << 8 * size) - 1) for size in range(1, 5)])
"""Of packets' numbers, by the first byte's last bits: bytes, bits that the longest one has beyond
them, and the most that they say."""
_ROW_MASK = struct.Struct(">BI11x")  # of such a mask, what is for the first byte, and for a number
_MASK = struct.Struct(">BH")  # of the bytes that are made, those for a packet: of its first byte
_AES_MASK, _CHACHA_MASK = struct.Struct(">BH13x"), struct.Struct(">BH2x")  # and of its number


class PacketRows:
    """Opens rows of packets with the keys of one connection, by AES alone.

    Args:
        keys: of 1-RTT packets, with which packets can be opened by now.
        end_of_cid: where the connection id of each packet ends.
    """

    def __init__(self, keys: PacketKeys, end_of_cid: int) -> None:
        self._keys = keys
        self._end_of_cid = end_of_cid
        begin = end_of_cid + _SAMPLED_AFTER
        self._sample_of: Callable[[bytes], bytes] = itemgetter(slice(begin, begin + _SAMPLE))
        hp: Any = keys.recv.hp  # that of all phases (RFC 9001 6)
        self._masks_of: Callable[[bytes], bytes] = hp._mask
        self._take_keys()

    @classmethod
    def of(cls, keys: PacketKeys, end_of_cid: int) -> Self | None:
        """None where there is no such way: ChaCha20 makes each mask by itself."""
        return cls(keys, end_of_cid) if keys.recv.cipher_suite in _CIPHERS else None

    def _take_keys(self) -> None:
        """Take the key of the present phase."""
        aead: Any = self._keys.recv.aead
        self._present, self._nonces, self._open = aead, aead._iv, aead._aead.decrypt

    def opened(
        self, datagrams: Sequence[bytes], cid: bytes, largest: int
    ) -> Iterator[tuple[int, bytes, int]]:
        """Yield first byte, payload and number of each packet, up to one that is not plain.

        Args:
            cid: the connection id that all of them are to have.
            largest: of the numbers that came.
        """
        at, recv = self._end_of_cid, self._keys.recv
        samples = b"".join(map(self._sample_of, datagrams))
        if len(samples) != _SAMPLE * len(datagrams):
            return  # one is too short
        if recv.aead is not self._present:
            self._take_keys()
        masks, unseal, nonces = self._masks_of(samples), self._open, self._nonces
        plain = _SHORT | _PHASE if recv.key_phase else _SHORT
        for datagram, (mask, bits) in zip(datagrams, _ROW_MASK.iter_unpack(masks), strict=True):
            first = datagram[0] ^ mask & _PROTECTED
            if first & _PLAIN != plain or datagram[1:at] != cid:
                return
            size, beyond, most = _LENGTHS[first & 0x03]
            end = at + size
            cut = int.from_bytes(datagram[at:end]) ^ bits >> beyond
            ahead = cut - largest - 1 & most  # of the number that is expected (RFC 9000 A.3)
            if 2 * ahead > most:
                return  # it comes late, or has come
            number = largest + 1 + ahead
            header = b"%c%b%b" % (first, cid, cut.to_bytes(size))
            try:
                payload = unseal((nonces ^ number).to_bytes(_NONCE), datagram[end:], header)
            except InvalidTag:
                return
            largest = number
            yield first, payload, number


class Packet(OneRtt):
    """A packet from its first frame until it is acknowledged or lost: what aioquic's methods that
    write frames need of a builder, and what its records have of a packet that is out.

    Args:
        packet_number: of this packet.
        room: bytes that frames may take.
        sent_time: seconds.

    Attributes:
        is_ack_eliciting, in_flight: whether it is to be acknowledged.
        delivery_handlers: to be called with its QuicDeliveryState, each with what belongs to it.
        sent_bytes: of the datagram, when it is sealed.
    """

    __slots__ = (
        *("_flight", "_frames", "_room", "delivery_handlers", "is_ack_eliciting"),
        *("packet_number", "sent_bytes", "sent_time"),
    )

    in_flight = property(attrgetter("is_ack_eliciting"))

    def __init__(self, packet_number: int, room: int, sent_time: float) -> None:
        self.packet_number, self.sent_time, self.sent_bytes = packet_number, sent_time, 0
        self.is_ack_eliciting = False
        self.delivery_handlers: list[tuple[Callable[..., None], Sequence[Any]]] = []
        self._room = self._flight = room
        self._frames = Buffer(capacity=room)

    @property
    def remaining_buffer_space(self) -> int:
        """Bytes that frames may still take."""
        return self._room - self._frames.tell()

    @property
    def remaining_flight_space(self) -> int:
        """Bytes that frames may still take which the congestion window is for."""
        return self._flight - self._frames.tell()

    def bound(self, flight: int) -> None:
        """Let those be `flight` bytes at most."""
        self._flight = min(self._room, flight)

    def start_frame(
        self,
        frame_type: int,
        capacity: int = 1,
        handler: Callable[..., None] | None = None,
        handler_args: Sequence[Any] = (),
    ) -> Buffer:
        """Begin a frame of at least `capacity` bytes.

        Args:
            handler: called with the packet's QuicDeliveryState and `handler_args`.

        Raises:
            QuicPacketBuilderStop: there is no room for it.
        """
        frames, asks = self._frames, frame_type not in NON_ACK_ELICITING_FRAME_TYPES
        if (self._flight if asks else self._room) - frames.tell() < capacity:
            raise QuicPacketBuilderStop
        frames.push_uint_var(frame_type)
        if asks:
            self.is_ack_eliciting = True
        if handler is not None:
            self.delivery_handlers.append((handler, handler_args))
        return frames

    def sealed(self, context: CryptoContext, spin: bool, cid: bytes) -> bytes:
        """The datagram, when all frames are written. `context` is aioquic's CryptoContext."""
        frames = self._frames
        del self._frames  # it is long
        if frames.tell() < _LEAST:
            frames.push_bytes(bytes(_LEAST - frames.tell()))
        aead: Any = context.aead
        protection: Any = context.hp
        number, cut = self.packet_number, self.packet_number & _NUMBER
        first = _FIRST | spin << 5 | context.key_phase << 2
        header = b"%c%b%b" % (first, cid, cut.to_bytes(PACKET_NUMBER_SEND_SIZE))
        sealed = aead._aead.encrypt((aead._iv ^ number).to_bytes(_NONCE), frames.data, header)
        mask, bits = _MASK.unpack_from(protection._mask(sealed[_SEALED]))
        first, cut = first ^ mask & _PROTECTED, cut ^ bits
        datagram = b"%c%b%b%b" % (first, cid, cut.to_bytes(PACKET_NUMBER_SEND_SIZE), sealed)
        self.sent_bytes = len(datagram)
        return datagram


def short_header(spin: bool, key_phase: int, cid: bytes, number: int) -> bytes:
    """The header of a 1-RTT packet (RFC 9000 17.3.1)."""
    first = _FIRST | spin << 5 | key_phase << 2
    return b"%c%b%b" % (first, cid, (number & _NUMBER).to_bytes(PACKET_NUMBER_SEND_SIZE))


def seal_run(
    context: CryptoContext, spin: bool, cid: bytes, first: int, payloads: Sequence[bytes]
) -> list[bytes]:
    """The 1-RTT packets with these payloads, numbered from `first` on.

    The masks of all headers are made in one go.

    Args:
        context: aioquic's CryptoContext.
    """
    aead: Any = context.aead
    encrypt, iv = aead._aead.encrypt, aead._iv
    size = 1 + len(cid) + PACKET_NUMBER_SEND_SIZE
    # A header is a number, of which the packet's number is a part.
    header = int.from_bytes(short_header(spin, context.key_phase, cid, 0))
    numbers = range(first, first + len(payloads))
    headers = [header | each & _NUMBER for each in numbers]
    sealed = [
        encrypt((iv ^ number).to_bytes(_NONCE, "big"), payload, plain.to_bytes(size, "big"))
        for number, plain, payload in zip(numbers, headers, payloads, strict=True)
    ]
    masks = _masks(context, [each[_SEALED] for each in sealed], 8 * (size - 1))
    return [
        (plain ^ mask).to_bytes(size, "big") + each
        for plain, mask, each in zip(headers, masks, sealed, strict=True)
    ]


def _masks(context: CryptoContext, samples: list[bytes], top: int) -> list[int]:
    """What protects headers, whose first byte begins at bit `top` (RFC 9001 5.4)."""
    protection: Any = context.hp
    mask = protection._mask
    if context.cipher_suite is CipherSuite.CHACHA20_POLY1305_SHA256:
        masks = _CHACHA_MASK.iter_unpack(b"".join(map(mask, samples)))
    else:  # each block by itself, in one call
        masks = _AES_MASK.iter_unpack(mask(b"".join(samples)))
    return [(first & _PROTECTED) << top | number for first, number in masks]
