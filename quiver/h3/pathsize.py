"""Datagrams as long as the path takes (RFC 8899, RFC 9000 14.3). Touches aioquic's private names.

Every path of QUIC takes 1,200 bytes. While more is sent than fits one datagram, a probe goes out
every second: a PING, padded to the size that Ethernet takes. Datagrams are that long as long as
the last probe arrived. When it did not, or nothing arrives at all any more, they are short again;
so a path that changes, or swallows what is long, is found out. A lost probe says nothing of
congestion, and who sends little is never probed.
"""

from __future__ import annotations

from typing import Any, Final

from aioquic.quic.packet import QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder
from aioquic.tls import Epoch

from quiver.h3.inbound import Inbound

__all__ = ["LARGER", "PathSize"]

LARGER: Final = 1452
"""Bytes of a UDP payload that fits Ethernet's 1,500 with IPv6's header."""

_INTERVAL: Final = 1.0  # seconds between probes
_TRIES: Final = 2  # timeouts in a row that put the size in doubt


class PathSize(Inbound):
    """A client's connection that finds out how long its datagrams may be."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._least_datagram_size = self._max_datagram_size
        self._probe_due = 0.0

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        if self._loss._pto_count >= _TRIES:
            self._resize(self._least_datagram_size)
        ready = super().datagrams_to_send(now)
        if len(ready) > 1 and now >= self._probe_due and self._handshake_confirmed:
            self._probe_due = now + _INTERVAL
            ready += self._probe(now)
        return ready

    def _resize(self, size: int) -> None:
        self._max_datagram_size = self._loss._pacer._max_datagram_size = size

    def _probe(self, now: float) -> list[tuple[bytes, Any]]:
        assert self._version is not None
        builder = QuicPacketBuilder(
            host_cid=self.host_cid,
            is_client=True,
            max_datagram_size=LARGER,
            packet_number=self._packet_number,
            peer_cid=self._peer_cid.cid,
            quic_logger=self._quic_logger,
            spin_bit=self._spin_bit,
            version=self._version,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, self._cryptos[Epoch.ONE_RTT])
        frame = builder.start_frame(QuicFrameType.PING, handler=self._on_size_probed)
        frame.push_bytes(bytes(builder.remaining_buffer_space))
        assert builder._packet is not None
        builder._packet.in_flight = False  # when it is lost, that is no congestion (RFC 9000 14.4)
        return self._flush_builder(
            builder=builder,
            network_path=self._network_paths[0],
            peer_cid=self._peer_cid.cid,
            now=now,
        )

    def _on_size_probed(self, delivery: QuicDeliveryState) -> None:
        arrived = delivery is QuicDeliveryState.ACKED
        self._resize(LARGER if arrived else self._least_datagram_size)
