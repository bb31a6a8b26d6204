"""What is acknowledged of runs, by ranges: as aioquic would find it packet by packet."""

from __future__ import annotations

from typing import Any

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketRecovery, QuicPacketSpace
from aioquic.quic.stream import QuicStreamSender
from hypothesis import given, settings
from hypothesis import strategies as st

from quiver.quic.aioquic.fast_connection import FastConnection
from quiver.quic.aioquic.sent_runs import BodyPacket, Run, single_out
from tests.support.short_form import examples

SIZES = [(100, 80), (50, 30), (100, 80), (70, 40)]  # bytes of a packet, and of the body in it


class Sent:
    """Four runs of five packets, which are out, but for those that are `gone`; for aioquic's way
    each is a packet of its own."""

    loss: Any
    space: Any
    sender: Any

    def __init__(self, gone: set[int], *, ours: bool) -> None:
        self.loss = FastConnection(QuicConfiguration())._loss
        self.space = QuicPacketSpace(is_application_data=True)
        self.sender = QuicStreamSender(0, True)
        self.sender.write(bytes(10_000))
        start = 0
        for turn, (size, length) in enumerate(SIZES):
            first = 5 * turn
            run = Run(self.sender, float(turn), size, first, first + 4, start, length)
            for number in range(first, first + 5):
                if number not in gone:
                    self.space.sent_packets[number] = run if ours else BodyPacket(run, number)
                    self.loss._cc.bytes_in_flight += size
                    self.space.ack_eliciting_in_flight += 1
            start += 5 * length

    def standing(self) -> tuple[Any, ...]:
        space, window, sender = self.space, self.loss._cc, self.sender
        return (
            list(space.sent_packets),
            space.ack_eliciting_in_flight,
            (window.bytes_in_flight, window.congestion_window),
            (sender._buffer_start, list(sender._acked)),
            (space.largest_acked_packet, space.loss_time),
            (self.loss._rtt_latest, self.loss._rtt_smoothed),
        )


@pytest.mark.parametrize("way", ["ours", "aioquic's"])
def test_a_hole_is_not_taken_for_acknowledged(way: str) -> None:
    ours = way == "ours"
    sent = Sent({2, 7}, ours=ours)
    acknowledge(sent, [range(20)], ours=ours)
    assert sent.space.sent_packets == {}
    assert sent.loss.bytes_in_flight == sent.space.ack_eliciting_in_flight == 0
    assert sent.sender._buffer_start == 2 * 80
    assert list(sent.sender._acked) == [range(240, 460), range(490, 1_150)]


def acknowledge(sent: Sent, ranges: list[range], *, ours: bool) -> None:
    take: Any = type(sent.loss) if ours else QuicPacketRecovery
    about = {"ack_rangeset": RangeSet(ranges), "ack_delay": 0.0, "now": 5.0}
    take.on_ack_received(sent.loss, **about, space=sent.space)


numbers = st.sets(st.integers(0, 19))


@settings(max_examples=examples(400))
@given(gone=numbers, acked=numbers.filter(bool))
def test_whatever_is_acknowledged_comes_to_the_same(gone: set[int], acked: set[int]) -> None:
    standing = []
    for ours in (True, False):
        sent = Sent(gone, ours=ours)
        acknowledge(sent, [range(each, each + 1) for each in sorted(acked)], ours=ours)
        standing.append(sent.standing())
    assert standing[0] == standing[1]


def test_a_packet_is_singled_out_as_it_stands_in_its_run() -> None:
    sent, alone = Sent(set(), ours=True), Sent(set(), ours=False)
    for number, packet in alone.space.sent_packets.items():
        single_out(sent.space.sent_packets, number)
        found = sent.space.sent_packets[number]
        assert type(found) is BodyPacket
        assert found.packet_number == number
        assert found.sent_bytes == packet.sent_bytes == found.run.sent_bytes
        (_, frame), (_, theirs) = found.delivery_handlers[0], packet.delivery_handlers[0]
        assert frame == theirs
        single_out(sent.space.sent_packets, number)
        assert sent.space.sent_packets[number] is found  # as any packet that is of no run


@pytest.mark.parametrize("gone", [set[int](), {0}, set(range(7))], ids=len)
def test_the_oldest_packet_is_sent_again_when_nothing_arrives(gone: set[int]) -> None:
    standing = []
    for ours in (True, False):
        sent = Sent(gone, ours=ours)
        loss = sent.loss
        loss.spaces, loss.handshake_confirmed, loss._send_probe = [sent.space], True, lambda: None
        take: Any = type(loss) if ours else QuicPacketRecovery
        take.reschedule_data(loss, now=5.0)
        standing.append((sent.standing(), list(sent.sender._pending)))
    assert standing[0] == standing[1]
    assert len(sent.space.sent_packets) == 20 - len(gone) - 1
