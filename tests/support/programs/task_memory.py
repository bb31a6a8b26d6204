"""What a task costs in memory, measured in a process of its own.

    python -m tests.support.programs.task_memory TASK ARGUMENT...

A task returns a value as JSON has it; it is printed with the bytes by which the process was larger
at its largest than before the task, with everything imported and connected.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import quiver

__all__ = ["MIB", "Cost", "cost_of"]

MIB: Final = 1024 * 1024
_PIECE: Final = 65_536


class Cost(NamedTuple):
    """What the task returned, and the growth of its process in bytes."""

    value: Any
    growth: int


def cost_of(task: str, *arguments: str) -> Cost:
    """Run a task of this file in a fresh process."""
    command = [sys.executable, "-m", "tests.support.programs.task_memory", task, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return Cost(*json.loads(done.stdout))


def _resident(name: str) -> int:
    """From proc(5); the largest size that getrusage knows is that of the parent, before exec."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


# tasks ------------------------------------------------------------------------------------------


def download(client: quiver.Client, url: str, path: str) -> object:
    """Size and SHA-256 of a body."""
    digest, size = hashlib.sha256(), 0
    with client.stream("GET", url + path) as response:
        for piece in response:
            digest.update(piece)
            size += len(piece)
    return [size, digest.hexdigest()]


def upload(client: quiver.Client, url: str, path: str, size: str) -> object:
    """Status, and size and SHA-256 of what comes back for a body of so many digits."""
    digest, total = hashlib.sha256(), 0
    with client.stream("POST", url + path, body=digits(int(size))) as response:
        for piece in response:
            digest.update(piece)
            total += len(piece)
    return [response.status, total, digest.hexdigest()]


def digits(size: int) -> Iterator[bytes]:
    """Text, since not every server echoes any byte; each piece is another."""
    for start in range(0, size, _PIECE):
        piece = (b"%015d," % start) * (_PIECE // 16)
        yield piece[: size - start]


def slow_reader(client: quiver.Client, url: str, path: str, requests: str) -> object:
    """Medians of small requests, in milliseconds, of the best block without a slow reader and with.

    The best of ten: what the machine has to do besides slows some of them, but a reader that others
    had to wait for would slow all that are beside it. It takes 1 MiB a second of a body that the
    blocks outlast.
    """
    _block(client, url, 50)
    without: list[float] = []
    beside: list[float] = []
    blocks = 10
    count = int(requests) // blocks
    response = client.stream("GET", url + path)
    pace = _Pace(response)
    for _ in range(blocks):
        without.append(_block(client, url, count))
        with pace:
            beside.append(_block(client, url, count))
    response.close()
    return [min(without), min(beside), pace.taken]


class _Pace:
    """Reads 1 MiB a second in a thread of its own while the `with` lasts."""

    def __init__(self, response: quiver.StreamedResponse) -> None:
        self.taken = 0
        self._response = response
        self._over = threading.Event()
        self._thread = threading.Thread()

    def __enter__(self) -> None:
        self._over.clear()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._over.is_set():  # first: a block may be over in less than that pause
            self.taken += len(self._response.read(MIB // 16))
            self._over.wait(1 / 16)


def _block(client: quiver.Client, url: str, count: int) -> float:
    times = []
    for _ in range(count):
        started = time.perf_counter()
        assert client.get(url + "/small").body == b"ok"
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


_TASKS: Final[dict[str, Callable[..., object]]] = {
    "download": download,
    "upload": upload,
    "slow_reader": slow_reader,
}


def main(task: str, url: str, cafile: str, *arguments: str) -> None:
    rule = {
        "cafile": cafile,
        "max_connections": 1,
        "max_requests_per_connection": None,
        "receive_window_max": 4 * MIB,  # what a reader on a slow machine may be behind
    }
    with quiver.Client(pools={"default": rule}) as client:
        for _ in range(20):
            client.get(url + "/small")
        before = _resident("VmRSS")
        value = _TASKS[task](client, url, *arguments)
        print(json.dumps([value, _resident("VmHWM") - before]))


if __name__ == "__main__":
    main(*sys.argv[1:])
