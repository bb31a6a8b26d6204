"""The connected UDP socket under one connection, and the names it connects to.

Connected, so that the kernel drops what others send, and reports a refused port (ICMP) as
ConnectionRefusedError. Never blocking: what the kernel cannot take now is lost, and QUIC's loss
recovery sends it again.

Datagrams of one size go to the kernel in one call where it can cut them apart again (Linux's
generic segmentation offload, UDP_SEGMENT), which is cheaper than one call for each by half or more.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import gevent
import gevent.resolver.thread  # else the first request would import these two, and what they need
import gevent.socket
import gevent.threadpool
from gevent.monkey import get_original

from quiver.actors.doorbell import get_ident
from quiver.errors import NameResolutionFailed

Address = tuple[int, tuple[Any, ...]]  # family, and what connect() takes

MAX_DATAGRAM = 4096  # bytes; a path MTU beyond this is not offered by anybody
FIRST_BATCH, MAX_BATCH = 32, 256  # datagrams taken from the socket in one go
BUFFER = 4 * 1024 * 1024  # bytes asked of the kernel, which may give less
READ = 1  # libev's event mask

_SOL_UDP: Final = 17  # linux/udp.h
_UDP_SEGMENT: Final = 103
_MOST_SEGMENTS: Final = 64  # datagrams that a kernel cuts out of one call
_MOST_BYTES: Final = 65_000  # of one call: they make one IP packet until they are cut
_MTU_DISCOVER: Final = {  # linux/in.h and in6.h
    socket.AF_INET: (socket.IPPROTO_IP, 10),
    socket.AF_INET6: (socket.IPPROTO_IPV6, 23),
}
_PROBE: Final = 3  # never in fragments, whatever the kernel takes for the path's MTU
_UNABLE: Final = (errno.EIO, errno.EINVAL, errno.EOPNOTSUPP)  # a network card that cannot, say

# gevent's own socket class would switch greenlets inside recv and send.
_Socket: Callable[..., socket.socket] = get_original("socket", "socket")


def resolve(host: str, port: int) -> list[Address]:
    """All addresses of `host`, in the system's order of preference. Blocks the greenlet only.

    Raises:
        NameResolutionFailed: there are none.
    """
    if literal := _spelled_out(host, port):
        return literal
    try:
        found = gevent.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise NameResolutionFailed(f"host {host!r} cannot be resolved: {error}") from error
    return [(family, address) for family, _, _, _, address in found]


def _spelled_out(host: str, port: int) -> list[Address]:
    """What an address in digits stands for, which takes no thread to look up; of a name nothing."""
    for family, flow_and_scope in ((socket.AF_INET, ()), (socket.AF_INET6, (0, 0))):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return [(family, (host, port, *flow_and_scope))]
    return []


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
            _forbid_fragments(self._socket, family)
            self._socket.connect(destination)
        except BaseException:
            self._socket.close()
            raise
        self._segmented = _can_segment(self._socket)
        self._batch = FIRST_BATCH
        self.address, self.local = destination[:2], self._socket.getsockname()[:2]
        self._thread = get_ident()
        self._watcher = gevent.get_hub().loop.io(self._socket.fileno(), READ)
        self._watcher.start(on_readable)

    def receive(self) -> Iterator[bytes]:
        """The datagrams that are there now, but no endless row of them.

        At most FIRST_BATCH, so that who waits for the beginning of a long answer has it soon; while
        there are more than that, twice as many each time, up to MAX_BATCH.

        Raises:
            ConnectionRefusedError: nobody listens on the port.
        """
        receive, most = self._socket.recv, self._batch
        self._batch = FIRST_BATCH
        try:
            for _ in range(most):
                yield receive(MAX_DATAGRAM)
        except (BlockingIOError, InterruptedError):
            return
        self._batch = min(2 * most, MAX_BATCH)

    def send(self, datagrams: Sequence[bytes]) -> None:
        """Send each datagram.

        Raises:
            ConnectionRefusedError: nobody listens on the port.
        """
        if len(datagrams) > 1 and self._segmented:
            for run in runs(datagrams):
                self._send_run(run)
        else:
            self._send_each(datagrams)

    def _send_run(self, run: Sequence[bytes]) -> None:
        """Datagrams as long as the first; the last may be shorter."""
        if len(run) == 1:
            return self._send_each(run)
        size = len(run[0]).to_bytes(2, sys.byteorder)
        try:
            self._socket.sendmsg(run, [(_SOL_UDP, _UDP_SEGMENT, size)])
        except ConnectionRefusedError:
            raise
        except OSError as error:
            if error.errno in _UNABLE:
                self._segmented = False
                self._send_each(run)
        return None

    def _send_each(self, datagrams: Sequence[bytes]) -> None:
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


def runs(datagrams: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The datagrams in order, as a kernel can cut them apart: all as long as the first, but for
    the last, which may be shorter."""
    start = 0
    for at in range(1, len(datagrams) + 1):
        if at == len(datagrams) or not _joins(datagrams, start, at):
            yield datagrams[start:at]
            start = at


def _joins(datagrams: Sequence[bytes], start: int, at: int) -> bool:
    """Whether the one at `at` can go with those that begin at `start`."""
    size, count = len(datagrams[start]), at - start + 1
    fits = len(datagrams[at - 1]) == size and 0 < len(datagrams[at]) <= size
    return fits and count <= _MOST_SEGMENTS and count * size <= _MOST_BYTES


def _forbid_fragments(udp: socket.socket, family: int) -> None:
    """A probe of the path's size that came in fragments would tell a lie (RFC 9000 14)."""
    if sys.platform == "linux":
        level, option = _MTU_DISCOVER[socket.AddressFamily(family)]
        udp.setsockopt(level, option, _PROBE)


def _can_segment(udp: socket.socket) -> bool:
    """Whether the kernel knows of it: one that does not would send all as one datagram."""
    if sys.platform != "linux":
        return False
    try:
        udp.getsockopt(_SOL_UDP, _UDP_SEGMENT)
    except OSError:
        return False
    return True
