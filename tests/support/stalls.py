"""How long the machine stands still by itself: a limit in milliseconds holds beyond that."""

from __future__ import annotations

import subprocess
import sys
from types import TracebackType
from typing import Self

__all__ = ["Stalls"]

_WATCH = """
import select, sys, time
longest = 0.0
while True:
    before = time.monotonic()
    if select.select([sys.stdin], [], [], 0.005)[0]:
        break
    longest = max(longest, time.monotonic() - before - 0.005)
print(longest)
"""


class Stalls:
    """Measures, in a process of its own, for the length of the `with`.

    `longest` are the seconds by which a process that only sleeps was woken too late, at the most:
    other programs had the cores, or the container had used up its share.
    """

    longest: float

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WATCH],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        said, _ = self._process.communicate(timeout=10.0)
        self.longest = float(said)
