"""Waiting for a condition, with a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["eventually"]


def eventually(met: Callable[[], object], within: float = 5.0) -> None:
    """Return as soon as `met()` is true; fail after `within` seconds."""
    due = time.monotonic() + within
    while not met():
        assert time.monotonic() < due, f"not within {within} seconds"
        threading.Event().wait(0.005)
