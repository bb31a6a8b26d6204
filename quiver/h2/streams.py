"""Streams: the streams of one HTTP/2 connection, as frames (RFC 9113 5, 6). Sans-IO.

    begin --> take(bytes in)*, open_request ... --> what `happened`, and `frames`: bytes out

Its parts: `Library`, h2's connection, which does frames, HPACK and the states of streams; a
`Response` for each; `ReceiveWindows`; `SendQueue` for bodies; `ResetBudget` and `IdleFrames`, which
bound what one side makes the other do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from h2 import events as theirs
from h2.settings import SettingCodes
from hpack import NeverIndexedHeaderTuple

from quiver.errors import ConnectionLost, InvalidRequest
from quiver.h2.codes import ErrorCode, FramesFault, code_for, name_of
from quiver.h2.idle_frames import IdleFrames
from quiver.h2.library import Library, NothingSaid
from quiver.h2.receive_windows import LARGEST, ReceiveWindows
from quiver.h2.reset_budget import ResetBudget
from quiver.h2.response_sections import Response
from quiver.h2.send_queue import SendQueue
from quiver.h3 import events
from quiver.h3.headers import Fields, section_size
from quiver.printable import in_message

__all__ = ["MOST_STREAMS", "Streams"]

MOST_STREAMS: Final = 1 << 30
"""Those of a client in a connection's life: ids are odd, and end at 2^31 (RFC 9113 5.1.1)."""

_FAULTS: Final[dict[type, ErrorCode]] = {
    events.StreamMalformed: ErrorCode.PROTOCOL_ERROR,
    events.HeadersTooLarge: ErrorCode.ENHANCE_YOUR_CALM,
}
"""What ends a stream, and with which code."""

_NAMES: Final = {each.value: each.name for each in SettingCodes}
_SECRET: Final = frozenset({b"authorization", b"proxy-authorization"})
_SHORT_COOKIE: Final = 20  # bytes, of one that could be guessed (RFC 7541 7.1.3)


class Streams:
    """Those of a connection to `origin`.

    Args:
        max_header_size: bytes of a header or trailer section that are taken, as RFC 9113 10.5.1
            counts.
        window: bytes of one response that the server may send ahead of its reader.
        window_max: bytes that this may grow to.

    Attributes:
        now: the time, on any clock in seconds; its owner sets it.
        happened: events that nobody has taken yet.
        confirmed: the server has seen our handshake through.
        goaway: what it has ended the connection with, as it has said.
        round_trip: seconds, as last measured; 0 for unknown.
        concurrent: streams that the server lets be open at a time.
    """

    def __init__(self, origin: str, *, max_header_size: int, window: int, window_max: int) -> None:
        self._origin = origin
        self._max_header_size = max_header_size
        self._window = min(window, LARGEST)
        self._h2 = Library(max_header_size)
        self._windows = ReceiveWindows(self._window, window_max)
        self._bodies = SendQueue(self._h2)
        self._budget = ResetBudget()
        self._responses: dict[int, Response] = {}  # those that have not ended
        self._held: dict[int, int] = {}  # streams given up, whose RST_STREAM waits: its code
        self._ended: list[int] = []  # responses that were complete before their requests, maybe
        self._next_id = 1
        self._last_taken = LARGEST  # the last id that a GOAWAY leaves
        self.concurrent = self._told_room = 1
        self._settings: dict[str, int] = {}
        self._section_limit: int | None = None
        self._pinged_at: float | None = None  # an answer is to come
        self._settings_sent_at: float | None = None
        self.now = 0.0
        self.happened: list[events.Event] = []
        self.confirmed = False
        self.goaway: ConnectionLost | None = None
        self.round_trip = 0.0
        self.idle_frames = IdleFrames()
        self.unacknowledged: Callable[[int], int] = self._bodies.pending
        self.send_body, self.consumed = self._bodies.add, self._windows.consumed

    def begin(self) -> None:
        """Send our preface and SETTINGS (RFC 9113 3.4)."""
        self._settings_sent_at = self.now
        local = self._h2.local_settings
        local[SettingCodes.ENABLE_PUSH] = 0
        local[SettingCodes.INITIAL_WINDOW_SIZE] = self._window
        local[SettingCodes.MAX_HEADER_LIST_SIZE] = self._max_header_size
        local.acknowledge()  # they stand from the beginning: nothing has come yet
        self._h2.initiate_connection()
        self.happened.append(events.Ready(MOST_STREAMS, False, concurrent=self.concurrent))

    # what is asked --------------------------------------------------------------------------

    @property
    def settings(self) -> dict[str, int]:
        return self._settings

    @property
    def next_stream_id(self) -> int:
        return self._next_id

    @property
    def is_full(self) -> bool:
        count = len(self._responses) + len(self._held)
        return count >= self.concurrent or self._next_id > self._last_taken

    def check_section(self, fields: Fields) -> None:
        """Refuse what exceeds the server's limit, as far as it is known. Raises InvalidRequest."""
        if self._section_limit is None:
            return
        size = section_size(fields)
        if size > self._section_limit:
            raise InvalidRequest(
                f"headers or trailers: {len(fields)} fields have {size} bytes, each counted with "
                f"32 more; the server's limit is {self._section_limit} "
                "(SETTINGS_MAX_HEADER_LIST_SIZE)",
                origin=self._origin,
            )

    def open_request(
        self, fields: Fields, body: bytes | None, ended: bool = True, window: int | None = None
    ) -> int:
        """Send a request's header section, and its body or the first part of it.

        Returns its stream id, which was `next_stream_id`.

        Raises:
            ValueError: there is no room.
            InvalidRequest: the server takes no section that large.
        """
        if self.is_full:
            raise ValueError(f"{self._origin}: no room: {len(self._responses)} are open")
        self.check_section(fields)
        stream_id = self._next_id
        try:
            self._h2.send_headers(stream_id, _marked(fields), end_stream=ended and not body)
        finally:
            if self._h2.highest_outbound_stream_id == stream_id:
                self._next_id += 2
        self._responses[stream_id] = Response(stream_id, self._max_header_size)
        self._windows.open(stream_id, window)
        if body or not ended:
            self._bodies.open(stream_id)
            self._bodies.add(stream_id, body or b"", ended)
        return stream_id

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        if self._bodies.takes(stream_id):
            self.check_section(fields)
            self._bodies.finish(stream_id, _marked(fields))

    def abort_body(self, stream_id: int, code: int) -> None:
        """Give up what is left of a body. In HTTP/2 that ends the response as well: it is to be
        over by now."""
        if self._bodies.takes(stream_id):
            self.cancel(stream_id, code)

    def cancel(self, stream_id: int, code: int) -> None:
        if self._responses.pop(stream_id, None) is not None:
            self._forget(stream_id)
            if stream_id <= self._last_taken:
                self._reset(stream_id, code_for(code))

    def ping(self, uid: int) -> None:
        """Send a PING, unless the answer to one is to come: TCP sees to it that it arrives."""
        if self._pinged_at is None:
            self._pinged_at = self.now
            self._h2.ping(uid.to_bytes(8, "big"))

    def tick(self) -> None:
        """Send resets that have waited."""
        while self._held and self._budget.spend(self.now):
            stream_id = next(iter(self._held))
            self._h2.reset_stream(stream_id, self._held.pop(stream_id))
        self._tell_room()

    def timer(self) -> float | None:
        """When that is due."""
        return self._budget.due(self.now) if self._held else None

    def _reset(self, stream_id: int, code: int) -> None:
        if self._budget.spend(self.now):
            self._h2.reset_stream(stream_id, code)
        else:
            self._held[stream_id] = code
            self._tell_room()

    def _forget(self, stream_id: int, over: bool = False) -> None:
        """Nothing more is wanted of it; `over`: nor may anything come."""
        self._responses.pop(stream_id, None)
        self._windows.close(stream_id, over)
        self._bodies.close(stream_id)

    # what goes out --------------------------------------------------------------------------

    def frames(self) -> bytes:
        """What is to be sent now; of bodies no more than is sent at once."""
        self.idle_frames.sent()
        for stream_id, increment in self._windows.updates(self.now, self.round_trip):
            self._h2.increment_flow_control_window(increment, stream_id or None)
        if self._bodies:
            self._bodies.write()
        return self._h2.data_to_send()

    def close(self, code: int) -> bytes:
        """End it all. Returns what is to be sent for that."""
        self._responses.clear()
        self._held.clear()
        self._bodies.clear()
        self._h2.close_connection(code)
        return self._h2.data_to_send()

    # what comes in --------------------------------------------------------------------------

    def take(self, content: bytes) -> None:
        """Take bytes of the server's.

        Raises h2.exceptions.ProtocolError, FramesFault: it breaks HTTP/2. What came before that has
        happened.
        """
        for event in self._h2.take(content):
            take = _TAKE.get(type(event))
            if take is not None:
                take(self, event)
        if self._ended:
            self._close_ended()

    def _count_idle(self, _: object = None) -> None:
        """Note a frame that serves no request."""
        if self.idle_frames.came(self.now):
            raise FramesFault(ErrorCode.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    def _take_response(self, event: theirs.ResponseReceived) -> None:
        response = self._open(event)
        if response is not None:
            self.idle_frames.served()
            self.confirmed = True
            section: Any = event.headers
            self._report(event, response.final(section, event.stream_ended is not None))

    def _take_interim(self, event: theirs.InformationalResponseReceived) -> None:
        response = self._open(event)
        if response is not None:
            section: Any = event.headers
            self._report(event, response.interim(section))

    def _take_trailers(self, event: theirs.TrailersReceived) -> None:
        response = self._open(event)
        if response is not None:
            section: Any = event.headers
            self._report(event, response.trailers(section))

    def _report(self, event: Any, happened: Any) -> None:
        """Report what an event means; if that is the end of its stream, reset it."""
        self.happened.append(happened)
        code = _FAULTS.get(type(happened))
        if code is not None:
            self._forget(event.stream_id)
            self._close(event.stream_id, code)

    def _take_data(self, event: theirs.DataReceived) -> None:
        stream_id, size = event.stream_id, event.flow_controlled_length or 0
        content, ended = event.data or b"", event.stream_ended is not None
        if not self._windows.received(stream_id, size, len(content)):
            raise FramesFault(ErrorCode.STREAM_CLOSED, f"DATA of stream {stream_id}, which is over")
        if stream_id in self._responses and (content or ended):
            self.idle_frames.served()
            self.happened.append(events.Body(stream_id, content, ended))
        elif not size:  # of one that was given up much may still be on its way
            self._count_idle()

    def _take_end(self, event: theirs.StreamEnded) -> None:
        """The response is over, and so is the exchange: of its body nobody wants the rest."""
        stream_id: int = event.stream_id
        request = self._responses.pop(stream_id, None)
        if request is not None or self._held.pop(stream_id, None) is not None:
            self._forget(stream_id, over=True)
            self._ended.append(stream_id)

    def _close_ended(self) -> None:
        """Reset the requests of complete responses, unless we have ended them as well, or the
        server has."""
        ended, self._ended = self._ended, []
        for stream_id in ended:
            self._close(stream_id, ErrorCode.NO_ERROR)

    def _close(self, stream_id: int, code: int) -> None:
        stream = self._h2.streams.get(stream_id)
        if stream is not None and stream.open:
            self._reset(stream_id, code)

    def _take_reset(self, event: theirs.StreamReset) -> None:
        stream_id: int = event.stream_id
        self._held.pop(stream_id, None)
        if stream_id not in self._responses:
            return self._count_idle()
        self._forget(stream_id, over=event.remote_reset)
        self.confirmed = True
        code = int(event.error_code or 0)
        if not event.remote_reset:  # h2 has: it is about this stream alone
            reason = f"the server broke flow control or the stream's state ({name_of(code)})"
            return self.happened.append(events.StreamMalformed(stream_id, reason))
        said = f"the server reset the stream with {name_of(code)}"
        http1 = code == ErrorCode.HTTP_1_1_REQUIRED
        refused = http1 or code == ErrorCode.REFUSED_STREAM  # RFC 9113 8.7
        aborted = events.StreamAborted(stream_id, code, said, refused, refused, http1)
        return self.happened.append(aborted)

    def _take_settings(self, _: theirs.RemoteSettingsChanged) -> None:
        remote, known = self._h2.remote_settings, bool(self._settings)
        self._settings = {_NAMES.get(key, f"{key:#x}"): value for key, value in remote.items()}
        self.concurrent = min(remote.max_concurrent_streams, LARGEST)
        self._section_limit = remote.max_header_list_size
        if known:
            self._count_idle()
        else:
            self.happened.append(events.Settings(connect=False, datagrams=False))
        self._tell_room()

    def _take_settings_ack(self, _: theirs.SettingsAcknowledged) -> None:
        self.confirmed = True
        if self._settings_sent_at is None:
            return self._count_idle()
        self.round_trip, self._settings_sent_at = self.now - self._settings_sent_at, None
        return None

    def _take_goaway(self, event: theirs.ConnectionTerminated) -> None:
        self._count_idle()
        code, reason = int(event.error_code or 0), event.additional_data or b""
        self._last_taken = min(self._last_taken, event.last_stream_id or 0)
        if code:
            said = f"connection lost: the server closed it with {name_of(code)}"
            words = in_message(reason.decode("utf-8", "replace"))[:500]
            self.goaway = ConnectionLost(
                f"{said}: {words}" if words else said,
                origin=self._origin,
                code=code,
                reason=words,
            )
        self.happened.append(events.GoAwayReceived(self._last_taken + 1))

    def _take_pong(self, event: theirs.PingAckReceived) -> None:
        if self._pinged_at is None:
            return self._count_idle()
        self.round_trip, self._pinged_at = self.now - self._pinged_at, None
        uid = int.from_bytes(event.ping_data or b"", "big")
        return self.happened.append(events.PingAcknowledged(uid))

    def _take_request(self, _: theirs.RequestReceived) -> None:
        raise FramesFault(ErrorCode.PROTOCOL_ERROR, "a server cannot open streams")

    def _take_window(self, _: theirs.WindowUpdated) -> None:
        if not self._bodies:
            self._count_idle()

    def _open(self, event: Any) -> Response | None:
        """The response that an event is about, None when it was given up."""
        response = self._responses.get(event.stream_id)
        if response is None:
            self._count_idle()
        return response

    def _tell_room(self) -> None:
        room = max(0, self.concurrent - len(self._held))
        if room != self._told_room:
            self._told_room = room
            self.happened.append(events.CapacityChanged(MOST_STREAMS, room))


def _marked(fields: Fields) -> list[tuple[bytes, bytes]]:
    """The fields, with those that no table may hold marked (RFC 7541 7.1.3)."""
    marked: list[tuple[bytes, bytes]] = []
    for field in fields:
        name = field[0]
        if name in _SECRET or (name == b"cookie" and len(field[1]) < _SHORT_COOKIE):
            field = NeverIndexedHeaderTuple(*field)
        marked.append(field)
    return marked


_TAKE: Final[dict[type, Callable[[Streams, Any], None]]] = {
    theirs.ResponseReceived: Streams._take_response,
    theirs.InformationalResponseReceived: Streams._take_interim,
    theirs.TrailersReceived: Streams._take_trailers,
    theirs.DataReceived: Streams._take_data,
    theirs.StreamEnded: Streams._take_end,
    theirs.StreamReset: Streams._take_reset,
    theirs.RemoteSettingsChanged: Streams._take_settings,
    theirs.SettingsAcknowledged: Streams._take_settings_ack,
    theirs.ConnectionTerminated: Streams._take_goaway,
    theirs.PingAckReceived: Streams._take_pong,
    theirs.PingReceived: Streams._count_idle,
    theirs.PriorityUpdated: Streams._count_idle,
    theirs.UnknownFrameReceived: Streams._count_idle,
    theirs.AlternativeServiceAvailable: Streams._count_idle,
    theirs.WindowUpdated: Streams._take_window,
    theirs.RequestReceived: Streams._take_request,
    NothingSaid: Streams._count_idle,
}
