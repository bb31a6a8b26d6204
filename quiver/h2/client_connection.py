"""ClientConnection: HTTP/2 on one stream of bytes of a client (RFC 9113), without input and output.

It does what HTTP/3's does, as `quiver.pool.http_connection` has it, and reports the same events:

    connection.connect(now)
    loop: connection.receive_all(chunks, now) | connection.lost(why, now) | connection.tick(now)
          for event in connection.events(): ...
          send(connection.datagrams(now)); wake at connection.timer()

Its parts: a ByteStream, which does TLS (`quiver.tcp`), and `Streams` on that. Here is its life, and
the boundary around what the server makes a library raise.

* What is wrong with one response costs its stream; what breaks HTTP/2, the connection.
* Room is the server's MAX_CONCURRENT_STREAMS. Until its SETTINGS have come it is one: whatever
  exceeds what they say would be refused, and a body that was begun cannot always be sent again.
* A stream that we give up counts at the server until it hears of that. When too many were given up
  at once its RST_STREAM waits (`ResetBudget`), and so there is less room.
* No push is accepted, no priority sent. Extended CONNECT (RFC 8441) is not spoken.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import ClassVar, Final

from h2.exceptions import ProtocolError

from quiver.errors import ConnectionLost, QuiverError
from quiver.h2.codes import ErrorCode, FramesFault, code_for, name_of
from quiver.h2.streams import MOST_STREAMS, Streams
from quiver.h3 import events
from quiver.h3.close_reasons import Vocabulary, close_reason
from quiver.h3.headers import Fields
from quiver.models import Handshake
from quiver.origin import Origin
from quiver.quic.engine import Cause, ConnectionClosed
from quiver.tcp.byte_stream import ByteStream, ByteStreamFault

__all__ = ["ClientConnection"]

_VOCABULARY: Final = Vocabulary("HTTP/2", name_of, "the HTTP/2 library", "h2")
_PROBE_TIMEOUT: Final = 1.0  # seconds: TCP's own first guess (RFC 6298 2.1)


class ClientConnection:
    """One connection to `origin`. Nothing is sent before `connect`.

    Args:
        stream: what it goes over; it has not begun.
        max_header_size, window, window_max: as of `Streams`.
        certfile: where our certificate is from, for errors.

    Attributes:
        heard: when bytes of the server came last; -inf for never.
        closed: ConnectionEnded has been reported, or is among the next `events`.
        pings_in_silence: TCP has no need of them, and servers count PINGs.
        reads: always: who reads slowly has a window.
    """

    pings_in_silence: ClassVar[bool] = False
    reads: ClassVar[bool] = True
    idle_timeout: ClassVar[float] = math.inf
    early_streams: ClassVar[int] = 0
    max_streams: ClassVar[int] = MOST_STREAMS

    def __init__(
        self,
        stream: ByteStream,
        origin: Origin,
        *,
        max_header_size: int,
        window: int,
        window_max: int,
        certfile: str | None = None,
    ) -> None:
        self._stream = stream
        self._origin = str(origin)
        self._certfile = certfile
        streams = self._streams = Streams(
            self._origin, max_header_size=max_header_size, window=window, window_max=window_max
        )
        self._ready = False
        self.closed = False
        self.heard = -math.inf
        self.check_section, self.send_trailers = streams.check_section, streams.send_trailers
        self.send_body, self.consumed = streams.send_body, streams.consumed
        self.unacknowledged = streams.unacknowledged

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open" if self._ready else "connecting"
        return f"<ClientConnection {self._origin} {state}>"

    # what its owner may ask -----------------------------------------------------------------

    @property
    def answered(self) -> bool:
        return self.heard > -math.inf

    @property
    def handshake(self) -> Handshake:
        return self._stream.handshake(self._streams.concurrent)

    @property
    def settings(self) -> dict[str, int]:
        return self._streams.settings

    @property
    def streams_opened(self) -> int:
        return self._streams.next_stream_id // 2

    @property
    def next_stream_id(self) -> int:
        return self._streams.next_stream_id

    @property
    def is_full(self) -> bool:
        return self._streams.is_full

    @property
    def probe_timeout(self) -> float:
        return max(_PROBE_TIMEOUT, 2 * self._streams.round_trip)

    # what passes through --------------------------------------------------------------------

    def connect(self, now: float) -> None:
        """Begin: what `datagrams` yields is for the server as soon as it is connected."""
        self._streams.now = now
        self._within(self._stream.begin)
        self._look_whether_ready()

    def receive_all(self, chunks: Iterable[bytes], now: float) -> None:
        """Take what has come, in order. What iterating over it raises comes out."""
        if self.closed:
            return
        self._streams.now = now
        for chunk in chunks:
            self.heard = now
            self._within(self._receive, chunk)
            if self.closed:
                return
        if self._stream.ended:
            self.lost(None, now)

    def lost(self, why: str | None, now: float) -> None:
        """The transport is gone: the server has closed it, or `why`, in words."""
        self._streams.now = now
        if self.closed:
            return None
        if not self._ready:
            return self._end(self._stream.broken_off(why, self._origin))
        said = "the server closed it" if why is None else why
        lost = ConnectionLost(f"connection lost: {said}", origin=self._origin)
        return self._end(self._streams.goaway or lost)

    def tick(self, now: float) -> None:
        """Do what was due at `timer()`."""
        self._streams.now = now
        if not self.closed:
            self._within(self._streams.tick)

    def timer(self) -> float | None:
        """When `tick` is due, at once for -inf."""
        if self._streams.happened:
            return -math.inf
        return None if self.closed else self._streams.timer()

    def events(self) -> list[events.Event]:
        """What has happened since the last call."""
        happened, self._streams.happened = self._streams.happened, []
        return happened

    def datagrams(self, now: float) -> list[bytes]:
        """What is to be sent now; of bodies no more than is sent at once. Empty: nothing more."""
        self._streams.now = now
        if self._ready and not self.closed:
            self._within(self._write)
        wire = self._stream.take()
        return [wire] if wire else []

    def close(self, code: int, reason: str = "") -> None:  # noqa: ARG002 - HTTP/2 needs no words
        """End the connection. `datagrams` tells the server."""
        if not self.closed:
            mine = code_for(code)
            self._end(self._reason(ConnectionClosed(Cause.OWNER, mine, transport=False)), mine)

    # requests -------------------------------------------------------------------------------

    def open_request(
        self, fields: Fields, body: bytes | None, ended: bool = True, window: int | None = None
    ) -> int:
        """Send a request's header section, and its body or the first part of it.

        Returns its stream id, which was `next_stream_id`.

        Raises:
            ValueError: there is no room, or the connection is not ready or closed.
            InvalidRequest: the server takes no section that large.
        """
        if not self._ready or self.closed:
            raise ValueError(f"{self!r} opens no requests")
        return self._streams.open_request(fields, body, ended, window)

    def announce_trailers(self, fields: Fields) -> Fields:
        """The fields of a request that has trailers: as they are."""
        return fields

    def abort_body(self, stream_id: int, code: int) -> None:
        """Give up what is left of a body, and the response, which is to be over by now."""
        if not self.closed:
            self._streams.abort_body(stream_id, code)

    def cancel(self, stream_id: int, code: int) -> None:
        """Give up a request: no event of it comes any more. Ignored when both sides had ended."""
        if not self.closed:
            self._streams.cancel(stream_id, code)

    def ping(self, uid: int) -> None:
        """Send a PING, unless the answer to one is to come: TCP sees to it that it arrives."""
        if self._ready and not self.closed:
            self._streams.ping(uid)

    def probe(self) -> None:
        """As `ping`: TCP knows nothing that goes beyond its congestion window."""
        self.ping(0)

    def max_datagram_size(self, stream_id: int) -> int:  # noqa: ARG002
        """There are none."""
        return 0

    def send_datagram(self, stream_id: int, payload: bytes) -> bool:  # noqa: ARG002
        """There are none."""
        return False

    def shorten(self) -> None:
        """TCP does that."""

    # its life -------------------------------------------------------------------------------

    def _receive(self, chunk: bytes) -> None:
        content = self._stream.receive(chunk)
        self._look_whether_ready()
        if content:
            self._streams.take(content)
        if self._stream.fault is not None:
            raise self._stream.fault

    def _look_whether_ready(self) -> None:
        if not self._ready and self._stream.ready:
            self._ready = True
            self._streams.begin()

    def _write(self) -> None:
        content = self._streams.frames()
        if content:
            self._stream.write(content)

    def _within(self, step: Callable[..., object], *args: object) -> None:
        """Take a step that may end the connection, and nothing else."""
        try:
            step(*args)
        except ByteStreamFault as fault:
            fault.closed.confirmed = self._streams.confirmed
            self._end(self._reason(fault.closed))
        except ProtocolError as fault:
            self._violated(int(fault.error_code), str(fault) or type(fault).__name__)
        except FramesFault as fault:
            self._violated(fault.code, str(fault))
        except Exception as raised:  # noqa: BLE001 - nobody knows what it may be
            closed = ConnectionClosed(Cause.RAISED, error=raised, by_peer=True)
            self._end(self._reason(closed), ErrorCode.INTERNAL_ERROR)

    def _violated(self, code: int, reason: str) -> None:
        closed = ConnectionClosed(Cause.VIOLATION, code, transport=False, reason=reason)
        self._end(self._reason(closed), code)

    def _reason(self, closed: ConnectionClosed) -> QuiverError:
        return close_reason(
            closed, self._origin, ready=self._ready, certfile=self._certfile, words=_VOCABULARY
        )

    def _end(self, error: QuiverError, code: int = ErrorCode.NO_ERROR) -> None:
        """Report the end, and say it, if anything can be said."""
        if self.closed:
            return
        self.closed = True
        self._streams.happened.append(events.ConnectionEnded(error))
        farewell = self._streams.close(code)
        if self._ready:
            try:
                self._stream.write(farewell)
                self._stream.end()
            except ByteStreamFault:
                pass
