"""What both sides of a connection have agreed on, as telemetry tells it."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from quiver.h3.session import Session
from quiver.models import Handshake

__all__ = ["Agreement"]

_VERSIONS: Final = {0x00000001: "1", 0x6B3343CF: "2"}
_SETTINGS: Final = {
    0x01: "QPACK_MAX_TABLE_CAPACITY",  # RFC 9204 5
    0x06: "MAX_FIELD_SECTION_SIZE",  # RFC 9114 7.2.4.1
    0x07: "QPACK_BLOCKED_STREAMS",
    0x08: "ENABLE_CONNECT_PROTOCOL",  # RFC 9220 5
    0x33: "H3_DATAGRAM",  # RFC 9297 5.1
}


class Agreement:
    """Reads it off a session, when somebody wants to know. Touches aioquic's private names."""

    def __init__(self, session: Session) -> None:
        self._quic = session._quic
        self._h3 = session._h3

    @property
    def handshake(self) -> Handshake:
        """To be asked when the handshake is over."""
        quic, tls = self._quic, self._quic.tls
        suite, certificate, version = tls.key_schedule, tls._peer_certificate, quic._version or 0
        ours, theirs = quic.configuration.idle_timeout, quic._remote_max_idle_timeout
        return Handshake(
            version=_VERSIONS.get(version, f"{version:#010x}"),
            alpn=tls.alpn_negotiated or "",
            cipher=suite.cipher_suite.name if suite is not None else "",
            certificate=None if certificate is None else certificate.public_bytes(Encoding.DER),
            idle_timeout=min(ours, theirs) if theirs else ours,
            max_streams=quic._remote_max_streams_bidi,
            max_datagram_frame_size=quic._remote_max_datagram_frame_size or 0,
        )

    @property
    def settings(self) -> dict[str, int]:
        """The server's SETTINGS by name, empty until they have come. Reserved ones are left out."""
        received = (self._h3 and self._h3.received_settings) or {}
        return {
            _SETTINGS.get(number, f"{number:#x}"): value
            for number, value in sorted(received.items())
            if number % 0x1F != 0x21 % 0x1F  # RFC 9114 7.2.4.1: sent to exercise the rule
        }
