"""Stateless resets: what a server says to packets of connections it knows nothing of (any more)."""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import Final

from aioquic.quic.connection import QuicConnection

__all__ = ["StatelessResets"]

_TOKEN: Final = 16
_LONGEST: Final = 43  # bytes: looks like a small packet
_SHORTEST: Final = 21


class StatelessResets:
    """Tokens that follow from the server's key alone, so that they outlive it (RFC 9000 10.3.2)."""

    def __init__(self, keyfile: str) -> None:
        self._key = Path(keyfile).read_bytes()

    def token_of(self, connection_id: bytes) -> bytes:
        """The token that goes with a connection id."""
        return hmac.digest(self._key, connection_id, "sha256")[:_TOKEN]

    def mark(self, quic: QuicConnection) -> None:
        """Put our tokens in place of aioquic's random ones, before the client is told them."""
        for issued in quic._host_cids:
            issued.stateless_reset_token = self.token_of(issued.cid)

    def answer(self, datagram: bytes, connection_id: bytes) -> bytes | None:
        """The reset for a packet; always shorter than it, lest two endpoints do so for ever."""
        size = min(len(datagram) - 1, _LONGEST)
        if size < _SHORTEST:
            return None
        noise = bytearray(os.urandom(size - _TOKEN))
        noise[0] = 0x40 | noise[0] & 0x3F
        return bytes(noise) + self.token_of(connection_id)
