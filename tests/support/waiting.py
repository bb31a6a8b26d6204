"""Waiting for what another thread, or a server, is about to bring about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["until"]


def until(condition: Callable[[], object], within: float = 5.0) -> None:
    """Return as soon as `condition()` holds; fail when it does not within so many seconds."""
    due = time.monotonic() + within
    while not condition():
        assert time.monotonic() < due, f"not within {within} seconds"
        threading.Event().wait(0.01)
