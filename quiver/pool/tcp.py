"""The TCP socket under one connection: bytes both ways, and never blocking.

It is connecting at first; the end of that, what has come, and room for what waits are told alike,
by one callback. Errors are raised nowhere once the socket is there: what ends the connection is
noted in `failure`.
"""

from __future__ import annotations

import contextlib
import errno
import math
import socket
import time
from collections.abc import Callable, Iterator
from typing import Final

import gevent
from gevent.monkey import get_original

from quiver.actors.native_threads import get_ident
from quiver.pool.address_attempts import Address
from quiver.pool.resting_socket import RestingSocket
from quiver.pool.socket_errors import SocketError

__all__ = ["TcpSocket"]

LONGEST: Final = 65_536  # bytes of one read
READ, WRITE = 1, 2  # libev's event masks

_FULL: Final = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)
_UNDER_WAY: Final = (errno.EINPROGRESS, errno.EINTR, errno.EAGAIN)

# gevent's own socket class would switch greenlets inside recv and send.
_Socket: Callable[..., socket.socket] = get_original("socket", "socket")


class TcpSocket(RestingSocket):
    """A connection to one address.

    Attributes:
        to: the address that it was made for.
        name: its own, as `socket.getsockname` has it.
        address, local: its two ends, host and port each.
        connected: whether the server has answered.
        ended: the server has closed its half.
        failure: the error that ended it.
        broken: the error that a send has met; what had come before that is still to be received.

    Args:
        address: family and socket address, as `name_resolution` gives them.
        on_ready: called in the loop when there is something to do: `look` or `receive`, `send`.

    Raises:
        OSError: the address cannot be reached from here.
    """

    reads_stream = True

    def __init__(self, address: Address, on_ready: Callable[[], object]) -> None:
        super().__init__()
        family, destination = address
        self._socket = _Socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setblocking(False)
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            refusal = self._socket.connect_ex(destination)
            if refusal and refusal not in _UNDER_WAY:
                raise OSError(refusal, "it cannot be connected")
            self.name = self._socket.getsockname()
        except BaseException:
            self._socket.close()
            raise
        self.to = address
        self.address, self.local = destination[:2], self.name[:2]
        self.connected = False
        self.ended = False
        self.failure: SocketError | None = None
        self.broken: SocketError | None = None
        self._unsent = memoryview(b"")
        self._thread = get_ident()
        self._on_ready = on_ready
        loop = gevent.get_hub().loop
        self._reads = loop.io(self._socket.fileno(), READ)
        self._writes = loop.io(self._socket.fileno(), WRITE)
        self._watches_writes = False
        self._watch_writes(True)  # it is writable when it is connected, or has failed
        self._held = False

    def listen(self, on_ready: Callable[[], object]) -> None:
        """Have `on_ready` called from now on, instead of what was."""
        self._on_ready = on_ready
        if self.connected and not (self.rests or self._held or self._over):
            self._reads.stop()
            self._reads.start(on_ready)
        if self._watches_writes:
            self._watch_writes(False)
            self._watch_writes(True)

    def look(self) -> bool:
        """See whether it is connected by now. When it has failed, `failure` says so."""
        if self.connected or self.failure is not None:
            return self.connected
        refusal = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if refusal:
            self._watch_writes(False)
            self.failure = SocketError(refusal, local=False)
            return False
        try:
            self._socket.getpeername()
        except OSError:
            return False  # not yet
        self.connected = True
        self.name = self._socket.getsockname()
        self.local = self.name[:2]
        self._watch_writes(False)
        self._reads.start(self._on_ready)
        return True

    def hold(self, wanted: bool) -> None:
        """Be told of nothing that comes, or again: what comes waits in the kernel."""
        if wanted != self._held:
            self._held = wanted
            self._watch_reads(not wanted)

    # in -------------------------------------------------------------------------------------

    def _watch_reads(self, wanted: bool) -> None:
        if not wanted:
            self._reads.stop()
        elif not (self.rests or self._held or self._over):
            self._reads.start(self._on_ready)

    def receive(self, most: int, until: float = math.inf) -> Iterator[bytes]:
        """Yield what is there now, in reads of up to LONGEST bytes, but no endless row of them.

        Args:
            most: how many at the most.
            until: none after this time of `time.monotonic`, but one at least.
        """
        self.more, self.taken = self.rests, 0
        return iter(()) if self.rests or self._over else self._receive(most, until)

    def _receive(self, most: int, until: float) -> Iterator[bytes]:
        receive, longest = self._socket.recv, LONGEST
        if self.share is not None:
            longest = int(LONGEST * self.share.part)
        for _ in range(most):
            try:
                chunk = receive(longest)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._fail(error)
                return
            if not chunk:
                self.ended = True
                self._reads.stop()
                return
            self.taken += 1
            yield chunk
            if len(chunk) < longest:  # as mostly: what comes meanwhile is told
                return
            if time.monotonic() >= until:
                break
        self.more = True

    def is_closed(self) -> bool:
        """Whether the server has closed it, as far as can be seen without taking anything."""
        if self._over:
            return True
        try:
            return not self._socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    # out ------------------------------------------------------------------------------------

    @property
    def idle(self) -> bool:
        """Whether nothing waits to be sent, and more may be."""
        return self.connected and not (self._over or self.broken or self._unsent)

    def send(self, chunk: bytes = b"") -> bool:
        """Send what waits, or this, when it is `idle`; what the kernel does not take waits. Returns
        whether it took any."""
        content = self._unsent or memoryview(chunk)
        if not content or self._over or self.broken is not None:
            return False
        sent = self._send(content)
        self._unsent = content[sent:]
        return sent > 0

    def _send(self, content: memoryview) -> int:
        try:
            sent = self._socket.send(content)
        except OSError as error:
            if error.errno not in _FULL:
                self.broken = SocketError(error.errno or 0, local=False)
            sent = 0
        self._watch_writes(sent < len(content) and self.broken is None)
        return sent

    def _watch_writes(self, wanted: bool) -> None:
        if wanted != self._watches_writes:
            self._watches_writes = wanted
            if wanted:
                self._writes.start(self._on_ready)
            else:
                self._writes.stop()

    # its end --------------------------------------------------------------------------------

    @property
    def _over(self) -> bool:
        return self.ended or self.failure is not None

    def _fail(self, error: OSError) -> None:
        self.failure = SocketError(error.errno or 0, local=False)
        self._reads.stop()
        self._watch_writes(False)

    def close(self) -> None:
        """Free socket and watchers; in a forked child, the descriptor only."""
        if get_ident() == self._thread:
            for each in (self._reads, self._writes):
                each.stop()
                each.close()
            self.forget_rest()
        self._socket.close()
