"""The connected UDP socket under one connection.

Connected, so that the kernel drops what others send, and reports a refused port (ICMP). Never
blocking: what the kernel cannot take now is lost, and QUIC's loss recovery sends it again. No error
is raised once the socket is there: they are noted apart, in `errors`, and what is behind them is
read and sent all the same.

Datagrams of one size go to the kernel in one call where it can cut them apart again (Linux's
generic segmentation offload, UDP_SEGMENT), which is cheaper than one call for each by half or more.
"""

from __future__ import annotations

import contextlib
import errno
import math
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final

import gevent
from gevent.monkey import get_original

from quiver.actors.native_threads import get_ident
from quiver.pool.address_attempts import Address as Address
from quiver.pool.resting_socket import RestingSocket
from quiver.pool.socket_errors import SocketError
from quiver.quic.transport_parameters import LARGEST_TAKEN

MAX_DATAGRAM = LARGEST_TAKEN  # as the server is told
PLAIN = 1_500  # bytes; as long are datagrams where nothing is special
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
_FULL: Final = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)  # lost, and nobody's fault
_UNABLE: Final = (errno.EIO, errno.EINVAL, errno.EOPNOTSUPP)  # a network card that cannot, say

# gevent's own socket class would switch greenlets inside recv and send.
_Socket: Callable[..., socket.socket] = get_original("socket", "socket")


class UdpSocket(RestingSocket):
    """Datagrams to and from one address.

    Attributes:
        to: the address that it was made for.
        name: its own, as `socket.getsockname` has it.
        address, local: its two ends, host and port each.
        errors: errors met since its owner has looked; each kind once, however many came.

    Args:
        address: family and socket address, as `name_resolution` gives them.
        on_readable: called in the loop when there is something to receive.

    Raises:
        OSError: the address cannot be reached from here.
    """

    def __init__(self, address: Address, on_readable: Callable[[], object]) -> None:
        super().__init__()
        family, destination = address
        self._socket = _Socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            _wish(self._socket, family)
            self._socket.connect(destination)
            self.name = self._socket.getsockname()
        except BaseException:
            self._socket.close()
            raise
        self._segmented = _can_segment(self._socket)
        self.errors: set[SocketError] = set()
        self.to = address
        self.address, self.local = destination[:2], self.name[:2]
        self._thread = get_ident()
        self._watcher = gevent.get_hub().loop.io(self._socket.fileno(), READ)
        self._watcher.start(on_readable)
        self._on_readable = on_readable

    def listen(self, on_readable: Callable[[], object]) -> None:
        """Have `on_readable` called from now on, instead of what was."""
        self._on_readable = on_readable
        if not self.rests:
            self._watcher.stop()
            self._watcher.start(on_readable)

    def _watch_reads(self, wanted: bool) -> None:
        if wanted:
            self._watcher.start(self._on_readable)
        else:
            self._watcher.stop()

    def receive(self, most: int, until: float = math.inf) -> Iterator[bytes]:
        """Yield the datagrams that are there now, but no endless row of them.

        Args:
            most: how many at the most; of long ones fewer, as many bytes as plain ones have.
            until: none after this time of `time.monotonic`, but one at least.

        An error counts as one of them: it is told once, and what came before or after it lies
        behind it. While it rests there may be more, and none is yielded.
        """
        self.more, self.taken = self.rests, 0
        return iter(()) if self.rests else self._receive(most, until)

    def _receive(self, most: int, until: float) -> Iterator[bytes]:
        receive, room = self._socket.recv, most * PLAIN
        for _ in range(most):
            try:
                datagram = receive(MAX_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._note(error.errno, local=False)
                continue
            self.taken += 1
            room -= len(datagram)
            yield datagram
            if room <= 0 or time.monotonic() >= until:
                break
        self.more = True

    def send(self, datagrams: Sequence[bytes]) -> bool:
        """Send each datagram. Returns whether the kernel may have taken any."""
        if len(datagrams) > 1 and self._segmented:
            return sum(self._send_run(run) for run in runs(datagrams)) > 0
        return self._send_each(datagrams) > 0

    def _send_run(self, run: Sequence[bytes]) -> bool:
        """Send datagrams as long as the first, in one call; the last may be shorter. Returns
        whether the kernel may have taken any."""
        if len(run) == 1:
            return self._send_each(run) > 0
        size = len(run[0]).to_bytes(2, sys.byteorder)
        segments = [(_SOL_UDP, _UDP_SEGMENT, size)]
        try:
            self._socket.sendmsg(run, segments)
        except OSError as error:
            refusal = self._again(error, partial(self._socket.sendmsg, run, segments))
            if refusal in _UNABLE:  # or it takes none of them, one by one either
                taken = self._send_each(run)
                self._segmented = taken < len(run)
                return taken > 0
            if refusal is not None:
                self._note(refusal, local=True)
                return False
        return True

    def _send_each(self, datagrams: Sequence[bytes]) -> int:
        """Send one by one. Returns how many of them the kernel took."""
        send, taken = self._socket.send, len(datagrams)
        for datagram in datagrams:
            try:
                send(datagram)
            except OSError as error:
                refusal = self._again(error, partial(send, datagram))
                if refusal is not None:
                    taken -= 1
                    self._note(refusal, local=True)
        return taken

    def _again(self, error: OSError, send: Callable[[], object]) -> int | None:
        """Send once more what may not have been to blame: what ICMP says of an earlier datagram
        is told instead of sending this one. The errno of the second refusal, if there is one.
        """
        if error.errno in _FULL:
            return error.errno
        try:
            send()
        except OSError as second:
            refusal = second.errno
        else:
            refusal = None
        if refusal != error.errno:
            self._note(error.errno, local=False)
        return refusal

    def _note(self, number: int | None, *, local: bool) -> None:
        if number is not None and number not in _FULL:
            self.errors.add(SocketError(number, local))

    def close(self) -> None:
        """Free socket and watcher; in a forked child, the descriptor only."""
        if get_ident() == self._thread and self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self.forget_rest()
        self._socket.close()


def runs(datagrams: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """The datagrams in order, as a kernel can cut them apart: all as long as the first, but for
    the last, which may be shorter."""
    start, count, sizes = 0, len(datagrams), list(map(len, datagrams))
    while start < count:
        size = sizes[start]
        fit = min(_MOST_SEGMENTS, _MOST_BYTES // size) if size else 1
        end, most = start + 1, min(count, start + fit)
        if end < most and sizes[start:most].count(size) == most - start:
            end = most  # as mostly, while a body goes up
        while end < most and sizes[end] == size:
            end += 1
        if end < most and 0 < sizes[end] < size:
            end += 1
        yield datagrams[start:end]
        start = end


def _wish(udp: socket.socket, family: int) -> None:
    """Ask for large buffers, and for no IP fragments: a probe of the path MTU in some would tell a
    lie (RFC 9000 14). A kernel or sandbox that refuses costs these, and not the connection."""
    wishes = [
        (socket.SOL_SOCKET, option, BUFFER) for option in (socket.SO_RCVBUF, socket.SO_SNDBUF)
    ]
    if sys.platform == "linux":
        wishes.append((*_MTU_DISCOVER[socket.AddressFamily(family)], _PROBE))
    for wish in wishes:
        with contextlib.suppress(OSError):
            udp.setsockopt(*wish)


def _can_segment(udp: socket.socket) -> bool:
    """Whether the kernel knows of it: one that does not would send all as one datagram."""
    if sys.platform != "linux":
        return False
    try:
        udp.getsockopt(_SOL_UDP, _UDP_SEGMENT)
    except OSError:
        return False
    return True
