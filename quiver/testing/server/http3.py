"""The HTTP/3 layer of the test server, whose SETTINGS the options choose."""

from __future__ import annotations

from aioquic.buffer import encode_uint_var
from aioquic.h3.connection import (
    FrameType,
    H3Connection,
    Setting,
    StreamType,
    encode_frame,
    encode_settings,
)
from aioquic.h3.events import H3Event
from aioquic.quic.events import StopSendingReceived

from quiver.testing.options import OriginOptions
from quiver.testing.server.aioquic_internals import ServerQuic

__all__ = ["ServerHTTP3"]


class ServerHTTP3(H3Connection):
    """aioquic's connection with a control stream of our own, on which it says nothing itself.

    With `settings_delay` there are no SETTINGS until `announce()`.

    Attributes:
        control_stream_id: of the stream for SETTINGS and GOAWAY.
    """

    def __init__(self, quic: ServerQuic, options: OriginOptions) -> None:
        self.control_stream_id = quic.get_next_available_stream_id(is_unidirectional=True)
        with quic.saying_instead(self.control_stream_id, encode_uint_var(StreamType.CONTROL)):
            super().__init__(quic)
        self._server_quic = quic
        settings = _chosen(self.sent_settings or {}, options)
        self._unsaid = encode_frame(FrameType.SETTINGS, encode_settings(settings))
        if not options.settings_delay:
            self.announce()

    def announce(self) -> None:
        """Send SETTINGS (RFC 9114 7.2.4), unless they have been sent."""
        said, self._unsaid = self._unsaid, b""
        if said:
            self._server_quic.send_stream_data(self.control_stream_id, said)

    def abandon(self, stream_id: int, code: int) -> list[H3Event]:
        """Forget a stream that we have reset, as if the client had asked for it.

        aioquic is not told of resets of ours, and would keep the stream for ever.
        """
        return self.handle_event(StopSendingReceived(error_code=code, stream_id=stream_id))


def _chosen(theirs: dict[int, int], options: OriginOptions) -> dict[int, int]:
    """aioquic's SETTINGS, which say what its QPACK can do, with what the options say."""
    settings = dict(theirs)
    if not options.connect_protocol:
        settings.pop(Setting.ENABLE_CONNECT_PROTOCOL, None)
    if options.datagrams and options.datagram_setting:
        settings[Setting.H3_DATAGRAM] = 1
    if options.max_field_section_size is not None:
        settings[Setting.MAX_FIELD_SECTION_SIZE] = options.max_field_section_size
    return settings
