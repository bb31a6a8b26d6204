"""Errors of a UDP socket, and the meaning of each errno, as a table. Pure.

The kernel reports two kinds of errors alike. Some are its own word on one datagram: no route, no
buffer, too long for the link. Others are ICMP messages about datagrams that have left: it tells
them once, at the next call, in place of what that was to do. Anybody can forge those.

While a connection is dialled, `REFUSED` and `UNREACHABLE` end the attempt: the next address is
tried. Once it has shaken hands they are a hint at most, which a PING answers (RFC 9000 14.2.1,
21.1). Everything else is one lost datagram, and QUIC sends what was in it again.
"""

from __future__ import annotations

import enum
import errno
import os
from typing import Final, NamedTuple

__all__ = ["Meaning", "SocketError"]


class Meaning(enum.Enum):
    """The meaning of an error."""

    REFUSED = "nobody listens on the port"
    UNREACHABLE = "there is no way to the host just now"
    TOO_LONG = "the link takes no datagram of that size"
    LOST = "a datagram is lost"


_UNREACHABLE: Final = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES",  # a route that prohibits; by ICMPv6 too
        "EPERM",  # a firewall here
        "EADDRNOTAVAIL",
        "EHOSTDOWN",
        "EHOSTUNREACH",
        "EINVAL",  # a route into nowhere (blackhole)
        "ENETDOWN",
        "ENETUNREACH",
        "ENODEV",
        "ENONET",
        "ENOPROTOOPT",  # ICMP: there is no UDP
        "ENOTCONN",
        "ENXIO",
    )
    if hasattr(errno, name)  # each system has its own
)


class SocketError(NamedTuple):
    """An error of the socket.

    `local`: the kernel says it itself, and again when asked again; else it may be of an ICMP
    message.
    """

    errno: int
    local: bool

    @property
    def meaning(self) -> Meaning:
        """What the error means. One that nobody has thought of is a lost datagram."""
        if self.errno == errno.ECONNREFUSED:
            return Meaning.REFUSED
        if self.errno in _UNREACHABLE:
            return Meaning.UNREACHABLE
        # By ICMP it is a stranger's word on the path, which probes of its size find out anyway.
        if self.errno == errno.EMSGSIZE and self.local:
            return Meaning.TOO_LONG
        return Meaning.LOST

    def __str__(self) -> str:
        said = f"{os.strerror(self.errno)} ({errno.errorcode.get(self.errno, self.errno)})"
        if self.local and self.errno in (errno.EPERM, errno.EACCES):
            return f"{said}: a firewall or a route of this machine prohibits it"
        if self.local and self.errno == errno.EMSGSIZE:
            return f"{said}: a link of this machine takes no datagram of that size"
        return said
