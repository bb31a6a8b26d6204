"""Migration to another local address (RFC 9000 9), of which aioquic does the server's part alone.

For aioquic there is one path, to the peer. Here the connection goes over to another connection id,
takes all that was on its way for lost, begins congestion control, round trip times and datagram
sizes anew (RFC 9000 9.4), and has the new path validated by packets of its own. Data goes on at
once: a client may send where its peer is known to be (RFC 9000 9.2).
"""

from __future__ import annotations

import os
from typing import Any, Final

from aioquic.quic.packet import QuicFrameType, QuicPacketType
from aioquic.quic.packet_builder import QuicDeliveryState, QuicPacketBuilder
from aioquic.quic.recovery import QuicPacketRecovery
from aioquic.tls import Epoch

from quiver.quic.aioquic.connection import Connection
from quiver.quic.aioquic.plain_path import PlainSend
from quiver.quic.engine import Obstacle

__all__ = ["Migration"]

_EXPANDED: Final = 1_200
"""Bytes of a datagram with a PATH_CHALLENGE: the path has to take as many (RFC 9000 8.2.1)."""

_ESTIMATES: Final = ("_pto_count",)
"""What is renewed of aioquic's recovery, beside its parts and all that begins with `_rtt`."""


class Migration:
    """The moves of one connection. It stands on the names that `required.MIGRATION` lists."""

    def __init__(self, connection: Connection, sender: PlainSend) -> None:
        self.connection = connection
        self._sender = sender

    def begin(self, now: float) -> Obstacle | None:
        """Go on from another local address. Returns why that cannot be, and nothing has changed."""
        obstacle = self._obstacle()
        if obstacle is None:
            quic, probe_timeout = self.connection, self.connection._loss.get_probe_timeout()
            quic.change_connection_id()  # never one id from two addresses (RFC 9000 9.5)
            self._leave_old_path(now)
            quic.path_validation.begin(probe_timeout, now)
        return obstacle

    def _obstacle(self) -> Obstacle | None:
        quic = self.connection
        if not quic._handshake_confirmed:
            return Obstacle.UNCONFIRMED
        if quic.peer_parameters.disable_active_migration:
            return Obstacle.FORBIDDEN
        return None if quic._peer_cid_available else Obstacle.NO_CONNECTION_ID

    def _leave_old_path(self, now: float) -> None:
        """Send again what was on its way, without blame, and forget what the old path was like."""
        quic = self.connection
        loss: Any = quic._loss
        self._sender.leave_path()
        for space in loss.spaces:
            packets = list(space.sent_packets.values())
            loss._on_packets_lost(congestion_event=False, now=now, packets=packets, space=space)
            space.loss_time = None
        size = quic._max_datagram_size
        new: Any = QuicPacketRecovery(
            congestion_control_algorithm=quic.configuration.congestion_control_algorithm,
            initial_rtt=quic.configuration.initial_rtt,
            max_datagram_size=size,
            peer_completed_address_validation=True,
            send_probe=loss._send_probe,
        )
        for name, value in vars(new).items():
            if name in _ESTIMATES or name.startswith("_rtt"):
                setattr(loss, name, value)
        loss._cc = type(loss._cc)(max_datagram_size=size)
        vars(loss._pacer).update(vars(new._pacer))

    def datagrams(self, now: float) -> list[bytes]:
        """What has the new path validated. A PING goes along: a packet with nothing but a challenge
        would have the peer look at the path, and go on sending to the old one (RFC 9000 9.1)."""
        quic = self.connection
        if not quic.path_validation.wants_challenge(now) or quic._close_event is not None:
            return []
        assert quic._version is not None
        loss: Any = quic._loss
        payload, cid = os.urandom(8), quic._peer_cid.cid
        builder = QuicPacketBuilder(
            host_cid=quic.host_cid,
            is_client=True,
            max_datagram_size=_EXPANDED,
            packet_number=quic._packet_number,
            peer_cid=cid,
            quic_logger=quic._quic_logger,
            spin_bit=quic._spin_bit,
            version=quic._version,
        )
        builder.start_packet(QuicPacketType.ONE_RTT, quic._cryptos[Epoch.ONE_RTT])
        builder.start_frame(QuicFrameType.PATH_CHALLENGE, capacity=9).push_bytes(payload)
        frame = builder.start_frame(
            QuicFrameType.PING, handler=self._delivered, handler_args=(payload,)
        )
        frame.push_bytes(bytes(builder.remaining_buffer_space))  # PADDING
        assert builder._packet is not None
        builder._packet.in_flight = False  # when it is lost, that is no congestion
        loss._time_of_last_sent_ack_eliciting_packet = now  # which says so for packets in flight
        if quic._quic_logger is not None:
            frames: Any = builder.quic_logger_frames
            frames.append(quic._quic_logger.encode_path_challenge_frame(data=payload))
        quic.path_validation.challenged(payload, now)
        path = quic._network_paths[0]
        sent = quic._flush_builder(builder=builder, network_path=path, peer_cid=cid, now=now)
        return [datagram for datagram, _ in sent]

    def _delivered(self, delivery: QuicDeliveryState, payload: bytes) -> None:
        if delivery is QuicDeliveryState.ACKED:
            self.connection.path_validation.acknowledged(payload)
