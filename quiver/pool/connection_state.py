"""Where a connection is in its life; `connection` says what it does there."""

from __future__ import annotations

import enum
from typing import Final

__all__ = ["DIALS", "ConnectionState"]


class ConnectionState(enum.Enum):
    """They follow each other in this order, and it may end from any."""

    RESOLVING = "resolving"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DRAINING = "draining"


DIALS: Final = (ConnectionState.RESOLVING, ConnectionState.CONNECTING)
"""The states of a connection that is not there yet."""
