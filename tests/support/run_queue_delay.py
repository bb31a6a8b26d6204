"""How long the machine kept a thread from running: a limit in milliseconds holds beyond that."""

from __future__ import annotations

import threading
from pathlib import Path

__all__ = ["run_queue_delay"]


def run_queue_delay(thread: int | None = None) -> float:
    """Seconds that a thread was ready to run so far, while other programs had the cores.

    By its native id; None is the calling one. Waiting for Python's interpreter is not counted.
    See proc(5) on schedstat; where Linux's /proc is missing it is 0.
    """
    native = threading.get_native_id() if thread is None else thread
    try:
        _, nanoseconds, _ = Path(f"/proc/self/task/{native}/schedstat").read_text().split()
    except OSError:
        return 0.0
    return int(nanoseconds) / 1e9
