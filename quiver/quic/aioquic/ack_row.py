"""Acknowledgements that came together, taken as one. Touches aioquic's private names.

While a body goes up most of what comes are packets with one ACK frame and nothing else. Those of a
row are read here, and loss detection and congestion control hear once of all that they acknowledge;
the round trip is that of the largest number, as it is of an ACK frame (RFC 9002 5.1).
"""

from __future__ import annotations

from typing import Any, Final

from aioquic._buffer import Buffer
from aioquic.quic.packet import pull_ack_frame

from quiver.quic.aioquic.connection import Connection
from quiver.quic.reassembly import Ranges

__all__ = ["AckRow"]

_ACK: Final = 0x02  # type of an ACK frame without ECN counts (RFC 9000 19.3)
_LONGEST: Final = 64  # bytes of one that is common: it has few ranges


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

    def take(self, payload: bytes) -> bool:
        """Take the frames of a packet; False when they are not one common ACK frame."""
        if not payload or payload[0] != _ACK or len(payload) > _LONGEST:
            return False
        frame = Buffer(data=payload)
        frame.seek(1)
        try:
            ranges, delay = pull_ack_frame(frame)
        except ValueError:  # it breaks a rule: aioquic has the words for it
            return False
        largest = ranges.bounds().stop - 1
        if not frame.eof() or largest >= self._connection._packet_number:
            return False  # there is more in it, or it is about what was never sent
        if self.ranges is None:
            self.ranges, self._largest, self._delay = ranges, largest, delay
            return True
        if type(self.ranges) is not Ranges:
            self.ranges = Ranges(self.ranges)
        for each in ranges:
            self.ranges.add(each.start, each.stop)
        if largest > self._largest:
            self._largest, self._delay = largest, delay
        return True

    def end(self, now: float, space: Any) -> None:
        """Tell loss detection of them."""
        ranges, self.ranges = self.ranges, None
        quic = self._connection
        delay = (self._delay << quic._remote_ack_delay_exponent) / 1_000_000
        loss: Any = quic._loss
        loss.on_ack_received(ack_rangeset=ranges, ack_delay=delay, now=now, space=space)
