"""ResponseReader: the frames of one response, bytes in and events out (RFC 9114 4.1, 7).

A response that is malformed, or whose header section is too large, costs its own stream: an event
says so, the last one. What else breaks HTTP/3 costs the connection: a ProtocolError, as aioquic
names them.

Frames are read here and not by aioquic because this is done for every response, and because
aioquic holds what it should judge: see `quiver.h3.connection`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aioquic.h3.connection import (
    RESERVED_FRAME_TYPES,
    FrameError,
    FrameType,
    FrameUnexpected,
    IdError,
)

from quiver.h3 import events
from quiver.h3.headers import Fields, Malformed, Pairs, response_of, section_size, trailers_of

__all__ = ["ResponseReader"]

_DATA: Final = int(FrameType.DATA)
_HEADERS: Final = int(FrameType.HEADERS)
_LARGEST_GROWTH: Final = 128
"""How often longer a section may be than its block, of static entries only (RFC 9204 appendix A).

The longest of them counts 108 bytes, for an index of one byte or two."""

_FORBIDDEN: Final = frozenset(
    {
        FrameType.CANCEL_PUSH,
        FrameType.SETTINGS,
        FrameType.GOAWAY,
        FrameType.MAX_PUSH_ID,
        FrameType.WEBTRANSPORT_STREAM,  # it was not agreed on
        *RESERVED_FRAME_TYPES,
    }
)


class _GivenUp(Exception):
    """This response is of no more use; `event` says why."""

    def __init__(self, event: events.StreamMalformed | events.HeadersTooLarge) -> None:
        super().__init__()
        self.event = event


class ResponseReader:
    """Reads the response on one stream.

    Args:
        stream_id: names it in events.
        decode: makes fields of a header block; raises a ProtocolError.
        limit: bytes of a header section, encoded and as RFC 9114 4.2.2 counts; of interim ones
            all together, or they could go on for ever.
        on_content: told the length of each DATA frame, for a log.
    """

    __slots__ = (
        "_begun",
        "_decode",
        "_held",
        "_interim",
        "_kind",
        "_left",
        "_limit",
        "_on_content",
        "_trailers",
        "stream_id",
    )

    def __init__(
        self,
        stream_id: int,
        decode: Callable[[int, bytes], Fields],
        limit: int,
        on_content: Callable[[int, int], None] | None = None,
    ) -> None:
        self.stream_id = stream_id
        self._decode = decode
        self._limit = limit
        self._on_content = on_content
        self._held = b""  # of a frame that is to be read whole, or of a frame's first bytes
        self._kind: int | None = None  # of the frame that is being read
        self._left = 0  # bytes of it that have not been read
        self._interim = 0  # bytes of interim sections
        self._begun = False  # the final header section has come
        self._trailers: Pairs | None = None

    def feed(self, chunk: bytes, ended: bool) -> list[events.Event]:
        """What these bytes say; `ended` with the last. Raises a ProtocolError."""
        happened: list[events.Event] = []
        try:
            self._read(chunk, ended, happened)
            if ended:
                self._end(happened)
        except _GivenUp as given_up:
            happened.append(given_up.event)
        return happened

    def _read(self, chunk: bytes, ended: bool, happened: list[events.Event]) -> None:
        if self._held:
            chunk, self._held = self._held + chunk, b""
        at, end = 0, len(chunk)
        while at < end:
            if self._kind is None and (start := self._open_frame(chunk, at, end)):
                at = start
            if self._kind is None or (self._kind == _HEADERS and end - at < self._left):
                self._held = chunk[at:]
                break
            stop = at + min(self._left, end - at)
            self._left -= stop - at
            last = ended and stop == end and not self._left
            self._take(chunk[at:stop], last, happened)
            at = stop

    def _open_frame(self, chunk: bytes, at: int, end: int) -> int:
        """Read a frame's type and length; where its payload begins, or 0 if there is not enough."""
        kind, at = _number(chunk, at)
        if at >= end:
            return 0
        size, at = _number(chunk, at)
        if at > end:
            return 0
        if kind > _HEADERS:
            self._check_kind(kind)
        elif kind == _HEADERS and size > self._limit:
            raise _GivenUp(events.HeadersTooLarge(self.stream_id, size, self._limit))
        elif kind == _DATA and self._on_content is not None:
            self._on_content(self.stream_id, size)
        self._kind, self._left = kind, size
        return at

    def _check_kind(self, kind: int) -> None:
        if kind == FrameType.PUSH_PROMISE:
            raise IdError("a push was promised, but no push id was offered")
        if kind in _FORBIDDEN:
            raise FrameUnexpected(f"a frame of type 0x{kind:x} on a request's stream")

    def _take(self, payload: bytes, last: bool, happened: list[events.Event]) -> None:
        """Take a header section, or what there is of another frame."""
        kind = self._kind
        if not self._left:
            self._kind = None
        if kind == _DATA:
            if not self._begun or self._trailers is not None:  # RFC 9114 4.1
                raise FrameUnexpected("DATA frame is not allowed in this state")
            if payload or last:
                happened.append(events.Body(self.stream_id, payload, last))
        elif kind == _HEADERS:
            self._take_section(payload, last, happened)

    def _take_section(self, block: bytes, last: bool, happened: list[events.Event]) -> None:
        if self._trailers is not None:  # RFC 9114 4.1
            raise FrameUnexpected("HEADERS frame is not allowed in this state")
        section = self._decode(self.stream_id, block)
        short = len(block) * _LARGEST_GROWTH <= self._limit
        if not short:
            self._check_size(section_size(section))
        try:
            if self._begun:
                self._trailers = trailers_of(section)
            else:
                happened.append(self._response(section, short, last))
        except Malformed as fault:
            raise _GivenUp(events.StreamMalformed(self.stream_id, str(fault))) from fault

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise _GivenUp(events.HeadersTooLarge(self.stream_id, size, self._limit))

    def _response(self, section: Fields, short: bool, last: bool) -> events.Event:
        status, fields = response_of(section, short)
        if status < 200:
            if last:
                raise Malformed("the response ended after an interim one")
            self._interim += section_size(section)
            self._check_size(self._interim)
            return events.Informational(self.stream_id, status, fields)
        self._begun = True
        return events.Headers(self.stream_id, status, fields, last)

    def _end(self, happened: list[events.Event]) -> None:
        """The stream is over: see that it was in order, and that the last event says so."""
        if self._held or self._kind is not None:  # RFC 9114 7.1
            raise FrameError("Frame is truncated by the end of the stream")
        if not self._begun:
            reason = "the response ended before its header section"
            raise _GivenUp(events.StreamMalformed(self.stream_id, reason))
        if self._trailers is not None:
            happened.append(events.Trailers(self.stream_id, self._trailers))
        elif not (happened and getattr(happened[-1], "ended", False)):
            happened.append(events.Body(self.stream_id, b"", True))


def _number(chunk: bytes, at: int) -> tuple[int, int]:
    """The variable-length integer there (RFC 9000 16) and where it ends: maybe past the chunk."""
    first = chunk[at]
    if first < 0x40:
        return first, at + 1
    end = at + (1 << (first >> 6))
    return int.from_bytes(chunk[at:end]) & ((1 << (8 * (end - at) - 2)) - 1), end
