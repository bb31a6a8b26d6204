"""The demo's load through a pool of the usual style, for comparison.

A queue of connections, each lent to one request at a time. It is made of our own parts: a pool with
one stream slot on each connection is just that, so what differs is the streams alone.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence

import quiver
from quiver.cli.worker_threads import WorkerThreads
from quiver.testing import Origin

__all__ = ["checkout_style_rate"]


def checkout_style_rate(
    origin: Origin, paths: Sequence[str], *, callers: int, connections: int, seconds: float
) -> float:
    """Return the answers per second of so many threads in so many seconds, or a few more.

    Raises QuiverError: of the first request that failed.
    """
    over, threads = threading.Event(), WorkerThreads()
    targets = itertools.cycle(paths)
    answered: list[None] = []
    with quiver.Client(
        name="checkout-style",
        trust_env=False,
        cafile=origin.cafile,
        max_connections=connections,
        max_streams_per_connection=1,
        checkout_timeout=None,
    ) as client:

        def call() -> None:
            while not over.is_set():
                client.get(origin.url + next(targets))
                answered.append(None)

        started = time.monotonic()
        try:
            threads.start([call] * callers)
            threads.wait(seconds)
        finally:
            over.set()
            threads.finish()
        return len(answered) / (time.monotonic() - started)
