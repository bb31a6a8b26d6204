"""How many packets go out together: those of one tick of the loop's timers, within bounds."""

from __future__ import annotations

import math
from typing import Any

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicPacketType
from aioquic.quic.packet_builder import QuicSentPacket
from aioquic.quic.rangeset import RangeSet
from aioquic.quic.recovery import QuicPacketPacer, QuicPacketSpace
from aioquic.tls import Epoch

from quiver.quic.aioquic.fast_connection import FastConnection
from quiver.quic.aioquic.recovery import Pacer

SIZE = 1200  # bytes of a packet


def pacer(threshold: int | None = None) -> Any:
    """Of a connection whose slow start ends there, in bytes."""
    loss: Any = FastConnection(QuicConfiguration())._loss
    loss._cc.ssthresh = threshold
    return loss._pacer


def burst(pacer: QuicPacketPacer, rate: float) -> int:
    """Packets that may be sent at one moment after a long rest, at `rate` bytes a second."""
    pacer.update_rate(congestion_window=int(rate), smoothed_rtt=1.0)
    pacer.update_bucket(now=1000.0)
    sent = 0
    while sent < 1000 and pacer.next_send_time(now=1000.0) is None:
        pacer.update_after_send(now=1000.0)
        sent += 1
    return sent


def test_aioquic_allows_sixteen() -> None:
    """A canary: what this is for. Its pacer is where FastConnection replaces it."""
    plain = QuicConnection(configuration=QuicConfiguration())
    assert type(plain._loss._pacer) is QuicPacketPacer
    assert type(pacer()) is Pacer
    assert burst(plain._loss._pacer, 100e6) in (16, 17)


@pytest.mark.parametrize(
    ("rate", "least", "most"),
    [
        (1e6, 16, 17),  # hardly two in 2 ms: as aioquic has it
        (12e6, 25, 26),  # those of 2 ms, of what goes out a quarter faster
        (100e6, 48, 49),  # no more than a socket holds
        (1e9, 48, 49),
    ],
)
def test_packets_of_one_tick(rate: float, least: int, most: int) -> None:
    assert least <= burst(pacer(threshold=0), rate) <= most


@pytest.mark.parametrize(
    ("shortest", "most"),
    [
        (0.001, 2_000),  # where a round trip is over within a tick
        (0.002, 2_000),
        (0.003, 48),  # a longer one can be spaced
        (math.inf, 48),  # it is not known yet
    ],
)
def test_no_timer_spaces_what_is_back_within_one(shortest: float, most: int) -> None:
    spaced = pacer(threshold=0)
    spaced._recovery._rtt_min = shortest
    spaced.update_rate(congestion_window=1_000 * SIZE, smoothed_rtt=0.02)
    spaced.update_bucket(now=1000.0)
    assert most <= spaced.take(2_000, 1000.0) <= most + 1
    assert (spaced.next_send_time(now=1000.0) is None) == (most == 2_000)


def test_another_path_is_paced_again() -> None:
    spaced = pacer(threshold=0)
    for shortest in (0.001, 0.003):
        spaced._recovery._rtt_min = shortest
        spaced.update_rate(congestion_window=1_000 * SIZE, smoothed_rtt=0.02)
    assert spaced.packet_time == pytest.approx(0.02 / 1_000 / 1.25)


def round_trip(loss: Any, number: int, sent: float, seconds: float) -> None:
    """Have a packet acknowledged after so long."""
    (space,) = loss.spaces
    packet = QuicSentPacket(
        epoch=Epoch.ONE_RTT,
        in_flight=True,
        is_ack_eliciting=True,
        is_crypto_packet=False,
        packet_number=number,
        packet_type=QuicPacketType.ONE_RTT,
        sent_bytes=SIZE,
        sent_time=sent,
    )
    loss.on_packet_sent(packet=packet, space=space)
    acknowledged = RangeSet([range(number, number + 1)])
    loss.on_ack_received(ack_rangeset=acknowledged, ack_delay=0.0, now=sent + seconds, space=space)


def test_a_path_that_has_become_longer_is_a_long_one_after_a_while() -> None:
    """Its address may be what it was, and the round trips of before are none of this path."""
    loss = pacer()._recovery
    loss.spaces = [QuicPacketSpace(is_application_data=True)]
    now, longer = 1_000.0, 0.04
    for number in range(300):
        late = number % 3 == 0
        round_trip(loss, number, now := now + 0.5, longer if late else 0.0015 + number * 1e-6)
        assert loss.is_short or number == 0, "one that was late says nothing"
    began = now
    while loss.is_short and now < began + 60.0:
        round_trip(loss, number := number + 1, now := now + 0.5, longer)
    assert 10.0 <= now - began <= 20.5
    round_trip(loss, number + 1, now + 0.1, longer)
    loss._cc.congestion_window = 1_000 * SIZE
    assert loss.congestion_window == 1_000 * SIZE
    assert loss._pacer.packet_time is not None
    round_trip(loss, number + 2, now + 0.2, 0.001)
    assert loss.is_short, "as short as it was, at once"


@pytest.mark.parametrize(
    ("shortest", "datagrams", "most"),
    [
        (0.001, 1_000, 256),  # what comes at once is no more than a server holds
        (0.002, 257, 256),
        (0.001, 60, 60),
        (0.003, 1_000, 1_000),
        (math.inf, 1_000, 1_000),
    ],
)
def test_a_window_is_bounded_where_it_is_not_spaced(
    shortest: float, datagrams: int, most: int
) -> None:
    loss = pacer()._recovery
    loss._rtt_min, loss._cc.congestion_window = shortest, datagrams * SIZE
    assert loss.congestion_window == most * SIZE


@pytest.mark.parametrize(("threshold", "gain"), [(None, 2.0), (50_000, 1.25)])
def test_a_window_is_sent_in_less_than_a_round_trip(threshold: int | None, gain: float) -> None:
    """Twice as fast while it doubles, and else a quarter faster (RFC 9002 7.7)."""
    spaced = pacer(threshold)
    spaced.update_rate(congestion_window=50_000, smoothed_rtt=0.1)
    assert spaced.packet_time == pytest.approx(0.1 * SIZE / 50_000 / gain)


@pytest.mark.parametrize("packet_time", [None, 1e-6, 0.000_03, 0.01, 0.3])
@pytest.mark.parametrize("rest", [0.0, 1e-6, 0.000_29, 0.002, 0.1, 1.0])
def test_a_run_is_as_long_as_packets_would_go_one_by_one(
    packet_time: float | None, rest: float
) -> None:
    alone, run = pacer(), pacer()
    for each in (alone, run):
        each.packet_time, each.bucket_max, each.evaluation_time = packet_time, 0.5, 1000.0
    now, sent = 1000.0 + rest, 0
    while sent < 1_000 and alone.next_send_time(now=now) is None:
        alone.update_after_send(now=now)
        sent += 1
    assert run.take(1_000, now) == sent
    assert run.bucket_time == alone.bucket_time
