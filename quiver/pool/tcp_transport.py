"""TcpTransport: a TCP socket and an HTTP connection on it, and what goes between them.

    open, or adopt --> receive*, flush* --> hang_up, or close

It has the place of `UdpTransport`, and the same two messages for its owner: READABLE when there is
something to do, be it that there is room for what waits to be sent; FAILED when the server cannot
be reached.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from quiver.h3.codes import ErrorCode
from quiver.pool.address_attempts import Address
from quiver.pool.http_connection import HttpConnection
from quiver.pool.messages import SocketEvent
from quiver.pool.receive_turns import CHUNK, SLICE
from quiver.pool.socket_errors import Meaning, SocketError
from quiver.pool.tcp import TcpSocket
from quiver.pool.tcp_negotiation import Negotiation
from quiver.quic.engine import Obstacle

__all__ = ["ByteConnection", "ByteConnectionMaker", "TcpTransport"]

_ROUNDS: Final = 16
"""How often in one turn what there is to send is asked for: of bodies a quarter of a MiB each."""

_NOBODY: Final = (Meaning.REFUSED, Meaning.UNREACHABLE)


class ByteConnection(HttpConnection, Protocol):
    """An HTTP connection on a stream of bytes."""

    @property
    def heard(self) -> float:
        """When bytes of the server came last; -inf for never."""

    @property
    def reads(self) -> bool:
        """Whether anything is to be received now."""

    def connect(self, now: float) -> None:
        """Begin: what `datagrams` yields is for the server as soon as it is connected."""

    def receive_all(self, chunks: Iterable[bytes], now: float) -> None:
        """Take what has come, in order."""

    def lost(self, why: str | None, now: float) -> None:
        """The socket is gone: the server has closed it, or `why`, in words."""

    def datagrams(self, now: float) -> list[bytes]:
        """What is to be sent now, no more than at once; empty for nothing."""

    def close(self, code: int, reason: str = "") -> None:
        """End the connection. `datagrams` tells the server."""


class ByteConnectionMaker(Protocol):
    """Who has options and trust for them."""

    def client_connection(self) -> ByteConnection:
        """A connection that has not begun."""


class TcpTransport:
    """A socket and an HTTP connection, which `maker` makes.

    Args:
        tell: sends its owner a message.

    Attributes:
        http: the connection; there is none before it is opened or adopted.
        left: requests from this stream on have never left: the kernel took nothing since.
        socket: None when it is closed, and before that.
    """

    http: ByteConnection

    def __init__(self, maker: ByteConnectionMaker, tell: Callable[[object], None]) -> None:
        self._maker = maker
        self._tell = tell
        self._told_ready = False  # a READABLE is in the inbox
        self._refusal: SocketError | None = None  # that is to be told
        self._begun = False  # there is a connection, on which the other one has its handshake
        self.left = 0
        self.socket: TcpSocket | None = None

    def open(self, address: Address, now: float) -> None:  # noqa: ARG002
        """Begin to connect to `address`. Raises OSError: it cannot be reached from here."""
        self.socket = TcpSocket(address, self._on_ready)
        self.http = self._maker.client_connection()

    def has_moved(self) -> bool:
        """A handshake that goes nowhere is over when its time is."""
        return False

    def begin_anew(self, now: float) -> None:
        """As it never `has_moved`, it is never asked to."""
        raise NotImplementedError

    def begin_without_ticket(self, now: float) -> bool:  # noqa: ARG002
        """No ticket was offered."""
        return False

    def adopt(self, other: TcpTransport) -> None:
        """Take over what another one has opened, which is closed from then on."""
        assert other.socket is not None
        self.socket, self.http, other.socket = other.socket, other.http, None
        self._begun = True
        self.socket.listen(self._on_ready)

    def receive(self, now: float) -> bool:
        """Take what is there, as far as a slice of time and the share let it.

        Returns whether anything has come.
        """
        self._told_ready = False  # first: what comes while this is taken is told anew
        socket = self.socket
        if socket is None:
            return False
        if not socket.look():
            self._note_refusal(socket, now)
            return False
        if not self._begun:
            self._begun = True
            self.http.connect(now)
        if not self.http.reads:
            return False
        most = CHUNK if socket.share is None else socket.share.datagrams
        self.http.receive_all(socket.receive(most, time.monotonic() + SLICE), now)
        if isinstance(self.http, Negotiation):
            self.http = self.http.successor or self.http
        failure = socket.failure or socket.broken
        if socket.ended or (failure is not None and not socket.more):
            self.http.lost(None if failure is None else str(failure), now)
        return self.http.heard == now

    def _note_refusal(self, socket: TcpSocket, now: float) -> None:
        failure = socket.failure
        if failure is None:
            return
        if failure.meaning in _NOBODY:
            self._refusal = failure
            self._tell(SocketEvent.FAILED)
        else:
            self.http.lost(str(failure), now)

    def may_go_on(self, seconds: float) -> bool:
        """Whether to receive again in this turn of the loop, after what has cost so much."""
        socket = self.socket
        if socket is None or (socket.share is None and not socket.more and seconds <= SLICE):
            return False  # as mostly
        return socket.may_go_on(seconds)

    def may_be_lent(self) -> bool:
        """Look whether the server has closed it, of which we may hear in a moment."""
        return self.socket is not None and not self.socket.is_closed()

    @property
    def more(self) -> bool:
        """Whether there may be more than what was received last."""
        return self.socket is not None and self.socket.more

    def migrate(self, now: float) -> Obstacle:  # noqa: ARG002
        """TCP does not."""
        return Obstacle.TCP

    def forget_former(self) -> None:
        """There is none."""

    def flush(self, *, uploads: bool = False) -> None:
        """Send what there is to send, as long as the kernel takes it.

        With `uploads` there is more than the connection was handed: it is asked for when all of
        that has gone, as over TCP no acknowledgement comes to tell.
        """
        socket, http = self.socket, self.http
        assert socket is not None
        if not socket.connected:
            return
        took = socket.send()
        now = time.monotonic()
        for _ in range(_ROUNDS):
            if not socket.idle or not (chunks := http.datagrams(now)):
                break
            took = socket.send(chunks[0]) or took
        else:
            self._on_ready()  # there may be more, for the next turn of the loop
        if uploads and took and socket.idle:
            self._on_ready()
        if took:
            self.left = http.next_stream_id
        socket.hold(not http.reads)
        if socket.broken is not None and http.reads and not http.closed:
            self._on_ready()  # behind what is not read yet; who has enough is asked again here

    def get_ready(self) -> None:
        """There is nothing: ssl does all of the handshake."""

    def take_error(self) -> SocketError | None:
        """Why the server cannot be reached, once; None when there is nothing to tell."""
        refusal, self._refusal = self._refusal, None
        return refusal

    def hang_up(self) -> None:
        """Say goodbye if it has not ended, and close."""
        try:
            if self.socket is not None:
                self.http.close(ErrorCode.H3_NO_ERROR, "")
                self.flush()
        finally:
            self.close()

    def close(self) -> None:
        """Free the socket. The connection stays, for what is asked of it later."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _on_ready(self) -> None:
        if not self._told_ready:
            self._told_ready = True
            self._tell(SocketEvent.READABLE)
