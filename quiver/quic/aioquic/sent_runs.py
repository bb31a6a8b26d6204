"""Runs of packets that are on their way, and what is acknowledged of them.

    OneRtt         what aioquic's records of 1-RTT packets have in common
    Run            what is to be remembered of packets that follow each other
    BodyPacket     one of them, as those records are asked

Where all goes well a run is acknowledged by ranges, in a few calls for all of its packets; by the
number of each stands the run itself. Who asks for one packet has it singled out: what is lost is
told by aioquic's loss detection, packet by packet. Touches aioquic's private names.
"""

from __future__ import annotations

from typing import Any, Final

from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.recovery import QuicPacketSpace
from aioquic.quic.stream import QuicStreamSender
from aioquic.tls import Epoch

__all__ = ["BodyPacket", "OneRtt", "Run", "acknowledge_run", "packet_of", "single_out"]

_ACKED: Final = QuicDeliveryState.ACKED  # a member of an enumeration is looked up slowly


class OneRtt:
    """What all packets have in common that we make."""

    __slots__ = ()

    epoch: Final = Epoch.ONE_RTT
    packet_type: Final = QuicPacketType.ONE_RTT
    is_crypto_packet: Final = False


class _OfBody(OneRtt):
    """And those of bodies."""

    __slots__ = ()

    in_flight: Final = True
    is_ack_eliciting: Final = True


class Run(_OfBody):
    """What is to be remembered of packets that follow each other, with one body's bytes.

    Args:
        sender: of the stream.
        sent_time: seconds, when all were sent.
        sent_bytes: of each packet.
        first, last: packet numbers.
        start: the offset in the first one.
        length: bytes of the body in each.
    """

    __slots__ = ("first", "last", "length", "sender", "sent_bytes", "sent_time", "start")

    def __init__(
        self,
        sender: QuicStreamSender,
        sent_time: float,
        sent_bytes: int,
        first: int,
        last: int,
        start: int,
        length: int,
    ) -> None:
        self.sender, self.sent_time, self.sent_bytes = sender, sent_time, sent_bytes
        self.first, self.last, self.start, self.length = first, last, start, length

    def offset(self, number: int) -> int:
        """Where the bytes in a packet begin; by the number after the last, where they end."""
        return self.start + (number - self.first) * self.length


class BodyPacket(_OfBody):
    """One packet of a run, as aioquic's QuicSentPacket."""

    __slots__ = ("packet_number", "run")

    def __init__(self, run: Run, number: int) -> None:
        self.run, self.packet_number = run, number

    @property
    def sent_time(self) -> float:
        return self.run.sent_time

    @property
    def sent_bytes(self) -> int:
        return self.run.sent_bytes

    @property
    def delivery_handlers(self) -> list[Any]:
        run, number = self.run, self.packet_number
        frame = run.offset(number), run.offset(number + 1), False
        return [(run.sender.on_data_delivery, frame)]


def packet_of(record: Any, number: int) -> Any:
    """The packet of that number, by what stands for it in aioquic's records."""
    return BodyPacket(record, number) if type(record) is Run else record


def single_out(sent: dict[int, Any], number: int) -> None:
    """Let that number stand for a packet of its own."""
    sent[number] = packet_of(sent[number], number)


def acknowledge_run(
    cc: Any, space: QuicPacketSpace, numbers: list[int], begin: int, end: int, now: float
) -> int:
    """Take what is acknowledged of the run that a packet is of.

    Args:
        cc: our congestion control.
        numbers: of the packets that are out; those from `begin` to `end` are acknowledged.

    Returns:
        Up to where they are of this run, and follow each other.
    """
    sent: dict[int, Any] = space.sent_packets
    run: Run = sent[numbers[begin]]
    stop = _end_of_run(run, numbers, begin, end)
    for each in numbers[begin:stop]:
        del sent[each]
    space.ack_eliciting_in_flight -= stop - begin
    cc.on_run_acked(packet=run, count=stop - begin, now=now)
    first, after = run.offset(numbers[begin]), run.offset(numbers[stop - 1] + 1)
    run.sender.on_data_delivery(_ACKED, first, after, False)
    return stop


def _end_of_run(run: Run, numbers: list[int], begin: int, end: int) -> int:
    """Where those end that follow each other, from `begin` on, and are of this run."""
    first = numbers[begin]
    end = min(end, begin + run.last - first + 1)
    if numbers[end - 1] - first == end - 1 - begin:  # nothing is missing
        return end
    stop = begin + 1
    while numbers[stop] == numbers[stop - 1] + 1:
        stop += 1
    return stop
