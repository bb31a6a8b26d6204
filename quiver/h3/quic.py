"""aioquic's QUIC connection with credit that follows consumption. Touches its private names."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aioquic.buffer import size_uint_var
from aioquic.quic.events import QuicEvent, StreamDataReceived
from aioquic.quic.packet_builder import PACKET_NUMBER_SEND_SIZE
from aioquic.quic.recovery import QuicPacketPacer

from quiver.h3.credit import Credits
from quiver.h3.packet import TAG
from quiver.h3.pathsize import PathSize

__all__ = ["Quic"]

_SHORTEST_RESET: Final = 21  # bytes
_MOST_DATAGRAMS: Final = 256  # that wait for the congestion window
_TICK: Final = 0.001  # seconds: an event loop's timers are no finer
_BURST: Final = 48  # packets at once that a server's socket holds by default


class Pacer(QuicPacketPacer):
    """Spaces packets (RFC 9002 7.7), but lets those of one tick of the loop's timers go together.

    aioquic allows sixteen at once; with one timer a millisecond that is no more than 20 MB/s.
    """

    def update_rate(self, congestion_window: int, smoothed_rtt: float) -> None:
        super().update_rate(congestion_window, smoothed_rtt)
        assert self.packet_time is not None
        self.bucket_max = max(self.bucket_max, min(_TICK, _BURST * self.packet_time))


class Quic(PathSize):
    """A client's connection. Only streams with an account in `credits` get more credit."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.credits = Credits()
        self._early: list[tuple[int, bytes]] = []  # datagrams ahead of their stream
        self._loss._pacer = Pacer(max_datagram_size=self._max_datagram_size)

    def forget_handshake(self) -> None:
        """Free what the client's part of it was written into: three times 16 KiB."""
        self._crypto_buffers = {}

    def receive_all(self, datagrams: Iterable[bytes], address: Any, now: float) -> bool:
        """Take datagrams; whether one of them was a stateless reset, and the rest was left."""
        for datagram in datagrams:
            self.receive_datagram(datagram, address, now)
            if self._foreign and self.is_reset(datagram):
                return True
        return False

    def is_reset(self, datagram: bytes) -> bool:
        """Whether the peer says that it knows nothing of this connection (RFC 9000 10.3.1)."""
        token = self._peer_cid.stateless_reset_token
        return (
            len(datagram) >= _SHORTEST_RESET
            and bool(token)
            and hmac.compare_digest(datagram[-len(token) :], token)
        )

    def happened(self) -> Iterator[QuicEvent]:
        """The events that wait. What came of a request's stream in a row is joined to one.

        So a batch of packets costs HTTP/3, and the reader, about as much as one packet.
        """
        gathered: dict[int, list[StreamDataReceived]] = {}
        while (event := self.next_event()) is not None:
            if type(event) is StreamDataReceived and not event.stream_id & 3:
                gathered.setdefault(event.stream_id, []).append(event)
                continue
            yield from _joined(gathered)
            yield event
        yield from _joined(gathered)

    def unacknowledged(self, stream_id: int) -> int:
        """Bytes of the stream that are held because the peer has not acknowledged them."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return 0
        return stream.sender._buffer_stop - stream.sender._buffer_start

    def datagram_room(self) -> int:
        """The largest payload of a DATAGRAM frame (RFC 9221 3); 0 when they are off.

        On whatever path: one that waits must fit also when the path's size falls.
        """
        theirs = self._remote_max_datagram_frame_size or 0
        header = 1 + len(self._peer_cid.cid) + PACKET_NUMBER_SEND_SIZE
        frame = min(theirs, self._least_datagram_size - header - TAG)
        most = max(0, frame - 2)  # one byte for the type, and one or more for the length
        return max(0, min(most, frame - 1 - size_uint_var(most)))

    def offer_datagram(self, stream_id: int, payload: bytes) -> bool:
        """Queue a DATAGRAM frame; False when too many wait, and this one is dropped.

        It goes after the stream's first bytes: a server drops one whose stream it does not know
        yet (RFC 9297 2.1), and within a packet aioquic writes datagrams before streams.
        """
        if len(self._datagrams_pending) + len(self._early) >= _MOST_DATAGRAMS:
            return False
        if self._begun(stream_id):
            self.send_datagram_frame(payload)
        else:
            self._early.append((stream_id, payload))
        return True

    def _begun(self, stream_id: int) -> bool:
        stream = self._streams.get(stream_id)
        return stream is None or stream.sender.highest_offset > 0

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        ready = super().datagrams_to_send(now)
        if self._early:
            early, self._early = self._early, []
            for stream_id, payload in early:
                self.offer_datagram(stream_id, payload)
            ready += super().datagrams_to_send(now)
        return ready

    def _write_stream_limits(self, builder: Any, space: Any, stream: Any) -> None:
        receiver, delivered = stream.receiver, stream.receiver._buffer_start
        if 2 * delivered <= stream.max_stream_data_local == stream.max_stream_data_local_sent:
            return  # credit enough; asked of each stream for each packet, it must be cheap
        if not stream.stream_id & 3:
            credit = self.credits.get(stream.stream_id)
            if credit is None or receiver.is_finished:
                return
            stream.max_stream_data_local = credit.limit(delivered, stream.max_stream_data_local)
            delivered = 0
        # It would double the limit by what it has seen, holes and all. Of a request's stream let
        # it see nothing, of another one what has been delivered.
        seen, receiver.highest_offset = receiver.highest_offset, delivered
        try:
            super()._write_stream_limits(builder, space, stream)
        finally:
            receiver.highest_offset = seen

    def _write_connection_limits(self, builder: Any, space: Any) -> None:
        limit = self._local_max_data
        if self.credits.limit(limit.used, limit.value) != limit.value:
            limit.value = self.credits.limit(limit.used - self._beyond_holes(), limit.value)
        used, limit.used = limit.used, 0
        try:
            super()._write_connection_limits(builder, space)
        finally:
            limit.used = used

    def _raises_max_data(self) -> bool:
        limit = self._local_max_data
        due = self.credits.limit(limit.used, limit.value) != limit.value
        return due or limit.value != limit.sent

    def _raises_credit(self, stream: Any) -> bool:
        if stream.stream_id & 3:
            return super()._raises_credit(stream)
        credit, limit = self.credits.get(stream.stream_id), stream.max_stream_data_local
        if credit is None or stream.receiver.is_finished:
            return False
        due = credit.limit(stream.receiver._buffer_start, limit)
        return not due == limit == stream.max_stream_data_local_sent

    def _beyond_holes(self) -> int:
        """Bytes held because something before them is missing, for which there is no credit."""
        return sum(len(stream.receiver._buffer) for stream in self._streams.values())


def _joined(gathered: dict[int, list[StreamDataReceived]]) -> Iterator[StreamDataReceived]:
    for stream_id, pieces in gathered.items():
        last = pieces[-1]
        if len(pieces) > 1:
            whole = b"".join([piece.data for piece in pieces])
            last = StreamDataReceived(whole, last.end_stream, stream_id)
        yield last
    gathered.clear()
