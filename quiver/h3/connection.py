"""aioquic's HTTP/3 layer, made strict about memory and lenient about single streams.

aioquic keeps the control and QPACK streams. The frames of requests and responses are ours, since
it tells no stream's fault from the connection's, and since they are read and written once for each
request. What differs:

* A malformed response ends its own stream (RFC 9114 4.1.2), and its later bytes are dropped.
  So does a header section above `max_header_size`, which we advertise, and so do interim ones
  that are more together; one whose frame is longer already is refused by its length, before it
  is held: see `quiver.h3.response`.
* No dynamic QPACK table, so a block never waits for another stream, and a refused one leaves no
  reference behind. With one of 4,096 bytes, 64 KiB of references decode to 256 MiB.
* No server push: MAX_PUSH_ID is never sent (RFC 9114 4.6).
* Content-length is left to those who know the request's method.

Fields are decoded once, and events come out as ours. This file and `session` touch aioquic's
private names; tests/quiver/h3/test_canaries.py names each.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import pylsqpack
from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import (
    ClosedCriticalStream,
    DatagramError,
    FrameType,
    H3Connection,
    IdError,
    ProtocolError,
    QpackDecompressionFailed,
    Setting,
    StreamCreationError,
)
from aioquic.h3.connection import (
    ErrorCode as TheirCode,
)
from aioquic.quic.events import QuicEvent, StreamDataReceived

from quiver.h3 import events
from quiver.h3.codes import ErrorCode
from quiver.h3.headers import Fields
from quiver.h3.quic import Quic
from quiver.h3.response import ResponseReader

__all__ = ["Connection"]

_LARGEST_SETTINGS: Final = 16_384
"""Bytes; SETTINGS are held whole, and real ones have some tens."""

_NO_FIELDS: Final = b"\x00\x00"
"""A header block without fields (RFC 9204 4.5.1): trailers can be that, but ls-qpack refuses it."""

_LARGEST_STREAM: Final = (1 << 62) - 4
"""The last request's id (RFC 9000 2.1)."""

_FAULTS: Final[dict[type, ErrorCode]] = {
    events.StreamMalformed: ErrorCode.H3_MESSAGE_ERROR,
    events.HeadersTooLarge: ErrorCode.H3_EXCESSIVE_LOAD,
}
"""What ends a stream, and with which code."""


class _ExcessiveLoad(ProtocolError):
    error_code = TheirCode.H3_EXCESSIVE_LOAD


class _CriticalStreamStopped(ProtocolError):
    error_code = TheirCode.H3_CLOSED_CRITICAL_STREAM


class Connection(H3Connection):
    """The HTTP/3 layer of one client connection.

    `open` holds the requests whose response has not ended; bytes on other streams are dropped.
    """

    _quic: Quic

    def __init__(self, quic: Quic, *, max_header_size: int) -> None:
        self.open: dict[int, ResponseReader] = {}
        self._max_header_size = max_header_size
        super().__init__(quic)

    def handle_event(self, event: QuicEvent) -> list[Any]:
        """Our events for one of QUIC's. An error of the connection closes it, and yields none."""
        try:
            return super().handle_event(event)
        except RuntimeError:
            # It asked us to stop sending on a stream that HTTP/3 cannot do without, and in the
            # same breath for something that is answered there.
            self._fail(_CriticalStreamStopped("a critical stream was stopped"))
            return []

    # requests -------------------------------------------------------------------------------

    def expect(self, stream_id: int) -> None:
        """A request goes out on this stream: what comes on it is its response."""
        on_content = (
            None if self._quic_logger is None else partial(self._log_content, "frame_parsed")
        )
        self.open[stream_id] = ResponseReader(
            stream_id, self._decode, self._max_header_size, on_content
        )

    def send_request(self, stream_id: int, fields: Fields, body: bytes | None) -> None:
        """Send a request as a whole, and its stream's end."""
        content = b"" if not body else self._content_frame(stream_id, body)
        self._quic.send_request(stream_id, self._section_frame(stream_id, fields) + content)

    def send_section(self, stream_id: int, fields: Fields, ended: bool) -> None:
        """Send a header or trailer section; `ended` with the stream."""
        self._quic.send_stream_data(stream_id, self._section_frame(stream_id, fields), ended)

    def send_content(self, stream_id: int, content: bytes, ended: bool) -> None:
        """Send a piece of content; `ended` with the stream."""
        self._quic.send_stream_data(stream_id, self._content_frame(stream_id, content), ended)

    def _section_frame(self, stream_id: int, fields: Fields) -> bytes:
        update, block = self._encoder.encode(stream_id, fields)
        if update:
            assert self._local_encoder_stream_id is not None
            self._quic.send_stream_data(self._local_encoder_stream_id, update)
        if self._quic_logger is not None:
            self._log_section("frame_created", stream_id, block, fields)
        return b"\x01" + encode_uint_var(len(block)) + block

    def _content_frame(self, stream_id: int, content: bytes) -> bytes:
        if self._quic_logger is not None:
            self._log_content("frame_created", stream_id, len(content))
        return b"\x00" + encode_uint_var(len(content)) + content

    def forget(self, stream_id: int) -> None:
        """Drop what is held of a response, and whatever still comes of it."""
        self.open.pop(stream_id, None)

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

    def receive(self, stream_id: int, chunk: bytes, ended: bool) -> list[events.Event]:
        """Our events for bytes of a request's stream. An error of the connection closes it."""
        reader = self.open.get(stream_id)
        if reader is None or self._is_done:
            return []
        try:
            happened = reader.feed(chunk, ended)
        except ProtocolError as fault:
            self._fail(fault)
            return []
        if happened and type(happened[-1]) in _FAULTS:
            self._give_up(stream_id, happened[-1], ended)
        elif ended:
            del self.open[stream_id]
        return happened

    def _fail(self, fault: ProtocolError) -> None:
        self._is_done = True
        self._quic.close(error_code=fault.error_code, reason_phrase=fault.reason_phrase)

    def _give_up(self, stream_id: int, fault: events.Event, ended: bool) -> None:
        """End both halves of a stream whose response is of no use."""
        code = _FAULTS[type(fault)]
        self._quic.reset_stream(stream_id, code)
        if not ended:
            self._quic.stop_stream(stream_id, code)
        self.forget(stream_id)

    def _decode(self, stream_id: int, block: bytes) -> Fields:
        if block == _NO_FIELDS:
            return []
        try:
            # What the decoder stream would have to be told is empty without a dynamic table.
            _, section = self._decoder.feed_header(stream_id, block)
        except (pylsqpack.DecompressionFailed, pylsqpack.StreamBlocked) as error:
            raise QpackDecompressionFailed("a header block cannot be decoded") from error
        if self._quic_logger is not None:
            self._log_section("frame_parsed", stream_id, block, section)
        return section

    def _receive_stream_data(self, event: StreamDataReceived) -> list[Any]:
        if not event.stream_id & 2:  # RFC 9114 6.1
            raise StreamCreationError("a server cannot open bidirectional streams")
        super()._receive_stream_data(event)  # its events are WebTransport's, which nobody asked for
        if event.end_stream and event.stream_id in (
            self._peer_encoder_stream_id,
            self._peer_decoder_stream_id,
        ):  # RFC 9204 4.2; of the control stream aioquic says so itself
            raise ClosedCriticalStream("a QPACK stream was ended")
        return []

    def _check_control_frame_type(self, frame_type: int) -> None:
        super()._check_control_frame_type(frame_type)
        if frame_type == FrameType.SETTINGS and self._peer_control_stream_id is not None:
            size = self._stream[self._peer_control_stream_id].frame_size
            if size is not None and size > _LARGEST_SETTINGS:
                raise _ExcessiveLoad("SETTINGS are too long")
        if frame_type == FrameType.CANCEL_PUSH:  # RFC 9114 7.2.3
            raise IdError("a push was cancelled, but no push id was offered")

    def _receive_datagram(self, data: bytes) -> list[Any]:
        received: Any = super()._receive_datagram(data)[0]
        if received.stream_id > _LARGEST_STREAM:  # RFC 9297 2.1
            raise DatagramError("a datagram is for a stream that cannot be")
        if received.stream_id not in self.open:  # late, or made up (RFC 9297 2.1)
            return []
        return [events.Datagram(received.stream_id, received.data)]

    def _log_section(self, event: str, stream_id: int, block: bytes, section: Fields) -> None:
        assert self._quic_logger is not None
        frame = self._quic_logger.encode_http3_headers_frame(
            length=len(block), headers=section, stream_id=stream_id
        )
        self._quic_logger.log_event(category="http", event=event, data=frame)

    def _log_content(self, event: str, stream_id: int, size: int) -> None:
        assert self._quic_logger is not None
        frame = self._quic_logger.encode_http3_data_frame(length=size, stream_id=stream_id)
        self._quic_logger.log_event(category="http", event=event, data=frame)
