"""Loss detection and pacing: aioquic's, by what is known of this path. Touches its private names.

aioquic has the numbers of RFC 9002 6.1 alone, and forgets what it has taken for lost; `Recovery`
heeds what was late.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Any, Final

from aioquic.quic.recovery import (  # type: ignore[attr-defined]
    K_GRANULARITY,
    QuicPacketPacer,
    QuicPacketRecovery,
)

from quiver.quic.aioquic.sent_runs import acknowledge_runs, packet_of, single_out
from quiver.quic.reordering import Reordering

__all__ = ["Pacer", "Recovery"]

_TICK: Final = 0.002  # seconds: the finest timer of an event loop, and as much until its turn
_BURST: Final = 48  # packets at once that a server's socket holds by default

_SWIFT, _EASY = 2.0, 1.25
"""Windows that are sent in a round trip: in slow start, which doubles them in that time, and
afterwards (RFC 9002 7.7)."""

_HELD: Final = 256
"""Packets of one connection that a server holds until it looks at them: those of quic-go."""

_BELIEVED: Final = 10.0  # seconds: a path may change without a word (RFC 9002 5.2)


class Recovery(QuicPacketRecovery):
    """aioquic's loss detection, that knows how far out of order packets come on this path.

    Attributes:
        reordering: of the path.
        newest_run: the last packet that was sent in a run, see `sent_runs`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.reordering = Reordering()
        self.newest_run = -1
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
        return min(window, _HELD * cc.max_datagram_size) if self.is_short else window

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
        cc: Any = self._cc
        timeout: float = self._rtt_smoothed + max(4 * cc.round_trips.variation, K_GRANULARITY)
        return timeout + self.max_ack_delay if include_max_ack_delay else timeout

    def reschedule_data(self, **about: Any) -> None:
        """As aioquic's, which sends the oldest packet again that has asked for it."""
        for space in self.spaces:
            sent: dict[int, Any] = space.sent_packets
            asked = (number for number, packet in sent.items() if packet.is_ack_eliciting)
            if (oldest := next(asked, None)) is not None:
                single_out(sent, oldest)
        super().reschedule_data(**about)

    # what arrives after all -----------------------------------------------------------------

    def on_ack_received(self, *, ack_rangeset: Any, now: float, **about: Any) -> None:
        if about["space"].is_application_data:
            if self._missed:
                self._find(ack_rangeset, now)
            if self.newest_run >= next(iter(about["space"].sent_packets), math.inf):  # one is out
                acknowledge_runs(self, ack_rangeset, now, about["space"])
        super().on_ack_received(ack_rangeset=ack_rangeset, now=now, **about)
        loss: Any = self  # of which aioquic keeps the shortest round trip for good
        if self._rtt_initialized:
            self._shortest = min(self._shortest, self._rtt_latest)
            if now >= self._renewed + _BELIEVED:
                loss._rtt_min, self._shortest, self._renewed = self._shortest, math.inf, now

    def _find(self, acknowledged: Any, now: float) -> None:
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
        largest = acknowledged.bounds().stop - 1
        round_trip = max(self._rtt_latest, self._rtt_smoothed)
        for packet in found:
            waited = (now - packet.sent_time) / round_trip
            self.reordering.arrived(largest - packet.packet_number, waited)
        cc: Any = self._cc
        cc.on_packets_found(packets=found)

    # what does not --------------------------------------------------------------------------

    def _detect_loss(self, *, now: float, space: Any) -> None:
        """As aioquic's, by how far out of order packets come on this path."""
        round_trip = max(self._rtt_latest, self._rtt_smoothed)
        patience = self.reordering.wait * (
            round_trip if self._rtt_initialized else self._rtt_initial
        )
        largest = space.largest_acked_packet
        lost_by_number, lost_by_time = largest - self.reordering.packets, now - patience
        lost, soonest = list[Any](), math.inf
        for number, packet in space.sent_packets.items():
            if number > largest:
                break
            if number <= lost_by_number or packet.sent_time <= lost_by_time:
                lost.append(packet_of(packet, number))
            else:
                soonest = min(soonest, packet.sent_time + patience)
        space.loss_time = soonest if soonest < math.inf else None
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
        threshold = self._recovery._cc.ssthresh
        in_slow_start = threshold is None or congestion_window < threshold
        gain = _SWIFT if in_slow_start else _EASY
        super().update_rate(congestion_window, smoothed_rtt / gain)
        assert self.packet_time is not None
        self.bucket_max = max(self.bucket_max, min(_TICK, _BURST * self.packet_time))
        if self._recovery.is_short:
            self.packet_time = None

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
