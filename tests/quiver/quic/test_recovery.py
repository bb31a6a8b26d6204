"""What is acknowledged, as aioquic takes it packet by packet: beside ours, in stories over time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketRecovery, QuicPacketSpace
from aioquic.quic.stream import QuicStreamSender
from aioquic.tls import Epoch
from hypothesis import given, settings
from hypothesis import strategies as st

from quiver.quic.aioquic import recovery
from quiver.quic.aioquic.fast_connection import FastConnection
from quiver.quic.aioquic.recovery import Recovery
from quiver.quic.aioquic.sent_runs import BodyPacket, Run, packet_of
from tests.support.short_form import examples

LENGTH, SIZE = 1_167, 1_200  # bytes of a body in a packet of a run, and of the packet
BELIEVED = vars(recovery)["_BELIEVED"]


class Plain(Recovery):
    """aioquic's way, but for what is ours by intent: the shortest round trip is renewed."""

    get_loss_detection_time = QuicPacketRecovery.get_loss_detection_time
    measured = False

    def on_ack_received(self, *, ack_rangeset: Any, now: float, space: Any, **about: Any) -> None:
        if self._missed and space.is_application_data:
            self._find(ack_rangeset, ack_rangeset.bounds().stop - 1, now)
        take, self.measured = QuicPacketRecovery.on_ack_received, False
        take(self, ack_rangeset=ack_rangeset, now=now, space=space, **about)

    def _detect_loss(self, *, now: float, space: Any) -> None:
        variation = vars(self)["_cc"].round_trips.variation
        self._until_probe = self._rtt_smoothed + max(4 * variation, 0.001)
        if self.measured:
            self.measured = False
            self._shortest = min(self._shortest, self._rtt_latest)
            if now >= self._renewed + BELIEVED:
                self._rtt_min, self._shortest, self._renewed = self._shortest, math.inf, now
        super()._detect_loss(now=now, space=space)


class Side:
    """A client's loss detection, and what was sent."""

    def __init__(self, *, ours: bool, confirmed: bool) -> None:
        self.ours = ours
        self.loss: Any = FastConnection(QuicConfiguration())._loss
        self.told: list[tuple[int, str]] = []
        self.space: Any = QuicPacketSpace(is_application_data=True)
        self.loss.spaces = [QuicPacketSpace(), self.space]
        self.loss.handshake_confirmed = self.loss.peer_completed_address_validation = confirmed
        self.loss._send_probe = lambda: self.told.append((-1, "probe"))
        self.sender: Any = QuicStreamSender(0, True)
        self.sender.write(bytes(1_000 * LENGTH))
        self.number = 0
        if not ours:
            self.loss.__class__ = Plain
            cc: Any = self.loss._cc
            measured = cc.on_rtt_measurement

            def measure(**about: Any) -> None:
                self.loss.measured = True
                measured(**about)

            cc.on_rtt_measurement = measure

    def single(self, now: float, size: int, asks: bool) -> None:
        number, self.number = self.number, self.number + 1
        kind, told = QuicPacketType.ONE_RTT, (lambda state: self.told.append((number, state.name)))
        packet = QuicSentPacket(
            Epoch.ONE_RTT,
            asks,
            asks,
            False,
            number,
            kind,
            now,
            size,
            delivery_handlers=[(told, ())],
        )
        self.loss.on_packet_sent(packet=packet, space=self.space)

    def run(self, now: float, count: int) -> None:
        if not self.loss.handshake_confirmed:
            return  # before that, none is sent
        first, self.number, start = self.number, self.number + count, self.sender.highest_offset
        run = Run(self.sender, now, SIZE, first, self.number - 1, start, LENGTH)
        self.sender.highest_offset += count * LENGTH
        self.sender._pending.subtract(start, self.sender.highest_offset)
        if self.ours:
            self.space.sent_packets.update(dict.fromkeys(range(first, self.number), run))
            self.space.ack_eliciting_in_flight += count
            self.loss._time_of_last_sent_ack_eliciting_packet = now
            self.loss._cc.on_run_sent(packet=run, count=count)
            return
        for number in range(first, self.number):
            packet: Any = BodyPacket(run, number)
            self.loss.on_packet_sent(packet=packet, space=self.space)

    def acknowledge(self, now: float, ranges: list[tuple[int, int]], delay: float) -> None:
        """Ranges begin so many numbers below the last packet, and have so many."""
        acked = RangeSet()
        for below, count in ranges:
            first = max(0, self.number - 1 - below)
            acked.add(first, min(first + count, self.number + 2))  # some were never sent
        about = {"ack_rangeset": acked, "ack_delay": delay}
        self.loss.on_ack_received(**about, now=now, space=self.space)

    def time_out(self, now: float) -> None:
        due = self.loss.get_loss_detection_time(amplification_limited=False)
        if due is not None and due <= now:
            self.loss.on_loss_detection_timeout(now=now)

    def standing(self) -> dict[str, Any]:
        loss, cc, space, sender = self.loss, self.loss._cc, self.space, self.sender
        packets = [packet_of(each, number) for number, each in space.sent_packets.items()]
        assert cc.bytes_in_flight == sum(each.sent_bytes for each in packets if each.in_flight)
        assert space.ack_eliciting_in_flight == sum(each.is_ack_eliciting for each in packets)
        return {
            "out": [each.packet_number for each in packets],
            "acked": (space.largest_acked_packet, sender._buffer_start, list(sender._acked)),
            "again": (list(sender._pending), [each.packet_number for each in loss._missed]),
            "told": self.told,
            "window": (cc.congestion_window, cc.ssthresh, vars(cc.round_trips)),
            "trips": [loss._rtt_latest, loss._rtt_min, loss._rtt_smoothed, loss._rtt_initialized],
            "timers": (
                (loss._pto_count, space.loss_time, loss.get_probe_timeout()),
                loss.get_loss_detection_time(amplification_limited=False),
            ),
            "pace": (loss._pacer.packet_time, loss._pacer.bucket_max),
            "order": vars(loss.reordering),
        }


Step = Callable[[Side, float], None]

below = st.one_of(st.integers(0, 2), st.integers(0, 60))
steps = st.one_of(
    st.builds(
        lambda *of: lambda side, now: side.single(now, *of), st.integers(30, 1_452), st.booleans()
    ),
    st.builds(lambda count: lambda side, now: side.run(now, count), st.integers(1, 30)),
    st.builds(
        lambda ranges, delay: lambda side, now: side.acknowledge(now, ranges, delay),
        st.lists(st.tuples(below, st.integers(1, 40)), min_size=1, max_size=5),
        st.sampled_from([0.0, 0.0, 0.01, 1e6]),
    ),
    st.just(Side.time_out),
)
waits = st.sampled_from([0.0, 0.0, 0.0005, 0.02, 0.1, 11.0])


@settings(max_examples=examples(400))
@given(story=st.lists(st.tuples(waits, steps), max_size=30), confirmed=st.booleans())
def test_whatever_happens_it_stands_as_by_aioquic(
    story: list[tuple[float, Step]], confirmed: bool
) -> None:
    ours, theirs = sides = [Side(ours=each, confirmed=confirmed) for each in (True, False)]
    now = 1.0
    for wait, step in story:
        now += wait + 1e-5  # no packet arrives as it is sent
        for side in sides:
            step(side, now)
        assert ours.standing() == theirs.standing()
