"""The server's UDP sockets: which datagram belongs to which connection, and one flush a batch.

asyncio's own datagram transport hands over one datagram per turn of its loop, which would make
one flush per packet. Here a readable socket is drained first, then every connection that was
touched sends what it has: an answer to twenty requests shares packets and acknowledgements.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import random
import socket
from typing import Final

from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.configuration import SMALLEST_MAX_DATAGRAM_SIZE, QuicConfiguration
from aioquic.quic.packet import (
    QuicHeader,
    QuicPacketType,
    encode_quic_retry,
    encode_quic_version_negotiation,
    pull_quic_header,
)
from aioquic.tls import SessionTicket

from quiver.testing.options import OriginOptions
from quiver.testing.routes.dispatch import receiver_of
from quiver.testing.routes.receiver import ReceiverOf
from quiver.testing.server.aioquic_internals import ServerQuic
from quiver.testing.server.connection import ServerConnection
from quiver.testing.server.request_counts import RequestCounts
from quiver.testing.server.retry_tokens import RetryTokens
from quiver.testing.server.stateless_resets import StatelessResets

__all__ = ["Endpoint"]

Address = tuple[str, int] | tuple[str, int, int, int]
"""What a socket's `recvfrom` gives, of IPv4 and of IPv6."""

_CID_LENGTH: Final = 8
_BATCH: Final = 256  # datagrams read before the first flush
_BUFFER: Final = 4 * 1024 * 1024
_ATTEMPTS: Final = 20


class Endpoint:
    """All connections of one server. Lives in a running asyncio loop."""

    def __init__(
        self,
        options: OriginOptions,
        configuration: QuicConfiguration,
        receiver_of: ReceiverOf = receiver_of,
    ) -> None:
        self.counts = RequestCounts()
        self._options = options
        self._configuration = configuration
        self._receiver_of = receiver_of
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._routes: dict[bytes, ServerConnection] = {}
        self._peers: dict[ServerConnection, socket.socket] = {}
        self._dirty: dict[ServerConnection, None] = {}
        self._flush_planned = False
        self._random = random.Random(options.seed)
        self._retry = RetryTokens() if options.retry else None
        self._resets = StatelessResets(options.keyfile) if options.stateless_reset else None
        self._tickets: dict[bytes, SessionTicket] = {}

    @property
    def peers(self) -> list[ServerConnection]:
        """The connections that are open.

        One that is closed waits for late packets for three probe timeouts (RFC 9000 10.2), which
        is long after a pause of this program: it is open no more.
        """
        return [peer for peer in self._peers if not peer.quic.closing]

    def bind(self) -> int:
        """Bind every address to one port and return it. Raises OSError when it is taken."""
        for _ in range(_ATTEMPTS):
            try:
                self._sockets = _bind_all(self._options.listen, self._options.port)
                break
            except OSError:
                if self._options.port:
                    raise
        for bound in self._sockets:
            self._loop.add_reader(bound, self._readable, bound)
        return int(self._sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Say CONNECTION_CLOSE to everyone and close the sockets."""
        for peer in self.peers:
            peer.close(0x100, "server stops")
        self._flush()
        for bound in self._sockets:
            self._loop.remove_reader(bound)
            bound.close()

    def _readable(self, bound: socket.socket) -> None:
        now = self._loop.time()
        for _ in range(_BATCH):
            try:
                datagram, address = bound.recvfrom(65_536)
            except BlockingIOError:
                break
            except OSError:
                continue  # an ICMP error about something sent earlier
            if not self._lost():
                self._received(bound, datagram, address, now)
        self._flush()

    def _received(
        self, bound: socket.socket, datagram: bytes, address: Address, now: float
    ) -> None:
        if datagram and not datagram[0] & 0x80:  # a short header
            peer = self._routes.get(datagram[1 : 1 + _CID_LENGTH])
            if peer is None and self._resets is not None:
                self._reset(bound, datagram, address)
        else:
            peer = self._long_header(bound, datagram, address, now)
        if peer is not None:
            peer.quic.receive_datagram(datagram, address, now=now)
            self._dirty[peer] = None

    def _reset(self, bound: socket.socket, datagram: bytes, address: Address) -> None:
        assert self._resets is not None
        reset = self._resets.answer(datagram, datagram[1 : 1 + _CID_LENGTH])
        if reset is not None:
            self._send(bound, reset, address)

    def _long_header(
        self, bound: socket.socket, datagram: bytes, address: Address, now: float
    ) -> ServerConnection | None:
        try:
            header = pull_quic_header(Buffer(data=datagram), host_cid_length=_CID_LENGTH)
        except ValueError:
            return None
        known = self._routes.get(header.destination_cid)
        if known is not None or header.packet_type == QuicPacketType.VERSION_NEGOTIATION:
            return known
        if header.version not in self._configuration.supported_versions:
            self._send(bound, self._version_negotiation(header), address)
            return None
        if header.packet_type != QuicPacketType.INITIAL:
            return None
        if len(datagram) < SMALLEST_MAX_DATAGRAM_SIZE:
            return None
        return self._accept(bound, header, address, now)

    def _version_negotiation(self, header: QuicHeader) -> bytes:
        return encode_quic_version_negotiation(
            source_cid=header.destination_cid,
            destination_cid=header.source_cid,
            supported_versions=self._configuration.supported_versions,
        )

    def _accept(
        self, bound: socket.socket, header: QuicHeader, address: Address, now: float
    ) -> ServerConnection | None:
        original, retried = header.destination_cid, None
        if self._retry is not None:
            if not header.token:
                self._send(bound, self._retry_packet(header, address, now), address)
                return None
            try:
                original = self._retry.original(header.token, address, header.destination_cid, now)
            except ValueError:
                return None
            retried = header.destination_cid
        return self._add(bound, header, self._connection(original, retried))

    def _retry_packet(self, header: QuicHeader, address: Address, now: float) -> bytes:
        assert self._retry is not None and header.version is not None
        source = os.urandom(_CID_LENGTH)
        token = self._retry.create(address, header.destination_cid, source, now)
        return encode_quic_retry(
            version=header.version,
            source_cid=source,
            destination_cid=header.source_cid,
            original_destination_cid=header.destination_cid,
            retry_token=token,
        )

    def _connection(self, original: bytes, retried: bytes | None) -> ServerQuic:
        resumes = self._options.session_tickets
        return ServerQuic(
            max_streams=self._options.max_streams,
            raise_streams=self._options.raise_streams,
            token_of=self._resets.token_of if self._resets is not None else None,
            active_migration=self._options.active_migration,
            spare_connection_ids=self._options.spare_connection_ids,
            rejects_early_data=self._options.early_data == "reject",
            configuration=self._configuration,
            original_destination_connection_id=original,
            retry_source_connection_id=retried,
            session_ticket_fetcher=self._fetch_ticket if resumes else None,
            session_ticket_handler=self._keep_ticket if resumes else None,
        )

    def _keep_ticket(self, ticket: SessionTicket) -> None:
        self._tickets[ticket.ticket] = ticket

    def _fetch_ticket(self, label: bytes) -> SessionTicket | None:
        return self._tickets.pop(label, None)

    def _add(self, bound: socket.socket, header: QuicHeader, quic: ServerQuic) -> ServerConnection:
        peer = ServerConnection(quic, self._options, self.counts, self._touched, self._receiver_of)
        peer.connection_ids |= {header.destination_cid, quic.host_cid}
        for connection_id in peer.connection_ids:
            self._routes[connection_id] = peer
        self._peers[peer] = bound
        self.counts.connections += 1
        return peer

    def _touched(self, peer: ServerConnection) -> None:
        self._dirty[peer] = None
        if not self._flush_planned:
            self._flush_planned = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Let every touched connection act, then send, once."""
        touched, self._dirty = self._dirty, {}
        for peer in touched:
            self._settle(peer)
        self._flush_planned = False
        if self._dirty:
            self._touched(next(iter(self._dirty)))

    def _settle(self, peer: ServerConnection) -> None:
        before = set(peer.connection_ids)
        peer.advance()
        if peer.connection_ids != before:
            self._reroute(peer, before)
        bound = self._peers.get(peer)
        if peer.gone or bound is None:
            self._remove(peer)
            return
        peer.quic.set_reset_tokens()
        for datagram, address in peer.quic.datagrams_to_send(now=self._loop.time()):
            if not self._lost():
                self._send(bound, datagram, address)
        # What `advance` or a route queued has just been sent.
        self._dirty.pop(peer, None)
        self._arm(peer)

    def _reroute(self, peer: ServerConnection, before: set[bytes]) -> None:
        for connection_id in before - peer.connection_ids:
            self._routes.pop(connection_id, None)
        for connection_id in peer.connection_ids - before:
            self._routes[connection_id] = peer

    def _arm(self, peer: ServerConnection) -> None:
        """Have the timer fire no later than QUIC asks; an early firing does no harm."""
        due = peer.quic.get_timer()
        if due is None or (peer.timer is not None and peer.timer.when() <= due):
            return
        if peer.timer is not None:
            peer.timer.cancel()
        peer.timer = self._loop.call_at(due, self._timer_fired, peer)

    def _timer_fired(self, peer: ServerConnection) -> None:
        peer.timer = None
        due = peer.quic.get_timer()
        if due is not None and due <= (now := self._loop.time()) + 0.001:
            peer.quic.handle_timer(now=max(now, due))
        self._settle(peer)

    def _remove(self, peer: ServerConnection) -> None:
        if peer.timer is not None:
            peer.timer.cancel()
            peer.timer = None
        for connection_id in peer.connection_ids:
            self._routes.pop(connection_id, None)
        self._peers.pop(peer, None)

    def _send(self, bound: socket.socket, datagram: bytes, address: Address) -> None:
        with contextlib.suppress(OSError):  # a datagram lost: QUIC sends it again
            bound.sendto(datagram, address)

    def _lost(self) -> bool:
        return self._options.loss > 0 and self._random.random() < self._options.loss


def _bind_all(addresses: tuple[str, ...], port: int) -> list[socket.socket]:
    """Bind each address to `port`, or to the port that the first one got."""
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            bound = _bind(address, port)
            if bound is not None:
                sockets.append(bound)
                port = bound.getsockname()[1]
    except OSError:
        for bound in sockets:
            bound.close()
        raise
    if not sockets:
        raise OSError(f"none of {', '.join(addresses)} can be bound")
    return sockets


def _bind(address: str, port: int) -> socket.socket | None:
    """Bind one address; None when it is IPv6 and this machine has none."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    bound = None
    try:
        bound = socket.socket(family, socket.SOCK_DGRAM)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            bound.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        bound.setblocking(False)
        bound.bind((address, port))
    except OSError as error:
        if bound is not None:
            bound.close()
        if family == socket.AF_INET6 and error.errno != errno.EADDRINUSE:
            return None
        raise
    return bound
