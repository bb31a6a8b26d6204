"""Whose datagrams are taken in which turn of the loop: what a slow machine does not change."""

from __future__ import annotations

import contextlib
import select
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self
from unittest.mock import patch

import gevent

from quiver.actors.hub import Hub
from quiver.pool import udp_transport
from quiver.pool.udp import UdpSocket
from quiver.quic.aioquic.engine import AioquicEngine

__all__ = ["LoopTurns"]


class LoopTurns:
    """Watches while it is entered. Servers are told apart by their ports.

    Attributes:
        slow: seconds that each datagram of a server is made to cost.
        number: of the present turn.
        costs: seconds of CPU that each turn has cost.
        taken: the turns in which a datagram was taken, as often as that was.
        left: how many turns a datagram was left for by a socket that did not rest, at the most.
    """

    def __init__(self) -> None:
        self.slow: Mapping[int, float] = {}
        self.number = 0
        self.costs: list[float] = []
        self.taken: dict[int, list[int]] = defaultdict(list)
        self.left: dict[int, int] = {}
        self._sockets: list[UdpSocket] = []
        self._ready: dict[UdpSocket, int] = {}  # since which turn there has been one
        self._spent = 0.0

    def __enter__(self) -> Self:
        receive = AioquicEngine.receive

        def open_socket(*args: Any) -> UdpSocket:
            self._sockets.append(UdpSocket(*args))
            return self._sockets[-1]

        def take(engine: AioquicEngine, datagrams: Iterable[bytes], now: float) -> None:
            receive(engine, self._take(engine.connection.peer_address[1], datagrams), now)

        with contextlib.ExitStack() as ends:
            ends.enter_context(patch.object(AioquicEngine, "receive", take))
            ends.enter_context(patch.object(udp_transport, "UdpSocket", open_socket))
            Hub.current().run(self._begin)
            ends.callback(Hub.current().run, self._end)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def _begin(self) -> None:
        self._spent = time.thread_time()
        self._watcher = gevent.get_hub().loop.prepare()  # called in each turn before it polls
        self._watcher.start(self._next)

    def _end(self) -> None:
        self._watcher.stop()
        self._watcher.close()

    def _next(self) -> None:
        spent = time.thread_time()
        self.costs.append(spent - self._spent)
        self.number += 1
        for each in self._sockets:
            descriptor, port = each._socket.fileno(), each.address[1]
            readable = descriptor >= 0 and select.select([descriptor], [], [], 0.0)[0]
            if readable and not each.rests:
                left = self.number - self._ready.setdefault(each, self.number)
                self.left[port] = max(left, self.left.get(port, 0))
            else:
                self._ready.pop(each, None)
        self._spent = time.thread_time()

    def _take(self, port: int, datagrams: Iterable[bytes]) -> Iterator[bytes]:
        for datagram in datagrams:
            self.taken[port].append(self.number)
            self._ready = {each: n for each, n in self._ready.items() if each.address[1] != port}
            yield datagram
            if port in self.slow:
                _spend(self.slow[port])


def _spend(seconds: float) -> None:
    """Of both clocks."""
    ended, spent = time.monotonic() + seconds, time.thread_time() + seconds
    while time.monotonic() < ended or time.thread_time() < spent:
        pass
