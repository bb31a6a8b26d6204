"""Rows of 1-RTT packets opened together. Touches aioquic's private names.

One call of AES makes the masks of header protection of all that came together (RFC 9001 5.4.3),
and one copy of each packet goes to the AEAD; aioquic takes each packet apart for itself. Only what
is plain is opened here: packets of the present phase, in the order of their numbers, that are the
peer's. Whatever is not goes the ordinary way, by `PacketKeys`, as if it had not been looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Final, Self

from aioquic.quic.packet import decode_packet_number
from aioquic.tls import CipherSuite
from cryptography.exceptions import InvalidTag

from quiver.quic.aioquic.packet_keys import PacketKeys

__all__ = ["PacketRows"]

_CIPHERS: Final = (CipherSuite.AES_128_GCM_SHA256, CipherSuite.AES_256_GCM_SHA384)

_FORM, _SHORT = 0xC0, 0x40  # of a packet's first byte (RFC 9000 17.3.1)
_RESERVED, _PHASE = 0x18, 0x04
_PROTECTED: Final = 0x1F  # bits of it (RFC 9001 5.4.1)
_SAMPLE: Final = 16  # bytes, as many as a mask has
_SAMPLED_AFTER: Final = 4  # bytes, as if the packet number were as long


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
        self._aead, self._iv, self._open = aead, aead._iv, aead._aead.decrypt

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
        if recv.aead is not self._aead:
            self._take_keys()
        masks, mask, unseal, iv = self._masks_of(samples), 0, self._open, self._iv
        phase = _PHASE if recv.key_phase else 0
        for datagram in datagrams:
            first = datagram[0]
            if first & _FORM != _SHORT or datagram[1:at] != cid:
                return
            first ^= masks[mask] & _PROTECTED
            size = (first & 0x03) + 1
            if first & (_PHASE | _RESERVED) != phase:
                return
            end, mask = at + size, mask + 1
            cut = int.from_bytes(datagram[at:end]) ^ int.from_bytes(masks[mask : mask + size])
            mask += _SAMPLE - 1
            number = largest & -1 << 8 * size | cut
            if not largest < number < largest + (1 << 8 * size - 1):
                number = decode_packet_number(cut, 8 * size, largest + 1)
                if number <= largest:
                    return
            header = b"%c%b%b" % (first, cid, cut.to_bytes(size))
            try:
                payload = unseal((iv ^ number).to_bytes(12), datagram[end:], header)
            except InvalidTag:
                return
            largest = number
            yield first, payload, number
