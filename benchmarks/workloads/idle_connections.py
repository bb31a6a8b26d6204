"""The cost of idle connections to many origins, in CPU and in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import quiver
from benchmarks.workloads.load import Settings
from benchmarks.workloads.resident_memory import resident
from quiver.models import GetConnections

__all__ = ["idle"]

_PING = 20.0  # seconds: servers close what is silent for 30
_SETTLED = 2.0  # seconds after the last request: acknowledgements, session tickets
_PATIENCE = 30.0  # seconds until all are connected


def idle(urls: Sequence[str], settings: Settings, seconds: float) -> dict[str, float]:
    """Percent of one CPU, over `seconds`, and KiB for each connection to each of `urls`.

    Each origin gets `settings.connections`. The first origin is opened before memory is read.
    """
    options = {
        "cafile": settings.cafile,
        "max_connections": settings.connections,
        "idle_timeout": None,
        "keep_alive": _PING,
    }
    with quiver.Client(pools={"default": options}) as client:
        _open(client, urls[:1], settings.connections)
        before = resident()
        _open(client, urls[1:], settings.connections)
        grown = resident() - before
        threading.Event().wait(_SETTLED)
        cpu = time.process_time()
        threading.Event().wait(seconds)
        cpu = time.process_time() - cpu
        live = sum(client.stats(url).connections for url in map(_origin, urls))
    if live != len(urls) * settings.connections:
        raise AssertionError(f"{live} connections live after {seconds} s")
    opened = (len(urls) - 1) * settings.connections
    return {"busy": cpu / seconds * 100, "connection": grown / opened / 1024}


def _open(client: quiver.Client, urls: Sequence[str], connections: int) -> None:
    """Ask until each pool has dialled all it may: each request that arrives opens one more."""
    due = time.monotonic() + _PATIENCE
    for url in urls:
        while client.stats(_origin(url)).idle <= 0 or _connected(client, url) < connections:
            client.get(url)
            if time.monotonic() > due:
                raise AssertionError(f"{url} has {_connected(client, url)} connections")


def _connected(client: quiver.Client, url: str) -> int:
    """Count the connections that are past their handshake."""
    connections = client.pool(_origin(url)).ask(GetConnections())
    return sum(each.state == "connected" for each in connections)


def _origin(url: str) -> str:
    return url.rpartition("/")[0]
