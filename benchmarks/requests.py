"""Requests per second and CPU per request: threads and greenlets through the pool, beside a bare
sans-IO aioquic loop that keeps as many requests in flight.

    python -m benchmarks.requests [--rounds 5] [--seconds 2] [--connections 1]

One server, in a process of its own, serves them all. Each measurement runs in a fresh process;
they take turns, round after round, so that a noisy machine is noisy for all of them alike. What
is printed is the median over the rounds, and its ratio to the bare loop's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

CALLERS = (1, 20, 50)
KINDS = ("bare", "threads", "greenlets")


class Measured(NamedTuple):
    """One run: requests per second, and CPU microseconds of this side per request."""

    rate: float
    cpu: float


def measure(
    kind: str, port: int, cafile: str, callers: int, seconds: float, limit: int
) -> Measured:
    """Run in this process, for about so many seconds, with one warm-up before."""
    if kind == "bare":
        return _bare(port, cafile, callers, seconds)
    if kind == "greenlets":
        from gevent import monkey

        monkey.patch_all()
    return _pool(kind, port, cafile, callers, seconds, limit)


def _bare(port: int, cafile: str, callers: int, seconds: float) -> Measured:
    from tests.support.bare import BareClient

    with BareClient(port, cafile) as client:
        warm = client.run(500, callers)
        run = client.run(max(200, int(warm.rate * seconds)), callers)
    return Measured(run.rate, run.cpu_seconds / len(run.responses) * 1e6)


def _pool(
    kind: str, port: int, cafile: str, callers: int, seconds: float, connections: int
) -> Measured:
    import quiver

    url = f"https://localhost:{port}/ok"
    rule = {"cafile": cafile, "max_connections": connections, "max_requests_per_connection": None}
    with quiver.Client(pools={"default": rule}) as client:
        _ask_for(kind, callers, 0.3, lambda: client.get(url))
        wall, cpu = time.perf_counter(), time.process_time()
        asked = _ask_for(kind, callers, seconds, lambda: client.get(url))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Measured(asked / wall, cpu / asked * 1e6)


def _ask_for(kind: str, callers: int, seconds: float, ask: Callable[[], object]) -> int:
    """Have `callers` ask one after the other until time is up; how many were answered."""
    counts = [0] * callers
    due = time.perf_counter() + seconds

    def call(caller: int) -> None:
        while time.perf_counter() < due:
            ask()
            counts[caller] += 1

    if kind == "greenlets":
        import gevent

        gevent.joinall([gevent.spawn(call, n) for n in range(callers)], raise_error=True)
    else:
        threads = [threading.Thread(target=call, args=(n,)) for n in range(callers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(counts)


def _in_fresh_process(*arguments: object) -> Measured:
    command = [sys.executable, "-m", "benchmarks.requests", "--one", *map(str, arguments)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return Measured(*json.loads(found.stdout))


def compare(rounds: int, seconds: float, connections: int) -> None:
    """Measure all kinds in turns, and print the table."""
    from quiver.testing import Origin

    results: dict[tuple[str, int], list[Measured]] = {}
    with Origin() as origin:
        for _ in range(rounds):
            for callers in CALLERS:
                for kind in KINDS:
                    run = _in_fresh_process(
                        kind, origin.port, origin.cafile, callers, seconds, connections
                    )
                    results.setdefault((kind, callers), []).append(run)
    _print(results, rounds, connections)


def _print(results: dict[tuple[str, int], list[Measured]], rounds: int, connections: int) -> None:
    print(f"medians of {rounds} rounds, {connections} connection(s), GET of 2 bytes")
    print(f"{'callers':>7} {'kind':>10} {'requests/s':>11} {'CPU us/req':>11} {'of bare':>8}")
    for callers in CALLERS:
        for kind in KINDS:
            runs = results[kind, callers]
            rate = statistics.median(run.rate for run in runs)
            ratio = statistics.median(
                run.rate / base.rate
                for run, base in zip(runs, results["bare", callers], strict=True)
            )
            cpu = statistics.median(run.cpu for run in runs)
            print(f"{callers:>7} {kind:>10} {rate:>11,.0f} {cpu:>11,.0f} {ratio:>8.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of one measurement")
    parser.add_argument("--connections", type=int, default=1, help="that the pool may open")
    parser.add_argument("--one", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is None:
        return compare(given.rounds, given.seconds, given.connections)
    kind, port, cafile, callers, seconds, limit = given.one
    run = measure(kind, int(port), cafile, int(callers), float(seconds), int(limit))
    return print(json.dumps(run))


if __name__ == "__main__":
    main()
