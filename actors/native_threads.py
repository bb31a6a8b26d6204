"""The thread primitives of the interpreter itself, also in a monkey-patched program.

What gevent puts in their place tells greenlets apart, not OS threads, and blocks one greenlet
only. A lock of `allocate_lock` blocks the thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import gevent.hub
from gevent.monkey import get_original, is_module_patched


class Lock(Protocol):
    """A lock of the interpreter's."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool: ...

    def release(self) -> None: ...

    def locked(self) -> bool: ...

    def __enter__(self) -> bool: ...

    def __exit__(self, *exc_info: object) -> None: ...


get_ident: Callable[[], int] = get_original("_thread", "get_ident")
allocate_lock: Callable[[], Lock] = get_original("_thread", "allocate_lock")
start_new_thread: Callable[..., int] = get_original("_thread", "start_new_thread")
thread_local: Callable[[], Any] = get_original("_thread", "_local")
sleep: Callable[[float], None] = get_original("time", "sleep")

_WAKE_UP = 50e-6  # seconds that a thread takes to wake up

if not is_module_patched("threading"):
    # It takes the thread that imports it for the main one, whose loop alone handles signals. We are
    # imported by a thread that is started for that, or by the first one that asks.
    gevent.hub.MAIN_THREAD_IDENT = threading.main_thread().ident  # type: ignore[attr-defined]


def start_thread(run: Callable[..., object], name: str, *args: object) -> None:
    """Run `run(*args)` in an OS thread, a daemon, also in a patched program."""
    if is_module_patched("threading"):  # what it calls a thread is a greenlet
        start_new_thread(run, args)
    else:
        threading.Thread(target=run, name=name, args=args, daemon=True).start()


def let_threads_run() -> None:
    """Let threads that wait for the interpreter's lock have it.

    To be called by a loop that computes for milliseconds between its system calls. Each of these
    frees the lock for a moment that is too short for a thread that has to wake up first, and lets
    it begin its wait anew, so that it never gets to demand the lock (after 5 ms).
    """
    sleep(_WAKE_UP)
