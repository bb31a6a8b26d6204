"""First requests of new connections: by a full handshake, a resumed session, and as early data.

A program makes connections of the three kinds in turns, so that a noisy moment is noisy for all of
them, and forgets the first of each: it fills caches, and brings the ticket that the next one is
resumed by. Everything but the connection is there before: the pool, the roots, the loop's thread.
So what they differ by is the handshake.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import attrs

from benchmarks.clients.registry import find
from benchmarks.workloads.load import SESSIONS, FirstRequest, Load, Session, Settings
from benchmarks.workloads.paths import Path, through
from tests.support.network.long_path import LongPath

__all__ = ["first_requests"]

_NEAR, _FAR = 60, 10  # connections of each kind: over loopback, and over a path


def first_requests(trip: int, client: str, settings: Settings, load: Load) -> dict[str, float]:
    """Milliseconds, round trips and CPU of a first request, by session: medians.

    Args:
        trip: milliseconds of a round trip; 0 is loopback as it is, where none are counted.
    """
    adapter: Any = find(client).make()(settings)
    taken: dict[Session, list[FirstRequest]] = {session: [] for session in SESSIONS}
    with _at_a_distance(trip, load) as far:
        for turn in range(1 + (_FAR if trip else _NEAR)):
            for session in SESSIONS:
                sample = adapter.begin_anew(session, far, bool(turn))
                if turn:
                    taken[session].append(sample)
        adapter.close()
    return _figures(trip, taken)


@contextlib.contextmanager
def _at_a_distance(trip: int, load: Load) -> Iterator[Load]:
    """The load over a path of that round trip, without loss."""
    if not trip:
        yield load
        return
    (url,) = load.urls
    with LongPath(urlsplit(url).port or 443, Path(trip, 0).conditions) as path:
        yield attrs.evolve(load, urls=(through(url, path.port),))


def _figures(trip: int, taken: dict[Session, list[FirstRequest]]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for session, requests in taken.items():
        figures[session] = statistics.median(each.seconds for each in requests) * 1e3
        if trip:
            figures[f"trips-{session}"] = figures[session] / trip
        for name in ("cpu", "handshake"):
            cpu = statistics.median(getattr(each, name) for each in requests) * 1e3
            whole = figures[f"{name}-full"] if session != "full" else 1.0
            figures[f"{name}-{session}"] = cpu / whole
    return figures
