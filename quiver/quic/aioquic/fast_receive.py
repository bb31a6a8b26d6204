"""The common packets of a server, read with less work. Touches aioquic's private names.

Once the handshake is confirmed nearly all that comes are 1-RTT packets on the one path there is,
and nearly all that they bring of streams comes in order. For these there is a shorter way than
aioquic's, which is made for servers, handshakes and migration as well. What is not of this kind,
or breaks a rule, goes aioquic's way from its first byte on.
"""

from __future__ import annotations

from typing import Any, Final

from aioquic._buffer import Buffer
from aioquic._crypto import CryptoError
from aioquic.quic.connection import (
    QuicConnectionError,
    QuicConnectionState,
    QuicReceiveContext,
)
from aioquic.quic.packet import QuicErrorCode, QuicFrameType
from aioquic.quic.recovery import MAX_ACK_RANGES
from aioquic.tls import Epoch

from quiver.quic.aioquic.connection import Connection
from quiver.quic.aioquic.fast_send import FastSend
from quiver.quic.aioquic.plain_path import PlainReceive
from quiver.quic.engine import StreamDataReceived

__all__ = ["FastReceive"]

# A member of an enumeration is looked up slowly, and these for each packet.
_CONNECTED: Final = QuicConnectionState.CONNECTED
_ONE_RTT: Final = Epoch.ONE_RTT

_FORM, _SHORT = 0xC0, 0x40  # of a packet's first byte (RFC 9000 17.3.1)
_SPIN, _RESERVED = 0x20, 0x18
_OFFSET, _LENGTH, _FIN = 0x04, 0x02, 0x01  # of a STREAM frame's type (RFC 9000 19.8)


class FastReceive(PlainReceive):
    """The fast path in, for what is common; aioquic's own for the rest."""

    def __init__(self, connection: Connection, send: FastSend) -> None:
        super().__init__(connection)
        self._send = send
        self._space: Any = None  # the packet number space of 1-RTT packets, and
        self._keys: Any = None  # their keys, once the handshake is confirmed
        self._end_of_cid = 1  # where that of a packet's header ends

    def confirmed(self, space: Any, keys: Any) -> None:
        """Expect packets in this space, with these keys: the handshake is confirmed."""
        self._space, self._keys = space, keys
        self._end_of_cid = 1 + len(self.connection.host_cid)  # all of ours are as long

    def take(self, datagram: bytes, now: float) -> bool:
        if self._space is None or not datagram:
            return super().take(datagram, now)
        quic, cid = self.connection, datagram[1 : self._end_of_cid]
        paths, ours = quic._network_paths, quic._host_cids
        if (
            quic._state is _CONNECTED
            and len(paths) == 1
            and paths[0].is_validated
            and datagram[0] & _FORM == _SHORT
            and (cid == ours[0].cid or any(cid == each.cid for each in ours))
        ):
            return self._receive_packet(datagram, cid, now)
        return super().take(datagram, now)

    def _receive_packet(self, data: bytes, cid: bytes, now: float) -> bool:
        """Take a 1-RTT packet; True when it cannot be decrypted."""
        space, quic = self._space, self.connection
        try:
            header, payload, number = self._keys.decrypt_packet(
                data, 1 + len(cid), space.expected_packet_number
            )
        except CryptoError as error:
            quic._logger.debug(error)
            return True
        if number in space.received_packets:  # RFC 9000 12.3
            return False
        self.heard = now
        if header[0] & _RESERVED:
            said = "Reserved bits must be zero"
            quic.close(QuicErrorCode.PROTOCOL_VIOLATION, QuicFrameType.PADDING, said)
            return False
        if number > space.expected_packet_number:
            space.expected_packet_number = number + 1
        if number > quic._spin_highest_pn:
            quic._spin_highest_pn, quic._spin_bit = number, not header[0] & _SPIN
        eliciting = self._receive_payload(payload, cid, now)
        if quic._state is _CONNECTED and not quic._close_pending:
            quic._close_at = now + quic._idle_timeout()
            quic._ack_eliciting_sent_since_receipt = False
            self._note_received(number, eliciting, now)
        return False

    def _receive_payload(self, payload: bytes, cid: bytes, now: float) -> bool:
        """Take the frames; whether the packet asks to be acknowledged."""
        quic = self.connection
        path = quic._network_paths[0]
        context = QuicReceiveContext(_ONE_RTT, cid, path, None, now, quic._version)
        try:
            return quic._payload_received(context, payload)[0]
        except QuicConnectionError as error:
            quic._logger.warning(error)
            quic.close(error.error_code, error.frame_type, error.reason_phrase)
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
            waits = self._send.parked or self.connection._events
            space.ack_at = now + self.connection._ack_delay if waits else now

    # STREAM frames --------------------------------------------------------------------------

    def stream_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        """Take the place of aioquic's handler for them.

        The fast path is for bytes that follow those which were passed on, within all limits.
        """
        at, stream_id = buf.tell(), buf.pull_uint_var()
        offset = buf.pull_uint_var() if frame_type & _OFFSET else 0
        length = buf.pull_uint_var() if frame_type & _LENGTH else buf.capacity - buf.tell()
        quic = self.connection
        stream, limit = quic._streams.get(stream_id), quic._local_max_data
        if stream is None:
            return self._plain_stream_frame(context, frame_type, buf, at, stream_id)
        receiver, end = stream.receiver, offset + length
        if (
            offset == receiver._buffer_start == receiver.highest_offset
            and length > 0
            and not receiver.is_finished
            and receiver._final_size is None
            and end <= stream.max_stream_data_local
            and limit.used + length <= limit.value
        ):
            data, ended = buf.pull_bytes(length), bool(frame_type & _FIN)
            receiver._buffer_start = receiver.highest_offset = end
            limit.used += length
            quic._events.append(StreamDataReceived(stream_id, data, ended))  # type: ignore[arg-type]
            if ended:
                receiver._final_size, receiver.is_finished = end, True
                self._send.forget_finished(stream_id, stream)
            if 4 * end > stream.max_stream_data_local:
                self._send.needs_window_update.add(stream_id)
            return None
        return self._plain_stream_frame(context, frame_type, buf, at, stream_id)

    def _plain_stream_frame(
        self, context: Any, frame_type: int, buf: Buffer, at: int, stream_id: int
    ) -> None:
        quic = self.connection
        buf.seek(at)
        Connection._handle_stream_frame(quic, context, frame_type, buf)
        stream = quic._streams.get(stream_id)
        if stream is not None:
            self._send.forget_finished(stream_id, stream)
            if 4 * stream.receiver._buffer_start > stream.max_stream_data_local:
                self._send.needs_window_update.add(stream_id)
