"""The common packets of a client, made with less work. Touches aioquic's private names.

Most of what a client sends are acknowledgements, PINGs, and requests that are whole and small. For
these there is a shorter way than aioquic's, which for each packet, and once more, looks at all
that might be pending and at every stream. What is not common goes aioquic's way, and so does
everything that is lost, when it is sent again.

A request that was sent whole is parked: aioquic knows its stream, but does not have it among those
to serve until there is something to do for it. So a flush beside a thousand open streams costs as
much as beside one.
"""

from __future__ import annotations

import contextlib
from itertools import filterfalse
from typing import Any, Final

from aioquic._buffer import Buffer
from aioquic.buffer import size_uint_var
from aioquic.quic.connection import Limit, QuicConnection, QuicConnectionState
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilderStop
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

from quiver.h3.packet import Packet, short_header

__all__ = ["Outbound"]

_WHOLE: Final = 0x0B  # a STREAM frame with all of its stream, and a length (RFC 9000 19.8)
_SMALL: Final = 1_000  # bytes; surely fits a packet of its own


class Outbound(QuicConnection):
    """A client's connection that goes the short way when what is to be sent is common."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._fresh: list[tuple[int, bytes]] = []  # requests of which nothing has been sent
        self._parked: set[int] = set()  # requests that were sent whole, as far as is known
        self._thirsty: set[int] = set()  # streams that have used half of their credit
        self._space: Any = None  # the packet number space of 1-RTT packets, and
        self._keys: Any = None  # their keys, once the handshake is confirmed

    def _confirm_handshake(self) -> None:
        super()._confirm_handshake()
        self._space, self._keys = self._spaces[Epoch.ONE_RTT], self._cryptos[Epoch.ONE_RTT]

    def send_request(self, stream_id: int, content: bytes) -> None:
        """Send all of the next stream, which the peer allows, and its end."""
        credit = self._remote_max_stream_data_bidi_remote
        if len(content) > min(_SMALL, credit):
            return self.send_stream_data(stream_id, content, True)
        assert stream_id == self._local_next_stream_id_bidi < 4 * self._remote_max_streams_bidi
        self._local_next_stream_id_bidi = stream_id + 4
        limit = self._local_max_stream_data_bidi_local
        self._streams[stream_id] = QuicStream(stream_id, limit, credit)
        return self._fresh.append((stream_id, content))

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        ready: list[tuple[bytes, Any]] = []
        self._discard_finished()
        if self._is_common():
            self._pacing_at = None
            while self._due(now) and self._may_send(now):
                ready += self._send_packet(now)
            if not self._due(now):
                return ready
        self._hand_over()
        return ready + super().datagrams_to_send(now)

    # what is common -------------------------------------------------------------------------

    def _is_common(self) -> bool:
        """Whether nothing but ACK, PINGs and whole requests can be waiting to be sent."""
        return (
            self._space is not None
            and self._state is QuicConnectionState.CONNECTED
            and self._quic_logger is None
            and not self._close_pending
            and not self._probe_pending
            and not self._datagrams_pending
            and not self._streams_blocked_pending
            and not self._retire_connection_ids
            and self._remote_preferred_address is None
            and self._path_is_quiet()
            and not self._raises_limits()
            and self._crypto_streams[Epoch.ONE_RTT].sender.buffer_is_empty
            and all(map(_rests, self._streams_queue))
            and all(connection_id.was_sent for connection_id in self._host_cids)
        )

    def _path_is_quiet(self) -> bool:
        path = self._network_paths[0]
        alone = len(self._network_paths) == 1
        return alone and path.is_validated and not path.remote_challenges

    def _raises_limits(self) -> bool:
        """Whether the peer may be due MAX_DATA, MAX_STREAMS or MAX_STREAM_DATA."""
        if self._thirsty:
            self._thirsty &= self._streams.keys()
        limits = self._local_max_streams_bidi, self._local_max_streams_uni
        return (
            self._raises_max_data()
            or any(map(_is_raised, limits))
            or any(self._raises_credit(self._streams[each]) for each in self._thirsty)
        )

    def _raises_max_data(self) -> bool:
        limit = self._local_max_data
        return 2 * limit.used > limit.value or limit.value != limit.sent

    def _raises_credit(self, stream: Any) -> bool:
        told, limit = stream.max_stream_data_local_sent, stream.max_stream_data_local
        return bool(told != limit or 2 * stream.receiver.highest_offset > limit)

    # when -----------------------------------------------------------------------------------

    def _due(self, now: float) -> bool:
        return bool(self._fresh or self._ping_pending) or self._acks(now)

    def _acks(self, now: float) -> bool:
        ack_at = self._space.ack_at
        return ack_at is not None and ack_at <= now

    def _may_send(self, now: float) -> bool:
        """By flow control, the congestion window, and pacing, from which an ACK is exempt."""
        loss = self._loss
        if not self._fresh and not self._ping_pending:
            return True
        if self._fresh and len(self._fresh[0][1]) > self._credit:
            return False
        return loss.congestion_window - loss.bytes_in_flight >= self._max_datagram_size and (
            self._acks(now) or loss._pacer.next_send_time(now=now) is None
        )

    @property
    def _credit(self) -> int:
        return self._remote_max_data - self._remote_max_data_used

    # one packet -----------------------------------------------------------------------------

    def _send_packet(self, now: float) -> list[tuple[bytes, Any]]:
        number, cid, keys = self._packet_number, self._peer_cid.cid, self._keys
        header = short_header(self._spin_bit, keys.key_phase, cid, number)
        packet: Any = Packet(number, header, keys, self._max_datagram_size)
        with contextlib.suppress(QuicPacketBuilderStop):  # an ACK may fill it
            if self._space.ack_at is not None:
                self._write_ack_frame(packet, self._space, now)
            if self._ping_pending:
                self._write_ping_frame(packet, self._ping_pending)
                self._ping_pending.clear()
            self._write_requests(packet)
        self._loss._pacer.update_after_send(now=now)
        return self._flush_builder(packet, self._network_paths[0], cid, now)

    def _write_requests(self, packet: Packet) -> None:
        """As many as there is room and credit for."""
        written = 0
        for stream_id, content in self._fresh:
            size = len(content)
            room = packet.remaining_buffer_space - 3 - size_uint_var(stream_id)
            if size > min(room, self._credit):
                break
            buffer = packet.start_frame(_WHOLE, 1, self._on_request_delivery, (stream_id, content))
            buffer.push_uint_var(stream_id)
            buffer.push_uint16(size | 0x4000)
            buffer.push_bytes(content)
            sender = self._streams[stream_id].sender
            sender.highest_offset = sender._buffer_stop = sender._buffer_fin = size
            self._remote_max_data_used += size
            self._parked.add(stream_id)
            written += 1
        del self._fresh[:written]

    def _on_request_delivery(
        self, delivery: QuicDeliveryState, stream_id: int, content: bytes
    ) -> None:
        stream = self._streams.get(stream_id)
        if stream is None or stream.sender._reset_error_code is not None:
            return
        sender = stream.sender
        if delivery is QuicDeliveryState.ACKED:
            sender._buffer_start = sender._buffer_stop
            sender.is_finished = True
            self._forget_finished(stream_id, stream)
        else:
            sender._buffer += content
            sender.on_data_delivery(delivery, 0, len(content), True)
            self._serve(stream_id)

    # whose streams they are -----------------------------------------------------------------

    def _hand_over(self) -> None:
        """Leave it to aioquic to send the requests of which nothing has been sent."""
        for stream_id, content in self._fresh:
            stream = self._streams[stream_id]
            stream.sender.write(content, True)
            self._streams_queue.append(stream)
        self._fresh.clear()

    def _serve(self, stream_id: int) -> None:
        """Leave a stream to aioquic that was parked: there may be something to send."""
        if stream_id in self._parked:
            self._parked.discard(stream_id)
            self._streams_queue.append(self._streams[stream_id])

    def _discard_finished(self) -> None:
        """As aioquic does when it writes a packet. Else each would keep us from the short way,
        and what is asked meanwhile be handed over too, so that there would always be some."""
        queue: list[Any] = self._streams_queue
        if any(map(_is_over, queue)):
            for stream in filter(_is_over, queue):
                del self._streams[stream.stream_id]
            self._streams_queue = list(filterfalse(_is_over, queue))

    def _forget_finished(self, stream_id: int, stream: QuicStream) -> None:
        """The same for one that is parked, at once."""
        if stream.is_finished and stream_id in self._parked:
            self._parked.discard(stream_id)
            del self._streams[stream_id]

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        self._hand_over()
        self._serve(stream_id)
        super().reset_stream(stream_id, error_code)

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        self._hand_over()
        self._serve(stream_id)
        super().stop_stream(stream_id, error_code)

    def _handle_reset_stream_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        self._serve(_peeked(buf))
        super()._handle_reset_stream_frame(context, frame_type, buf)

    def _handle_stop_sending_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        self._serve(_peeked(buf))
        super()._handle_stop_sending_frame(context, frame_type, buf)


def _is_over(stream: Any) -> bool:
    """Whether a stream of ours is finished. For one of the peer's, aioquic allows it another."""
    return not stream.stream_id & 1 and bool(stream.is_finished)


def _rests(stream: QuicStream) -> bool:
    """Whether aioquic would have nothing to send on it, nor to forget it."""
    sender, receiver = stream.sender, stream.receiver
    return (
        sender.buffer_is_empty
        and not sender.reset_pending
        and not receiver.stop_pending
        and not (sender.is_finished and receiver.is_finished)
    )


def _is_raised(limit: Limit) -> bool:
    """Whether aioquic would tell the peer of it."""
    return limit.value != limit.sent and limit.sent - limit.used < limit.value - limit.sent


def _peeked(buf: Buffer) -> int:
    at = buf.tell()
    number = buf.pull_uint_var()
    buf.seek(at)
    return number
