"""How many packets go out together: those of one tick of the loop's timers, within bounds."""

from __future__ import annotations

import pytest
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.recovery import QuicPacketPacer

from quiver.quic.aioquic.fast_connection import FastConnection
from quiver.quic.aioquic.fast_send import Pacer

SIZE = 1200  # bytes of a packet


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
    assert type(FastConnection(QuicConfiguration())._loss._pacer) is Pacer
    assert burst(plain._loss._pacer, 100e6) in (16, 17)


@pytest.mark.parametrize(
    ("rate", "least", "most"),
    [
        (1e6, 16, 17),  # a packet each 1.2 ms: as aioquic has it
        (30e6, 25, 26),  # those of 1 ms
        (100e6, 48, 49),  # no more than a socket holds
        (1e9, 48, 49),
    ],
)
def test_packets_of_one_tick(rate: float, least: int, most: int) -> None:
    assert least <= burst(Pacer(max_datagram_size=SIZE), rate) <= most
