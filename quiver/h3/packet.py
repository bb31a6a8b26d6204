"""One 1-RTT packet while it is written. Stands in for aioquic's builder of many packets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from aioquic._buffer import Buffer
from aioquic.quic.packet import NON_ACK_ELICITING_FRAME_TYPES, PACKET_FIXED_BIT, QuicPacketType
from aioquic.quic.packet_builder import (
    PACKET_NUMBER_SEND_SIZE,
    QuicPacketBuilderStop,
    QuicSentPacket,
)
from aioquic.tls import Epoch

__all__ = ["TAG", "Packet", "short_header"]

TAG: Final = 16
"""Bytes of an AEAD tag (RFC 9001 5.3)."""

_LEAST: Final = 4 - PACKET_NUMBER_SEND_SIZE
"""Bytes of frames that header protection needs for its sample (RFC 9001 5.4.2)."""


def short_header(spin: bool, key_phase: int, cid: bytes, number: int) -> bytes:
    """The header of a 1-RTT packet (RFC 9000 17.3.1)."""
    first = PACKET_FIXED_BIT | spin << 5 | key_phase << 2 | (PACKET_NUMBER_SEND_SIZE - 1)
    return b"%c%b%b" % (first, cid, (number & 0xFFFF).to_bytes(PACKET_NUMBER_SEND_SIZE, "big"))


class Packet:
    """What aioquic's methods that write frames, and that which sends packets, need of a builder.

    Args:
        number: of this packet; of the next one, when it has been flushed.
        header: unprotected, see `short_header`.
        keys: aioquic's CryptoPair.
        size: bytes of the datagram at most.
    """

    def __init__(self, number: int, header: bytes, keys: Any, size: int) -> None:
        self.packet_number = number
        self._header = header
        self._keys = keys
        self._room = size - len(header) - TAG
        self._buffer = Buffer(capacity=self._room)
        self._ack_eliciting = False
        self._handlers: list[tuple[Callable[..., None], Sequence[Any]]] = []

    @property
    def remaining_buffer_space(self) -> int:
        """Bytes that frames may still take."""
        return self._room - self._buffer.tell()

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
        if self.remaining_buffer_space < capacity:
            raise QuicPacketBuilderStop
        self._buffer.push_uint_var(frame_type)
        if frame_type not in NON_ACK_ELICITING_FRAME_TYPES:
            self._ack_eliciting = True
        if handler is not None:
            self._handlers.append((handler, handler_args))
        return self._buffer

    def flush(self) -> tuple[list[bytes], list[QuicSentPacket]]:
        """End it: the datagram, and what is to be remembered of it."""
        padding = _LEAST - self._buffer.tell()
        if padding > 0:
            self._buffer.push_bytes(bytes(padding))
        number = self.packet_number
        datagram = self._keys.encrypt_packet(self._header, self._buffer.data, number)
        self.packet_number = number + 1
        sent = QuicSentPacket(
            epoch=Epoch.ONE_RTT,
            in_flight=self._ack_eliciting,
            is_ack_eliciting=self._ack_eliciting,
            is_crypto_packet=False,
            packet_number=number,
            packet_type=QuicPacketType.ONE_RTT,
            sent_bytes=len(datagram),
            delivery_handlers=self._handlers,
        )
        return [datagram], [sent]
