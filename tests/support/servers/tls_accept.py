"""The server's side of TLS on an accepted socket."""

from __future__ import annotations

import socket
import ssl

__all__ = ["secured"]


def secured(context: ssl.SSLContext, accepted: socket.socket) -> ssl.SSLSocket:
    """Shake hands. Raises OSError; `accepted` is closed then.

    Of one that was reset before, `wrap_socket` would leave a socket open that nobody can close.
    """
    try:
        accepted.getpeername()
        return context.wrap_socket(accepted, server_side=True)
    except OSError:
        accepted.close()
        raise
