"""From which address the kernel would reach a server now, by a socket that is thrown away.

To connect a UDP socket sends nothing: the kernel looks the route up, and picks an address.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Callable
from typing import Any

from gevent.monkey import get_original

from quiver.errors import EXHAUSTED
from quiver.pool.udp import Address

__all__ = ["host_of", "is_of_link_alone", "is_ours", "local_host_to"]

_Socket: Callable[..., socket.socket] = get_original("socket", "socket")


def host_of(name: tuple[Any, ...]) -> str:
    """The host of a socket's name, with the scope that a link-local one has (RFC 4007 11)."""
    scope = name[3] if len(name) > 3 else 0
    return f"{name[0]}%{scope}" if scope else str(name[0])


def local_host_to(address: Address, here: str | None = None) -> str | None:
    """The host from which `address` is reached now. None: that cannot be told, for want of a
    descriptor, say.

    Args:
        here: the host from which it is spoken to. Where that is no link-local one, one that is, is
            no way: the kernel names it while an interface has no other yet, or no more, and no
            router takes on what comes from there (RFC 4291 2.5.6).

    Raises:
        OSError: it cannot be reached at all.
    """
    family, destination = address
    try:
        with _Socket(family, socket.SOCK_DGRAM) as thrown_away:
            thrown_away.connect(destination)
            found = host_of(thrown_away.getsockname())
    except OSError as error:
        if error.errno in EXHAUSTED:
            return None
        raise
    if here is not None and is_of_link_alone(found) and not is_of_link_alone(here):
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
    return found


def is_of_link_alone(host: str) -> bool:
    """Whether a host is a link-local one of IPv6."""
    return ":" in host and ipaddress.ip_address(host).is_link_local


def is_ours(family: int, name: tuple[Any, ...]) -> bool:
    """Whether the host of a socket's name still is an address of this machine."""
    try:
        with _Socket(family, socket.SOCK_DGRAM) as thrown_away:
            thrown_away.bind((name[0], 0, *name[2:]))
    except OSError as error:
        return error.errno in EXHAUSTED
    return True
