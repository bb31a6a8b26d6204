"""QUIC in memory: a second engine under HTTP/3, to show that `quiver.h3` stands on the seam alone.

Both ends are a `Peer`, which holds the other one to what RFC 9000 says of streams, as aioquic does:
limits of streams (4.6), credit (4.1), final sizes (4.5), resets and STOP_SENDING (3), the size of
datagrams (RFC 9221). What breaks a rule closes the connection with the code for it; what its owner
must not do raises. There is no TLS, and no packet is protected but by a checksum. Packets are
numbered, acknowledged and sent again, so that a wire may lose, double and reorder them. The clock
is that of whoever calls.

`MemoryEngine` is the client's end, with the face of `quiver.quic.engine.Engine`; `MemoryServer` the
server's, with as much of the face of aioquic's QuicConnection as its H3Connection needs.
"""

from __future__ import annotations

import marshal
import math
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final

import attrs
from aioquic.quic import events as aioquic_events

from quiver.models import Handshake
from quiver.quic import engine
from quiver.quic.codes import TransportCode
from quiver.quic.flow_control import FlowControl
from quiver.quic.path_validation import PathValidation

__all__ = ["Limits", "MemoryEngine", "MemoryServer", "Peer", "Stream"]

ROOM: Final = 1_100  # bytes of frames in a packet
WINDOW: Final = 64  # packets that may be on their way
RETRANSMISSION: Final = 0.2  # seconds without an acknowledgement, at first
ROUND_TRIP: Final = RETRANSMISSION / 2  # seconds, as far as anybody asks: none is measured
MOST_DATAGRAMS: Final = 256  # that wait
MOST_FRAME_SIZE: Final = 1_000  # of a DATAGRAM frame, on any path
STREAM_LIMIT: Final = 128  # of unidirectional streams, and of the server's own
Frame = tuple[Any, ...]


class Violation(Exception):
    """The other end broke a rule of QUIC."""

    def __init__(self, code: TransportCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@attrs.define
class Limits:
    """What one end says of itself in its handshake."""

    max_data: int = 8 * 1024 * 1024
    max_stream_data: int = 1024 * 1024
    max_streams: int = 0
    max_datagram_frame_size: int | None = None
    idle_timeout: float = 60.0
    spare_ids: int = 7  # connection ids beside the first
    stays: bool = False  # the other end may not migrate


@attrs.define
class Stream:
    """Both halves of one stream. `may_send` and `may_receive` are cumulative (RFC 9000 4.1)."""

    stream_id: int
    may_send: int
    may_receive: int
    unsent: bytearray = attrs.field(factory=bytearray)
    sent: int = 0
    unacknowledged: int = 0
    fin: bool = False  # is to be sent
    send_done: bool = False  # FIN or a reset is sent
    was_reset: bool = False
    received: int = 0
    final_size: int | None = None
    receive_done: bool = False
    stopped: bool = False


@attrs.define
class _Flight:
    """Frames that have not been acknowledged."""

    frames: list[Frame]
    due: float
    tries: int = 0


# one end ------------------------------------------------------------------------------------


class Peer:
    """One end of a connection; the events are the engine's."""

    def __init__(self, client: bool, ours: Limits) -> None:
        self.client = client
        self.ours = ours
        self.theirs = Limits(0, 0, 0, None, 0.0)
        self.events: deque[engine.Event] = deque()
        self.streams: dict[int, Stream] = {}
        self.closed: engine.ConnectionClosed | None = None
        self.established = False
        self.confirmed = False
        self.heard = -math.inf
        self.gives_credit = True
        self.accounts: FlowControl | None = FlowControl() if client else None
        self._idle_since = math.inf
        self._gone: set[int] = set()
        self._next_id = {True: 2 if client else 3, False: 0 if client else 1}
        self._opened_by_peer = {True: 0, False: 0}  # counted by the largest id
        self._max_streams_told = ours.max_streams
        self._data_sent = self._data_received = 0
        self._may_send_data, self._may_receive_data = 0, ours.max_data
        self._control: deque[Frame] = deque()
        self._probes = 0
        self._datagrams: deque[bytes] = deque()
        self._early: list[tuple[int, bytes]] = []  # datagrams whose stream has not begun
        self._number = self._sequence = 0  # of packets; of those with frames
        self._flights: dict[int, _Flight] = {}
        self._numbers_seen: set[int] = set()
        self._expected, self._held = 0, dict[int, list[Frame]]()
        self._ack_pending = False
        self._farewell: tuple[int, bool, str] | None = None
        self.validation = PathValidation()
        self._spare_ids = 0  # of the other end's

    # streams --------------------------------------------------------------------------------

    @property
    def max_streams(self) -> int:
        return self.theirs.max_streams

    def next_id(self, unidirectional: bool = False) -> int:
        return self._next_id[unidirectional]

    def open(self, unidirectional: bool = False) -> Stream:
        """Raises ValueError when the other end lets no more be opened."""
        stream_id = self._next_id[unidirectional]
        allowed = self.theirs.max_streams if self.client and not unidirectional else STREAM_LIMIT
        if not self.established or self.closed or stream_id // 4 >= allowed:
            raise ValueError(f"stream {stream_id}: no more than {allowed} are allowed")
        self._next_id[unidirectional] += 4
        return self._add(stream_id)

    def _add(self, stream_id: int) -> Stream:
        stream = Stream(stream_id, self.theirs.max_stream_data, self.ours.max_stream_data)
        ours = (stream_id & 1 == 0) == self.client
        if stream_id & 2:  # one half only
            stream.receive_done, stream.send_done = ours, not ours
        self.streams[stream_id] = stream
        return stream

    def write(self, stream_id: int, content: bytes | memoryview, ended: bool) -> None:
        """Raises RuntimeError when this half has ended or was reset."""
        stream = self.streams.get(stream_id)
        if stream is None or stream.fin or stream.send_done or stream.was_reset:
            raise RuntimeError(f"stream {stream_id}: cannot send after its end")
        stream.unsent += content
        stream.unacknowledged += len(content)
        stream.fin = ended

    def reset(self, stream_id: int, code: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is None or stream.send_done or stream.was_reset:
            return
        stream.was_reset = stream.send_done = True
        stream.unsent.clear()
        stream.unacknowledged = 0
        self._control.append(("reset", stream_id, int(code), stream.sent))
        self._forget_finished(stream)

    def stop(self, stream_id: int, code: int) -> None:
        stream = self.streams.get(stream_id)
        if stream is not None and not stream.receive_done and not stream.stopped:
            stream.stopped = True
            self._control.append(("stop", stream_id, int(code)))

    def _forget_finished(self, stream: Stream) -> None:
        if stream.send_done and stream.receive_done and not stream.unacknowledged:
            self.streams.pop(stream.stream_id, None)
            self._gone.add(stream.stream_id)

    # datagrams, PINGs, the end --------------------------------------------------------------

    @property
    def max_datagram_size(self) -> int:
        frame = min(self.theirs.max_datagram_frame_size or 0, MOST_FRAME_SIZE)
        return max(0, frame - (2 if frame < 0x42 else 3))

    def offer_datagram(self, stream_id: int, payload: bytes) -> bool:
        if len(self._datagrams) + len(self._early) >= MOST_DATAGRAMS:
            return False
        stream = self.streams.get(stream_id)
        if stream is None or stream.sent:
            self._datagrams.append(payload)
        else:
            self._early.append((stream_id, payload))
        return True

    def ping(self, uid: int) -> None:
        self._control.append(("ping", uid))

    def probe(self) -> None:
        self._probes += 1

    def migrate(self, now: float) -> engine.Obstacle | None:
        if self.closed is not None:
            return engine.Obstacle.ENDED
        if not self.confirmed:
            return engine.Obstacle.UNCONFIRMED
        if self.theirs.stays:
            return engine.Obstacle.FORBIDDEN
        if not self._spare_ids:
            return engine.Obstacle.NO_CONNECTION_ID
        self._spare_ids -= 1
        for flight in self._flights.values():
            flight.due, flight.tries = now, 0
        self.validation.begin(RETRANSMISSION, now)
        return None

    def close(self, code: int, reason: str, transport: bool = False) -> None:
        if self.closed is None:
            if not (transport or self.established):  # RFC 9000 10.2.3
                code, reason, transport = TransportCode.APPLICATION_ERROR, "", True
            self._farewell = int(code), transport, reason
            self._end(engine.Cause.OWNER, code, transport, reason)

    def violated(self, code: int, reason: str) -> None:
        if self.closed is None:
            self._farewell = int(code), True, reason
            self._end(engine.Cause.VIOLATION, code, True, reason)

    def _end(self, cause: engine.Cause, code: int, transport: bool, reason: str) -> None:
        self.closed = engine.ConnectionClosed(cause, code, transport, reason, self.confirmed)
        if cause is engine.Cause.OWNER:
            self.events.clear()
        self.events.append(self.closed)

    # time -----------------------------------------------------------------------------------

    @property
    def idle_timeout(self) -> float:
        theirs = self.theirs.idle_timeout
        return min(self.ours.idle_timeout, theirs) if theirs else self.ours.idle_timeout

    def connect(self, now: float) -> None:
        self._idle_since = now
        self._control.append(("limits", attrs.astuple(self.ours)))

    def timer(self) -> float | None:
        if self.closed is not None or math.isinf(self._idle_since):
            return None
        due = min((flight.due for flight in self._flights.values()), default=math.inf)
        challenge = self.validation.due()
        if challenge is not None:
            due = min(due, challenge)
        return min(due, self._idle_since + self.idle_timeout)

    def tick(self, now: float) -> None:
        self.validation.tick(now)
        if self.closed is None and now >= self._idle_since + self.idle_timeout:
            self._end(engine.Cause.IDLE, 0, True, "")

    # packets --------------------------------------------------------------------------------

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a packet. One that was forged, or came before, is passed over."""
        octets = datagram[5:]
        if len(datagram) < 6 or zlib.crc32(octets) != int.from_bytes(datagram[1:5]):
            return
        number, sequence, expected, held, frames, farewell = marshal.loads(octets)
        if self.closed is not None or number in self._numbers_seen:
            return
        self._numbers_seen.add(number)
        self.heard = self._idle_since = now
        try:
            self._acknowledged(expected, held)
            if sequence >= self._expected:
                self._held[sequence] = frames
            self._ack_pending = self._ack_pending or sequence >= 0
            while self._expected in self._held and self.closed is None:
                taken = self._held.pop(self._expected)
                self._expected += 1
                for frame in taken:
                    self._take(frame)
        except Violation as fault:
            self.violated(fault.code, str(fault))
        if farewell is not None and self.closed is None:
            code, transport, reason = farewell
            self._end(engine.Cause.PEER, code, transport, reason)

    def _acknowledged(self, expected: int, held: tuple[int, ...]) -> None:
        for sequence in [each for each in self._flights if each < expected or each in held]:
            for frame in self._flights.pop(sequence).frames:
                match frame:
                    case ("stream", stream_id, _, data, _) if stream_id in self.streams:
                        stream = self.streams[stream_id]
                        stream.unacknowledged = max(0, stream.unacknowledged - len(data))
                        self._forget_finished(stream)
                    case ("ping", uid) if uid is not None:
                        self.events.append(engine.PingAcknowledged(uid))

    def datagrams(self, now: float) -> list[bytes]:
        if math.isinf(self._idle_since):
            return []
        if self.closed is not None:
            return self._last_words()
        if self.validation.wants_challenge(now):
            payload = self._number.to_bytes(8)
            self._control.append(("challenge", payload))
            self.validation.challenged(payload, now)
        packets = []
        for sequence, flight in self._flights.items():
            if flight.due <= now:
                flight.tries += 1
                # Not all at the same moment: a wire that loses every third would always lose one.
                spread = 0.001 * (sequence % 7)
                flight.due = now + RETRANSMISSION * (1 << min(flight.tries, 5)) + spread
                packets.append(self._packet(sequence, flight.frames))
        self._raise_limits(now)
        while self._probes or len(self._flights) < WINDOW:
            frames: list[Frame] = [("ping", None)] if self._probes else self._next_frames()
            self._probes -= bool(self._probes)
            if not frames:
                break
            self._flights[self._sequence] = _Flight(frames, now + RETRANSMISSION)
            packets.append(self._packet(self._sequence, frames))
            self._sequence += 1
        if self._ack_pending and not packets:
            packets.append(self._packet(-1, []))
        self._ack_pending = False
        return packets

    def _last_words(self) -> list[bytes]:
        farewell, self._farewell = self._farewell, None
        return [] if farewell is None else [self._packet(-1, [], farewell)]

    def _packet(self, sequence: int, frames: list[Frame], farewell: Any = None) -> bytes:
        held = tuple(sorted(self._held)[:32])
        number, self._number = self._number, self._number + 1
        packet = number, sequence, self._expected, held, frames, farewell
        octets = marshal.dumps(packet)
        return b"\x40" + zlib.crc32(octets).to_bytes(4) + octets

    def _next_frames(self) -> list[Frame]:
        frames: list[Frame] = []
        room = ROOM
        while self._control and room > 0:
            frames.append(self._control.popleft())
            room -= 40
        while self._datagrams and (len(self._datagrams[0]) <= room or not frames):
            payload = self._datagrams.popleft()
            if len(payload) + 3 <= MOST_FRAME_SIZE:  # else there is no packet for it
                frames.append(("datagram", payload))
                room -= len(payload) + 8
        for stream in list(self.streams.values()):
            if room <= 40:
                break
            frame = self._stream_frame(stream, room - 40)
            if frame is not None:
                frames.append(frame)
                room -= len(frame[3]) + 40
        if not frames and self._early:
            begun = [each for each in self._early if self._has_begun(each[0])]
            self._early = [each for each in self._early if not self._has_begun(each[0])]
            self._datagrams += [payload for _, payload in begun]
            return self._next_frames() if begun else []
        return frames

    def _has_begun(self, stream_id: int) -> bool:
        stream = self.streams.get(stream_id)
        return stream is None or stream.sent > 0 or stream.was_reset

    def _stream_frame(self, stream: Stream, room: int) -> Frame | None:
        """As much as there is room and credit for."""
        if stream.send_done or not (stream.unsent or stream.fin):
            return None
        credit = min(stream.may_send - stream.sent, self._may_send_data - self._data_sent)
        data = bytes(stream.unsent[: min(room, credit)])
        ended = stream.fin and len(data) == len(stream.unsent)
        if not data and not ended:
            return None
        frame = "stream", stream.stream_id, stream.sent, data, ended
        del stream.unsent[: len(data)]
        stream.sent += len(data)
        self._data_sent += len(data)
        stream.send_done = ended
        return frame

    def send_credit(self, stream_id: int) -> int:
        stream = self.streams.get(stream_id)
        if stream is None:
            return 0
        left = stream.may_send - stream.sent - len(stream.unsent)
        return max(0, min(left, self._may_send_data - self._data_sent))

    def _raise_limits(self, now: float) -> None:
        """MAX_STREAMS, MAX_DATA and MAX_STREAM_DATA, where they are due."""
        if not self.established or not self.gives_credit:
            return
        used = self._opened_by_peer[False]
        if not self.client and 2 * used > self._max_streams_told:
            self._max_streams_told *= 2
            self._control.append(("max_streams", self._max_streams_told))
        limit = self._limit(None, self._data_received, self._may_receive_data, now)
        if limit != self._may_receive_data:
            self._may_receive_data = limit
            self._control.append(("max_data", limit))
        for stream in self.streams.values():
            if stream.receive_done or stream.final_size is not None:
                continue
            limit = self._limit(stream.stream_id, stream.received, stream.may_receive, now)
            if limit != stream.may_receive:
                stream.may_receive = limit
                self._control.append(("max_stream_data", stream.stream_id, limit))

    def _limit(self, stream_id: int | None, received: int, limit: int, now: float) -> int:
        """By consumption, of what has an account; else as it comes."""
        accounts = self.accounts
        if accounts is not None and stream_id is None:
            return accounts.raise_connection(received, limit, now, ROUND_TRIP)
        if accounts is not None and not stream_id & 3:  # type: ignore[operator]
            account = accounts.get(stream_id)  # type: ignore[arg-type]
            if account is None:
                return limit
            return accounts.raise_stream(account, received, limit, now, ROUND_TRIP)
        return limit if 2 * received <= limit else 2 * limit

    # frames ---------------------------------------------------------------------------------

    def _take(self, frame: Frame) -> None:
        match frame:
            case ("limits", said):
                self._take_limits(Limits(*said))
            case ("finished",):
                self._establish()
                self._control.append(("done",))
            case ("done",):
                self.confirmed = True
            case ("challenge", payload):
                self._control.append(("response", payload))
            case ("response", payload):
                self.validation.answered(payload, self.heard)
            case ("stream", stream_id, offset, data, ended):
                self._take_stream(stream_id, offset, data, ended)
            case ("reset", stream_id, code, final_size):
                self._take_reset(stream_id, code, final_size)
            case ("stop", stream_id, code):
                self._take_stop(stream_id, code)
            case ("max_streams", limit):
                self.theirs.max_streams = max(self.theirs.max_streams, limit)
            case ("max_data", limit):
                self._may_send_data = max(self._may_send_data, limit)
            case ("max_stream_data", stream_id, limit):
                if stream_id in self.streams:
                    stream = self.streams[stream_id]
                    stream.may_send = max(stream.may_send, limit)
            case ("datagram", payload):
                self._take_datagram(payload)

    def _take_limits(self, limits: Limits) -> None:
        self.theirs = limits
        self._may_send_data = limits.max_data
        self._spare_ids = limits.spare_ids
        if self.client:
            self._establish()
            self._control.append(("finished",))
        else:
            self._control.append(("limits", attrs.astuple(self.ours)))

    def _establish(self) -> None:
        if not self.established:
            self.established = True
            self.confirmed = not self.client
            self.events.append(engine.HandshakeCompleted(resumed=False))

    def _receiving(self, stream_id: int) -> Stream | None:
        """The stream of a frame; None when it is over on both sides."""
        if stream_id in self._gone:
            return None
        ours = (stream_id & 1 == 0) == self.client
        stream = self.streams.get(stream_id)
        if stream is not None:
            return stream
        if ours:
            raise Violation(TransportCode.STREAM_STATE_ERROR, "a stream that was not opened")
        unidirectional = bool(stream_id & 2)
        allowed = STREAM_LIMIT if self.client or unidirectional else self._max_streams_told
        if stream_id // 4 >= allowed:
            raise Violation(TransportCode.STREAM_LIMIT_ERROR, "too many streams are open")
        opened = max(self._opened_by_peer[unidirectional], stream_id // 4 + 1)
        self._opened_by_peer[unidirectional] = opened
        return self._add(stream_id)

    def _take_stream(self, stream_id: int, offset: int, data: bytes, ended: bool) -> None:
        stream = self._receiving(stream_id)
        if stream is None:
            return
        if stream_id & 2 and (stream_id & 1 == 0) == self.client:
            raise Violation(TransportCode.STREAM_STATE_ERROR, "a stream on which only we send")
        end = offset + len(data)
        if end > stream.may_receive:
            raise Violation(TransportCode.FLOW_CONTROL_ERROR, "over the limit of the stream")
        fresh = max(0, end - stream.received)
        if self._data_received + fresh > self._may_receive_data:
            raise Violation(TransportCode.FLOW_CONTROL_ERROR, "over the limit of the connection")
        self._check_final_size(stream, end, ended)
        assert offset == stream.received or not fresh, "packets come in order"
        self._data_received += fresh
        stream.received = max(stream.received, end)
        if ended:
            stream.final_size = end
        if stream.receive_done or not (fresh or ended):
            return
        stream.receive_done = ended
        self.events.append(engine.StreamDataReceived(stream_id, data, ended))
        self._forget_finished(stream)

    def _check_final_size(self, stream: Stream, end: int, ended: bool) -> None:
        final = stream.final_size
        if (ended and end < stream.received) or (
            final is not None and (end > final or (ended and end != final))
        ):
            raise Violation(TransportCode.FINAL_SIZE_ERROR, "the final size has changed")

    def _take_reset(self, stream_id: int, code: int, final_size: int) -> None:
        stream = self._receiving(stream_id)
        if stream is None:
            return
        if final_size > stream.may_receive:
            raise Violation(TransportCode.FLOW_CONTROL_ERROR, "over the limit of the stream")
        if self._data_received + final_size - stream.received > self._may_receive_data:
            raise Violation(TransportCode.FLOW_CONTROL_ERROR, "over the limit of the connection")
        self._check_final_size(stream, final_size, True)
        self._data_received += final_size - stream.received
        stream.received = stream.final_size = final_size
        if not stream.receive_done:
            stream.receive_done = True
            self.events.append(engine.StreamResetReceived(stream_id, code))
            self._forget_finished(stream)

    def _take_stop(self, stream_id: int, code: int) -> None:
        stream = self._receiving(stream_id)
        if stream is None:
            return
        if stream_id & 2 and (stream_id & 1 == 0) != self.client:
            raise Violation(TransportCode.STREAM_STATE_ERROR, "a stream on which only it sends")
        self.events.append(engine.StopSendingReceived(stream_id, code))
        self.reset(stream_id, code)  # RFC 9000 3.5

    def _take_datagram(self, payload: bytes) -> None:
        ours = self.ours.max_datagram_frame_size
        if ours is None or len(payload) + 1 + (1 if len(payload) < 0x40 else 2) > ours:
            raise Violation(TransportCode.PROTOCOL_VIOLATION, "a datagram is too long")
        self.events.append(engine.DatagramReceived(payload))

    def inject(self, *frames: Frame) -> None:
        """Send frames as they are, whatever the rules say."""
        self._control.extend(frames)


# the client's end ---------------------------------------------------------------------------


class MemoryEngine:
    """The engine of a client.

    Args:
        trace: notes HTTP/3's frames, if one is given.
        receive_window_max: bytes that the window of a stream may grow to.
    """

    def __init__(
        self, limits: Limits, trace: engine.Trace | None = None, receive_window_max: int = 0
    ) -> None:
        self.peer = Peer(True, limits)
        self.trace = trace
        self._accounts = FlowControl(receive_window_max)
        self.peer.accounts = self._accounts
        self.passed_on = self._accounts.passed_on
        self.consumed = self._accounts.consumed
        self.forget_stream = self._accounts.close

    # facts

    @property
    def answered(self) -> bool:
        return self.peer.heard > -math.inf

    @property
    def early(self) -> bool:
        return False

    @property
    def handshake(self) -> Handshake:
        theirs = self.peer.theirs
        size, most = theirs.max_datagram_frame_size or 0, theirs.max_streams
        return Handshake("1", "h3", "", None, self.idle_timeout, most, size)

    @property
    def heard(self) -> float:
        return self.peer.heard

    @property
    def idle_timeout(self) -> float:
        return self.peer.idle_timeout

    @property
    def probe_timeout(self) -> float:
        return ROUND_TRIP

    @property
    def max_streams(self) -> int:
        return self.peer.max_streams

    @property
    def next_stream_id(self) -> int:
        return self.peer.next_id()

    @property
    def sends_datagrams(self) -> bool:
        return self.peer.ours.max_datagram_frame_size is not None

    @property
    def max_datagram_size(self) -> int:
        return self.peer.max_datagram_size

    # what passes through

    def connect(self, now: float, address: tuple[str, int] = ("the peer", 0)) -> None:
        self.peer.connect(now)

    def receive(self, datagrams: Iterable[bytes], now: float) -> None:
        for datagram in datagrams:
            self.peer.receive(datagram, now)

    def tick(self, now: float) -> None:
        self.peer.tick(now)

    def timer(self) -> float | None:
        return -math.inf if self.peer.events else self.peer.timer()

    def events(self) -> Iterator[engine.Event]:
        validation = self.peer.validation
        if validation.outcome is not None and self.peer.closed is None:
            outcome, validation.outcome = validation.outcome, None
            yield outcome
        while self.peer.events:
            yield self.peer.events.popleft()

    def datagrams(self, now: float) -> list[bytes]:
        return self.peer.datagrams(now)

    # streams

    def open_stream(self, content: bytes, ended: bool, window: int | None) -> int:
        stream = self.peer.open()
        self._accounts.open(stream.stream_id, window)
        self.peer.write(stream.stream_id, content, ended)
        return stream.stream_id

    def open_unidirectional(self, content: bytes) -> int:
        stream = self.peer.open(unidirectional=True)
        self.peer.write(stream.stream_id, content, False)
        return stream.stream_id

    def send_stream(self, stream_id: int, content: bytes | memoryview, ended: bool) -> None:
        self.peer.write(stream_id, content, ended)

    def reset_stream(self, stream_id: int, code: int) -> None:
        self.peer.reset(stream_id, code)

    def stop_sending(self, stream_id: int, code: int) -> None:
        self.peer.stop(stream_id, code)

    def unacknowledged(self, stream_id: int) -> int:
        stream = self.peer.streams.get(stream_id)
        return 0 if stream is None else stream.unacknowledged

    def send_credit(self, stream_id: int) -> int:
        return self.peer.send_credit(stream_id)

    # datagrams and signs of life

    def send_datagram(self, stream_id: int, payload: bytes) -> bool:
        return self.peer.offer_datagram(stream_id, payload)

    def ping(self, uid: int) -> None:
        self.peer.ping(uid)

    def probe(self) -> None:
        self.peer.probe()

    def shorten(self) -> None:
        """Packets are short as they are."""

    def migrate(self, now: float) -> engine.Obstacle | None:
        return self.peer.migrate(now)

    def close(self, code: int, reason: str = "") -> None:
        self.peer.close(code, reason)


# the server's end ---------------------------------------------------------------------------


class MemoryServer:
    """A server's end with the face of aioquic's QuicConnection, as far as it is used."""

    def __init__(self, configuration: Any, max_streams: int) -> None:
        self.configuration = configuration
        self.peer = Peer(
            False,
            Limits(
                configuration.max_data,
                configuration.max_stream_data,
                max_streams,
                configuration.max_datagram_frame_size,
                configuration.idle_timeout,
            ),
        )
        self._quic_logger = None

    @property
    def _remote_max_datagram_frame_size(self) -> int | None:
        return self.peer.theirs.max_datagram_frame_size

    @property
    def _streams(self) -> dict[int, Stream]:
        return self.peer.streams

    @property
    def _close_event(self) -> aioquic_events.ConnectionTerminated | None:
        closed = self.peer.closed
        if closed is None:
            return None
        kind = 0 if closed.transport else None
        return aioquic_events.ConnectionTerminated(closed.code, kind, closed.reason)

    def receive_datagram(self, datagram: bytes, _: Any, now: float) -> None:
        self.peer.receive(datagram, now)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Any]]:
        return [(datagram, None) for datagram in self.peer.datagrams(now)]

    def get_timer(self) -> float | None:
        return self.peer.timer()

    def handle_timer(self, now: float) -> None:
        self.peer.tick(now)

    def next_event(self) -> aioquic_events.QuicEvent | None:
        if not self.peer.events:
            return None
        return _as_aioquic(self.peer.events.popleft())

    def get_next_available_stream_id(self, is_unidirectional: bool = False) -> int:
        return self.peer.next_id(is_unidirectional)

    def send_stream_data(self, stream_id: int, data: bytes, end_stream: bool = False) -> None:
        if stream_id == self.peer.next_id(bool(stream_id & 2)):
            self.peer.open(bool(stream_id & 2))
        if data or end_stream:
            self.peer.write(stream_id, data, end_stream)

    def send_datagram_frame(self, data: bytes) -> None:
        self.peer.offer_datagram(-1, data)

    def reset_stream(self, stream_id: int, error_code: int) -> None:
        self.peer.reset(stream_id, error_code)

    def stop_stream(self, stream_id: int, error_code: int) -> None:
        self.peer.stop(stream_id, error_code)

    def close(
        self, error_code: int = 0, frame_type: int | None = None, reason_phrase: str = ""
    ) -> None:
        self.peer.close(error_code, reason_phrase, transport=frame_type is not None)


def _as_aioquic(event: engine.Event) -> aioquic_events.QuicEvent:
    match event:
        case engine.HandshakeCompleted():
            return aioquic_events.HandshakeCompleted("h3", False, False)
        case engine.StreamDataReceived(stream_id, data, ended):
            return aioquic_events.StreamDataReceived(data, ended, stream_id)
        case engine.StreamResetReceived(stream_id, code):
            return aioquic_events.StreamReset(code, stream_id)
        case engine.StopSendingReceived(stream_id, code):
            return aioquic_events.StopSendingReceived(code, stream_id)
        case engine.DatagramReceived(payload):
            return aioquic_events.DatagramFrameReceived(payload)
        case engine.PingAcknowledged(uid):
            return aioquic_events.PingAcknowledged(uid)
        case engine.ConnectionClosed():
            kind = 0 if event.transport else None
            return aioquic_events.ConnectionTerminated(event.code, kind, event.reason)
        case engine.PathValidated() | engine.PathFailed() | engine.TicketReceived():
            raise AssertionError("only a client migrates, or gets tickets")
