"""Probes of the path's MTU, which aioquic does not send, and the size they lead to."""

from __future__ import annotations

from typing import Any, Final

from aioquic.quic.packet import QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder
from aioquic.tls import Epoch

from quiver.quic.aioquic.connection import Connection
from quiver.quic.path_mtu import PathMtu

__all__ = ["PathProbe"]

_ROUNDING: Final = 16
"""Bytes that a datagram may lack and yet be full: frames leave some where lengths grow."""


class PathProbe:
    """What carries out `mtu` in aioquic: the size of datagrams, and the probes."""

    def __init__(self, connection: Connection, least: int) -> None:
        self.connection = connection
        self.mtu = PathMtu(least)

    def timed_out(self) -> None:
        """Have the size judged by the probe timeouts (RFC 9002 6.2) that passed in a row."""
        self.mtu.timed_out(self.connection._loss._pto_count)
        self._resize()

    def bound(self, most: int) -> None:
        """Send nothing above `most` bytes: the server takes no more."""
        self.mtu.bound(most)
        self._resize()

    def after_flush(self, sent: list[bytes], now: float) -> None:
        """Add a probe to what is sent, if one is due."""
        if now < self.mtu.probe_due:
            return
        full = self.mtu.size - _ROUNDING
        filled = sum(map(full.__le__, map(len, sent)))
        if filled and self.connection._handshake_confirmed and self.mtu.probes(filled, now):
            sent += self._probe(now)

    def shorten(self) -> None:
        """Send short ones: our own link takes no others."""
        self.mtu.shorten()
        self._resize()

    def _resize(self) -> None:
        connection, size = self.connection, self.mtu.size
        loss: Any = connection._loss
        connection._max_datagram_size = size
        loss._cc.max_datagram_size = loss._pacer._max_datagram_size = size

    def _probe(self, now: float) -> list[bytes]:
        connection = self.connection
        assert connection._version is not None
        cid = connection._peer_cid.cid
        builder = QuicPacketBuilder(
            host_cid=connection.host_cid,
            is_client=True,
            max_datagram_size=self.mtu.larger,
            packet_number=connection._packet_number,
            peer_cid=cid,
            quic_logger=connection._quic_logger,
            spin_bit=connection._spin_bit,
            version=connection._version,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, connection._cryptos[Epoch.ONE_RTT])
        frame = builder.start_frame(QuicFrameType.PING, handler=self._on_delivery)
        frame.push_bytes(bytes(builder.remaining_buffer_space))
        assert builder._packet is not None
        builder._packet.in_flight = False  # when it is lost, that is no congestion
        path = connection._network_paths[0]
        sent = connection._flush_builder(builder=builder, network_path=path, peer_cid=cid, now=now)
        return [datagram for datagram, _ in sent]

    def _on_delivery(self, delivery: QuicDeliveryState) -> None:
        self.mtu.probed(arrived=delivery is QuicDeliveryState.ACKED)
        self._resize()
