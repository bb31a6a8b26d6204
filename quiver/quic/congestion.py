"""How much may be on its way, for all that is known of the path: CUBIC (RFC 9438). Pure.

    slow start    the window doubles in a round trip, until round trips rise (RFC 9406) or a loss
    a loss        takes three tenths of it, once in a round trip (RFC 9002 7.3.2); or half of that,
                  where round trips say that nothing waits on the way, and so that it was by chance
    afterwards    W(t) = C (t - K)^3 + W_max: back to where it was lost, slowly past it, then on

A window that is not used says nothing of the path, and does not grow (RFC 9002 7.8). Windows are
bytes, times seconds on the caller's clock. The names are those of RFC 9002 appendix B, and so
aioquic's: what each packet costs is one call when it is sent, and one when it has arrived.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

__all__ = ["Cubic", "Reno", "RoundTrips", "Sent", "SlowStartExit"]

_INITIAL: Final = 10  # datagrams (RFC 9002 7.2)
_LEAST: Final = 2  # datagrams (RFC 9002 7.2)

_C: Final = 0.4  # datagrams a second cubed (RFC 9438 5)
_BETA: Final = 0.7  # of the window is left after a loss (RFC 9438 4.6)
_SWIFTEST: Final = 1.5  # times as large, after a round trip at most (RFC 9438 4.2)

_BY_CHANCE: Final = 0.85  # is left where nothing waits, as where a short queue marks (RFC 8511)
_NEXT_TO: Final = 4  # round trips that tell of it: one or two are late for other reasons

_SAMPLES: Final = 8  # of a round before it is judged (RFC 9406 4.3)
_LEAST_RISE, _MOST_RISE = 0.004, 0.016  # seconds (RFC 9406 4.3)
_RISE: Final = 1 / 8  # of a round trip (RFC 9406 4.3)
_SLOWED: Final = 4  # times slower, and
_SLOWED_ROUNDS: Final = 5  # for so long, until slow start ends (RFC 9406 4.3)

_USED: Final = 0.9  # of the window, to be called used; what doubles has to be used by half

_STANDING: Final = ("congestion_window", "ssthresh", "slow_start_exit", "_shrunk")
_CURVE: Final = ("_most", "_reno", "_began", "_level")
"""What a loss changes, of Reno and of CUBIC."""


class Sent(Protocol):
    """A packet that was sent. Rounds and losses are told apart by when that was."""

    @property
    def sent_bytes(self) -> int: ...

    @property
    def sent_time(self) -> Any: ...  # seconds; aioquic has None as well, before it was sent


class Reno:
    """The window as RFC 9002 7.3 has it: a datagram more in each round trip, half after a loss.

    Attributes:
        max_datagram_size: bytes; it may change at any time.
        congestion_window: bytes that may be on their way.
        ssthresh: below it the window is in slow start; None until that has ended once.
        bytes_in_flight: bytes that are on their way.
        round_trips: as they are measured.
    """

    def __init__(self, *, max_datagram_size: int) -> None:
        self.max_datagram_size = max_datagram_size
        self.congestion_window = _INITIAL * max_datagram_size
        self.ssthresh: int | None = None
        self.bytes_in_flight = 0
        self.slow_start_exit: SlowStartExit | None = SlowStartExit()  # until it has ended
        self.round_trips = RoundTrips()
        self._rest = 0.0  # of a byte
        self._round_began = self._shrunk = -math.inf
        self._peak = self._last_peak = 0  # bytes in flight, in this round and in the last
        self._former: dict[str, Any] | None = None  # how it stood before it shrank, and
        self._lost = 0  # how many packets are lost for all that is known, for which it did

    # what happens to packets ----------------------------------------------------------------

    def on_packet_sent(self, *, packet: Sent) -> None:
        self.on_run_sent(packet=packet, count=1)

    def on_run_sent(self, *, packet: Sent, count: int) -> None:
        """So many like this one were sent together."""
        self.bytes_in_flight += count * packet.sent_bytes
        self._peak = max(self._peak, self.bytes_in_flight)

    def on_packet_acked(self, *, now: float, packet: Sent) -> None:
        self.on_run_acked(now=now, packet=packet, count=1)

    def on_run_acked(self, *, now: float, packet: Sent, count: int) -> None:
        """So many like this one, which were sent together, have arrived."""
        size, sent_at = packet.sent_bytes, packet.sent_time
        if sent_at >= self._round_began:
            self._end_round(now)
        self.bytes_in_flight -= count * size
        if sent_at > self._shrunk:
            self._grow(size, count, now)

    def _grow(self, size: int, count: int, now: float) -> None:
        """Grow by each of so many packets that have arrived."""
        peak, growth = max(self._peak, self._last_peak), None
        for _ in range(count):
            window = self.congestion_window
            used = peak / window
            if self.ssthresh is None or window < self.ssthresh:
                if 2 * used < _USED:
                    break  # nor for those that follow
                slowed = self.slow_start_exit
                self._add(size if slowed is None else size / slowed.divisor)
            elif used < _USED:
                self.hold()
                break
            else:
                if growth is None:
                    growth = self.growth(size, now)
                self._add(growth(window))

    def on_rtt_measurement(self, *, now: float, rtt: float) -> None:  # noqa: ARG002
        self.round_trips.measured(rtt)
        if self.slow_start_exit is not None:
            self.slow_start_exit.judge(self.round_trips)

    def on_packets_expired(self, *, packets: Iterable[Sent]) -> None:
        """These are waited for no longer, and nobody is to blame."""
        self.bytes_in_flight -= sum(each.sent_bytes for each in packets)

    def on_packets_lost(self, *, now: float, packets: Iterable[Sent]) -> None:
        """What is lost of those that were out already when the window shrank says nothing new."""
        sent: list[float] = []
        for each in packets:
            self.bytes_in_flight -= each.sent_bytes
            sent.append(each.sent_time)
        if max(sent, default=-math.inf) > self._shrunk:
            self._former, self._lost = self._standing(), 0
            self._shrunk = now
            self.slow_start_exit = None
            self.shrink()
        if self._former is not None:
            self._lost += sum(each > self._former["_shrunk"] for each in sent)

    def on_packets_found(self, *, packets: Iterable[Sent]) -> None:
        """These were taken for lost, and have arrived. Where that is true of all for which the
        window shrank there was no loss, and it stands as it did (RFC 9438 4.9)."""
        if (former := self._former) is None:
            return
        self._lost -= sum(each.sent_time > former["_shrunk"] for each in packets)
        if self._lost <= 0:
            self._former = None
            window = max(self.congestion_window, former["congestion_window"])
            vars(self).update(former, congestion_window=window)

    def on_persistent_congestion(self) -> None:
        """Nothing arrives any more (RFC 9002 7.6.2): begin anew, up to the threshold."""
        self.hold()
        self._former = None
        self._shrunk = -math.inf
        self.congestion_window = _LEAST * self.max_datagram_size

    # what becomes of the window -------------------------------------------------------------

    def growth(self, size: int, now: float) -> Callable[[int], float]:  # noqa: ARG002 - for curves
        """By how many bytes a window grows for each packet of so many that is acknowledged at this
        moment, after slow start."""
        return lambda window: self.max_datagram_size * size / window

    def hold(self) -> None:
        """It was not used: time that passes brings nothing."""

    def shrink(self) -> None:
        """There was a loss."""
        least = _LEAST * self.max_datagram_size
        self.congestion_window = max(int(self.left() * self.congestion_window), least)
        self.ssthresh = self.congestion_window

    def left(self) -> float:
        """Of the window, after a loss."""
        return 0.5

    def _standing(self) -> dict[str, Any]:
        """What a loss is about to change."""
        return {name: getattr(self, name) for name in _STANDING}

    def _add(self, size: float) -> None:
        size += self._rest
        whole = int(size)
        self._rest = size - whole
        self.congestion_window += whole

    def _end_round(self, now: float) -> None:
        self._round_began = now
        self._last_peak, self._peak = self._peak, self.bytes_in_flight
        self.round_trips.round_ended()
        if self.slow_start_exit is not None and self.slow_start_exit.round_ended():
            self.slow_start_exit = None
            self.ssthresh = self.congestion_window


class Cubic(Reno):
    """The window as RFC 9438 has it, but for a small one, or a short path, where losses at random
    come before the curve has got anywhere: that grows as Reno does from the beginning, and not
    first at half of that (RFC 9438 4.3). So do aioquic's, and what is made of it.
    """

    def __init__(self, *, max_datagram_size: int) -> None:
        super().__init__(max_datagram_size=max_datagram_size)
        self._most = 0.0  # W_max: where the window stands still for a while
        self._reno = 0.0  # W_est: what Reno would have by now
        self._began: float | None = None  # when the curve begins, and
        self._level = 0.0  # K: seconds until it reaches W_max

    def growth(self, size: int, now: float) -> Callable[[int], float]:
        passed = now - (self._begin(now) if self._began is None else self._began)
        present = self._cubic(passed)
        ahead = self._cubic(passed + self.round_trips.latest)

        def grows(window: int) -> float:
            share = size / window
            self._reno += self.max_datagram_size * share
            if present < self._reno:  # the Reno-friendly region (4.3)
                return max(0.0, self._reno - window)
            return max(0.0, min(ahead, _SWIFTEST * window) - window) * share  # 4.4, 4.5

        return grows

    def hold(self) -> None:
        self._began = None  # the curve is a matter of time, and begins here when it goes on

    def shrink(self) -> None:
        # Who has lost sooner than the last time leaves room to others: fast convergence (4.7).
        window = self.congestion_window
        self._most = window * (1 + _BETA) / 2 if window < self._most else window
        self._began = None
        super().shrink()

    def left(self) -> float:
        return _BETA if self.round_trips.queued else _BY_CHANCE

    def _standing(self) -> dict[str, Any]:
        return super()._standing() | {name: getattr(self, name) for name in _CURVE}

    def _begin(self, now: float) -> float:
        window = self.congestion_window
        self._began, self._reno = now, window
        self._most = max(self._most, window)
        self._level = math.cbrt((self._most - window) / self.max_datagram_size / _C)
        return now

    def _cubic(self, passed: float) -> float:
        return self._most + _C * self.max_datagram_size * (passed - self._level) ** 3


class RoundTrips:
    """How long they take, in seconds: the shortest of each round, in which most do not wait.

    Attributes:
        latest: the last one.
        last, current: the shortest one of the last round, and of this one.
        samples: how many there were in this round.
        variation: how far they are from the smoothed one (RFC 9002 5.3).
    """

    def __init__(self) -> None:
        self.latest = self.variation = 0.0
        self._smoothed: float | None = None
        self.last = self.current = math.inf
        self.samples = 0
        self._shortest = math.inf
        self._latest: list[float] = []  # `_NEXT_TO` at most

    @property
    def queued(self) -> bool:
        """Whether packets wait for others on their way: the latest have all taken longer than some
        ever did, by what has slow start slow down. They were sent next to what is lost now."""
        least = self._shortest + _rise(self._shortest)
        return all(each >= least for each in self._latest)

    def measured(self, seconds: float) -> None:
        self.latest = seconds
        if self._smoothed is None:
            self._smoothed, self.variation = seconds, seconds / 2
        else:
            self.variation += (abs(self._smoothed - seconds) - self.variation) / 4
            self._smoothed += (seconds - self._smoothed) / 8
        self._latest.append(seconds)  # which is faster than a list of the last ones
        if len(self._latest) > _NEXT_TO:
            del self._latest[0]
        self.samples += 1
        if seconds < self.current:
            self.current = seconds
        if seconds < self._shortest:
            self._shortest = seconds

    def round_ended(self) -> None:
        self.last, self.current, self.samples = self.current, math.inf, 0


class SlowStartExit:
    """When slow start has found what the path takes: HyStart++ (RFC 9406).

    A queue that builds up shows in the shortest round trip of a round. Then the window grows at a
    quarter of the pace for five rounds; or it goes on as before, if round trips fall again.
    """

    def __init__(self) -> None:
        self._baseline: float | None = None  # the shortest round trip that was one too long
        self._rounds = 0  # at the slow pace

    @property
    def divisor(self) -> int:
        """How many times slower the window grows than in slow start."""
        return 1 if self._baseline is None else _SLOWED

    def judge(self, round_trips: RoundTrips) -> None:
        """Slow down or speed up by what was measured."""
        if round_trips.samples < _SAMPLES:
            return
        last, current = round_trips.last, round_trips.current
        if self._baseline is not None:
            if current < self._baseline:
                self._baseline = None  # it was no queue
        elif last < math.inf and current >= last + _rise(last):
            self._baseline, self._rounds = current, 0

    def round_ended(self) -> bool:
        """Whether slow start ends with this one."""
        if self._baseline is None:
            return False  # as mostly
        self._rounds += 1
        return self._rounds >= _SLOWED_ROUNDS


def _rise(round_trip: float) -> float:
    """The seconds longer than so many that say that there is a queue."""
    return min(max(_LEAST_RISE, round_trip * _RISE), _MOST_RISE)
