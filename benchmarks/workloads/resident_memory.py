"""Resident memory of this program."""

from __future__ import annotations

import gc
import os
import resource
import sys
import threading
from types import TracebackType
from typing import Self

__all__ = ["Peak", "resident"]

_EVERY = 0.02  # seconds between two looks


def resident() -> int:
    """Return the bytes resident now; where /proc is missing, the most there ever were."""
    gc.collect()
    return _resident()


def _resident() -> int:
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except FileNotFoundError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


class Peak:
    """The most bytes that were resident while the `with` lasted."""

    def __init__(self) -> None:
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_EVERY):
            self.bytes = max(self.bytes, _resident())
