"""What goes on the streams of requests, both ways, as frames (RFC 9114 4.1, 7).

    FrameWriter       values in, bytes out: of all requests of one connection
    ResponseReader    bytes in, events out: of one response

A response that is malformed, or whose header section is too large, costs its own stream: an event
says so, the last one. What else breaks HTTP/3 costs the connection: a ProtocolError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from quiver.errors import InvalidRequest
from quiver.fields import Pairs
from quiver.h3 import events
from quiver.h3.codes import ErrorCode
from quiver.h3.frames import HTTP2_FRAME_TYPES, FrameType
from quiver.h3.headers import Fields, Malformed, Qpack, response_of, section_size, trailers_of
from quiver.h3.protocol_error import ProtocolError
from quiver.h3.settings import ServerSettings
from quiver.quic.engine import Engine
from quiver.quic.varint import encode_varint, read_varint

__all__ = ["FrameWriter", "ResponseReader"]

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
        *HTTP2_FRAME_TYPES,
    }
)


_LONGEST_CAPACITY: Final = 16
"""Bytes of the instruction that sets a table's capacity (RFC 9204 4.3.1), and some to spare."""


class FrameWriter:
    """Writes the frames of one connection's requests; tells the QPACK encoder stream as it goes.

    Args:
        origin: named in errors.
    """

    def __init__(self, engine: Engine, qpack: Qpack, origin: str) -> None:
        self._engine = engine
        self._trace = engine.trace
        self._qpack = qpack
        self._origin = origin
        self._encoder_stream = -1
        self._untold = b""  # instructions that the engine has not taken yet
        self._limit: int | None = None  # bytes of a section that the server takes
        self._capacity = 0  # bytes of QPACK's table
        self._credit = 0  # bytes that the encoder stream may carry at once, as last asked

    def begin(self, encoder_stream: int, limit: int | None = None) -> None:
        """Our QPACK encoder stream is open, and the server takes sections of `limit` bytes."""
        self._encoder_stream, self._limit = encoder_stream, limit

    def heed(self, settings: ServerSettings) -> None:
        """From now on use the table that the server offers, and keep to its limit.

        A server that lets us tell it nothing on the encoder stream gets no table: a section that
        refers to it would wait for ever, and its request with it (RFC 9204 2.1.3).

        Raises ProtocolError when it has stopped our encoder stream.
        """
        self._limit = settings.max_field_section_size
        self._credit = self._engine.send_credit(self._encoder_stream)
        if self._credit < _LONGEST_CAPACITY:
            return
        self._capacity = settings.table_capacity
        instructions = self._qpack.apply(settings)
        if instructions:
            try:
                self._engine.send_stream(self._encoder_stream, instructions, False)
            except RuntimeError as error:
                code, reason = ErrorCode.H3_CLOSED_CRITICAL_STREAM, "our QPACK stream was stopped"
                raise ProtocolError(code, reason) from error

    def section(self, stream_id: int, fields: Fields) -> bytes:
        """A HEADERS frame.

        Raises:
            InvalidRequest: the server takes no section that large.
            ValueError: a field is too long for the encoder.
            Exception: what the engine raised. The next section is none the worse for it.
        """
        if self._limit is not None:
            self.check_section(fields)
        if self._credit < self._capacity and not self._may_refer_to_table(fields):
            instructions, block = self._qpack.encode_alone(stream_id, fields)
        else:
            instructions, block = self._qpack.encode(stream_id, fields)
        if instructions or self._untold:
            # Kept where this raises: the encoder counts on them from now on, and what it writes
            # for others would wait for them at the server.
            self._untold += instructions
            self._engine.send_stream(self._encoder_stream, self._untold, False)
            self._untold = b""
            self._credit = 0  # to be asked anew
        if self._trace is not None:
            self._trace.headers("frame_created", stream_id, len(block), fields)
        if len(block) < 0x40:  # as mostly
            return b"\x01%c%b" % (len(block), block)
        return b"\x01" + encode_varint(len(block)) + block

    def _may_refer_to_table(self, fields: Fields) -> bool:
        """Whether all that the encoder stream may have to be told of these can go out at once."""
        self._credit = self._engine.send_credit(self._encoder_stream)
        return self._credit >= min(section_size(fields), self._capacity)

    def content(self, stream_id: int, content: bytes) -> bytes:
        """A DATA frame."""
        return self._content_begun(stream_id, len(content)) + content

    def send_content(self, stream_id: int, content: bytes | memoryview, ended: bool) -> None:
        """Send a DATA frame, with the content as it is. Raises as `Engine.send_stream` does."""
        begun = self._content_begun(stream_id, len(content))
        self._engine.send_stream(stream_id, begun, ended and not content)
        if content:
            self._engine.send_stream(stream_id, content, ended)

    def _content_begun(self, stream_id: int, size: int) -> bytes:
        """What is before the content in a DATA frame."""
        if self._trace is not None:
            self._trace.content("frame_created", stream_id, size)
        return b"\x00" + encode_varint(size)

    def check_section(self, fields: Fields) -> None:
        """Refuse what exceeds the server's limit, as far as it is known (RFC 9114 4.2.2).

        Raises InvalidRequest.
        """
        if self._limit is None:
            return
        size = section_size(fields)
        if size > self._limit:
            raise InvalidRequest(
                f"headers or trailers: {len(fields)} fields have {size} bytes, each counted with "
                f"32 more; the server's limit is {self._limit} (SETTINGS_MAX_FIELD_SECTION_SIZE)",
                origin=self._origin,
            )


class _GivenUp(Exception):
    """This response is of no more use; `event` says why, `code` why to the server."""

    def __init__(self, code: ErrorCode, event: events.Event) -> None:
        super().__init__()
        self.code, self.event = code, event


class ResponseReader:
    """Reads the response on one stream.

    Args:
        stream_id: names it in events.
        decode: makes fields of a header block; raises a ProtocolError.
        limit: bytes of a header section, encoded and as RFC 9114 4.2.2 counts; of interim ones
            all together, or they could go on for ever.
        passed_on: told of the bytes of content that an event holds, unless it is the last.
        on_content: told the length of each DATA frame, for a log.

    Attributes:
        fault: the code to end the stream with, once that was said to be of no more use.
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
        "_passed_on",
        "_trailers",
        "fault",
        "stream_id",
    )

    def __init__(
        self,
        stream_id: int,
        decode: Callable[[int, bytes], Fields],
        limit: int,
        passed_on: Callable[[int, int], None],
        on_content: Callable[[int, int], None] | None = None,
    ) -> None:
        self.stream_id = stream_id
        self._decode = decode
        self._limit = limit
        self._passed_on = passed_on
        self._on_content = on_content
        self._held = b""  # of a header section, which is read whole, or of a frame's first bytes
        self._kind: int | None = None  # of another frame, some of which was read
        self._left = 0  # bytes of it that have not been read
        self._interim = 0  # bytes of interim sections
        self._begun = False  # the final header section has come
        self._trailers: Pairs | None = None
        self.fault: ErrorCode | None = None

    def feed(self, chunk: bytes, ended: bool) -> list[events.Event]:
        """What these bytes say; `ended` with the last. Raises a ProtocolError."""
        happened: list[events.Event] = []
        try:
            self._read(chunk, ended, happened)
            if ended and not (happened and getattr(happened[-1], "ended", False)):
                self._end(happened)
        except _GivenUp as given_up:
            happened.append(given_up.event)
            self.fault = given_up.code
        return happened

    def _read(self, chunk: bytes, ended: bool, happened: list[events.Event]) -> None:
        if self._held:
            chunk, self._held = self._held + chunk, b""
        at, end = 0, len(chunk)
        kind, stop = self._kind, self._left
        while at < end:
            begun = at
            if kind is None:
                kind, at = chunk[at], at + 1
                if kind >= 0x40:  # hardly ever
                    kind, at = read_varint(chunk, begun)
                size, at = read_varint(chunk, at)
                if at > end:
                    self._held = chunk[begun:]
                    return
                stop = at + size
                if self._on_content is not None and kind == _DATA:
                    self._on_content(self.stream_id, size)
            if kind == _DATA:
                self._take_content(chunk[at:stop], ended and stop == end, happened)
            elif kind == _HEADERS:
                if stop - at > self._limit:
                    raise self._too_large(stop - at)
                if stop > end:
                    self._held = chunk[begun:]
                    return
                self._take_section(chunk[at:stop], ended and stop == end, happened)
            else:
                self._check_kind(kind)
            if stop > end:
                self._kind, self._left = kind, stop - end
                return
            self._kind = kind = None
            at = stop

    def _check_kind(self, kind: int) -> None:
        if kind == FrameType.PUSH_PROMISE:
            reason = "a push was promised, but no push id was offered"
            raise ProtocolError(ErrorCode.H3_ID_ERROR, reason)
        if kind in _FORBIDDEN:
            raise _unexpected(f"a frame of type 0x{kind:x} on a request's stream")

    def _take_content(self, content: bytes, last: bool, happened: list[events.Event]) -> None:
        if not self._begun or self._trailers is not None:  # RFC 9114 4.1
            raise _unexpected("DATA frame is not allowed in this state")
        if not last:
            if content:
                self._passed_on(self.stream_id, len(content))
                happened.append(events.Body(self.stream_id, content, False))
        elif happened and type(head := happened[-1]) is events.Headers:  # as mostly: all at once
            head.content, head.ended = content, True
        else:
            happened.append(events.Body(self.stream_id, content, True))

    def _take_section(self, block: bytes, last: bool, happened: list[events.Event]) -> None:
        if self._trailers is not None:  # RFC 9114 4.1
            raise _unexpected("HEADERS frame is not allowed in this state")
        section = self._decode(self.stream_id, block)
        short = len(block) * _LARGEST_GROWTH <= self._limit
        if not short:
            self._check_size(section_size(section))
        try:
            if self._begun:
                self._trailers = trailers_of(section)
                return
            status, fields = response_of(section, short)
            if status < 200:
                self._check_interim(section, last)
                happened.append(events.Informational(self.stream_id, status, fields))
            else:
                self._begun = True
                happened.append(events.Headers(self.stream_id, status, fields, last))
        except Malformed as fault:
            raise self._malformed(str(fault)) from fault

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise self._too_large(size)

    def _too_large(self, size: int) -> _GivenUp:
        event = events.HeadersTooLarge(self.stream_id, size, self._limit)
        return _GivenUp(ErrorCode.H3_EXCESSIVE_LOAD, event)

    def _malformed(self, reason: str) -> _GivenUp:
        event = events.StreamMalformed(self.stream_id, reason)
        return _GivenUp(ErrorCode.H3_MESSAGE_ERROR, event)

    def _check_interim(self, section: Fields, last: bool) -> None:
        if last:
            raise Malformed("the response ended after an interim one")
        self._interim += section_size(section)
        self._check_size(self._interim)

    def _end(self, happened: list[events.Event]) -> None:
        """The stream is over, which no event has said: see that it was in order, and say so."""
        if self._held or self._kind is not None:  # RFC 9114 7.1
            reason = "Frame is truncated by the end of the stream"
            raise ProtocolError(ErrorCode.H3_FRAME_ERROR, reason)
        if not self._begun:
            raise self._malformed("the response ended before its header section")
        if self._trailers is not None:
            happened.append(events.TrailersReceived(self.stream_id, self._trailers))
        else:
            happened.append(events.Body(self.stream_id, b"", True))


def _unexpected(reason: str) -> ProtocolError:
    return ProtocolError(ErrorCode.H3_FRAME_UNEXPECTED, reason)
