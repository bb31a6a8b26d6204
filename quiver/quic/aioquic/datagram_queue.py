"""DATAGRAM frames (RFC 9221) that wait to be sent."""

from __future__ import annotations

from typing import Final

from aioquic.buffer import size_uint_var
from aioquic.quic.packet_builder import PACKET_NUMBER_SEND_SIZE

from quiver.quic.aioquic.connection import Connection

__all__ = ["DatagramQueue"]

_MOST: Final = 256  # that wait for the congestion window
_TAG: Final = 16  # bytes of an AEAD tag (RFC 9001 5.3)


class DatagramQueue:
    """A bounded queue before aioquic's, which is not.

    Attributes:
        held: those that are ahead of their stream.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.held: list[tuple[int, bytes]] = []

    @property
    def room(self) -> int:
        """The largest payload of a DATAGRAM frame (RFC 9221 3); 0 when they are off.

        On whatever path: one that waits must fit also when the path's size falls.
        """
        quic = self.connection
        theirs = quic.peer_parameters.max_datagram_frame_size
        header = 1 + len(quic._peer_cid.cid) + PACKET_NUMBER_SEND_SIZE
        frame = min(theirs, quic.configuration.max_datagram_size - header - _TAG)
        most = max(0, frame - 2)  # one byte for the type, and one or more for the length
        return max(0, min(most, frame - 1 - size_uint_var(most)))

    def offer(self, stream_id: int, payload: bytes) -> bool:
        """Queue a frame; False when too many wait, and this one is dropped.

        It goes after the stream's first bytes: a server drops one whose stream it does not know
        yet (RFC 9297 2.1), and within a packet aioquic writes datagrams before streams.
        """
        quic = self.connection
        if len(quic._datagrams_pending) + len(self.held) >= _MOST:
            return False
        stream = quic._streams.get(stream_id)
        if stream is None or stream.sender.highest_offset > 0:
            quic.send_datagram_frame(payload)
        else:
            self.held.append((stream_id, payload))
        return True

    def release(self) -> None:
        """Let go those whose stream has begun, after something was sent."""
        held, self.held = self.held, []
        for stream_id, payload in held:
            self.offer(stream_id, payload)
