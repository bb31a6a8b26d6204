"""What a client holds that has visited many origins, in a process of its own.

    python -m tests.support.programs.many_origins FEW MANY

Visits FEW origins at which nobody listens and then MANY more, each once, and prints as JSON what
it holds more of after the second than after the first; memory at its peak. In a process of its own
as coverage keeps some 5 KiB for every greenlet that has ever run.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from pathlib import Path
from typing import NamedTuple

import quiver
from tests.support.actors import Newcomers
from tests.support.memory import resident
from tests.support.programs.runner import run_program
from tests.support.waiting import until

__all__ = ["Growth", "growth_of"]

_RESET_PEAK = "5"  # see proc(5), clear_refs


class Growth(NamedTuple):
    """What there is more of; `actors` and `pools` are those left when all have had their time."""

    memory: int  # bytes
    threads: int
    descriptors: int
    actors: int
    pools: int


def growth_of(few: int, many: int) -> Growth:
    """Run it."""
    printed = run_program("-m", __spec__.name, str(few), str(many), timeout=250.0)
    return Growth(*json.loads(printed))


def _visit(client: quiver.Client, first: int, count: int) -> None:
    for number in range(first, first + count):
        host = f"127.{1 + number // 60_000}.{number // 250 % 240}.{number % 250}"
        try:
            client.get(f"https://{host}:9/")
        except quiver.ConnectionRefused:
            continue
        raise AssertionError(f"{host} has answered")


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _main(few: int, many: int) -> None:
    new = Newcomers()
    with quiver.Client() as client:
        _visit(client, 1, few)
        gc.collect()
        threads, opened = threading.active_count(), _descriptors()
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
        before = resident()
        _visit(client, 1 + few, many)
        memory = resident("VmHWM") - before
        threads, opened = threading.active_count() - threads, _descriptors() - opened
        until(lambda: not new)
        gc.collect()
        manager = client._manager
        pools = len(manager._registry._refs) + len(manager._client_pools)
        print(json.dumps(Growth(memory, threads, opened, new.count(), pools)))


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]))
