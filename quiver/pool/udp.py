"""The connected UDP socket under one connection, and the names it connects to.

Connected, so that the kernel drops what others send, and reports a refused port (ICMP) as
ConnectionRefusedError. Never blocking: what the kernel cannot take now is lost, and QUIC's loss
recovery sends it again.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
import gevent.socket
from gevent.monkey import get_original

from quiver.actors.doorbell import get_ident
from quiver.errors import NameResolutionFailed

Address = tuple[int, tuple[Any, ...]]  # family, and what connect() takes

MAX_DATAGRAM = 4096  # bytes; a path MTU beyond this is not offered by anybody
MAX_BATCH = 256  # datagrams taken from the socket in one go
BUFFER = 4 * 1024 * 1024  # bytes asked of the kernel, which may give less
READ = 1  # libev's event mask

# gevent's own socket class would switch greenlets inside recv and send.
_Socket: Callable[..., socket.socket] = get_original("socket", "socket")


def resolve(host: str, port: int) -> list[Address]:
    """All addresses of `host`, in the system's order of preference. Blocks the greenlet only.

    Raises:
        NameResolutionFailed: there are none.
    """
    try:
        found = gevent.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise NameResolutionFailed(f"host {host!r} cannot be resolved: {error}") from error
    return [(family, address) for family, _, _, _, address in found]


class UdpSocket:
    """Datagrams to and from one address.

    Attributes:
        address, local: its two ends, host and port each.

    Args:
        address: family and socket address, as `resolve` gives them.
        on_readable: called in the loop when there is something to receive.

    Raises:
        OSError: the address cannot be reached from here.
    """

    def __init__(self, address: Address, on_readable: Callable[[], object]) -> None:
        family, destination = address
        self._socket = _Socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                self._socket.setsockopt(socket.SOL_SOCKET, option, BUFFER)
            self._socket.connect(destination)
        except BaseException:
            self._socket.close()
            raise
        self.address, self.local = destination[:2], self._socket.getsockname()[:2]
        self._thread = get_ident()
        self._watcher = gevent.get_hub().loop.io(self._socket.fileno(), READ)
        self._watcher.start(on_readable)

    def receive(self) -> Iterator[bytes]:
        """The datagrams that are there now, at most MAX_BATCH.

        Raises:
            ConnectionRefusedError: nobody listens on the port.
        """
        receive = self._socket.recv
        try:
            for _ in range(MAX_BATCH):
                yield receive(MAX_DATAGRAM)
        except (BlockingIOError, InterruptedError):
            return

    def send(self, datagrams: Iterable[bytes]) -> None:
        """Send each datagram.

        Raises:
            ConnectionRefusedError: nobody listens on the port.
        """
        send = self._socket.send
        for datagram in datagrams:
            try:
                send(datagram)
            except ConnectionRefusedError:
                raise
            except OSError:
                pass  # no buffer, or no route just now: lost like any other packet

    def close(self) -> None:
        """Free socket and watcher; in a forked child, the descriptor only."""
        if get_ident() == self._thread and self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
        self._socket.close()
