"""The common packets of a client, made with less work. Touches aioquic's private names.

Most of what a client sends are acknowledgements, PINGs, and requests that are whole and small. For
these there is a shorter way than aioquic's, which for each packet, and once more, looks at all
that might be pending and at every stream. What is not common goes aioquic's way, and so does
everything that is lost, when it is sent again.

A request that was sent whole is parked: aioquic knows its stream, but does not have it among those
to serve until there is something to do for it; so is a unidirectional stream on which nothing is
under way. So a flush beside a thousand open streams costs as much as beside one.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final

from aioquic.buffer import size_uint_var
from aioquic.quic.connection import Limit, QuicConnectionState
from aioquic.quic.packet_builder import (
    PACKET_NUMBER_SEND_SIZE,
    QuicDeliveryState,
    QuicPacketBuilderStop,
)
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

from quiver.quic.aioquic.bulk_send import BulkSend, has_lost, is_fresh, is_quiet
from quiver.quic.aioquic.connection import Connection
from quiver.quic.aioquic.lazy_stream import LazyStream
from quiver.quic.aioquic.packet_keys import TAG
from quiver.quic.aioquic.packet_rows import Packet
from quiver.quic.aioquic.path_probe import PathProbe
from quiver.quic.aioquic.plain_path import PlainSend

__all__ = ["FastSend"]

_OVERHEAD: Final = 1 + PACKET_NUMBER_SEND_SIZE + TAG
"""Bytes of a packet that are not frames, apart from the connection id (RFC 9000 17.3.1)."""

_ACK: Final = 0x02  # an ACK frame without ECN counts (RFC 9000 19.3)
_WHOLE: Final = 0x0B  # a STREAM frame with all of its stream, and a length (RFC 9000 19.8)
_SMALL: Final = 1_000  # bytes; surely fits a packet of its own

# Members of an enumeration are looked up slowly, and these for each packet.
_CONNECTED: Final = QuicConnectionState.CONNECTED
_ACKED: Final = QuicDeliveryState.ACKED
_ONE_RTT: Final = Epoch.ONE_RTT


_was_sent: Final[Callable[[Any], bool]] = attrgetter("was_sent")


class FastSend(PlainSend):
    """The fast path out, for what is common; aioquic's own for the rest.

    Attributes:
        parked: requests that were sent whole, as far as is known.
        needs_window_update: streams that have used a quarter of their credit.
        uploads: whether there was a body to send in the last flush.
        path: finds out how long datagrams may be, from `least` bytes on.
    """

    def __init__(self, connection: Connection, least: int) -> None:
        super().__init__(connection)
        self.parked: set[int] = set()
        self.needs_window_update: set[int] = set()
        self.uploads = False
        self.path = PathProbe(connection, least)
        self._bulk = BulkSend(connection)
        self._quiet: set[int] = set()  # unidirectional streams, both sides', that are parked
        self._unsent: list[tuple[int, bytes]] = []  # requests of which nothing has been sent
        self._space: Any = None  # the packet number space of 1-RTT packets, and
        self._keys: Any = None  # their keys, once the handshake is confirmed
        self._crypto: Any = None  # the sending half of the stream of CRYPTO frames in them

    def handshake_completed(self) -> None:
        """Free what our part of it was written into: three times 16 KiB."""
        self.connection._crypto_buffers = {}

    def confirmed(self, space: Any, keys: Any) -> None:
        """Send in this space, with these keys, from now on: the handshake is confirmed."""
        self._space, self._keys = space, keys
        self._crypto = self.connection._crypto_streams[_ONE_RTT].sender

    def open_stream(self, stream_id: int, content: bytes, ended: bool) -> None:
        connection = self.connection
        credit = connection._remote_max_stream_data_bidi_remote
        if not ended or len(content) > min(_SMALL, credit):
            return connection.send_stream_data(stream_id, content, ended)
        connection._local_next_stream_id_bidi = stream_id + 4
        limit = connection._local_max_stream_data_bidi_local
        connection._streams[stream_id] = LazyStream(stream_id, limit, credit)
        return self._unsent.append((stream_id, content))

    def flush(self, now: float) -> list[bytes]:
        quic = self.connection
        if quic._loss._pto_count:
            self.path.timed_out()
        ready: list[bytes] = []
        due = True
        bodies = self._bodies()
        self.uploads = bool(bodies)
        if bodies is not None and self._is_common():
            quic._pacing_at = None
            while (due := self._due(now)) and self._may_send(now):
                ready.append(self._send_packet(bodies, now))
            if bodies and not due:
                ready += self._send_again(bodies[0], now)
                if not (due := has_lost(bodies[0])):
                    runs, due = self._bulk.send(bodies, now)
                    ready += runs
        if due:
            self._hand_over()
            ready += super().flush(now)
        if due or bodies or len(ready) > 1:
            self.path.after_flush(ready, now)
        return ready

    def leave_path(self) -> None:
        loss: Any = self.connection._loss
        loss.begin_path()
        self.path.shorten()

    def shorten(self) -> None:
        self.path.shorten()

    # what is common -------------------------------------------------------------------------

    def _is_common(self) -> bool:
        """Whether nothing but ACK, PINGs and whole requests can be waiting to be sent, apart from
        what streams may have."""
        quic, paths = self.connection, self.connection._network_paths
        return (
            self._space is not None
            and quic._state is _CONNECTED
            and not quic._close_pending
            and not quic._probe_pending
            and not quic._datagrams_pending
            and not quic._streams_blocked_pending
            and not quic._retire_connection_ids
            and len(paths) == 1
            and paths[0].is_validated
            and not paths[0].remote_challenges
            and self._crypto.buffer_is_empty
            and not self._raises_limits()
            and all(map(_was_sent, quic._host_cids))
        )

    def _bodies(self) -> list[QuicStream] | None:
        """The streams with bytes of a body to send and nothing else, of which most have none. None
        where others have something, or aioquic has to forget one of the peer's.

        Those of ours that are finished are forgotten, as aioquic does when it writes a packet. Else
        each would keep us from the fast path, and what is asked meanwhile be handed over too, so
        that there would always be some.
        """
        quic = self.connection
        queue: list[Any] = quic._streams_queue
        bodies: list[QuicStream] = []
        if not queue:
            return bodies  # as mostly
        rest, quic._streams_queue = True, []
        for stream in queue:
            sender, receiver = stream.sender, stream.receiver
            if sender.is_finished and receiver.is_finished:
                if not stream.stream_id & 1:
                    del quic._streams[stream.stream_id]
                    continue
                rest = False  # aioquic allows the peer another one
            elif sender.reset_pending or receiver.stop_pending:
                rest = False
            elif not sender.buffer_is_empty:
                bodies.append(stream)
            elif self._space is not None and is_quiet(stream):
                self._quiet.add(stream.stream_id)
                continue
            quic._streams_queue.append(stream)
        if rest and len(bodies) == 1 and has_lost(bodies[0]):
            return bodies
        least = quic._max_datagram_size
        return bodies if rest and all(is_fresh(each, least) for each in bodies) else None

    def _raises_limits(self) -> bool:
        """Whether the peer may be due MAX_DATA, MAX_STREAMS or MAX_STREAM_DATA."""
        quic, waiting = self.connection, self.needs_window_update
        if waiting:
            waiting &= quic._streams.keys()
            if any(quic.is_stream_credit_due(quic._streams[each]) for each in waiting):
                return True
        return (
            quic.is_max_data_due()
            or _is_raised(quic._local_max_streams_bidi)
            or _is_raised(quic._local_max_streams_uni)
        )

    # when -----------------------------------------------------------------------------------

    def _due(self, now: float) -> bool:
        if self._unsent or self.connection._ping_pending:
            return True
        return self._acks(now)

    def _acks(self, now: float) -> bool:
        ack_at = self._space.ack_at
        return ack_at is not None and ack_at <= now

    def _may_send(self, now: float) -> bool:
        """By flow control, the congestion window, and pacing, from which an ACK is exempt."""
        quic, unsent = self.connection, self._unsent
        if not unsent and not quic._ping_pending:
            return True
        if unsent and len(unsent[0][1]) > quic._remote_max_data - quic._remote_max_data_used:
            return False
        loss = quic._loss
        return loss.congestion_window - loss.bytes_in_flight >= quic._max_datagram_size and (
            loss._pacer.packet_time is None
            or self._acks(now)
            or loss._pacer.next_send_time(now=now) is None
        )

    # one packet -----------------------------------------------------------------------------

    def _send_packet(self, bodies: list[QuicStream], now: float) -> bytes:
        quic = self.connection
        number, cid = quic._packet_number, quic._peer_cid.cid
        overhead = _OVERHEAD + len(cid)
        packet: Any = Packet(number, quic._max_datagram_size - overhead, now)
        if bodies:  # of which one has the rest of the window
            packet.bound(quic._loss.congestion_window - quic._loss.bytes_in_flight - overhead)
        try:
            if self._space.ack_at is not None:
                self._write_ack(packet, now)
            if quic._ping_pending:
                quic._write_ping_frame(packet, quic._ping_pending)
                quic._ping_pending.clear()
            self._write_requests(packet)
            if bodies:
                self._write_body(packet, bodies[0])
        except QuicPacketBuilderStop:
            pass  # an ACK may fill it
        quic._loss._pacer.update_after_send(now=now)
        keys = self._keys.begin_run(number, 1)
        datagram: bytes = packet.sealed(keys, quic._spin_bit, cid)
        self._remember(packet, now)
        return datagram

    def _remember(self, packet: Packet, now: float) -> None:
        """What has to be known of a packet that was sent."""
        quic, space = self.connection, self._space
        quic._packet_number += 1
        quic._network_paths[0].bytes_sent += packet.sent_bytes
        space.sent_packets[packet.packet_number] = packet
        if not packet.is_ack_eliciting:
            return
        space.ack_eliciting_in_flight += 1
        loss: Any = quic._loss
        loss._time_of_last_sent_ack_eliciting_packet = now
        loss._cc.on_run_sent(packet=packet, count=1)
        if not quic._ack_eliciting_sent_since_receipt:  # RFC 9000 10.1
            quic._close_at = now + quic.idle_timeout
            quic._ack_eliciting_sent_since_receipt = True

    def _send_again(self, stream: QuicStream, now: float) -> list[bytes]:
        """What was lost of a body, as far as it goes in full packets."""
        quic, ready = self.connection, list[bytes]()
        loss = quic._loss
        while (
            has_lost(stream)
            and loss.congestion_window - loss.bytes_in_flight >= quic._max_datagram_size
            and loss._pacer.next_send_time(now=now) is None
        ):
            ready.append(self._send_packet([stream], now))
        return ready

    def _write_ack(self, packet: Any, now: float) -> None:
        """What has come: in one range, as mostly, or as aioquic makes sure that more of them fit,
        and are heard of."""
        quic, space = self.connection, self._space
        if len(space.ack_queue) != 1:
            return quic._write_ack_frame(packet, space, now)
        numbers, delay = space.ack_queue[0], now - space.largest_received_time
        about = space, space.largest_received_packet
        frame = packet.start_frame(_ACK, 1, quic._on_ack_delivery, about)
        frame.push_uint_var(numbers.stop - 1)
        frame.push_uint_var(int(delay * 1_000_000) >> quic._local_ack_delay_exponent)
        frame.push_uint8(0)  # ranges beside this one
        frame.push_uint_var(numbers.stop - 1 - numbers.start)
        space.ack_at = None

    def _write_requests(self, packet: Packet) -> None:
        """As many as there is room and credit for."""
        quic, unsent = self.connection, self._unsent
        while unsent:
            stream_id, content = unsent[0]
            size = len(content)
            if size > quic._remote_max_data - quic._remote_max_data_used:
                break
            length = 3 + size_uint_var(stream_id) + size
            try:
                frame = packet.start_frame(_WHOLE, length, self._on_request_delivery, unsent[0])
            except QuicPacketBuilderStop:
                break
            frame.push_uint_var(stream_id)
            frame.push_uint16(size | 0x4000)
            frame.push_bytes(content)
            sender = quic._streams[stream_id].sender
            sender.highest_offset = sender._buffer_stop = sender._buffer_fin = size
            quic._remote_max_data_used += size
            self.parked.add(stream_id)
            del unsent[0]

    def _write_body(self, packet: Packet, stream: QuicStream) -> None:
        """As much of it as there is room and credit for."""
        quic = self.connection
        credit = quic._remote_max_data - quic._remote_max_data_used
        most = min(stream.sender.highest_offset + credit, stream.max_stream_data_remote)
        written: Any = quic._write_stream_frame(packet, self._space, stream, most)  # type: ignore[arg-type]
        quic._remote_max_data_used += written

    def _on_request_delivery(
        self, delivery: QuicDeliveryState, stream_id: int, content: bytes
    ) -> None:
        stream = self.connection._streams.get(stream_id)
        if stream is None or stream.sender._reset_error_code is not None:
            return
        sender = stream.sender
        if delivery is _ACKED:
            sender._buffer_start = sender._buffer_stop
            sender.is_finished = True
            if stream.receiver.is_finished:
                self.forget_finished(stream_id, stream)
        else:
            sender._buffer += content
            sender.on_data_delivery(delivery, 0, len(content), True)
            self.serve(stream_id)

    # whose streams they are -----------------------------------------------------------------

    def _hand_over(self) -> None:
        """Leave it to aioquic to send the requests of which nothing has been sent."""
        quic = self.connection
        for stream_id, content in self._unsent:
            stream = quic._streams[stream_id]
            stream.sender.write(content, True)
            quic._streams_queue.append(stream)
        self._unsent.clear()

    def serve(self, stream_id: int) -> None:
        """Leave a stream to aioquic that was parked: there may be something to send."""
        for parked in (self.parked, self._quiet):
            if stream_id in parked:
                parked.discard(stream_id)
                self.connection._streams_queue.append(self.connection._streams[stream_id])

    def forget_finished(self, stream_id: int, stream: QuicStream) -> None:
        """Have aioquic forget at once one that is parked; but one of the peer's as aioquic does,
        which allows it another one."""
        if not stream.is_finished:
            return
        if stream_id in self.parked:
            self.parked.discard(stream_id)
            del self.connection._streams[stream_id]
        else:
            self.serve(stream_id)

    def forget_streams(self) -> None:
        """Forget all streams, which the connection has forgotten."""
        self._unsent.clear()
        self.parked.clear()
        self._quiet.clear()
        self.needs_window_update.clear()

    def reset_stream(self, stream_id: int, code: int) -> None:
        self._hand_over()
        self.serve(stream_id)
        super().reset_stream(stream_id, code)

    def stop_stream(self, stream_id: int, code: int) -> None:
        self._hand_over()
        self.serve(stream_id)
        super().stop_stream(stream_id, code)


def _is_raised(limit: Limit) -> bool:
    """Whether aioquic would tell the peer of it."""
    return limit.value != limit.sent and limit.sent - limit.used < limit.value - limit.sent
