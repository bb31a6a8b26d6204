"""The relay in an OS process of its own, so that its work does not hold up the callers'."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Final, Self

from tests.support.network.conditions import CLEAR, Conditions, Direction
from tests.support.network.relay import Relay

__all__ = ["RelayProcess"]

_PATIENCE: Final = 20.0  # seconds for an order


class RelayProcess:
    """As `Relay`, whose orders it passes on. A `with` starts and ends it."""

    def __init__(self, server_port: int, seed: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._orders, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_relay, args=(theirs, server_port, seed), daemon=True)
        self._theirs = theirs
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
        self._order("become", up, down)

    def blackhole(self, *directions: Direction) -> None:
        """Swallow everything until the conditions change."""
        self._order("blackhole", *directions)

    def rebind(self) -> None:
        """Go on from new ports towards the server."""
        self._order("rebind")

    def close_port(self) -> None:
        """Refuse clients, and forget them."""
        self._order("close_port")

    def open_port(self) -> None:
        """Listen again, on the same port."""
        self._order("open_port")

    def _order(self, name: str, *arguments: Any) -> None:
        self._orders.send((name, arguments))
        self._answer()

    def _answer(self) -> Any:
        assert self._orders.poll(_PATIENCE), "the relay hangs"
        return self._orders.recv()


def _relay(orders: Connection[Any, Any], server_port: int, seed: int) -> None:
    os.environ["QUIVER_SEED"] = str(seed)
    with contextlib.redirect_stdout(None):  # whoever gave the seed has printed it
        made = Relay(server_port)
    with made as relay:
        orders.send(relay.url)
        while True:
            try:
                name, arguments = orders.recv()
            except EOFError:
                return
            orders.send(getattr(relay, name)(*arguments))
