"""Looking at actors from outside: waiting for a condition, making a pool crash."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pykka

from quiver.pool.messages import Exchange, Returned
from quiver.request import Request

__all__ = ["crash", "eventually"]


def eventually(condition: Callable[[], object], what: str, within: float = 10.0) -> None:
    """Wait until `condition()` holds. AssertionError with `what` when it does not in time."""
    due = time.monotonic() + within
    while not condition():
        assert time.monotonic() < due, f"not within {within} s: {what}"
        threading.Event().wait(0.005)


def crash(pool: pykka.ActorRef[Any]) -> None:
    """Make a pool fail of an unexpected exception, and wait until it is dead."""
    exchange = Exchange(0, Request("GET", "/"), None)
    pool.tell(Returned(0, exchange, unused=False))  # without the reply that must come with it
    eventually(lambda: not pool.is_alive(), f"{pool} is dead")
