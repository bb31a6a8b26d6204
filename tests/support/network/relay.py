"""A UDP relay between clients and a server on loopback, with the faults of a bad network.

`NetworkEmulator` decides what becomes of each datagram; here stand one thread, its sockets and the
queue of those that are on their way. Like a NAT, the relay has one port towards the server for each
client, and can change it in the middle.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import queue
import selectors
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, Self

from tests.support.network.conditions import (
    BOTH,
    CLEAR,
    Conditions,
    Direction,
    NetworkEmulator,
    a_seed,
)

__all__ = ["Relay"]

_BATCH: Final = 64  # datagrams taken from one socket in a row
_BUFFER: Final = 4 * 1024 * 1024
_HOST: Final = "127.0.0.1"

Address = tuple[str, int]
_Due = tuple[float, int, "_Flow", Direction, bytes]


class _Flow:
    """One client's datagrams, as it is known by its address."""

    def __init__(self, number: int, client: Address) -> None:
        self.number = number
        self.client = client
        self.upstream: socket.socket | None = None
        self.counts = {direction: itertools.count() for direction in Direction}


class Relay:
    """Carries what comes to `url` on to the server's port, and back. A `with` starts and ends it.

    `carried`, `lost` and `largest` (bytes) are counts by direction of what was sent, of what was
    swallowed, and the longest datagram that came. Every method may be called from any thread, and
    has had its effect when it returns.
    """

    def __init__(
        self,
        server_port: int,
        port: int = 0,
        *,
        up: Conditions = CLEAR,
        down: Conditions = CLEAR,
    ) -> None:
        self.emulator = NetworkEmulator(a_seed(), up, down)
        self.carried: Counter[Direction] = Counter()
        self.lost: Counter[Direction] = Counter()
        self.largest: Counter[Direction] = Counter()
        self._server: Address = (_HOST, server_port)
        self._source = _HOST
        self._flows: dict[Address, _Flow] = {}
        self._on_their_way: list[_Due] = []
        self._order = itertools.count()
        self._selector = selectors.DefaultSelector()
        self._orders: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._bell, self._ear = socket.socketpair()
        self._holder: socket.socket | None = None
        self._front: socket.socket | None = None
        self.port = port  # 0: the kernel chooses
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._ear.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, self._obey)
        self._holder = _held(_HOST, self.port)
        self.port = self._holder.getsockname()[1]
        self._open_front()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._orders.put(None)
        self._bell.send(b".")
        self._thread.join(10)
        assert not self._thread.is_alive(), "the relay hangs"

    @property
    def url(self) -> str:
        """`https://127.0.0.1:PORT`: where clients are to go."""
        return f"https://{_HOST}:{self.port}"

    # the conditions -------------------------------------------------------------------------

    def become(self, up: Conditions = CLEAR, down: Conditions = CLEAR) -> None:
        """Change the conditions altogether; without arguments nothing is lost or late."""
        self._order_done(lambda: self.emulator.become(up, down))

    def change(self, directions: Iterable[Direction] = BOTH, **conditions: Any) -> None:
        """Change some conditions, in some directions."""
        self._order_done(lambda: self.emulator.change(directions, **conditions))

    def blackhole(self, *directions: Direction, seconds: float = math.inf) -> None:
        """Swallow everything for some seconds, or until the conditions change.

        Both ways by default. What is on its way already still arrives.
        """
        self.change(directions or BOTH, dark_until=time.monotonic() + seconds)

    # the way --------------------------------------------------------------------------------

    def rebind(self, source: str = _HOST) -> None:
        """Go on from new ports towards the server, at the address `source` (NAT rebinding)."""
        self._order_done(lambda: self._leave_ports(source))

    def lead_to(self, server_port: int) -> None:
        """From now on another server stands at this address."""
        self._order_done(lambda: self._change_server(server_port))

    def close_port(self) -> None:
        """Refuse clients (ICMP port unreachable), and forget them; nobody else gets the port."""
        self._order_done(self._close_front)

    def open_port(self) -> None:
        """Listen again, on the same port, if it does not."""
        self._order_done(self._open_front)

    # its thread -----------------------------------------------------------------------------

    def _order_done(self, order: Callable[[], object]) -> None:
        done = threading.Event()
        self._orders.put(order)
        self._orders.put(done.set)
        self._bell.send(b".")
        assert done.wait(10), "the relay hangs"

    def _run(self) -> None:
        with contextlib.suppress(StopIteration):
            while True:
                for key, _ in self._selector.select(self._patience()):
                    key.data()  # takes what is there; its socket may be closed by now
                self._deliver_due()
        self._close_front()
        if self._holder is not None:
            self._holder.close()
        self._bell.close()
        self._ear.close()
        self._selector.close()

    def _patience(self) -> float | None:
        if not self._on_their_way:
            return None
        return max(0.0, self._on_their_way[0][0] - time.monotonic())

    def _obey(self) -> None:
        self._ear.recv(4096)
        while not self._orders.empty():
            order = self._orders.get()
            if order is None:
                raise StopIteration
            order()

    def _from_clients(self) -> None:
        if self._front is None:  # closed by an order that came just before
            return
        for datagram, client in _received(self._front):
            flow = self._flows.get(client)
            if flow is None:
                flow = self._flows[client] = _Flow(len(self._flows), client)
            self._take(datagram, flow, Direction.UP)

    def _from_server(self, flow: _Flow, upstream: socket.socket) -> None:
        for datagram, _ in _received(upstream):
            self._take(datagram, flow, Direction.DOWN)

    def _take(self, datagram: bytes, flow: _Flow, direction: Direction) -> None:
        now = time.monotonic()
        self.largest[direction] = max(self.largest[direction], len(datagram))
        number = next(flow.counts[direction])
        deliveries = self.emulator.carry(datagram, direction, flow.number, number, now)
        self.lost[direction] += not deliveries
        for delivery in deliveries:
            due = (delivery.at, next(self._order), flow, direction, delivery.datagram)
            heapq.heappush(self._on_their_way, due)

    def _deliver_due(self) -> None:
        now = time.monotonic()
        while self._on_their_way and self._on_their_way[0][0] <= now:
            _, _, flow, direction, datagram = heapq.heappop(self._on_their_way)
            self.carried[direction] += 1
            with contextlib.suppress(OSError):  # refused or no buffer: it is lost
                if direction is Direction.UP:
                    self._upstream(flow).send(datagram)
                elif self._front is not None:
                    self._front.sendto(datagram, flow.client)

    # its sockets ----------------------------------------------------------------------------

    def _upstream(self, flow: _Flow) -> socket.socket:
        if flow.upstream is None:
            flow.upstream = made = _bound(self._source, 0)
            made.connect(self._server)
            receive = lambda: self._from_server(flow, made)  # noqa: E731
            self._selector.register(made, selectors.EVENT_READ, receive)
        return flow.upstream

    def _leave_ports(self, source: str) -> None:
        self._source = source
        for flow in self._flows.values():
            if flow.upstream is not None:
                self._forget(flow.upstream)
                flow.upstream = None

    def _change_server(self, port: int) -> None:
        self._server = (_HOST, port)
        self._leave_ports(self._source)

    def _open_front(self) -> None:
        if self._front is not None:
            return
        self._front = _bound(_HOST, self.port, shared=True)
        self._selector.register(self._front, selectors.EVENT_READ, self._from_clients)

    def _close_front(self) -> None:
        self._leave_ports(self._source)
        self._flows.clear()
        self._on_their_way.clear()
        if self._front is not None:
            self._forget(self._front)
            self._front = None

    def _forget(self, closed: socket.socket) -> None:
        self._selector.unregister(closed)
        closed.close()


def _held(host: str, port: int) -> socket.socket:
    """A socket that keeps a port from others, and takes nothing that comes there.

    The kernel would give a port that nobody has to the next who wants any.
    """
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((host, port))
    made.connect(made.getsockname())  # so what others send is not for it: they are refused
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _bound(host: str, port: int, *, shared: bool = False) -> socket.socket:
    """A socket with a large buffer, at a port of its own or one that is held (`shared`)."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        made.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, shared)
    made.bind((host, port))
    return made


def _received(readable: socket.socket) -> Iterable[tuple[bytes, Address]]:
    for _ in range(_BATCH):
        try:
            yield readable.recvfrom(65_536)
        except OSError:  # nothing more; or refused; or closed by an order that came just before
            return
