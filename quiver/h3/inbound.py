"""The common packets of a server, read with less work. Touches aioquic's private names.

Once the handshake is confirmed nearly all that comes are 1-RTT packets on the one path there is,
and nearly all that they bring of streams comes in order. For these there is a shorter way than
aioquic's, which is made for servers, handshakes and migration as well. What is not of this kind,
or breaks a rule, goes aioquic's way from its first byte on.
"""

from __future__ import annotations

from typing import Any

from aioquic._buffer import Buffer
from aioquic._crypto import CryptoError
from aioquic.quic.connection import (
    QuicConnectionError,
    QuicConnectionState,
    QuicReceiveContext,
)
from aioquic.quic.events import StreamDataReceived
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from aioquic.quic.recovery import MAX_ACK_RANGES
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

from quiver.h3.outbound import Outbound

__all__ = ["Inbound"]

_FORM, _SHORT = 0xC0, 0x40  # of a packet's first byte (RFC 9000 17.3.1)
_SPIN, _RESERVED = 0x20, 0x18
_OFFSET, _LENGTH, _FIN = 0x04, 0x02, 0x01  # of a STREAM frame's type (RFC 9000 19.8)


class Inbound(Outbound):
    """A client's connection that goes the short way when what has come is common."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._foreign = False  # the last datagram may not have been of this connection

    def receive_datagram(self, data: bytes, addr: Any, now: float) -> None:
        cid = data[1 : 1 + len(self.host_cid)]  # all of ours are as long
        if self._is_plain_packet(data, cid, addr):
            self._foreign = not self._receive_packet(data, cid, now)
        else:
            self._foreign = True
            super().receive_datagram(data, addr, now)

    def _is_plain_packet(self, data: bytes, cid: bytes, addr: Any) -> bool:
        """Whether it is a 1-RTT packet, on the only path, for one of our connection ids."""
        paths = self._network_paths
        return (
            self._space is not None
            and self._state is QuicConnectionState.CONNECTED
            and self._quic_logger is None
            and len(paths) == 1
            and paths[0].addr == addr
            and paths[0].is_validated
            and data != b""
            and data[0] & _FORM == _SHORT
            and (cid == self._host_cids[0].cid or any(cid == each.cid for each in self._host_cids))
        )

    def _receive_packet(self, data: bytes, cid: bytes, now: float) -> bool:
        """Take it; False when it cannot be decrypted."""
        space = self._space
        try:
            header, payload, number = self._keys.decrypt_packet(
                data, 1 + len(cid), space.expected_packet_number
            )
        except CryptoError as error:
            self._logger.debug(error)
            return False
        if number in space.received_packets:  # RFC 9000 12.3
            return True
        if header[0] & _RESERVED:
            said = "Reserved bits must be zero"
            self.close(QuicErrorCode.PROTOCOL_VIOLATION, QuicFrameType.PADDING, said)
            return True
        if number > space.expected_packet_number:
            space.expected_packet_number = number + 1
        if number > self._spin_highest_pn:
            self._spin_highest_pn, self._spin_bit = number, not header[0] & _SPIN
        eliciting = self._receive_payload(payload, cid, now)
        if self._state is QuicConnectionState.CONNECTED and not self._close_pending:
            self._close_at = now + self._idle_timeout()
            self._ack_eliciting_sent_since_receipt = False
            self._note_received(number, eliciting, now)
        return True

    def _receive_payload(self, payload: bytes, cid: bytes, now: float) -> bool:
        """Take the frames; whether the packet asks to be acknowledged."""
        path = self._network_paths[0]
        context = QuicReceiveContext(Epoch.ONE_RTT, cid, path, None, now, self._version)
        try:
            return self._payload_received(context, payload)[0]
        except QuicConnectionError as error:
            self._logger.warning(error)
            self.close(error.error_code, error.frame_type, error.reason_phrase)
            return False

    def _note_received(self, number: int, eliciting: bool, now: float) -> None:
        space = self._space
        if number > space.largest_received_packet:
            space.largest_received_packet, space.largest_received_time = number, now
        space.ack_queue.add(number)
        space.received_packets.add(number)
        if len(space.ack_queue) > MAX_ACK_RANGES:  # RFC 9000 13.2.3
            space.ack_queue.shift()
        if eliciting and space.ack_at is None:
            # Without a request open there is nothing that it could go along with.
            space.ack_at = now + self._ack_delay if self._parked or self._events else now

    # STREAM frames --------------------------------------------------------------------------

    def _handle_stream_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        at, stream_id = buf.tell(), buf.pull_uint_var()
        offset = buf.pull_uint_var() if frame_type & _OFFSET else 0
        length = buf.pull_uint_var() if frame_type & _LENGTH else buf.capacity - buf.tell()
        stream = self._streams.get(stream_id)
        if stream is not None and self._is_next(stream, offset, length):
            self._take_next(stream_id, stream, buf.pull_bytes(length), bool(frame_type & _FIN))
        else:
            buf.seek(at)
            super()._handle_stream_frame(context, frame_type, buf)
            stream = self._streams.get(stream_id)
            if stream is not None:
                self._forget_finished(stream_id, stream)
        if stream is not None and 2 * stream.receiver._buffer_start > stream.max_stream_data_local:
            self._thirsty.add(stream_id)

    def _is_next(self, stream: QuicStream, offset: int, length: int) -> bool:
        """Whether these bytes follow those that were passed on, and are within all limits."""
        receiver, limit = stream.receiver, self._local_max_data
        return (
            offset == receiver._buffer_start == receiver.highest_offset
            and length > 0
            and not receiver.is_finished
            and receiver._final_size is None
            and offset + length <= stream.max_stream_data_local
            and limit.used + length <= limit.value
        )

    def _take_next(self, stream_id: int, stream: QuicStream, data: bytes, ended: bool) -> None:
        receiver = stream.receiver
        receiver._buffer_start = receiver.highest_offset = receiver.highest_offset + len(data)
        self._local_max_data.used += len(data)
        self._events.append(StreamDataReceived(data, ended, stream_id))
        if ended:
            receiver._final_size, receiver.is_finished = receiver.highest_offset, True
            self._forget_finished(stream_id, stream)
