"""The relays in an OS process of their own, so that their work does not hold up the callers'."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Literal, Self

from tests.support.network.conditions import CLEAR, Conditions, Direction
from tests.support.network.relay import Relay
from tests.support.network.tcp_relay import TcpRelay
from tests.support.servers.independent import free_port

__all__ = ["RelayProcess", "TcpOrders"]

_PATIENCE: Final = 20.0  # seconds for an order
_UDP: Final = 0
_TCP: Final = 1


class RelayProcess:
    """As `Relay`, whose orders it passes on. A `with` starts and ends it.

    Args:
        tcp: whether there is one for TCP as well, at the same port.

    Attributes:
        tcp: its orders.
    """

    def __init__(self, server_port: int, seed: int, *, tcp: bool = False) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._orders, theirs = spawn.Pipe()
        given = (theirs, server_port, seed, tcp)
        self._process = spawn.Process(target=_relay, args=given, daemon=True)
        self._theirs = theirs
        self.tcp = TcpOrders(self)
        self.url = ""

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        self.url = self._answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._orders.close()  # which ends it
        self._process.join(_PATIENCE)
        assert self._process.exitcode == 0, f"the relay ended with {self._process.exitcode}"
        self._process.close()

    def become(self, up: Conditions = CLEAR, down: Conditions = CLEAR) -> None:
        """Change the conditions altogether; without arguments nothing is lost or late."""
        self.order(_UDP, "become", up, down)

    def blackhole(self, *directions: Direction) -> None:
        """Swallow everything until the conditions change."""
        self.order(_UDP, "blackhole", *directions)

    def rebind(self) -> None:
        """Go on from new ports towards the server."""
        self.order(_UDP, "rebind")

    def close_port(self) -> None:
        """Refuse clients, and forget them."""
        self.order(_UDP, "close_port")

    def open_port(self) -> None:
        """Listen again, on the same port."""
        self.order(_UDP, "open_port")

    def order(self, relay: int, name: str, *arguments: Any) -> None:
        """Have one of them carry out a method."""
        self._orders.send((relay, name, arguments))
        self._answer()

    def _answer(self) -> Any:
        assert self._orders.poll(_PATIENCE), "the relay hangs"
        return self._orders.recv()


class TcpOrders:
    """Those that `TcpRelay` has for all of its connections at once."""

    def __init__(self, process: RelayProcess) -> None:
        self._process = process

    def cut(self, way: Literal["close", "reset"] = "close") -> None:
        self._process.order(_TCP, "cut", way)

    def pause(self) -> None:
        self._process.order(_TCP, "pause")

    def resume(self) -> None:
        self._process.order(_TCP, "resume")

    def close_port(self) -> None:
        self._process.order(_TCP, "close_port")

    def open_port(self) -> None:
        self._process.order(_TCP, "open_port")


def _relay(orders: Connection[Any, Any], server_port: int, seed: int, tcp: bool) -> None:
    os.environ["QUIVER_SEED"] = str(seed)
    port = free_port() if tcp else 0
    with contextlib.redirect_stdout(None):  # whoever gave the seed has printed it
        made = Relay(server_port, port)
    with made as relay, TcpRelay(server_port, port) if tcp else contextlib.nullcontext() as other:
        orders.send(relay.url)
        while True:
            try:
                number, name, arguments = orders.recv()
            except EOFError:
                return
            orders.send(getattr((relay, other)[number], name)(*arguments))
