"""The engine that is used: aioquic's connection, and the parts that we have added.

    AioquicEngine
        connection     aioquic's, with `flow_control` and our judgement of certificates in it
        sender         how datagrams and streams go out: `FastSend` (with `path`), or `PlainSend`
        receiver       how datagrams come in: `FastReceive`, or `PlainReceive`
        queue          DATAGRAM frames that wait
        migration      the moves to another local address; None where aioquic has not what it takes

The fast paths are taken with releases of aioquic that they are proved with, see `required`.

Here is the boundary of the connection: what comes out of aioquic, whatever it is, ends this
connection by an event that says whose fault it was, and the peer is told. Nothing of it gets out.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from aioquic.quic.packet import QuicFrameType

from quiver.models import Handshake
from quiver.quic.aioquic import required
from quiver.quic.aioquic.certificates import (
    Configuration,
    about_certificate,
    demand_verified,
)
from quiver.quic.aioquic.connection import UNKNOWN, Connection
from quiver.quic.aioquic.datagram_queue import DatagramQueue
from quiver.quic.aioquic.handshake import handshake_of
from quiver.quic.aioquic.plain_path import PlainReceive, PlainSend
from quiver.quic.aioquic.qlog import QlogFolder
from quiver.quic.codes import CRYPTO_ERROR, TransportCode
from quiver.quic.engine import (
    Cause,
    ConnectionClosed,
    Event,
    Obstacle,
    SessionTicket,
    Trace,
)

if TYPE_CHECKING:
    from quiver.quic.aioquic.migration import Migration
if required.why_not_fast() is None:  # it is read here, and not while the first request waits
    import quiver.quic.aioquic.fast_connection
if required.can_migrate():
    import quiver.quic.aioquic.migration  # noqa: F401

__all__ = ["AioquicEngine"]

_ROUNDING: Final = 1e-6
"""Seconds after the moment that aioquic names. At the moment itself, floats may round so that
nothing is due yet, and one who ticks exactly then would do so for ever."""

_LONGEST_REASON: Final = 200
"""Characters of a CONNECTION_CLOSE's reason: aioquic fails on what does not fit a packet."""

_BAD_CERTIFICATE: Final = CRYPTO_ERROR + 42


class AioquicEngine:
    """The engine on aioquic, as `quiver.quic.engine.Engine` has it.

    Args:
        ticket: to resume a session by, of the same origin; None for a full handshake.
        early: whether early data is sent, if the ticket lets us.
        fast_paths: whether to take them; None for wherever they are proved.
    """

    def __init__(
        self,
        configuration: Configuration,
        ticket: SessionTicket | None = None,
        early: bool = False,
        *,
        fast_paths: bool | None = None,
    ) -> None:
        if fast_paths is None:
            fast_paths = required.fast_paths()
        self.connection: Connection
        self.sender: PlainSend
        self.receiver: PlainReceive
        if fast_paths:
            # Not above: it may be impossible to import it with a release that is not proved.
            from quiver.quic.aioquic.fast_connection import FastConnection

            fast = FastConnection(configuration, ticket, early)
            self.connection, self.sender, self.receiver = fast, fast.fast_send, fast.fast_receive
        else:
            self.connection = Connection(configuration, ticket, early)
            self.sender = PlainSend(self.connection)
            self.receiver = PlainReceive(self.connection)
        self.queue = DatagramQueue(self.connection)
        self.migration = _migration_of(self.connection, self.sender)
        self._validation = self.connection.path_validation
        flow_control = self.connection.flow_control
        self.passed_on = flow_control.passed_on
        self.consumed = flow_control.consumed
        self.forget_stream = flow_control.close
        self._connected = False  # `connect` was called
        self._ready = False  # HandshakeCompleted was reported
        self._over: ConnectionClosed | None = None
        self._closed_by_owner = False
        self._reported = False  # ConnectionClosed was
        self._finished = False  # nothing more is sent

    # facts ----------------------------------------------------------------------------------

    @property
    def answered(self) -> bool:
        return self.connection.answered

    @property
    def early(self) -> bool:
        return self.connection.early.sends

    @property
    def handshake(self) -> Handshake:
        return handshake_of(self.connection)

    @property
    def heard(self) -> float:
        return self.receiver.heard

    @property
    def idle_timeout(self) -> float:
        return self.connection.idle_timeout

    @property
    def probe_timeout(self) -> float:
        return self.connection._loss.get_probe_timeout()

    @property
    def max_streams(self) -> int:
        return self.connection._remote_max_streams_bidi

    @property
    def next_stream_id(self) -> int:
        stream_id: int = self.connection._local_next_stream_id_bidi
        return stream_id

    @property
    def sends_datagrams(self) -> bool:
        return self.connection.configuration.max_datagram_frame_size is not None

    @property
    def max_datagram_size(self) -> int:
        return self.queue.room

    @property
    def trace(self) -> Trace | None:
        folder = self.connection.configuration.quic_logger
        if not isinstance(folder, QlogFolder):
            return None
        return folder.trace_of(self.connection.original_destination_connection_id)

    # what passes through --------------------------------------------------------------------

    def connect(self, now: float, address: tuple[str, int] = UNKNOWN) -> None:
        self._connected = True
        self.connection.peer_address = address
        with self._boundary():
            self.connection.connect(address, now)

    def receive(self, datagrams: Iterable[bytes], now: float) -> None:
        if self._over is not None or not self._connected:
            return
        rest, receiver = iter(datagrams), self.receiver
        try:
            while row := list(islice(rest, receiver.ahead)):
                if not self._take(row, now):
                    return
        finally:
            self._look_for_end()

    def _take(self, row: Sequence[bytes], now: float) -> bool:
        """Take datagrams that came together. False when it is over, whatever else has come."""
        connection, receiver = self.connection, self.receiver
        try:
            while True:
                taken = receiver.take_row(row, now)
                if connection._close_event is not None:
                    return False
                if taken == len(row):
                    return True
                datagram, row = row[taken], row[taken + 1 :]
                if receiver.take(datagram, now):
                    if connection.is_reset(datagram):
                        self._look_for_end()
                        self._forgotten()
                        return False
                    connection.close_at_fault()
                if connection._close_event is not None:
                    return False
                if not row:
                    return True
        except Exception as raised:  # noqa: BLE001 - nobody knows what it may be
            self._look_for_end()
            self._broken(raised, by_peer=True)
            return False

    def tick(self, now: float) -> None:
        if self._over is None and self._connected:
            with self._boundary():
                self.connection.handle_timer(now)
            if self._validation.active:
                self._validation.tick(now)
            self._look_for_end(by_time=True)

    def timer(self) -> float | None:
        if self._over is not None:
            return None if self._reported else -math.inf
        if not self._connected:
            return None
        try:
            due = self.connection.get_timer()
        except Exception as raised:  # noqa: BLE001 - see `_boundary`
            self._broken(raised, by_peer=False)
            return -math.inf
        if self._validation.active:
            due = min(each for each in (due, self._validation.due()) if each is not None)
        return None if due is None else due + _ROUNDING

    def events(self) -> Iterator[Event]:
        if self._reported:
            return
        reported = self.connection.reported
        for event in () if self._closed_by_owner else reported(self._accepts_peer):
            yield event
            if self._closed_by_owner:  # just now: the rest is for nobody
                break
        if self._validation.outcome is not None and not self._closed_by_owner:
            outcome, self._validation.outcome = self._validation.outcome, None
            yield outcome
        if self._over is not None:
            self._reported = True
            yield self._over

    def datagrams(self, now: float) -> list[bytes]:
        if self._finished or not self._connected:
            return []
        pending = self._pending(now)
        if self._over is not None:
            self._finish()
        return pending

    # streams --------------------------------------------------------------------------------

    def open_stream(self, content: bytes, ended: bool, window: int | None) -> int:
        connection = self.connection
        stream_id: int = connection._local_next_stream_id_bidi
        if stream_id >= 4 * connection._remote_max_streams_bidi:
            raise ValueError(f"the peer lets {self.max_streams} streams be opened, and they are")
        connection.flow_control.open(stream_id, window)
        try:
            self.sender.open_stream(stream_id, content, ended)
        except BaseException:
            connection.flow_control.close(stream_id)
            raise
        return stream_id

    def open_unidirectional(self, content: bytes) -> int:
        stream_id = self.connection.get_next_available_stream_id(is_unidirectional=True)
        self.connection.send_stream_data(stream_id, content)
        return stream_id

    def send_stream(self, stream_id: int, content: bytes | memoryview, ended: bool) -> None:
        if stream_id not in self.connection._streams:  # some releases would begin it anew
            raise RuntimeError(f"stream {stream_id} has ended")
        # A view is as good, where it is written to: see `SendPieces`.
        self.connection.send_stream_data(stream_id, content, ended)  # type: ignore[arg-type]

    def reset_stream(self, stream_id: int, code: int) -> None:
        with self._boundary():
            self.sender.reset_stream(stream_id, code)

    def stop_sending(self, stream_id: int, code: int) -> None:
        with self._boundary():
            self.sender.stop_stream(stream_id, code)

    def unacknowledged(self, stream_id: int) -> int:
        return self.connection.unacknowledged(stream_id)

    def send_credit(self, stream_id: int) -> int:
        return self.connection.send_credit(stream_id)

    # datagrams and signs of life ------------------------------------------------------------

    def send_datagram(self, stream_id: int, payload: bytes) -> bool:
        return self.queue.offer(stream_id, payload)

    def ping(self, uid: int) -> None:
        with self._boundary():
            self.connection.send_ping(uid)

    def probe(self) -> None:
        with self._boundary():
            self.connection._probe_pending = True

    def migrate(self, now: float) -> Obstacle | None:
        if self.migration is None:
            return Obstacle.UNABLE
        if self._over is None:
            with self._boundary():
                return self.migration.begin(now)
        return Obstacle.ENDED

    def _challenges(self, now: float) -> list[bytes]:
        return [] if self.migration is None else self.migration.datagrams(now)

    def shorten(self) -> None:
        with self._boundary():
            self.sender.shorten()

    # its end --------------------------------------------------------------------------------

    def close(self, code: int, reason: str = "") -> None:
        if self._over is None:
            with contextlib.suppress(Exception):  # whatever is wrong with it, it is over
                self.connection.close(error_code=code, reason_phrase=reason[:_LONGEST_REASON])
            self._closed_by_owner = True
            self._end(Cause.OWNER, code, transport=False, reason=reason)

    @contextlib.contextmanager
    def _boundary(self) -> Iterator[None]:
        """End this connection, and nothing else, by what aioquic raises in here."""
        try:
            yield
        except Exception as raised:  # noqa: BLE001 - nobody knows what it may be
            self._broken(raised, by_peer=False)

    def _broken(self, raised: BaseException, *, by_peer: bool) -> None:
        """End it by what was raised; with `by_peer` on what the peer has sent, who has to answer
        for that, unless memory or a file of ours is to blame."""
        if self._over is not None:
            return
        of_certificate = by_peer and not self._ready and about_certificate(raised)
        code: int = TransportCode.PROTOCOL_VIOLATION
        if not by_peer or isinstance(raised, MemoryError | OSError):
            code = TransportCode.INTERNAL_ERROR
        elif of_certificate:
            code = _BAD_CERTIFICATE
        reason = type(raised).__name__[:_LONGEST_REASON]
        with contextlib.suppress(Exception):  # it may be broken for good
            self.connection.close(code, QuicFrameType.PADDING, reason)
        self._end(
            Cause.RAISED,
            code,
            reason=reason,
            error=raised,
            by_peer=by_peer,
            of_certificate=of_certificate,
        )

    def _forgotten(self) -> None:
        if self._over is None:
            self._finished = True
            self._end(Cause.STATELESS_RESET)

    def _look_for_end(self, *, by_time: bool = False) -> None:
        """Take the end from aioquic, which says so itself only after the closing period."""
        event = self.connection._close_event
        if event is None or self._over is not None:
            return
        cause = Cause.VIOLATION
        if self.connection.is_draining:
            cause = Cause.PEER
        elif by_time and event.error_code == TransportCode.INTERNAL_ERROR:
            cause = Cause.IDLE
        transport, reason = event.frame_type is not None, event.reason_phrase
        event.reason_phrase = reason[:_LONGEST_REASON]
        self._end(cause, event.error_code, transport=transport, reason=reason)

    def _end(self, cause: Cause, code: int = 0, **about: Any) -> None:
        confirmed = self.connection._handshake_confirmed
        self._over = ConnectionClosed(cause, code, confirmed=confirmed, **about)

    def _pending(self, now: float) -> list[bytes]:
        was_over = self._over is not None
        self.connection.now = now
        try:
            if self._over is None and self.connection.before_flush(now):
                self._look_for_end()
            ready = self._challenges(now) if self._validation.active else []
            ready += self.sender.flush(now)
            if self.queue.held:
                self.queue.release()
                ready += self.sender.flush(now)
            return ready
        except Exception as raised:  # noqa: BLE001 - see `_boundary`
            self._broken(raised, by_peer=False)
        return [] if was_over else self._pending(now)  # once more: the peer is to be told

    def _finish(self) -> None:
        """Skip the closing period: nothing would be sent in it, and a qlog is written after it."""
        self._finished = True
        with contextlib.suppress(Exception):  # it may be what broke, or its qlog's disk be full
            due = self.connection.get_timer()
            if due is not None:
                self.connection.handle_timer(due)

    def _accepts_peer(self) -> bool:
        """Whether its certificate was verified, as it has to be by now. If not, it ends."""
        try:
            demand_verified(self.connection)
        except Exception as raised:  # noqa: BLE001 - see `_boundary`
            self._broken(raised, by_peer=True)
            return False
        self._ready = True
        self.sender.handshake_completed()
        return True


def _migration_of(connection: Connection, sender: PlainSend) -> Migration | None:
    if not required.can_migrate():
        return None
    from quiver.quic.aioquic.migration import Migration  # as above: it may be impossible

    return Migration(connection, sender)
