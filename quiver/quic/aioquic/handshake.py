"""What both sides of a connection have agreed on."""

from __future__ import annotations

from typing import Final

from quiver.models import Handshake
from quiver.quic.aioquic.connection import Connection

__all__ = ["handshake_of"]

_VERSIONS: Final = {0x00000001: "1", 0x6B3343CF: "2"}


def handshake_of(connection: Connection) -> Handshake:
    """To be asked when the handshake is over."""
    tls, version = connection.tls, connection._version or 0
    suite, chain = tls.key_schedule, connection.session.chain
    return Handshake(
        version=_VERSIONS.get(version, f"{version:#010x}"),
        alpn=tls.alpn_negotiated or "",
        cipher=suite.cipher_suite.name if suite is not None else "",
        certificate=chain[0] if chain else None,
        idle_timeout=connection.idle_timeout,
        max_streams=connection.peer_parameters.initial_max_streams_bidi,
        max_datagram_frame_size=connection.peer_parameters.max_datagram_frame_size,
        resumed=tls.session_resumed,
        early=bool(connection.early.accepted),
    )
