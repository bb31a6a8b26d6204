"""aioquic's HTTP/3 layer, made strict about memory and lenient about single streams.

What differs from aioquic, which tells no stream's fault from the connection's:

* A malformed response ends its own stream (RFC 9114 4.1.2), and its later bytes are dropped.
  So does a header section above `max_header_size`, which we advertise, and so do interim ones
  that are more together; one whose frame is longer already is refused by its length, before it
  is held.
* No dynamic QPACK table, so a block never waits for another stream, and a refused one leaves no
  reference behind. With one of 4,096 bytes, 64 KiB of references decode to 256 MiB.
* No server push: MAX_PUSH_ID is never sent (RFC 9114 4.6).
* Content-length is left to those who know the request's method.

Fields are decoded once, and events come out as ours. This file and `session` touch aioquic's
private names; tests/quiver/h3/test_canaries.py names each.
"""

from __future__ import annotations

from typing import Any, Final

import pylsqpack
from aioquic.h3.connection import (
    ClosedCriticalStream,
    DatagramError,
    FrameType,
    FrameUnexpected,
    H3Connection,
    H3Stream,
    HeadersState,
    IdError,
    ProtocolError,
    QpackDecompressionFailed,
    Setting,
    StreamCreationError,
)
from aioquic.h3.connection import (
    ErrorCode as TheirCode,
)
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import QuicEvent, StreamDataReceived

from quiver.h3 import events
from quiver.h3.codes import ErrorCode
from quiver.h3.headers import Fields, Malformed, Pairs, response_of, section_size, trailers_of

__all__ = ["Connection"]

_LARGEST_SETTINGS: Final = 16_384
"""Bytes; SETTINGS are held whole, and real ones have some tens."""

_NO_FIELDS: Final = b"\x00\x00"
"""A header block without fields (RFC 9204 4.5.1): trailers can be that, but ls-qpack refuses it."""

_LARGEST_STREAM: Final = (1 << 62) - 4
"""The last request's id (RFC 9000 2.1)."""


class _ExcessiveLoad(ProtocolError):
    error_code = TheirCode.H3_EXCESSIVE_LOAD


class _CriticalStreamStopped(ProtocolError):
    error_code = TheirCode.H3_CLOSED_CRITICAL_STREAM


class _GivenUp(Exception):
    """This stream is of no more use; `event` says why."""

    def __init__(self, event: events.StreamMalformed | events.HeadersTooLarge) -> None:
        super().__init__()
        self.event = event


class Connection(H3Connection):
    """The HTTP/3 layer of one client connection.

    `open` holds the requests whose response has not ended; bytes on other streams are dropped.
    """

    def __init__(self, quic: QuicConnection, *, max_header_size: int) -> None:
        self.open: set[int] = set()
        self._max_header_size = max_header_size
        self._held_trailers: dict[int, Pairs] = {}  # until the end of their stream
        super().__init__(quic)

    def handle_event(self, event: QuicEvent) -> list[Any]:
        """Our events for one of QUIC's. An error of the connection closes it, and yields none."""
        try:
            return super().handle_event(event)
        except RuntimeError:
            # It asked us to stop sending on a stream that HTTP/3 cannot do without, and in the
            # same breath for something that is answered there.
            self._is_done = True
            fault = _CriticalStreamStopped("a critical stream was stopped")
            self._quic.close(error_code=fault.error_code, reason_phrase=fault.reason_phrase)
            return []

    def forget(self, stream_id: int) -> None:
        """Drop what is held of a response, and whatever still comes of it."""
        self.open.discard(stream_id)
        self._held_trailers.pop(stream_id, None)
        self._stream.pop(stream_id, None)

    @property
    def connect_enabled(self) -> bool:
        """The server takes extended CONNECT (RFC 9220 3). False before its SETTINGS came."""
        return bool((self.received_settings or {}).get(Setting.ENABLE_CONNECT_PROTOCOL))

    @property
    def datagrams_agreed(self) -> bool:
        """Both sides do HTTP datagrams (RFC 9297 2.1.1). False before the server's SETTINGS."""
        ours = self._quic.configuration.max_datagram_frame_size is not None
        return ours and bool((self.received_settings or {}).get(Setting.H3_DATAGRAM))

    # what we say of ourselves ---------------------------------------------------------------

    def _init_connection(self) -> None:
        self._max_push_id = None
        self._max_table_capacity = 0
        self._blocked_streams = 0
        self._decoder = pylsqpack.Decoder(0, 0)
        super()._init_connection()

    def _get_local_settings(self) -> dict[int, int]:
        settings = super()._get_local_settings()
        del settings[Setting.ENABLE_CONNECT_PROTOCOL]  # a server's to say (RFC 9220 3)
        settings[Setting.MAX_FIELD_SECTION_SIZE] = self._max_header_size
        if self._quic.configuration.max_datagram_frame_size is not None:
            settings[Setting.H3_DATAGRAM] = 1
        return settings

    # what the server's streams bring --------------------------------------------------------

    def _receive_stream_data(self, event: StreamDataReceived) -> list[Any]:
        kind = event.stream_id & 3
        if kind == 0 and event.stream_id not in self.open:
            return []
        if kind == 1:  # RFC 9114 6.1
            raise StreamCreationError("a server cannot open bidirectional streams")
        happened = super()._receive_stream_data(event)
        if kind == 0:
            return happened
        if event.end_stream and event.stream_id in (
            self._peer_encoder_stream_id,
            self._peer_decoder_stream_id,
        ):  # RFC 9204 4.2; of the control stream aioquic says so itself
            raise ClosedCriticalStream("a QPACK stream was ended")
        return []  # nothing but WebTransport's, which nobody asked for

    def _receive_request_or_push_data(
        self, stream: H3Stream, data: bytes, stream_ended: bool
    ) -> list[Any]:
        if not data and not stream_ended:
            return []
        size = stream.frame_size
        if (
            stream.frame_type == FrameType.DATA
            and size is not None
            and len(data) < size
            and not stream_ended
        ):  # amid a long DATA frame: pass the chunk on as it is
            stream.frame_size = size - len(data)
            return [events.Body(stream.stream_id, data, False)]
        try:
            return super()._receive_request_or_push_data(stream, data, stream_ended)
        except _GivenUp as given_up:
            return [self._give_up(stream, given_up.event)]

    def _give_up(
        self, stream: H3Stream, event: events.StreamMalformed | events.HeadersTooLarge
    ) -> events.StreamMalformed | events.HeadersTooLarge:
        """End both halves of a stream whose response is of no use."""
        malformed = isinstance(event, events.StreamMalformed)
        code = ErrorCode.H3_MESSAGE_ERROR if malformed else ErrorCode.H3_EXCESSIVE_LOAD
        self._quic.reset_stream(stream.stream_id, code)
        if not stream.receiving_ended:
            self._quic.stop_stream(stream.stream_id, code)
        self.open.discard(stream.stream_id)
        self._held_trailers.pop(stream.stream_id, None)
        stream.buffer = b""
        stream.receiving_ended = stream.sending_ended = True  # then aioquic takes it off its list
        return event

    def _check_request_or_push_frame_type(self, frame_type: int, stream: H3Stream) -> None:
        super()._check_request_or_push_frame_type(frame_type, stream)
        if frame_type == FrameType.PUSH_PROMISE:
            raise IdError("a push was promised, but no push id was offered")
        if frame_type == FrameType.WEBTRANSPORT_STREAM:
            raise FrameUnexpected("WebTransport was not agreed on")
        size, limit = stream.frame_size, self._max_header_size
        if frame_type == FrameType.HEADERS and size is not None and size > limit:
            raise _GivenUp(events.HeadersTooLarge(stream.stream_id, size, limit))

    def _check_control_frame_type(self, frame_type: int) -> None:
        super()._check_control_frame_type(frame_type)
        if frame_type == FrameType.SETTINGS and self._peer_control_stream_id is not None:
            size = self._stream[self._peer_control_stream_id].frame_size
            if size is not None and size > _LARGEST_SETTINGS:
                raise _ExcessiveLoad("SETTINGS are too long")
        if frame_type == FrameType.CANCEL_PUSH:  # RFC 9114 7.2.3
            raise IdError("a push was cancelled, but no push id was offered")

    def _handle_request_or_push_frame(
        self, frame_type: int, frame_data: bytes | None, stream: H3Stream, stream_ended: bool
    ) -> list[Any]:
        if frame_data is None:  # for a block that was blocked, and none can be
            raise QpackDecompressionFailed("a header block refers to a table that is not there")
        if frame_type == FrameType.DATA:
            return self._content(stream, frame_data, stream_ended)
        section = self._section(stream, frame_data)
        try:
            if stream.headers_recv_state is HeadersState.INITIAL:
                return [self._response(stream, section, stream_ended)]
            stream.headers_recv_state = HeadersState.AFTER_TRAILERS
            self._held_trailers[stream.stream_id] = trailers_of(section)
        except Malformed as fault:
            raise _GivenUp(events.StreamMalformed(stream.stream_id, str(fault))) from fault
        return self._handle_request_or_push_end(stream) if stream_ended else []

    def _content(self, stream: H3Stream, content: bytes, ended: bool) -> list[Any]:
        if stream.headers_recv_state is not HeadersState.AFTER_HEADERS:  # RFC 9114 4.1
            raise FrameUnexpected("DATA frame is not allowed in this state")
        if ended:
            self.open.discard(stream.stream_id)
        elif not content:
            return []
        return [events.Body(stream.stream_id, content, ended)]

    def _section(self, stream: H3Stream, block: bytes) -> Fields:
        if stream.headers_recv_state is HeadersState.AFTER_TRAILERS:  # RFC 9114 4.1
            raise FrameUnexpected("HEADERS frame is not allowed in this state")
        if block == _NO_FIELDS:
            return []
        try:
            # What the decoder stream would have to be told is empty without a dynamic table.
            _, section = self._decoder.feed_header(stream.stream_id, block)
        except (pylsqpack.DecompressionFailed, pylsqpack.StreamBlocked) as error:
            raise QpackDecompressionFailed("a header block cannot be decoded") from error
        size = section_size(section)
        if size > self._max_header_size:
            limit = self._max_header_size
            raise _GivenUp(events.HeadersTooLarge(stream.stream_id, size, limit))
        if self._quic_logger is not None:
            self._log_section(stream, block, section)
        return section

    def _response(self, stream: H3Stream, section: Fields, ended: bool) -> events.Event:
        status, fields = response_of(section)
        if status < 200:
            if ended:
                raise Malformed("the response ended after an interim one")
            self._count_interim(stream, section_size(section))
            return events.Informational(stream.stream_id, status, fields)
        stream.headers_recv_state = HeadersState.AFTER_HEADERS
        if ended:
            self.open.discard(stream.stream_id)
        return events.Headers(stream.stream_id, status, fields, ended)

    def _count_interim(self, stream: H3Stream, size: int) -> None:
        """All interim sections together may be as large as one, or they could go on for ever."""
        stream.content_length += size  # aioquic's count of content, which we leave to others
        if stream.content_length > self._max_header_size:
            limit = self._max_header_size
            raise _GivenUp(events.HeadersTooLarge(stream.stream_id, stream.content_length, limit))

    def _handle_request_or_push_end(self, stream: H3Stream) -> list[Any]:
        if stream.headers_recv_state is HeadersState.INITIAL:
            reason = "the response ended before its header section"
            raise _GivenUp(events.StreamMalformed(stream.stream_id, reason))
        self.open.discard(stream.stream_id)
        trailers = self._held_trailers.pop(stream.stream_id, None)
        if trailers is not None:
            return [events.Trailers(stream.stream_id, trailers)]
        return [events.Body(stream.stream_id, b"", True)]

    def _receive_datagram(self, data: bytes) -> list[Any]:
        received: Any = super()._receive_datagram(data)[0]
        if received.stream_id > _LARGEST_STREAM:  # RFC 9297 2.1
            raise DatagramError("a datagram is for a stream that cannot be")
        if received.stream_id not in self.open:  # late, or made up (RFC 9297 2.1)
            return []
        return [events.Datagram(received.stream_id, received.data)]

    def _log_section(self, stream: H3Stream, block: bytes, section: Fields) -> None:
        assert self._quic_logger is not None
        frame = self._quic_logger.encode_http3_headers_frame(
            length=len(block), headers=section, stream_id=stream.stream_id
        )
        self._quic_logger.log_event(category="http", event="frame_parsed", data=frame)
