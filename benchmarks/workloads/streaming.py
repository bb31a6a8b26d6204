"""MB/s down and up, on one stream and on four: `client.stream` from threads, beside a bare sans-IO
aioquic loop.

    python -m benchmarks.workloads.streaming [--rounds 5] [--size 32]

The server is Caddy where it is installed, else the testing origin; it runs in a process of its
own and serves them all. Each measurement runs in a fresh process, with one connection and some
warm-up; they take turns, round after round, so that a noisy machine is noisy for all alike. What
is printed is the median over the rounds, and the median of each round's ratio to the bare loop.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from tests.support.programs.task_memory import MIB, digits

STREAMS: Final = (1, 4)
WAYS: Final = ("down", "up")
KINDS: Final = ("bare", "pool")
WARM_UP: Final = 8 * MIB


class Measured(NamedTuple):
    """One run: megabytes per second, and CPU seconds of this side per 100 megabytes."""

    rate: float
    cpu: float


class Place(NamedTuple):
    """A server, and the paths that serve so many bytes and take a body."""

    url: str
    cafile: str
    down: str
    warm: str
    up: str


def measure(kind: str, way: str, streams: int, size: int, place: Place) -> Measured:
    """Move `size` bytes on each of so many streams, in this process."""
    run = (_bare if kind == "bare" else _pool)(way, place)
    with run as move:
        move(1, place.warm, WARM_UP)
        wall, cpu = time.perf_counter(), time.process_time()
        move(streams, place.down, size)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    moved = streams * size / 1e6
    return Measured(moved / wall, cpu / moved * 100)


Move = Callable[[int, str, int], None]


@contextlib.contextmanager
def _bare(way: str, place: Place) -> Iterator[Move]:
    from tests.support.clients.bare_streams import Flow

    port = int(place.url.rpartition(":")[2])
    with Flow(port, place.cafile) as flow:

        def move(streams: int, path: str, size: int) -> None:
            if way == "down":
                assert flow.down(path, streams) == streams * size
            else:
                flow.up(place.up, streams, lambda: digits(size))

        yield move


@contextlib.contextmanager
def _pool(way: str, place: Place) -> Iterator[Move]:
    import quiver

    rule = {"cafile": place.cafile, "max_connections": 1}
    with quiver.Client(pools={"default": rule}) as client:

        def down(path: str, size: int) -> None:
            with client.stream("GET", place.url + path) as response:
                assert sum(map(len, response)) == size

        def up(_: str, size: int) -> None:
            with client.stream("POST", place.url + place.up, body=digits(size)) as response:
                response.read()
                assert response.status == 200

        def move(streams: int, path: str, size: int) -> None:
            one = down if way == "down" else up
            threads = [threading.Thread(target=one, args=(path, size)) for _ in range(streams)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        yield move


@contextlib.contextmanager
def server(size: int) -> Iterator[Place]:
    """Caddy, or the testing origin."""
    from quiver.testing import Authority, Origin
    from tests.support.servers.independent import Caddy

    with Authority() as authority:
        if shutil.which("caddy"):
            with Caddy(authority) as caddy:
                caddy.add_file("body", size)
                caddy.add_file("warm", WARM_UP)
                yield Place(caddy.url, caddy.cafile, "/body", "/warm", "/sink")
        else:
            with Origin(authority=authority) as origin:
                down, warm = f"/bytes/{size}", f"/bytes/{WARM_UP}"
                yield Place(origin.url, origin.cafile, down, warm, "/digest")


def compare(rounds: int, size: int) -> None:
    """Measure all in turns, and print the table."""
    results: dict[tuple[str, str, int], list[Measured]] = {}
    with server(size) as place:
        for _ in range(rounds):
            for way in WAYS:
                for streams in STREAMS:
                    for kind in KINDS:
                        run = _in_fresh_process(kind, way, streams, size, place)
                        results.setdefault((kind, way, streams), []).append(run)
    _print(results, rounds, size)


def _in_fresh_process(*given: Any) -> Measured:
    command = [sys.executable, "-m", "benchmarks.workloads.streaming", "--one", json.dumps(given)]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Measured(*json.loads(found.stdout))


def _print(results: dict[tuple[str, str, int], list[Measured]], rounds: int, size: int) -> None:
    print(f"medians of {rounds} rounds, {size // MIB} MiB on each stream of one connection")
    print(f"{'way':>5} {'streams':>7} {'kind':>5} {'MB/s':>7} {'CPU s/100 MB':>13} {'of bare':>8}")
    for way in WAYS:
        for streams in STREAMS:
            base = results["bare", way, streams]
            for kind in KINDS:
                runs = results[kind, way, streams]
                rate = statistics.median(run.rate for run in runs)
                cpu = statistics.median(run.cpu for run in runs)
                ratio = statistics.median(
                    run.rate / bare.rate for run, bare in zip(runs, base, strict=True)
                )
                print(f"{way:>5} {streams:>7} {kind:>5} {rate:>7.1f} {cpu:>13.2f} {ratio:>8.0%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", type=int, default=32, help="MiB on each stream")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is None:
        return compare(given.rounds, given.size * MIB)
    kind, way, streams, size, place = json.loads(given.one)
    return print(json.dumps(measure(kind, way, streams, size, Place(*place))))


if __name__ == "__main__":
    main()
