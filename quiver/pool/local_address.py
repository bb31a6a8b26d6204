"""From which address the kernel would reach a server now, by a socket that is thrown away.

To connect a UDP socket sends nothing: the kernel looks the route up, and picks an address.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from gevent.monkey import get_original

from quiver.errors import EXHAUSTED
from quiver.pool.udp import Address

__all__ = ["host_of", "is_ours", "local_host_to"]

_Socket: Callable[..., socket.socket] = get_original("socket", "socket")


def host_of(name: tuple[Any, ...]) -> str:
    """The host of a socket's name, with the scope that a link-local one has (RFC 4007 11)."""
    scope = name[3] if len(name) > 3 else 0
    return f"{name[0]}%{scope}" if scope else str(name[0])


def local_host_to(address: Address) -> str | None:
    """The host from which `address` is reached now. None: that cannot be told, for want of a
    descriptor, say.

    Raises:
        OSError: it cannot be reached at all.
    """
    family, destination = address
    try:
        with _Socket(family, socket.SOCK_DGRAM) as thrown_away:
            thrown_away.connect(destination)
            return host_of(thrown_away.getsockname())
    except OSError as error:
        if error.errno in EXHAUSTED:
            return None
        raise


def is_ours(family: int, name: tuple[Any, ...]) -> bool:
    """Whether the host of a socket's name still is an address of this machine."""
    try:
        with _Socket(family, socket.SOCK_DGRAM) as thrown_away:
            thrown_away.bind((name[0], 0, *name[2:]))
    except OSError as error:
        return error.errno in EXHAUSTED
    return True
