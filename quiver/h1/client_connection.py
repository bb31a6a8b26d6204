"""ClientConnection: HTTP/1.1 on one stream of bytes of a client (RFC 9112), sans-IO.

It does what HTTP/2's does, as `quiver.pool.http_connection` has it, and reports the same events:

    connection.connect(now)
    loop: connection.receive_all(chunks, now) | connection.lost(why, now)
          for event in connection.events(): ...
          send(connection.datagrams(now))

Its parts: a ByteStream, which does TLS (`quiver.tcp`), and h11's connection, which does messages.

* One request at a time, by number. When the server, or the way in which one has ended, allows no
  other one, GoAwayReceived says so: what is open finishes, and the connection is left.
* To give up a request is to give up the connection: HTTP/1.1 has no other way.
* A server may close an idle connection at any moment, also in that in which a request is sent. What
  was sent on a connection that had served one before, and got no byte of an answer, may be sent
  again if its method is idempotent (RFC 9112 9.3.1): it is reported as refused. That is the one
  exception to what is sent twice on proof alone.
* A body without a declared length is sent in chunks, and so is one with trailers.
* What only HTTP/2 and HTTP/3 say otherwise is said as here: one `cookie`, and `te` of this hop.
* Who reads slowly is waited for by not reading the socket: see `reads`.
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, Final

import h11

from quiver.errors import ConnectionLost, QuiverError
from quiver.h3 import events
from quiver.h3.close_reasons import Vocabulary, close_reason
from quiver.h3.headers import Fields
from quiver.models import Handshake
from quiver.origin import Origin
from quiver.quic.engine import Cause, ConnectionClosed
from quiver.tcp.byte_stream import ByteStream, ByteStreamFault

__all__ = ["ClientConnection"]

_VOCABULARY: Final = Vocabulary(
    "HTTP/1.1", lambda code: f"code {code}", "the HTTP/1.1 library", "http/1.1"
)
_IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""RFC 9110 9.2.2."""

_AT_ONCE: Final = 262_144  # bytes of a body that are written in one go
_LINE: Final = 32  # bytes that each field is counted with (RFC 9113 10.5.1), and a status line
_PROBE_TIMEOUT: Final = 1.0
_MOST_STREAMS: Final = 1 << 62  # there is no end of numbers


class ClientConnection:
    """One connection to `origin`. Nothing is sent before `connect`.

    Args:
        stream: what it goes over; it has not begun.
        max_header_size: bytes of a header section that are taken.
        certfile: where our certificate is from, for errors.

    Attributes:
        heard: when bytes of the server came last; -inf for never.
        closed: ConnectionEnded has been reported, or is among the next `events`.
    """

    pings_in_silence: ClassVar[bool] = False
    idle_timeout: ClassVar[float] = math.inf
    early_streams: ClassVar[int] = 0
    max_streams: ClassVar[int] = _MOST_STREAMS
    probe_timeout: ClassVar[float] = _PROBE_TIMEOUT

    def __init__(
        self,
        stream: ByteStream,
        origin: Origin,
        *,
        max_header_size: int,
        certfile: str | None = None,
    ) -> None:
        self._stream = stream
        self._origin = str(origin)
        self._certfile = certfile
        self._max_header_size = max_header_size
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=max_header_size)
        self._next_id = 0
        self._open: int | None = None  # the request that has no whole answer
        self._method = b""
        self._answered = False  # any byte of its answer has come
        self._unsent: deque[memoryview] = deque()  # of its body
        self._size = 0  # bytes in these
        self._end_of_request: h11.EndOfMessage | None = None  # to be sent when they are gone
        self._chunked = False
        self._interim = 0  # bytes of interim sections
        self._window: int | None = None  # bytes that may wait for its reader
        self._unread = 0
        self._leaving = False  # no other request
        self._ready = False
        self._events: list[events.Event] = []
        self.settings: dict[str, int] = {}
        self.closed = False
        self.heard = -math.inf

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open" if self._ready else "connecting"
        return f"<ClientConnection {self._origin} {state}>"

    # what its owner may ask -----------------------------------------------------------------

    @property
    def answered(self) -> bool:
        return self.heard > -math.inf

    @property
    def handshake(self) -> Handshake:
        return self._stream.handshake(1)

    @property
    def streams_opened(self) -> int:
        return self._next_id

    @property
    def next_stream_id(self) -> int:
        return self._next_id

    @property
    def is_full(self) -> bool:
        return self._open is not None or self._leaving

    @property
    def reads(self) -> bool:
        """Whether anything is to be received now: not while its reader has enough."""
        return self._window is None or self._unread < self._window

    # what passes through --------------------------------------------------------------------

    def connect(self, now: float) -> None:  # noqa: ARG002
        """Begin: what `datagrams` yields is for the server as soon as it is connected."""
        self._within(self._stream.begin)
        self._look_whether_ready()

    def receive_all(self, chunks: Iterable[bytes], now: float) -> None:
        """Take what has come, in order, as long as it `reads`."""
        for chunk in () if self.closed else chunks:
            self.heard = now
            self._within(self._receive, chunk)
            if self.closed or not self.reads:
                return
        if self._stream.ended:
            self.lost(None, now)

    def lost(self, why: str | None, now: float) -> None:  # noqa: ARG002
        """The transport is gone: the server has closed it, or `why`, in words."""
        if self.closed:
            return None
        if not self._ready:
            return self._end(self._stream.broken_off(why, self._origin))
        said = "the server closed it" if why is None else why
        if why is None and self._open is not None and self._answered:
            if self._stream.ended or not self._stream.says_its_end:  # RFC 9112 9.8
                with contextlib.suppress(h11.RemoteProtocolError):  # so its content may end
                    self._take(b"")
            if self._open is None:
                return None
            said += " in the midst of its answer"
        if why is None and self._open is None:  # as servers do with idle ones
            self._events.append(events.GoAwayReceived(self._next_id))
        if self._open is not None and not self._answered:
            said += " before it answered"
            if self._next_id > 1 and self._method in _IDEMPOTENT:
                lost = f"connection lost: {said}"
                self._events.append(events.StreamAborted(self._open, None, lost, True, False))
                self._forget()
        return self._end(ConnectionLost(f"connection lost: {said}", origin=self._origin))

    def tick(self, now: float) -> None:
        """There is nothing that takes time."""

    def timer(self) -> float | None:
        """At once for -inf: there is something to tell."""
        return -math.inf if self._events else None

    def events(self) -> list[events.Event]:
        """What has happened since the last call."""
        happened, self._events = self._events, []
        return happened

    def datagrams(self, now: float) -> list[bytes]:  # noqa: ARG002
        """What is to be sent now; of a body no more than is sent at once. Empty: nothing more."""
        if self._ready and not self.closed and self._open is not None:
            self._within(self._write_body)
        wire = self._stream.take()
        return [wire] if wire else []

    def close(self, code: int, reason: str = "") -> None:  # noqa: ARG002
        """End the connection."""
        if not self.closed:
            self._end(self._reason(ConnectionClosed(Cause.OWNER, 0, transport=False)))

    # requests -------------------------------------------------------------------------------

    def check_section(self, fields: Fields) -> None:
        """No server tells a limit."""

    def announce_trailers(self, fields: Fields) -> Fields:
        """The fields of a request that has trailers: they come after chunks (RFC 9112 7.1.2)."""
        return [field for field in fields if field[0] != b"content-length"]

    def open_request(
        self, fields: Fields, body: bytes | None, ended: bool = True, window: int | None = None
    ) -> int:
        """Send a request's header section, and its body or the first part of it.

        Returns its number, which was `next_stream_id`.

        Raises:
            ValueError: one is open, or there can be no other; or the connection is not ready.
            h11.LocalProtocolError: a field that HTTP/1.1 does not take.
        """
        if not self._ready or self.closed or self.is_full:
            raise ValueError(f"{self!r} has no room")
        number, request = self._next_id, _request_of(fields, with_body=bool(body) or not ended)
        section = self._h11.send(request)
        self._next_id += 1
        self._open, self._method, self._answered = number, request.method, False
        self._chunked = (b"transfer-encoding", b"chunked") in list(request.headers)
        self._window, self._unread, self._interim = window, 0, 0
        self._stream.write(section or b"")
        self.send_body(number, body or b"", ended)
        if not body:
            self._write_body()
        return number

    def send_body(self, stream_id: int, content: bytes | memoryview, ended: bool) -> None:
        """Send more of the body. Ignored when the request was ended, by either side."""
        if stream_id != self._open or self._end_of_request is not None:
            return
        if content:
            self._unsent.append(memoryview(content))
            self._size += len(content)
        if ended:
            self._end_of_request = h11.EndOfMessage()

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Send the trailer section, which ends the request. Ignored as in `send_body`."""
        if stream_id == self._open and self._end_of_request is None:
            self._end_of_request = h11.EndOfMessage(headers=fields if self._chunked else [])

    def abort_body(self, stream_id: int, code: int) -> None:
        """Give up an unfinished request body, and the connection with it."""
        if stream_id == self._open and self._end_of_request is None:
            self.cancel(stream_id, code)

    def cancel(self, stream_id: int, code: int) -> None:  # noqa: ARG002
        """Give up a request, and the connection with it."""
        if stream_id == self._open:
            self._forget()
            self._leave()

    def unacknowledged(self, stream_id: int) -> int:
        """Bytes of the body that wait."""
        return self._size if stream_id == self._open else 0

    def consumed(self, stream_id: int, size: int) -> None:
        """The reader has taken so many bytes."""
        if stream_id == self._open:
            self._unread -= size

    def ping(self, uid: int) -> None:
        """There is none."""

    def probe(self) -> None:
        """There is none."""

    def max_datagram_size(self, stream_id: int) -> int:  # noqa: ARG002
        """There are none."""
        return 0

    def send_datagram(self, stream_id: int, payload: bytes) -> bool:  # noqa: ARG002
        """There are none."""
        return False

    def shorten(self) -> None:
        """TCP does that."""

    def _write_body(self) -> None:
        left = _AT_ONCE
        while self._unsent and left > 0:
            piece = self._unsent.popleft()
            self._size -= len(piece)
            left -= len(piece)
            self._stream.write(self._h11.send(h11.Data(data=bytes(piece))) or b"")
        if self._end_of_request is not None and not self._unsent:
            ending, self._end_of_request = self._end_of_request, None
            if self._h11.our_state is h11.SEND_BODY:
                self._stream.write(self._h11.send(ending) or b"")

    # responses ------------------------------------------------------------------------------

    def _receive(self, chunk: bytes) -> None:
        content = self._stream.receive(chunk)
        self._look_whether_ready()
        if content and self._open is None:
            self._leave()  # whatever that is, it answers nothing
        elif content:
            self._answered = True
            self._take(content)
        if self._stream.fault is not None:
            raise self._stream.fault

    def _take(self, content: bytes) -> None:
        self._h11.receive_data(content)
        while self._open is not None:
            event = self._h11.next_event()
            if event in (h11.NEED_DATA, h11.PAUSED) or isinstance(event, h11.ConnectionClosed):
                return
            self._report(self._open, event)

    def _report(self, number: int, event: Any) -> None:
        match event:
            case h11.InformationalResponse():
                sizes = [len(name) + len(value) for name, value in event.headers]
                self._interim += _LINE + sum(sizes) + _LINE * len(sizes)  # none may go on for ever
                if self._interim > self._max_header_size:
                    return self._too_large(number, self._interim)
                fields = _pairs(event.headers)
                self._events.append(events.Informational(number, event.status_code, fields))
            case h11.Response():
                fields = _without_framing(_pairs(event.headers))
                self._events.append(events.Headers(number, event.status_code, fields, False))
            case h11.Data():
                content = bytes(event.data)
                self._unread += len(content)
                self._events.append(events.Body(number, content, False))
            case h11.EndOfMessage():
                trailers = _pairs(event.headers)
                self._events.append(
                    events.TrailersReceived(number, trailers)
                    if trailers
                    else events.Body(number, b"", True)
                )
                self._finish()
        return None

    def _finish(self) -> None:
        """The response is complete: the connection is free, or over."""
        self._forget()
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
            if self._h11.trailing_data != (b"", False):
                self._leave()  # an answer to what was not asked
        else:
            self._leave()

    def _too_large(self, number: int, size: int) -> None:
        self._events.append(events.HeadersTooLarge(number, size, self._max_header_size))
        self._forget()
        self._leave()

    def _forget(self) -> None:
        self._open, self._end_of_request, self._window = None, None, None
        self._unsent.clear()
        self._size = self._unread = 0

    # its life -------------------------------------------------------------------------------

    def _look_whether_ready(self) -> None:
        if not self._ready and self._stream.ready:
            self._ready = True
            self._events.append(events.Ready(_MOST_STREAMS, False, concurrent=1))
            self._events.append(events.Settings(connect=False, datagrams=False))

    def _leave(self) -> None:
        """Take no other request."""
        if not self._leaving:
            self._leaving = True
            self._events.append(events.GoAwayReceived(self._next_id))

    def _within(self, step: Callable[..., object], *args: object) -> None:
        """Take a step that may end the connection, and nothing else."""
        try:
            step(*args)
        except ByteStreamFault as fault:
            fault.closed.confirmed = self._answered or self._next_id > 1
            self._end(self._reason(fault.closed))
        except h11.RemoteProtocolError as fault:
            self._violated(fault)
        except Exception as raised:  # noqa: BLE001 - nobody knows what it may be
            self._end(self._reason(ConnectionClosed(Cause.RAISED, error=raised, by_peer=True)))

    def _violated(self, fault: h11.RemoteProtocolError) -> None:
        """The response is no HTTP/1.1: that ends its request, and the connection."""
        number = self._open
        if number is not None and fault.error_status_hint == 431:
            return self._too_large(number, self._max_header_size + 1)
        if number is not None:
            self._events.append(events.StreamMalformed(number, str(fault)))
            self._forget()
        return self._leave()

    def _reason(self, closed: ConnectionClosed) -> QuiverError:
        return close_reason(
            closed, self._origin, ready=self._ready, certfile=self._certfile, words=_VOCABULARY
        )

    def _end(self, error: QuiverError) -> None:
        if self.closed:
            return
        self.closed = True
        self._events.append(events.ConnectionEnded(error))
        self._forget()
        if self._ready:
            self._stream.end()


def _request_of(fields: Fields, *, with_body: bool) -> h11.Request:
    """A request as HTTP/1.1 has it; its framing is what its fields say, or chunks."""
    about = {name: value for name, value in fields if name[:1] == b":"}
    headers = [(b"host", about[b":authority"])]
    headers += [field for field in fields if field[0][:1] != b":" and field[0] != b"cookie"]
    cookies = [value for name, value in fields if name == b"cookie"]
    if cookies:  # RFC 9113 8.2.3
        headers.append((b"cookie", b"; ".join(cookies)))
    if any(name == b"te" for name, _ in headers):  # RFC 9110 10.1.4
        headers.append((b"connection", b"te"))
    if with_body and not any(name == b"content-length" for name, _ in headers):
        headers.append((b"transfer-encoding", b"chunked"))
    return h11.Request(method=about[b":method"], target=about[b":path"], headers=headers)


def _pairs(headers: Any) -> list[tuple[str, str]]:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def _without_framing(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Without a length that does not hold beside chunks (RFC 9112 6.3)."""
    if any(name == "transfer-encoding" for name, _ in fields):
        return [field for field in fields if field[0] != "content-length"]
    return fields
