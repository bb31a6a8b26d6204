"""aioquic's connection, with our flow control and our judgement of certificates in it.

Thin: what aioquic calls is overridden here and handed to the parts. It stands on those private
names only that `required.NEEDED` lists.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any, Final

from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic import events as theirs
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection, QuicConnectionError, QuicConnectionState
from aioquic.quic.packet import QuicFrameType
from aioquic.tls import Epoch

from quiver.quic.aioquic import required
from quiver.quic.aioquic.certificates import judge_by
from quiver.quic.aioquic.no_early_data import NoEarlyData
from quiver.quic.aioquic.packet_keys import UPDATE_AFTER, PacketKeys
from quiver.quic.aioquic.session import Session
from quiver.quic.codes import TransportCode
from quiver.quic.engine import (
    DatagramReceived,
    Event,
    HandshakeCompleted,
    PingAcknowledged,
    SessionTicket,
    StopSendingReceived,
    StreamDataReceived,
    StreamResetReceived,
    TicketReceived,
)
from quiver.quic.flow_control import FlowControl
from quiver.quic.path_validation import PathValidation
from quiver.quic.reassembly import Ranges, Reassembly, TooManyPieces
from quiver.quic.tls_messages import LONGEST_MESSAGE
from quiver.quic.transport_parameters import (
    SILENT,
    TransportParameterError,
    completed,
    read_transport_parameters,
)

if required.can_send_early():  # it is read here, and not while the first request waits
    import quiver.quic.aioquic.early_data  # noqa: F401

__all__ = ["UNKNOWN", "Connection", "stream_of"]

UNKNOWN: Final = ("the peer", 0)
"""An address for aioquic when the owner tells none."""

_SHORTEST_RESET: Final = 21  # bytes
_PROBE_TIMEOUTS: Final = 3  # that a connection lives at least (RFC 9000 10.1)

_MOST_CRYPTO: Final = {Epoch.ONE_RTT: 16 * 1024}
"""Bytes of CRYPTO frames that wait for what is before them (RFC 9000 7.5), LONGEST_MESSAGE in the
handshake. After it there are tickets, of which thousands would be told apart at once."""

_MOST_ACKS: Final = 16  # in one packet, which needs one
_MOST_UNACKNOWLEDGED: Final = 1_024  # packets with nothing but ACK

_MOST_CRYPTO_PIECES: Final = 256  # a chain of certificates of 128 KiB is in 110 packets


class Connection(QuicConnection):
    """A client's connection. Only streams with an account in `flow_control` get more credit.

    Attributes:
        now: when what is being written goes out; to be set before each flush.
        path_validation: of the path that it has migrated to; is told what the peer answers.
        peer_address: host and port that its datagrams go to.
        reassembly: the pieces of streams that came out of order, and are held.
        session: of TLS, with the tickets that the server gives.
        early: what is sent before the handshake is over.
        packet_keys: of 1-RTT packets; there are none before `connect`.
        peer_parameters: what the server has said of itself; before that, what holds for one that
            says nothing.
    """

    def __init__(
        self,
        configuration: QuicConfiguration,
        ticket: SessionTicket | None = None,
        early: bool = False,
    ) -> None:
        # None is offered where we could not tell what a server has made of it.
        self.session = Session(configuration, ticket, early and required.can_send_early())
        self.early = _early_data_of(self)
        self.flow_control = FlowControl(getattr(configuration, "receive_window_max", 0))
        self.now = 0.0
        self.path_validation = PathValidation()
        self.peer_address = UNKNOWN
        self.reassembly = Reassembly()
        self.packet_keys: PacketKeys
        self._update_keys_after = getattr(configuration, "update_keys_after", UPDATE_AFTER)
        self._look_after = 0  # packets with these keys
        self._acknowledging: object = None  # the packet whose frames are taken, and
        self._acks = 0  # how many of these were ACK frames
        self._former_until: float | None = None  # when the keys of the last phase are forgotten
        self.peer_parameters = SILENT
        self._agreed = configuration.idle_timeout  # the shorter one, as soon as both are known
        super().__init__(
            configuration=self.session.configuration, session_ticket_handler=self.session.came
        )

    def _initialize(self, peer_cid: bytes) -> None:
        if not self.session.keeps_to(self._version):
            self.early.reject()
        gone = self.early.forget_packets()
        super()._initialize(peer_cid)  # anew after a Retry, or in another version
        self.early.send_again(gone)
        configuration = self.configuration
        roots, own = getattr(configuration, "roots", None), getattr(configuration, "own", None)
        judge_by(roots, configuration.server_name, self.tls, own)
        self.session.begin(self)
        keys: Any = PacketKeys(self._cryptos[Epoch.ONE_RTT])
        self._cryptos[Epoch.ONE_RTT] = self.packet_keys = keys

    # what is acknowledged -------------------------------------------------------------------

    def _handle_ack_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        # aioquic goes through all packets that are out, for each of them.
        if context is self._acknowledging:
            self._acks += 1
            if self._acks > _MOST_ACKS:
                said = f"more than {_MOST_ACKS} ACK frames are in one packet"
                raise QuicConnectionError(TransportCode.PROTOCOL_VIOLATION, frame_type, said)
        else:
            self._acknowledging, self._acks = context, 1
        super()._handle_ack_frame(context, frame_type, buf)

    def _get_or_create_stream_for_send(self, stream_id: int) -> Any:
        stream: Any = super()._get_or_create_stream_for_send(stream_id)
        sender = stream.sender
        if type(sender._pending) is not Ranges:  # it is new: the peer decides how many there are
            sender._acked, sender._pending = Ranges(sender._acked), Ranges(sender._pending)
        return stream

    def _forget_acks(self, space: Any) -> None:
        """Forget packets that were nothing but acknowledgements, if they are not acknowledged by
        now. A peer that sends and never acknowledges would have us remember each of them."""
        sent = space.sent_packets
        if len(sent) > _MOST_UNACKNOWLEDGED:
            idle = [number for number, packet in sent.items() if not packet.in_flight]
            for number in idle[:-_MOST_UNACKNOWLEDGED]:
                del sent[number]

    # its keys -------------------------------------------------------------------------------

    def before_flush(self, now: float) -> bool:
        """Update keys that have served enough packets (RFC 9001 6.6), and forget what can be.

        Returns whether it was too late for an update, so that the connection is closed.
        """
        keys = self.packet_keys
        if keys.sealed < self._look_after and keys.former is None and keys.fault is None:
            return False  # as mostly
        space = self._spaces[Epoch.ONE_RTT]
        self._forget_acks(space)
        self._look_after = min(keys.sealed + _MOST_UNACKNOWLEDGED, self._update_keys_after)
        if keys.sealed >= self._update_keys_after and self._handshake_confirmed:
            if space.largest_acked_packet >= keys.first_sealed:
                keys.update_key()
            keys.judge_sealed()
        if keys.former is None:
            self._former_until = None
        elif self._former_until is None:
            self._former_until = now + _PROBE_TIMEOUTS * self._loss.get_probe_timeout()
        elif now >= self._former_until:  # RFC 9001 6.5
            keys.former = self._former_until = None
        return self.close_at_fault()

    def close_at_fault(self) -> bool:
        """Close when the keys must not be used any more, or the peer's update breaks a rule."""
        if self.packet_keys.fault is None:
            return False
        code, reason = self.packet_keys.fault
        self.close(code, QuicFrameType.PADDING, reason)
        return True

    def _receive_version_negotiation_packet(self, header: Any, now: float) -> None:
        # aioquic has compared the id that we chose for ourselves. Only who has seen our packets
        # knows the one that we chose for the server as well (RFC 9000 6.2, 17.2.1).
        if header.source_cid == self._peer_cid.cid and not self._retry_count:
            super()._receive_version_negotiation_packet(header, now)

    def _serialize_transport_parameters(self) -> bytes:
        return completed(super()._serialize_transport_parameters())

    def _parse_transport_parameters(self, data: bytes, from_session_ticket: bool = False) -> None:
        try:
            peer = read_transport_parameters(data)
        except TransportParameterError as error:
            raise QuicConnectionError(
                TransportCode.TRANSPORT_PARAMETER_ERROR, QuicFrameType.CRYPTO, str(error)
            ) from error
        if from_session_ticket:  # those of the last connection, which hold until ours come
            self.early.remembered = peer
            return super()._parse_transport_parameters(data, from_session_ticket)
        self.peer_parameters = peer
        self.early.decide(peer)
        super()._parse_transport_parameters(data)
        self.early.raise_streams(peer)
        # aioquic takes 0 for a limit, and each exponent for 3.
        self._remote_max_idle_timeout = peer.max_idle_timeout
        self._agreed = min(filter(None, (self._agreed, peer.max_idle_timeout)))
        self._remote_ack_delay_exponent = peer.ack_delay_exponent
        # It would send a PATH_CHALLENGE to the preferred address by the socket that it has, which
        # is connected to another one. A client may stay (RFC 9000 9.6); the connection id that came
        # along is a spare one for the path there is.
        self._remote_preferred_address = None

    def forget_streams(self) -> None:
        """Forget what is held of streams beside aioquic, which is about to forget them all."""
        for stream_id in self._streams:
            self.flow_control.close(stream_id)

    def _handle_path_response_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        at = buf.tell()
        super()._handle_path_response_frame(context, frame_type, buf)
        self.path_validation.answered(buf.data_slice(at, buf.tell()), context.time)

    # what comes out of order ----------------------------------------------------------------

    def _handle_stream_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        stream_id = stream_of(buf)
        super()._handle_stream_frame(context, frame_type, buf)
        self._note_pieces(stream_id, frame_type)

    def _handle_reset_stream_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        stream_id = stream_of(buf)
        super()._handle_reset_stream_frame(context, frame_type, buf)
        self._note_pieces(stream_id, frame_type)

    def _note_pieces(self, stream_id: int, frame_type: int) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        receiver = stream.receiver
        waiting = _in_order(receiver)
        ended = receiver.is_finished  # by a reset: what waits is for nobody
        try:
            pieces, held = (0, 0) if ended else (len(waiting), waiting.size)
            self.reassembly.note(stream_id, pieces, held)
        except TooManyPieces as error:
            code = TransportCode.PROTOCOL_VIOLATION
            raise QuicConnectionError(code, frame_type, str(error)) from error

    def _handle_crypto_frame(self, context: Any, frame_type: int, buf: Buffer) -> None:
        receiver = self._crypto_streams[context.epoch].receiver
        super()._handle_crypto_frame(context, frame_type, buf)
        waiting = _in_order(receiver)
        most = _MOST_CRYPTO.get(context.epoch, LONGEST_MESSAGE)
        if len(receiver._buffer) > most or len(waiting) > _MOST_CRYPTO_PIECES:
            code = TransportCode.CRYPTO_BUFFER_EXCEEDED
            said = f"{len(waiting)} pieces within {len(receiver._buffer)} bytes of TLS wait"
            said = f"{said}, above {_MOST_CRYPTO_PIECES} or {most}"
            raise QuicConnectionError(code, frame_type, said)

    # what it reports ---------------------------------------------------------------------------

    def reported(self, accepts_peer: Callable[[], bool]) -> list[Event]:
        """The events of the seam. What came of a request's stream in a row is joined to one.

        So a batch of packets costs HTTP/3, and the reader, about as much as one packet.

        Args:
            accepts_peer: asked when a handshake is over; when it says no, nothing follows.
        """
        happened: list[Event] = []
        pieces: dict[int, list[StreamDataReceived]] = {}
        next_event: Callable[[], Any] = self.next_event
        while (event := next_event()) is not None:
            if type(event) is _THEIR_DATA:  # by aioquic's way; ours are made on the short one
                event = StreamDataReceived(event.stream_id, event.data, event.end_stream)
            if type(event) is StreamDataReceived and not event.stream_id & 3:
                if event.stream_id in pieces:
                    pieces[event.stream_id].append(event)
                else:
                    pieces[event.stream_id] = [event]
                continue
            happened += map(_joined, pieces.values())
            pieces.clear()
            if type(event) is StreamDataReceived:
                happened.append(event)
            elif type(event) is theirs.HandshakeCompleted:
                if not accepts_peer():
                    return happened
                happened.append(HandshakeCompleted(event.session_resumed, self.early.accepted))
            elif (translate := _TRANSLATED.get(type(event))) is not None:
                happened.append(translate(event))
        happened += map(_joined, pieces.values())
        if self.session.tickets:
            happened += map(TicketReceived, self.session.new_tickets())
        return happened

    # what it knows --------------------------------------------------------------------------

    @property
    def answered(self) -> bool:
        """Whether a packet has come that only the peer can have sent."""
        return self._state is not QuicConnectionState.FIRSTFLIGHT

    @property
    def is_draining(self) -> bool:
        """Whether the peer has closed it."""
        return self._state is QuicConnectionState.DRAINING

    @property
    def idle_timeout(self) -> float:
        """Seconds of silence that end the connection (RFC 9000 10.1)."""
        return max(self._agreed, _PROBE_TIMEOUTS * self._loss.get_probe_timeout())

    def is_reset(self, datagram: bytes) -> bool:
        """Whether the peer says that it knows nothing of this connection (RFC 9000 10.3.1)."""
        token = self._peer_cid.stateless_reset_token
        return (
            len(datagram) >= _SHORTEST_RESET
            and bool(token)
            and hmac.compare_digest(datagram[-len(token) :], token)
        )

    def unacknowledged(self, stream_id: int) -> int:
        """Bytes of the stream that are held because the peer has not acknowledged them."""
        stream = self._streams.get(stream_id)
        if stream is None:
            return 0
        return stream.sender._buffer_stop - stream.sender._buffer_start

    def send_credit(self, stream_id: int) -> int:
        """Bytes that may follow what was written to a stream before they wait for the peer."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.is_blocked:
            return 0
        left = stream.max_stream_data_remote - stream.sender._buffer_stop
        return max(0, min(left, self._remote_max_data - self._remote_max_data_used))

    # flow control ---------------------------------------------------------------------------

    def _write_stream_limits(self, builder: Any, space: Any, stream: Any) -> None:
        receiver, delivered = stream.receiver, stream.receiver._buffer_start
        if 4 * delivered <= stream.max_stream_data_local == stream.max_stream_data_local_sent:
            return  # credit enough; asked of each stream for each packet, it must be cheap
        if not stream.stream_id & 3:
            credit = self.flow_control.get(stream.stream_id)
            if credit is None or receiver.is_finished:
                return
            stream.max_stream_data_local = self.flow_control.raise_stream(
                credit,
                delivered,
                stream.max_stream_data_local,
                self.now,
                self._loss._rtt_smoothed,
            )
            delivered = 0
        # aioquic doubles the limit by what has been received, holes and all. Of a request's
        # stream let it see nothing, of another one what has been delivered.
        seen, receiver.highest_offset = receiver.highest_offset, delivered
        try:
            super()._write_stream_limits(builder, space, stream)
        finally:
            receiver.highest_offset = seen

    def _write_connection_limits(self, builder: Any, space: Any) -> None:
        limit, flow_control = self._local_max_data, self.flow_control
        if flow_control.limit(limit.used, limit.value) != limit.value:
            delivered, round_trip = limit.used - self._beyond_holes(), self._loss._rtt_smoothed
            limit.value = flow_control.raise_connection(
                delivered, limit.value, self.now, round_trip
            )
        used, limit.used = limit.used, 0
        try:
            super()._write_connection_limits(builder, space)
        finally:
            limit.used = used

    def _beyond_holes(self) -> int:
        """Bytes held because something before them is missing, for which there is no credit."""
        return sum(len(self._streams[each].receiver._buffer) for each in self.reassembly)

    def is_max_data_due(self) -> bool:
        """Whether MAX_DATA would be sent in the next packet."""
        limit = self._local_max_data
        due = self.flow_control.limit(limit.used, limit.value) != limit.value
        return due or limit.value != limit.sent

    def is_stream_credit_due(self, stream: Any) -> bool:
        """Whether MAX_STREAM_DATA would be sent for the stream in the next packet."""
        told, limit = stream.max_stream_data_local_sent, stream.max_stream_data_local
        if stream.stream_id & 3:
            return bool(told != limit or 2 * stream.receiver.highest_offset > limit)
        credit = self.flow_control.get(stream.stream_id)
        if credit is None or stream.receiver.is_finished:
            return False
        due = credit.limit(stream.receiver._buffer_start, limit)
        return not due == limit == told


def _early_data_of(connection: Connection) -> NoEarlyData:
    if not required.can_send_early():
        return NoEarlyData()
    from quiver.quic.aioquic.early_data import EarlyData  # not above: it may be impossible

    return EarlyData(connection)


def stream_of(buf: Buffer) -> int:
    """The stream that a frame is about, which is left as it is."""
    at = buf.tell()
    number: int = buf.pull_uint_var()
    buf.seek(at)
    return number


def _in_order(receiver: Any) -> Ranges:
    """Let the pieces of one stream be found fast, as soon as there is one. aioquic walks them."""
    ranges = receiver._ranges
    if type(ranges) is not Ranges:
        if not len(ranges):
            return _NONE
        ranges = receiver._ranges = Ranges(ranges)
    return ranges


_NONE: Final = Ranges()


def _joined(pieces: list[StreamDataReceived]) -> StreamDataReceived:
    last = pieces[-1]
    if len(pieces) == 1:
        return last
    whole = b"".join([piece.data for piece in pieces])
    return StreamDataReceived(last.stream_id, whole, last.ended)


_TRANSLATED: Final[dict[type, Callable[[Any], Event]]] = {
    theirs.StreamReset: lambda event: StreamResetReceived(event.stream_id, event.error_code),
    theirs.StopSendingReceived: lambda event: StopSendingReceived(
        event.stream_id, event.error_code
    ),
    theirs.DatagramFrameReceived: lambda event: DatagramReceived(event.data),
    theirs.PingAcknowledged: lambda event: PingAcknowledged(event.uid),
}

_THEIR_DATA: Final = theirs.StreamDataReceived
