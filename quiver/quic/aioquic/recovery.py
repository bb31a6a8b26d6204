"""Loss detection and pacing: aioquic's, by what is known of this path. Touches its private names.

aioquic has the numbers of RFC 9002 6.1 alone, and forgets what it has taken for lost; `Recovery`
heeds what was late.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable
from typing import Any, Final

from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.recovery import (  # type: ignore[attr-defined]
    K_GRANULARITY,
    QuicPacketPacer,
    QuicPacketRecovery,
)

from quiver.quic.aioquic.sent_runs import Run, acknowledge_run, packet_of, single_out
from quiver.quic.reordering import Reordering

__all__ = ["Pacer", "Recovery"]

_ACKED: Final = QuicDeliveryState.ACKED  # a member of an enumeration is looked up slowly

_TICK: Final = 0.002  # seconds: the finest timer of an event loop, and as much until its turn
_BURST: Final = 48  # packets at once that a server's socket holds by default

_SWIFT, _EASY = 2.0, 1.25
"""Windows that are sent in a round trip: in slow start, which doubles them in that time, and
afterwards (RFC 9002 7.7)."""

_HELD: Final = 256
"""Packets of one connection that a server holds until it looks at them: those of quic-go."""

_SHORTEST: Final = 0.001  # seconds, of what a round trip counts as
_BELIEVED: Final = 10.0  # seconds: a path may change without a word (RFC 9002 5.2)


class Recovery(QuicPacketRecovery):
    """aioquic's loss detection, that knows how far out of order packets come on this path.

    Attributes:
        reordering: of the path.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.reordering = Reordering()
        self._until_probe = 0.0  # seconds, by the round trips that were measured
        self._renewed = -math.inf  # when `_rtt_min` was, and the shortest round trip since then
        self._shortest = math.inf
        self._missed: list[Any] = []  # taken for lost, by number; for as long as they may yet come

    @property
    def is_short(self) -> bool:
        """Whether a round trip of the path is over within a tick of the loop's timers."""
        return self._rtt_min <= _TICK

    @property
    def congestion_window(self) -> int:
        """Bytes that may be on their way. On a short path, where no pace keeps more from coming at
        once than a server holds (see `Pacer`), those are as many as it has; with more nothing would
        go faster there."""
        cc: Any = self._cc
        window: int = cc.congestion_window
        return window if self._rtt_min > _TICK else min(window, _HELD * cc.max_datagram_size)

    @property
    def _round_trip(self) -> float:
        """Seconds, by which losses are judged (RFC 9002 6.1.2); before one was measured as well, as
        when a path has just begun."""
        if not self._rtt_initialized:
            return self._rtt_initial
        return max(self._rtt_latest, self._rtt_smoothed)

    def begin_path(self) -> None:
        """Forget how far out of order packets came; all that are out will be taken for lost."""
        self.reordering, self._missed, self._shortest = Reordering(), [], math.inf
        for space in self.spaces:
            sent: dict[int, Any] = space.sent_packets
            for number in sent:
                single_out(sent, number)

    def get_probe_timeout(self, *, include_max_ack_delay: bool = True) -> float:
        """By round trips beside the smoothed one (RFC 9002 5.3). aioquic has them beside the
        shortest of all: who waits in a queue of a round trip would probe after four more."""
        if not self._rtt_initialized:
            return super().get_probe_timeout(include_max_ack_delay=include_max_ack_delay)
        timeout = self._until_probe
        return timeout + self.max_ack_delay if include_max_ack_delay else timeout

    def get_loss_detection_time(self, *, amplification_limited: bool) -> float | None:
        """As aioquic's, which looks for what is left of other spaces than the last one."""
        if not self.handshake_confirmed or amplification_limited:
            return super().get_loss_detection_time(amplification_limited=amplification_limited)
        space = self.spaces[-1]
        if space.loss_time is not None or not space.ack_eliciting_in_flight:
            return space.loss_time
        timeout = self.get_probe_timeout() * (1 << self._pto_count)
        return self._time_of_last_sent_ack_eliciting_packet + timeout

    def reschedule_data(self, **about: Any) -> None:
        """As aioquic's, which sends the oldest packet again that has asked for it."""
        for space in self.spaces:
            sent: dict[int, Any] = space.sent_packets
            asked = (number for number, packet in sent.items() if packet.is_ack_eliciting)
            if (oldest := next(asked, None)) is not None:
                single_out(sent, oldest)
        super().reschedule_data(**about)

    # what arrives ---------------------------------------------------------------------------

    def on_ack_received(
        self, *, ack_rangeset: Any, ack_delay: float, now: float, space: Any
    ) -> None:
        """As aioquic's, which knows of no runs, and of nothing that arrives after all."""
        self.acknowledged(ack_rangeset, ack_rangeset.bounds().stop - 1, ack_delay, now, space)

    def acknowledged(
        self, ranges: Iterable[range], largest: int, ack_delay: float, now: float, space: Any
    ) -> None:
        """Take an ACK frame: numbers in order, the largest one, and the delay that it tells of."""
        if self._missed and space.is_application_data:
            self._find(ranges, largest, now)
        if largest > space.largest_acked_packet:
            space.largest_acked_packet = largest
        newest, sent_time, asked = self._acknowledge(ranges, now, space)
        if newest < 0:
            return  # nothing of it is new
        measured = asked and newest == largest
        if measured:
            self._measured(now - sent_time, ack_delay, now)
        self._detect_loss(now=now, space=space)
        if self.peer_completed_address_validation:  # RFC 9002 6.2.1
            self._pto_count = 0
        if self._quic_logger is not None:
            self._log_metrics_updated(log_rtt=measured)

    def _acknowledge(
        self, acknowledged: Iterable[range], now: float, space: Any
    ) -> tuple[int, float, bool]:
        """Take what is acknowledged of the packets that are out: the largest number among them,
        -1 for none; when that was sent; and whether any asked to be acknowledged."""
        cc: Any = self._cc
        sent: dict[int, Any] = space.sent_packets
        numbers, newest, sent_time, asked = list(sent), -1, 0.0, False
        for each in acknowledged:
            # Of those that are out alone: the peer chooses how many there are in its ranges.
            begin, end = bisect_left(numbers, each.start), bisect_left(numbers, each.stop)
            while begin < end:
                number = numbers[begin]
                packet = sent[number]
                if type(packet) is Run:
                    asked = True
                    begin = acknowledge_run(cc, space, numbers, begin, end, now)
                    number = numbers[begin - 1]
                else:
                    del sent[number]
                    begin += 1
                    if packet.is_ack_eliciting:
                        asked = True
                        space.ack_eliciting_in_flight -= 1
                    if packet.in_flight:
                        cc.on_run_acked(packet=packet, count=1, now=now)
                    for handler, frame in packet.delivery_handlers:
                        handler(_ACKED, *frame)
                newest, sent_time = number, packet.sent_time
        return newest, sent_time, asked

    def _measured(self, round_trip: float, ack_delay: float, now: float) -> None:
        """Take a round trip (RFC 9002 5) as aioquic does, which keeps the shortest for good."""
        latest = max(round_trip, _SHORTEST)
        if latest < self._rtt_min:
            self._rtt_min = latest
        ack_delay = min(ack_delay, self.max_ack_delay)
        if latest > self._rtt_min + ack_delay:
            latest -= ack_delay
        self._rtt_latest = latest
        if self._rtt_initialized:
            self._rtt_smoothed = 7 / 8 * self._rtt_smoothed + 1 / 8 * latest
        else:
            self._rtt_initialized, self._rtt_first_sample_time = True, now
            self._rtt_smoothed = round_trip
        cc: Any = self._cc
        cc.on_rtt_measurement(now=now, rtt=round_trip)
        self._rtt_variance = variation = cc.round_trips.variation
        self._until_probe = self._rtt_smoothed + max(4 * variation, K_GRANULARITY)
        if self._pacer.packet_time is not None or self._rtt_min > _TICK:  # else there is no pace
            self._pacer.update_rate(
                congestion_window=cc.congestion_window, smoothed_rtt=self._rtt_smoothed
            )
        if latest < self._shortest:
            self._shortest = latest
        if now >= self._renewed + _BELIEVED:
            self._rtt_min, self._shortest, self._renewed = self._shortest, math.inf, now

    def _find(self, acknowledged: Iterable[range], largest: int, now: float) -> None:
        """Look whether some of what was taken for lost has arrived."""
        missed, found = self._missed, list[Any]()
        oldest = now - 2 * self.get_probe_timeout()
        del missed[: bisect_left(missed, oldest, key=_sent_time)]
        for numbers in acknowledged:
            begin = bisect_left(missed, numbers.start, key=_number)
            end = bisect_left(missed, numbers.stop, begin, key=_number)
            found += missed[begin:end]
            del missed[begin:end]
        if not found:
            return
        for packet in found:
            waited = (now - packet.sent_time) / self._round_trip
            self.reordering.arrived(largest - packet.packet_number, waited)
        cc: Any = self._cc
        cc.on_packets_found(packets=found)

    # what does not --------------------------------------------------------------------------

    def _detect_loss(self, *, now: float, space: Any) -> None:
        """As aioquic's, by how far out of order packets come on this path."""
        sent: dict[int, Any] = space.sent_packets
        largest = space.largest_acked_packet
        space.loss_time = None
        if not sent or next(iter(sent)) > largest:
            return  # as mostly: what was sent before has all arrived
        patience = self.reordering.wait * self._round_trip
        lost_by_number, lost_by_time = largest - self.reordering.packets, now - patience
        lost, soonest = list[Any](), math.inf
        for number, packet in sent.items():
            if number > largest:
                break
            if number <= lost_by_number or packet.sent_time <= lost_by_time:
                lost.append(packet_of(packet, number))
            else:
                soonest = min(soonest, packet.sent_time + patience)
        if soonest < math.inf:
            space.loss_time = soonest
        if not lost:
            return
        if space.is_application_data:
            self._missed += (each for each in lost if each.in_flight)
        persistent = self._in_persistent_congestion(packets=lost)
        self._on_packets_lost(now=now, packets=lost, persistent_congestion=persistent, space=space)


class Pacer(QuicPacketPacer):
    """Spaces packets, but lets those of one tick of the loop's timers go together.

    aioquic allows sixteen at once; with one timer in two milliseconds that is no more than 10 MB/s.
    And it sends the window in exactly one round trip, so that what was late once is never caught
    up, and a window that doubles is never full.

    Nor does a timer space what is back within one: on a short path acknowledgements do, and the
    window is bounded, see `Recovery`.
    """

    def __init__(self, recovery: Any, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self._recovery = recovery

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        if self._recovery.is_short:
            self.packet_time = None
            return
        threshold = self._recovery._cc.ssthresh
        in_slow_start = threshold is None or congestion_window < threshold
        gain = _SWIFT if in_slow_start else _EASY
        super().update_rate(congestion_window, smoothed_rtt / gain)
        assert self.packet_time is not None
        self.bucket_max = max(self.bucket_max, min(_TICK, _BURST * self.packet_time))

    def take(self, most: int, now: float) -> int:
        """How many packets may be sent now, which are counted as sent; `most` at the most."""
        packet_time, count = self.packet_time, 0
        if packet_time is None:
            return most
        self.update_bucket(now=now)
        bucket = self.bucket_time
        while count < most and bucket > 0:  # to the last bit as aioquic would, one by one
            bucket = bucket - packet_time if bucket >= packet_time else 0.0
            count += 1
        self.bucket_time = bucket
        return count


def _sent_time(packet: Any) -> float:
    sent: float = packet.sent_time
    return sent


def _number(packet: Any) -> int:
    number: int = packet.packet_number
    return number
