"""Retry tokens (RFC 9000 8.1.2): proof that a client receives at the address it sends from.

aioquic has some of its own, whose interface is another one with each of its releases.
"""

from __future__ import annotations

import hmac
import json
import os
from typing import Any, Final

__all__ = ["RetryTokens"]

_LIFETIME: Final = 10.0  # seconds: a client comes back at once
_TAG: Final = 32


class RetryTokens:
    """Tokens of one server: HMAC-SHA-256 + JSON of [address, first id, id of the Retry, time]."""

    def __init__(self) -> None:
        self._key = os.urandom(32)

    def create(self, address: Any, original: bytes, source: bytes, now: float) -> bytes:
        """Make a token for a client at `address`, which is to use the id `source` from now on."""
        content = json.dumps([str(address), original.hex(), source.hex(), now]).encode()
        return self._tag(content) + content

    def original(self, token: bytes, address: Any, destination: bytes, now: float) -> bytes:
        """Return the connection id that the client had chosen at first.

        Raises ValueError: it is no token of ours, another client's, or an old one.
        """
        tag, content = token[:_TAG], token[_TAG:]
        if not hmac.compare_digest(tag, self._tag(content)):
            raise ValueError("it is no token of this server")
        client, original, source, made = json.loads(content)
        if client != str(address) or bytes.fromhex(source) != destination:
            raise ValueError("it is the token of another client")
        if now > made + _LIFETIME:
            raise ValueError("it is too old")
        return bytes.fromhex(original)

    def _tag(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")
