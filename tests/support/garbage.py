"""Garbage collection that ends, also where a tracer (coverage) watches and threads have just ended.

greenlet frees what it held for an ended thread in a pending call of the main thread. CPython 3.11
handles pending calls at the start of a traced function, over and over while one is due; and while
one is being made, none is taken off. So a traced function that is called from within a pending
call, such as the callback of coverage's own weak references to greenlets, never gets past its
first instruction when another thread ends in that moment. A collection, for which all those
threads have waited, is when that happens.
"""

from __future__ import annotations

import gc
import sys

__all__ = ["collect_garbage"]


def collect_garbage() -> None:
    """Collect all garbage, without the calling thread's tracer."""
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        gc.collect()
    finally:
        sys.settrace(tracer)
