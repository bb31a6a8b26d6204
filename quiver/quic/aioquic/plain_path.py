"""aioquic's own ways of sending and receiving: slower than ours, and right with any release."""

from __future__ import annotations

import math
from collections.abc import Sequence

from quiver.quic.aioquic.connection import Connection

__all__ = ["PlainReceive", "PlainSend"]


class PlainSend:
    """The way out: what is due on a connection, and the streams of requests.

    A stream that aioquic has discarded, since both of its halves have ended, is left alone: some
    releases would begin it anew.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def flush(self, now: float) -> list[bytes]:
        """The datagrams that are to be sent now."""
        return [datagram for datagram, _ in self.connection.datagrams_to_send(now)]

    def open_stream(self, stream_id: int, content: bytes, ended: bool) -> None:
        """Begin the next stream, which the peer allows."""
        self.connection.send_stream_data(stream_id, content, ended)

    def reset_stream(self, stream_id: int, code: int) -> None:
        """Give up our half."""
        if stream_id in self.connection._streams:
            self.connection.reset_stream(stream_id, code)

    def stop_stream(self, stream_id: int, code: int) -> None:
        """Ask the peer to give up its half."""
        stream = self.connection._streams.get(stream_id)
        if stream is not None and not stream.receiver.is_finished:
            self.connection.stop_stream(stream_id, code)

    def handshake_completed(self) -> None:
        """Free what only the handshake needed."""

    def leave_path(self) -> None:
        """Forget what is known of the path: another one is taken."""

    def shorten(self) -> None:
        """Send no longer datagrams than every path takes: these are of no other size."""


class PlainReceive:
    """The way in: the peer's datagrams.

    Attributes:
        heard: when the last packet came that was the peer's beyond doubt.
        ahead: how many datagrams to look at together; each of them may be dear.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.heard = -math.inf
        self.ahead = 1

    def take_row(self, _: Sequence[bytes], __: float) -> int:
        """Take datagrams that a row of them begins with, at a time, as far as there is a shorter
        way than for each by `take`. Returns how many."""
        return 0

    def take(self, datagram: bytes, now: float) -> bool:
        """Take one datagram; True if it may not have been of this connection."""
        connection = self.connection
        closes_at = connection._close_at
        connection.receive_datagram(datagram, connection.peer_address, now)
        if connection._close_at != closes_at:  # put off with each packet that can be decrypted
            self.heard = now
        return True
