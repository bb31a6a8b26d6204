"""What packets that came together bring, taken as one. Touches aioquic's private names.

    StreamRun    STREAM frames that follow one another on one stream
    AckRow       ACK frames that packets begin with

A large body comes in rows of packets that have nothing but the next bytes of it. Of each row,
aioquic's state of the stream, the credit, and HTTP/3 hear once. While one goes up most of what
comes is acknowledgements: loss detection and congestion control hear once of those of a row; the
round trip is that of the largest number, as it is of an ACK frame (RFC 9002 5.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from aioquic._buffer import Buffer
from aioquic.quic.packet import pull_ack_frame

from quiver.quic.aioquic.connection import Connection
from quiver.quic.aioquic.fast_send import FastSend
from quiver.quic.engine import StreamDataReceived
from quiver.quic.reassembly import Ranges
from quiver.quic.varint import read_varint

__all__ = ["ACK", "AckRow", "StreamRun"]

_KINDS, _STREAM = 0xF8, 0x08  # of a STREAM frame's type (RFC 9000 19.8)
_OFFSET, _LENGTH, _FIN = 0x04, 0x02, 0x01

ACK: Final = b"\x02"  # type of an ACK frame without ECN counts (RFC 9000 19.3)
_IN_COMMON: Final = slice(len(ACK), 64)  # what follows in one that is common: it has few ranges


class StreamRun:
    """The run that is being taken, if there is one. It is to be ended before anybody else looks at
    streams, credit or events.

    Attributes:
        pieces: what has come of it; without any there is none.
    """

    def __init__(self, connection: Connection, send: FastSend) -> None:
        self._connection = connection
        self._send = send
        self._stream: Any = None
        self._id = b""  # the stream's, as its frames have it
        self._at = 0  # offset of the next byte
        self._most = 0  # how far the peer may send, on the stream and in all
        self.pieces: list[bytes] = []

    def take(self, payload: bytes, at: int) -> int:
        """Take the frames of a packet from `at` on, as far as they are STREAM frames with what
        comes next, within all limits. Returns where they end."""
        size = len(payload)
        # Varints are read here where they are as long as mostly: each call would be seen.
        while at + 2 < size:  # or there is no data
            kind = payload[at]
            if kind & _KINDS != _STREAM:
                break
            named, stream_id = at + 1, -1
            if self.pieces and payload.startswith(self._id, named):  # one more of its own
                begin = named + len(self._id)
            elif payload[named] & 0xC0 == 0x40:
                stream_id, begin = (payload[named] & 0x3F) << 8 | payload[named + 1], named + 2
            else:
                stream_id, begin = read_varint(payload, named)
            given = begin
            if not kind & _OFFSET:
                offset = 0
            elif begin + 4 < size and payload[begin] & 0xC0 == 0x80:  # as mostly
                offset, begin = int.from_bytes(payload[begin : begin + 4]) & 0x3FFF_FFFF, begin + 4
            else:
                offset, begin = read_varint(payload, begin)
            stop = size
            if kind & _LENGTH:
                if begin + 1 < size and payload[begin] & 0xC0 == 0x40:
                    length, begin = (payload[begin] & 0x3F) << 8 | payload[begin + 1], begin + 2
                else:
                    length, begin = read_varint(payload, begin)
                stop = begin + length
            end = offset + stop - begin
            if not begin < stop <= size:
                break
            if stream_id < 0:
                if offset != self._at or end > self._most:
                    break
            elif self._start(stream_id, offset, end):
                self._id = payload[named:given]
            else:
                break
            self.pieces.append(payload[begin:stop])
            self._at = end
            if kind & _FIN:
                self.end(fin=True)
            at = stop
        return at

    def _start(self, stream_id: int, offset: int, end: int) -> bool:
        """Begin the run of another stream, if bytes up to `end` may come, and in order."""
        if self.pieces:
            self.end()
        quic = self._connection
        stream, limit = quic._streams.get(stream_id), quic._local_max_data
        if stream is None:
            return False
        receiver = stream.receiver
        most = min(stream.max_stream_data_local, offset + limit.value - limit.used)
        if (
            not offset == receiver._buffer_start == receiver.highest_offset
            or end > most
            or receiver.is_finished
            or receiver._final_size is not None
        ):
            return False
        self._stream, self._most = stream, most
        return True

    def end(self, *, fin: bool = False) -> None:
        """Tell of it; with `fin`, that the stream has ended."""
        stream, pieces, at = self._stream, self.pieces, self._at
        self.pieces = []
        stream_id, receiver, quic = stream.stream_id, stream.receiver, self._connection
        quic._local_max_data.used += at - receiver.highest_offset
        receiver._buffer_start = receiver.highest_offset = at
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        quic._events.append(StreamDataReceived(stream_id, data, fin))  # type: ignore[arg-type]
        if fin:
            receiver._final_size, receiver.is_finished = at, True
            self._send.forget_finished(stream_id, stream)
        elif 4 * at > stream.max_stream_data_local:
            self._send.needs_window_update.add(stream_id)


class AckRow:
    """What is acknowledged by the packets that are being taken. It is to be ended before anything
    else that comes is looked at.

    Attributes:
        ranges: the numbers, None while there are none.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.ranges: Any = None  # those of one frame as they are, and in order those of more
        self._largest = self._delay = 0  # the largest number, and the delay that it came with

    def take(self, payload: bytes, now: float, space: Any) -> int:
        """Take the ACK frame that a packet begins with, if it is a common one. One with more in its
        packet stands for itself. Returns where it ends, 0 when it is not taken."""
        frame = Buffer(data=payload[_IN_COMMON])
        try:
            largest, delay = frame.pull_uint_var(), frame.pull_uint_var()
            others, size = frame.pull_uint_var(), frame.pull_uint_var()
            ranges: Any = (range(largest - size, largest + 1),)
            if others:
                frame.seek(0)
                ranges, delay = pull_ack_frame(frame)
        except ValueError:  # it is a long one, or breaks a rule: aioquic has the words for it
            return 0
        end = len(ACK) + frame.tell()
        if largest >= self._connection._packet_number or size > largest:
            return 0  # it is about what was never sent
        if end < len(payload):
            if payload.startswith(ACK, end):
                return 0  # it is one of many: aioquic counts them
            if self.ranges is not None:
                self.end(now, space)
            self._tell(ranges, largest, delay, now, space)
        elif self.ranges is None:
            self.ranges, self._largest, self._delay = ranges, largest, delay
        else:
            self._add(ranges, largest, delay)
        return end

    def _add(self, ranges: Iterable[range], largest: int, delay: int) -> None:
        if type(self.ranges) is not Ranges:
            self.ranges = Ranges(self.ranges)
        for each in ranges:
            self.ranges.add(each.start, each.stop)
        if largest > self._largest:
            self._largest, self._delay = largest, delay

    def end(self, now: float, space: Any) -> None:
        """Tell loss detection of them."""
        ranges, self.ranges = self.ranges, None
        self._tell(ranges, self._largest, self._delay, now, space)

    def _tell(self, ranges: Any, largest: int, delay: int, now: float, space: Any) -> None:
        quic = self._connection
        seconds = (delay << quic._remote_ack_delay_exponent) / 1_000_000
        loss: Any = quic._loss
        loss.acknowledged(ranges, largest, seconds, now, space)
