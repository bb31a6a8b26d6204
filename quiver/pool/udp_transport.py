"""UdpTransport: a UDP socket and an HTTP/3 connection, and what goes between them.

    open, or adopt --> receive*, flush* --> hang_up, or close

Each attempt of a dial has one of its own; what the one that wins has opened is adopted by the
connection's.

Datagrams that were ready together are received in one go, and what they ask to be sent goes out in
one flush. Its owner is told by two messages: READABLE, of which one at most waits in its inbox, and
FAILED when the socket has met errors, which `take_error` yields one after the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from quiver.h3.client_connection import ClientConnection
from quiver.h3.codes import ErrorCode
from quiver.pool.local_address import host_of, local_host_to
from quiver.pool.messages import SocketEvent
from quiver.pool.receive_turns import CHUNK, SLICE
from quiver.pool.socket_errors import SocketError
from quiver.pool.udp import Address, UdpSocket
from quiver.quic.engine import Obstacle, SessionTicket

__all__ = ["ConnectionMaker", "UdpTransport"]


class ConnectionMaker(Protocol):
    """Who has options and trust for them."""

    def take_ticket(self) -> SessionTicket | None:
        """What the next connection is to offer; None for nothing."""

    def forget_tickets(self) -> None:
        """Offer none of those that there are."""

    def get_ready(self) -> None:
        """Do what can be done for a full handshake while the server has not answered."""

    def client_connection(self, ticket: SessionTicket | None, *, early: bool) -> ClientConnection:
        """A connection that has not begun; `early`: it may send early data."""


class UdpTransport:
    """A socket and an HTTP/3 connection, which `maker` makes.

    Args:
        tell: sends its owner a message.
        early: whether the connection may send early data; one that begins anew does not.

    Attributes:
        http: the connection; there is none before it is opened or adopted.
        left: requests from this stream on have never left: the kernel took nothing since.
        socket: None when it is closed, and before that.
    """

    http: ClientConnection

    def __init__(
        self, maker: ConnectionMaker, tell: Callable[[object], None], *, early: bool = False
    ) -> None:
        self._maker = maker
        self._tell = tell
        self._early = early
        self._told_readable = False  # a READABLE is in the inbox
        self.left = 0
        self.socket: UdpSocket | None = None
        self._former: UdpSocket | None = None  # before the last migration
        self._ticket: SessionTicket | None = None  # what it offers

    def open(self, address: Address, now: float) -> None:
        """Begin to shake hands with the server at `address`.

        Raises OSError: it cannot be reached from here.
        """
        self.socket = UdpSocket(address, self._on_readable)
        self._ticket = self._maker.take_ticket()
        self.http = self._maker.client_connection(self._ticket, early=self._early)
        self.http.connect(now, self.socket.address)

    def has_moved(self) -> bool:
        """Whether our address to the server is another one by now.

        Raises OSError: it cannot be reached from here.
        """
        socket = self.socket
        if socket is None:
            return False
        here = host_of(socket.name)
        return local_host_to(socket.to, here) not in (None, here)

    def begin_anew(self, now: float) -> None:
        """Shake hands with the same server again, from the address that we have now.

        Raises OSError: it cannot be reached from here; then nothing has changed.
        """
        self._begin_anew(self._maker.take_ticket, now)

    def begin_without_ticket(self, now: float) -> bool:
        """Shake hands in full, where a handshake that has offered a ticket came to nothing.

        No other ticket of that origin is offered either. Returns whether it was begun. Raises
        OSError as `begin_anew` does.
        """
        if self._ticket is None or self.socket is None:
            return False
        self.flush()  # the server may wait for the reason
        self._maker.forget_tickets()
        self._begin_anew(lambda: None, now)
        return True

    def _begin_anew(self, take_ticket: Callable[[], SessionTicket | None], now: float) -> None:
        assert self.socket is not None
        fresh = UdpSocket(self.socket.to, self._on_readable)
        self.socket.close()
        self._ticket = take_ticket()
        self.socket, self.http = fresh, self._maker.client_connection(self._ticket, early=False)
        self.http.connect(now, fresh.address)

    def adopt(self, other: UdpTransport) -> None:
        """Take over what another one has opened, which is closed from then on."""
        assert other.socket is not None
        self.socket, self.http, other.socket = other.socket, other.http, None
        self.socket.listen(self._on_readable)

    def receive(self, now: float) -> bool:
        """Take the datagrams that are there, as far as a slice of time and the share let it.

        Returns whether one was the server's beyond doubt.
        """
        self._told_readable = False  # first: what comes while these are taken is told anew
        socket = self.socket
        if socket is None:
            return False
        most = CHUNK if socket.share is None else socket.share.datagrams
        until = time.monotonic() + SLICE
        if self._former is not None:
            self.http.receive_all(self._former.receive(most, until), now)
        self.http.receive_all(socket.receive(most, until), now)
        return self.http.heard == now  # an error is no sign of life, nor what a stranger sent

    def may_go_on(self, seconds: float) -> bool:
        """Whether to receive again in this turn of the loop, after what has cost so much."""
        socket = self.socket
        if socket is None or (socket.share is None and not socket.more and seconds <= SLICE):
            return False  # as mostly
        return socket.may_go_on(seconds)

    @property
    def more(self) -> bool:
        """Whether there may be more than what was received last."""
        socket, former = self.socket, self._former
        return (socket is not None and socket.more) or (former is not None and former.more)

    def may_be_lent(self) -> bool:
        """Nothing can be seen here: QUIC says goodbye, or nobody does."""
        return True

    def migrate(self, now: float) -> Obstacle | None:
        """Go on to the same server from the address that we have now (RFC 9000 9).

        What still comes to the former one is taken, until `forget_former`. Returns why it cannot
        be; then nothing has changed. Raises OSError: the server cannot be reached from here.
        """
        assert self.socket is not None
        fresh = UdpSocket(self.socket.to, self._on_readable)
        obstacle = self.http.migrate(now)
        if obstacle is not None:
            fresh.close()
        else:
            self.forget_former()
            self._former, self.socket = self.socket, fresh
        return obstacle

    def forget_former(self) -> None:
        """Free the socket from before the last migration."""
        if self._former is not None:
            self._former.close()
            self._former = None

    def flush(self, *, uploads: bool = False) -> None:  # noqa: ARG002
        """Send what HTTP/3 and QUIC have to send. Acknowledgements tell when there may be more."""
        socket = self.socket
        assert socket is not None
        if socket.send(self.http.datagrams(time.monotonic())):
            self.left = self.http.next_stream_id
        if socket.errors:
            self._tell(SocketEvent.FAILED)

    def get_ready(self) -> None:
        """Prepare for the server's answer, if it is to show a certificate."""
        if self._ticket is None and not self.http.answered:
            self._maker.get_ready()

    def take_error(self) -> SocketError | None:
        """An error that the socket has met, each once; None when there are no more."""
        return self.socket.errors.pop() if self.socket is not None and self.socket.errors else None

    def hang_up(self) -> None:
        """Say CONNECTION_CLOSE if it has not ended, and close."""
        try:
            if self.socket is not None:
                self.http.close(ErrorCode.H3_NO_ERROR, "")
                self.flush()
        finally:
            self.close()

    def close(self) -> None:
        """Free the sockets. The connection stays, for what is asked of it later."""
        try:
            self.forget_former()
        finally:
            if self.socket is not None:
                self.socket.close()
                self.socket = None

    def _on_readable(self) -> None:
        if not self._told_readable:
            self._told_readable = True
            self._tell(SocketEvent.READABLE)
