"""What the server does wrong at the cost of the whole connection (RFC 9114 8)."""

from __future__ import annotations

from quiver.h3.codes import ErrorCode

__all__ = ["ProtocolError"]


class ProtocolError(Exception):
    """A connection error. Whoever owns the connection closes it with `code` and `reason`."""

    def __init__(self, code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
