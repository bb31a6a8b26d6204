"""Waiting for what another thread, or a server, is about to bring about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["until"]

PAUSE = 0.005  # seconds between two looks
LONG = 60.0  # seconds: it ends what hangs, and a machine with much other work is no hang


def until(condition: Callable[[], object], *, within: float = LONG, what: str = "it") -> None:
    """Return as soon as `condition()` holds.

    Raises AssertionError, which tells `what` was waited for, after so many seconds.
    """
    due = time.monotonic() + within
    while not condition():
        assert time.monotonic() < due, f"{what} did not come to hold within {within} s"
        threading.Event().wait(PAUSE)
