"""The packets of a body, a run at a time. Touches aioquic's private names.

While a body goes up nearly all packets are alike: full, with one STREAM frame of bytes that were
never sent before. A run of these is written, sealed and remembered at once, and acknowledged by
ranges: what aioquic does for each packet is done for each run. The first packet of what is not of
this kind ends a run, and goes another way: the last one of a body, what was lost, an ACK that is
due, the remainder of a congestion window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from aioquic.quic.packet_builder import PACKET_NUMBER_SEND_SIZE
from aioquic.quic.stream import QuicStream
from aioquic.tls import Epoch

from quiver.quic.aioquic.connection import Connection
from quiver.quic.aioquic.packet_keys import TAG
from quiver.quic.aioquic.packet_rows import seal_run
from quiver.quic.aioquic.sent_runs import Run
from quiver.quic.send_pieces import SendPieces
from quiver.quic.varint import encode_varint, varint_size

__all__ = ["BulkSend", "has_lost", "is_fresh", "is_quiet"]

_STREAM: Final = 0x0A  # a STREAM frame with a length (RFC 9000 19.8), and with
_OFFSET: Final = 0x04  # an offset
_LENGTH: Final = 2  # bytes of the length, as aioquic writes it
_OFFSETS: Final = (1 << 6, 1 << 14, 1 << 30, 1 << 62)  # from which one is longer (16)

_LEAST: Final = 2  # packets that are worth a run
_TURN: Final = 16  # packets of one body, where several go up


class BulkSend:
    """Sends what bodies have, as far as that is full packets."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def send(self, streams: Iterable[QuicStream], now: float) -> tuple[list[bytes], bool]:
        """As many packets of these as may be sent now, turn by turn; each `is_fresh`.

        Returns also whether there may be something that another packet could have now.
        """
        ready: list[bytes] = []
        waiting = deque(streams)
        most = _TURN if len(waiting) > 1 else 1 << 30
        while waiting:
            stream = waiting[0]
            length, count = self._run_of(stream)
            if count <= 0:
                waiting.popleft()
                continue
            count = self._allowed(min(count, most), now)
            if count <= 0:
                return ready + self._send_remainder(stream, length, now), False
            ready += self._send_run(stream, length, count, now)
            waiting.rotate(-1)
        return ready, True

    def _allowed(self, most: int, now: float) -> int:
        """Packets, by the congestion window and by pacing, by which they count as sent."""
        quic, loss = self.connection, self.connection._loss
        pacer: Any = loss._pacer
        window = loss.congestion_window - loss.bytes_in_flight
        allowed: int = pacer.take(min(most, window // quic._max_datagram_size), now)
        return allowed

    def _send_remainder(self, stream: QuicStream, length: int, now: float) -> list[bytes]:
        """A packet of what is left of the window; and when pacing lets the next one go."""
        quic, loss = self.connection, self.connection._loss
        pacer: Any = loss._pacer
        left = loss.congestion_window - loss.bytes_in_flight
        length -= max(0, quic._max_datagram_size - left)
        ready = []
        if length > 0 and pacer.take(1, now):
            ready = self._send_run(stream, length, 1, now)
        quic._pacing_at = pacer.next_send_time(now=now)
        return ready

    def _run_of(self, stream: QuicStream) -> tuple[int, int]:
        """Bytes of the body in a packet, and how many that are alike could follow each other."""
        quic, sender = self.connection, stream.sender
        offset = sender.highest_offset
        header = 1 + len(quic._peer_cid.cid) + PACKET_NUMBER_SEND_SIZE + TAG
        frame = 1 + varint_size(_id_of(stream)) + (varint_size(offset) if offset else 0)
        length = quic._max_datagram_size - header - frame - _LENGTH
        credit = quic._remote_max_data - quic._remote_max_data_used
        stop = min(sender._buffer_stop, offset + credit, stream.max_stream_data_remote)
        count = (stop - offset) // length
        if offset + count * length == sender._buffer_fin:
            count -= 1  # the last one tells of the end
        alike = next(each for each in _OFFSETS if offset < each) if offset else 1
        return length, min(count, -((offset - alike) // length))

    def _send_run(self, stream: QuicStream, length: int, count: int, now: float) -> list[bytes]:
        quic, sender = self.connection, stream.sender
        first, start = quic._packet_number, sender.highest_offset
        stop = start + count * length
        payloads = _payloads(stream, start, length, count)
        context = quic.packet_keys.begin_run(first, count)
        sealed = seal_run(context, quic._spin_bit, quic._peer_cid.cid, first, payloads)
        sender._pending.subtract(start, stop)
        sender.highest_offset = stop
        if stop == sender._buffer_stop and not sender._pending_eof:
            sender.buffer_is_empty = True
        quic._remote_max_data_used += stop - start
        quic._packet_number += count
        run = Run(sender, now, len(sealed[0]), first, first + count - 1, start, length)
        self._remember(run, count)
        quic._network_paths[0].bytes_sent += count * run.sent_bytes
        return sealed

    def _remember(self, run: Run, count: int) -> None:
        quic, now = self.connection, run.sent_time
        loss: Any = quic._loss
        space = quic._spaces[Epoch.ONE_RTT]
        sent: dict[int, Any] = space.sent_packets
        sent.update(dict.fromkeys(range(run.first, run.last + 1), run))
        space.ack_eliciting_in_flight += count
        loss._time_of_last_sent_ack_eliciting_packet = now
        loss._cc.on_run_sent(packet=run, count=count)
        if not quic._ack_eliciting_sent_since_receipt:
            quic._close_at = now + quic.idle_timeout
            quic._ack_eliciting_sent_since_receipt = True


def is_fresh(stream: QuicStream, least: int) -> bool:
    """Whether all that it has to send are bytes that were never sent, enough for some packets.

    Args:
        least: bytes of a packet.
    """
    sender: Any = stream.sender
    pending = sender._pending
    if stream.is_blocked or len(pending) != 1 or type(sender._buffer) is not SendPieces:
        return False
    waiting = pending[0]
    return waiting.start == sender.highest_offset and len(waiting) >= _LEAST * least


def has_lost(stream: QuicStream) -> bool:
    """Whether what it has to send begins with bytes that were sent before."""
    sender: Any = stream.sender
    pending = sender._pending
    return (
        not stream.is_blocked
        and len(pending) > 0
        and pending[0].start < sender.highest_offset
        and type(sender._buffer) is SendPieces
    )


def is_quiet(stream: QuicStream) -> bool:
    """Whether a stream is unidirectional, and all that was sent on or about it has arrived."""
    sender = stream.sender
    return bool(
        _id_of(stream) & 2
        and stream.receiver._stop_error_code is None
        and (sender.is_finished or sender._buffer_start == sender._buffer_stop)
        and sender._reset_error_code is sender._buffer_fin is None
    )


def _id_of(stream: QuicStream) -> int:
    assert stream.stream_id is not None  # as those of aioquic's streams of CRYPTO frames are
    return stream.stream_id


def _payloads(stream: QuicStream, start: int, length: int, count: int) -> list[bytes]:
    """STREAM frames of so many bytes each, one for each packet."""
    kind = _STREAM | _OFFSET if start else _STREAM
    head = bytes([kind]) + encode_varint(_id_of(stream))
    if start:
        head += encode_varint(start)
    head += (length | 0x4000).to_bytes(_LENGTH, "big")
    # One number, which grows with the offset in it: that of no packet of a run takes more bytes.
    number, size, step = int.from_bytes(head, "big"), len(head), length << 8 * _LENGTH
    sender: Any = stream.sender
    pieces = sender._buffer.cut(start - sender._buffer_start, length, count)
    heads = range(number, number + count * step, step)
    return [each.to_bytes(size, "big") + piece for each, piece in zip(heads, pieces, strict=True)]
