"""The common packets of a server, read with less work. Touches aioquic's private names.

Once the handshake is confirmed nearly all that comes are 1-RTT packets on the one path there is,
and nearly all that they bring of streams comes in order. For these there is a shorter way than
aioquic's, which is made for servers, handshakes and migration as well. What is not of this kind,
or breaks a rule, goes aioquic's way from its first byte on.
"""

from __future__ import annotations

from collections.abc import Sequence
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
from quiver.quic.aioquic.packet_rows import PacketRows
from quiver.quic.aioquic.plain_path import PlainReceive
from quiver.quic.aioquic.row_frames import ACK, AckRow, StreamRun
from quiver.quic.engine import StreamDataReceived

__all__ = ["FastReceive"]

# A member of an enumeration is looked up slowly, and these for each packet.
_CONNECTED: Final = QuicConnectionState.CONNECTED
_ONE_RTT: Final = Epoch.ONE_RTT

_FORM, _SHORT = 0xC0, 0x40  # of a packet's first byte (RFC 9000 17.3.1)
_SPIN, _RESERVED = 0x20, 0x18
_MAX_STREAMS: Final = 0x12  # type of a MAX_STREAMS frame for streams both ways (RFC 9000 19.11)
_OFFSET, _LENGTH, _FIN = 0x04, 0x02, 0x01  # of a STREAM frame's type (RFC 9000 19.8)

ROW: Final = 32
"""Packets that are looked at together, as long as all that came was common: what is not may be
dear, and its cost is looked at after each."""

_UPLOADING: Final = 10
"""Times longer that an ACK waits while a body goes up, and nothing is asked but more credit."""


class FastReceive(PlainReceive):
    """The fast path in, for what is common; aioquic's own for the rest."""

    def __init__(self, connection: Connection, send: FastSend) -> None:
        super().__init__(connection)
        self._send = send
        self._space: Any = None  # the packet number space of 1-RTT packets, and
        self._keys: Any = None  # their keys, once the handshake is confirmed
        self._rows: PacketRows | None = None
        self._run = StreamRun(connection, send)
        self._acks = AckRow(connection)
        self._end_of_cid = 1  # where that of a packet's header ends

    def confirmed(self, space: Any, keys: Any) -> None:
        """Expect packets in this space, with these keys: the handshake is confirmed."""
        self._space, self._keys = space, keys
        self._end_of_cid = 1 + len(self.connection.host_cid)  # all of ours are as long
        self._rows = PacketRows.of(keys, self._end_of_cid)

    def take(self, datagram: bytes, now: float) -> bool:
        cid = datagram[1 : self._end_of_cid]
        if datagram and datagram[0] & _FORM == _SHORT and self._is_common(cid):
            return self._receive_packet(datagram, cid, now)
        return super().take(datagram, now)

    def _is_common(self, cid: bytes) -> bool:
        """Whether 1-RTT packets for this connection id may go the short way."""
        quic = self.connection
        paths, ours = quic._network_paths, quic._host_cids
        return (
            self._space is not None
            and quic._state is _CONNECTED
            and len(paths) == 1
            and paths[0].is_validated
            and (cid == ours[0].cid or any(cid == each.cid for each in ours))
        )

    # a row of packets -----------------------------------------------------------------------

    def take_row(self, datagrams: Sequence[bytes], now: float) -> int:
        rows, quic, run, acks = self._rows, self.connection, self._run, self._acks
        cid = datagrams[0][1 : self._end_of_cid]
        self.ahead = 1
        if rows is None or quic._close_pending or not self._is_common(cid):
            return 0
        taken, first, eliciting, common = 0, 0, False, True
        begin = end = 0  # the numbers that were taken in a row, and not noted yet
        space = self._space
        for first, payload, number in rows.opened(datagrams, cid, space.largest_received_packet):
            taken += 1
            at, size, asked = 0, len(payload), False
            if payload.startswith(ACK):
                if run.pieces:
                    run.end()
                at = acks.take(payload, now, space)
            if at < size:
                if acks.ranges is not None:
                    acks.end(now, space)
                frames = at
                if payload[at] == _MAX_STREAMS:
                    at = self._take_max_streams(payload, at)
                if at < size:
                    at = run.take(payload, at)
                asked = at > frames
            if at < size or not size:
                self._end_row(first, begin, end, eliciting, now)
                begin, eliciting, common = number, False, False
                asked |= self._receive_payload(payload[at:], cid, now)
                if quic._state is not _CONNECTED or quic._close_pending:
                    self._note_header(first, number, now)
                    return taken
            elif number != end:  # it is the first one, or there is a gap before it
                if begin < end:
                    self._end_row(first, begin, end, eliciting, now)
                begin, eliciting = number, False
            end = number + 1
            eliciting |= asked
        if common and taken == len(datagrams):
            self.ahead = ROW
        self._end_row(first, begin, end, eliciting, now)
        return taken

    def _end_row(self, first: int, begin: int, end: int, eliciting: bool, now: float) -> None:
        """Tell of what packets brought, the last of which has that first byte, and note their
        numbers, from `begin` to below `end`."""
        if self._acks.ranges is not None:
            self._acks.end(now, self._space)
        if self._run.pieces:
            self._run.end()
        if begin < end:
            self._note_header(first, end - 1, now)
            self._note_received(begin, end, eliciting, now)

    def _take_max_streams(self, payload: bytes, at: int) -> int:
        """Take a MAX_STREAMS frame for requests, with which a server answers one, where its number
        is as long as mostly. Returns where it ends."""
        if at + 2 >= len(payload) or payload[at + 1] & 0xC0 != 0x40:
            return at
        quic, most = self.connection, (payload[at + 1] & 0x3F) << 8 | payload[at + 2]
        if most > quic._remote_max_streams_bidi:
            quic._remote_max_streams_bidi = most
            if quic._streams_blocked_bidi:
                quic._unblock_streams(is_unidirectional=False)
        return at + 3

    # a packet -------------------------------------------------------------------------------

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
        if number not in space.received_packets:  # RFC 9000 12.3
            self._receive_frames(header[0], number, payload, cid, now)
        return False

    def _receive_frames(
        self, first: int, number: int, payload: bytes, cid: bytes, now: float
    ) -> None:
        """Take a packet that is the peer's and has not come before."""
        quic = self.connection
        if first & _RESERVED:
            self.heard = now
            said = "Reserved bits must be zero"
            quic.close(QuicErrorCode.PROTOCOL_VIOLATION, QuicFrameType.PADDING, said)
            return
        self._note_header(first, number, now)
        eliciting = self._receive_payload(payload, cid, now)
        if quic._state is _CONNECTED and not quic._close_pending:
            self._note_received(number, number + 1, eliciting, now)

    def _note_header(self, first: int, number: int, now: float) -> None:
        space, quic = self._space, self.connection
        self.heard = now
        if number >= space.expected_packet_number:
            space.expected_packet_number = number + 1
        if number > quic._spin_highest_pn:
            quic._spin_highest_pn, quic._spin_bit = number, not first & _SPIN

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

    def _note_received(self, begin: int, end: int, eliciting: bool, now: float) -> None:
        """Note packets from one number to below another; `eliciting`: some ask for an ACK."""
        space, quic, last = self._space, self.connection, end - 1
        quic._close_at = now + quic.idle_timeout
        quic._ack_eliciting_sent_since_receipt = False
        if last > space.largest_received_packet:
            space.largest_received_packet, space.largest_received_time = last, now
        queue, received = space.ack_queue, space.received_packets
        queue.add(begin, end)
        if len(queue) > MAX_ACK_RANGES:  # RFC 9000 13.2.3
            queue.shift()
        if begin < last:
            received._received.update(range(begin, last))
        received.add(last)  # and what falls out of the window is forgotten
        if eliciting and space.ack_at is None:
            # Without a request open there is nothing that it could go along with.
            if self._send.uploads:
                space.ack_at = now + _UPLOADING * quic._ack_delay
            else:
                waits = self._send.parked or quic._events
                space.ack_at = now + quic._ack_delay if waits else now

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
