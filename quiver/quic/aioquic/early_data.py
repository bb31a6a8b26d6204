"""Early data: what one connection sends before its handshake is over (RFC 9001 4.6).

    offered --> the server's parameters --> accepted: they must keep to those remembered (RFC 9000
                                            7.4.1), and what was sent stands
                                        --> rejected: as if nothing had been sent
            --> another version of QUIC --> the same

aioquic knows the keys, and sends by them. It does not know rejection: it would take what was sent
for lost, and send it again, later, on the same streams, whatever the server allows by now. Nor does
it send again what had gone before a Retry (RFC 9000 17.2.5.3). So this stands on names of its own,
which `required.EARLY_DATA` lists; where some are missing `NoEarlyData` takes its place.
"""

from __future__ import annotations

from typing import Any, Final

from aioquic.quic.connection import QuicConnectionError
from aioquic.quic.packet import QuicFrameType
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.tls import AlertDescription, Epoch

from quiver.quic.aioquic.no_early_data import NoEarlyData
from quiver.quic.codes import CRYPTO_ERROR, TransportCode
from quiver.quic.transport_parameters import TransportParameters

__all__ = ["EarlyData"]

_KEPT: Final = (
    "active_connection_id_limit",
    "initial_max_data",
    "initial_max_stream_data_bidi_local",
    "initial_max_stream_data_bidi_remote",
    "initial_max_stream_data_uni",
    "initial_max_streams_bidi",
    "initial_max_streams_uni",
    "max_datagram_frame_size",  # RFC 9221 3
)
"""What a server that accepts early data must not lower."""

_LIMITS: Final = (
    *("data", "data_used", "streams_bidi", "streams_uni"),
    *("stream_data_bidi_local", "stream_data_bidi_remote", "stream_data_uni"),
)
"""What aioquic knows of the server's limits, and sets where the server says something."""


class EarlyData(NoEarlyData):
    """The early data of one connection, a part of it: see `Connection`.

    Attributes:
        remembered: what the server had said of itself when it gave the ticket.
        accepted: whether it has taken the early data; None before that is known, or without any.
    """

    def __init__(self, connection: Any) -> None:
        super().__init__()
        self._connection = connection

    @property
    def sends(self) -> bool:
        pair = self._connection._cryptos.get(Epoch.ZERO_RTT)
        return self.accepted is None and pair is not None and pair.send.is_valid()

    def forget_packets(self) -> list[Any]:
        connection = self._connection
        space = connection._spaces.get(Epoch.ONE_RTT)
        if space is None:
            return []
        gone = list(space.sent_packets.values())
        connection._loss.discard_space(space)
        return gone

    def send_again(self, packets: list[Any]) -> None:
        """In packets with other numbers."""
        for packet in packets:
            for handler, arguments in packet.delivery_handlers:
                handler(QuicDeliveryState.LOST, *arguments)

    def decide(self, peer: TransportParameters) -> None:
        """Act on the server's decision, which comes along with its parameters.

        Raises QuicConnectionError: it accepts what was not offered, or keeps not to its word.
        """
        tls = self._connection.tls
        if not self.sends:
            if tls.early_data_accepted:
                raise _wrong(CRYPTO_ERROR + AlertDescription.unsupported_extension, "not offered")
            return
        if tls.early_data_accepted and not tls.session_resumed:
            code = CRYPTO_ERROR + AlertDescription.illegal_parameter
            raise _wrong(code, "accepted without the session")
        if tls.early_data_accepted:
            self._check(peer)
            self.accepted = True
        else:
            self.reject()

    def reject(self) -> None:
        """Forget all streams, what has gone of them, and what the server allowed once."""
        self.accepted = False
        connection = self._connection
        connection.forget_streams()
        connection._streams.clear()
        for streams in ("queue", "blocked_bidi", "blocked_uni"):
            getattr(connection, f"_streams_{streams}").clear()
        connection._streams_blocked_pending = False
        connection._local_next_stream_id_bidi, connection._local_next_stream_id_uni = 0, 2
        for limit in _LIMITS:
            setattr(connection, f"_remote_max_{limit}", 0)
        connection._loss.discard_space(connection._spaces[Epoch.ONE_RTT])

    def _check(self, peer: TransportParameters) -> None:
        for name in _KEPT:
            was, now = getattr(self.remembered, name), getattr(peer, name)
            if now < was:
                said = f"accepted, but {name} went from {was} to {now}"
                raise _wrong(TransportCode.PROTOCOL_VIOLATION, said)

    def raise_streams(self, peer: TransportParameters) -> None:
        for stream in self._connection._streams.values():
            bidirectional = not stream.stream_id & 2
            limit = (
                peer.initial_max_stream_data_bidi_remote
                if bidirectional
                else peer.initial_max_stream_data_uni
            )
            stream.max_stream_data_remote = max(stream.max_stream_data_remote, limit)


def _wrong(code: int, said: str) -> QuicConnectionError:
    return QuicConnectionError(code, QuicFrameType.CRYPTO, f"early data: {said}")
