"""The HTTP/3 layer of the test server, whose SETTINGS the options choose."""

from __future__ import annotations

from aioquic.h3.connection import (
    FrameType,
    H3Connection,
    Setting,
    StreamType,
    encode_frame,
    encode_settings,
)
from aioquic.quic.connection import QuicConnection

from quiver.testing.options import OriginOptions

__all__ = ["OriginH3"]


class OriginH3(H3Connection):
    """aioquic's connection; with `settings_delay` it says nothing until `announce()`."""

    def __init__(self, quic: QuicConnection, options: OriginOptions) -> None:
        self._options = options
        self._announced = not options.settings_delay
        super().__init__(quic)

    def announce(self) -> None:
        """Send SETTINGS (RFC 9114 7.2.4), unless they have been sent."""
        if self._announced:
            return
        self._announced = True
        self._sent_settings = self._get_local_settings()
        frame = encode_frame(FrameType.SETTINGS, encode_settings(self._sent_settings))
        assert self._local_control_stream_id is not None
        self._quic.send_stream_data(self._local_control_stream_id, frame)

    def _get_local_settings(self) -> dict[int, int]:
        settings = super()._get_local_settings()
        if not self._options.connect_protocol:
            del settings[Setting.ENABLE_CONNECT_PROTOCOL]
        if self._options.datagrams and self._options.datagram_setting:
            settings[Setting.H3_DATAGRAM] = 1
        return settings

    def _init_connection(self) -> None:
        if self._announced:
            super()._init_connection()
            return
        self._local_control_stream_id = self._create_uni_stream(StreamType.CONTROL)
        self._local_encoder_stream_id = self._create_uni_stream(StreamType.QPACK_ENCODER)
        self._local_decoder_stream_id = self._create_uni_stream(StreamType.QPACK_DECODER)
