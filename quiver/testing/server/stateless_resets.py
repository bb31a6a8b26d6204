"""Stateless resets (RFC 9000 10.3): answers to packets of connections that are forgotten."""

from __future__ import annotations

import hmac
import os
from pathlib import Path
from typing import Final

__all__ = ["StatelessResets"]

_TOKEN: Final = 16
_LONGEST: Final = 43  # bytes: looks like a small packet
_SHORTEST: Final = 21


class StatelessResets:
    """Tokens that follow from the server's key alone, so that they outlive it (RFC 9000 10.3.2)."""

    def __init__(self, keyfile: str) -> None:
        self._key = Path(keyfile).read_bytes()

    def token_of(self, connection_id: bytes) -> bytes:
        """Return the token that goes with a connection id."""
        return hmac.digest(self._key, connection_id, "sha256")[:_TOKEN]

    def answer(self, datagram: bytes, connection_id: bytes) -> bytes | None:
        """Make the reset for a packet, shorter than it: else two endpoints might loop (10.3.3)."""
        size = min(len(datagram) - 1, _LONGEST)
        if size < _SHORTEST:
            return None
        noise = bytearray(os.urandom(size - _TOKEN))
        noise[0] = 0x40 | noise[0] & 0x3F
        return bytes(noise) + self.token_of(connection_id)
