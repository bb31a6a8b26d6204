"""Forgetting greenlets without traced code, so that coverage cannot hang the tests.

Coverage keeps, in each thread it traces, a weak dictionary of the greenlets that ran there.
greenlet frees what an ended thread has left in a pending call of the main thread, where such a
dictionary's callback is called: Python code, and traced. CPython 3.11 handles pending calls at
the start of a traced function, over and over while one is due; and while one is being made, none
is taken off. When another thread ends in that moment, the callback never gets past its first
instruction. Code in C has no such start.
"""

from __future__ import annotations

import weakref
from typing import Any

from greenlet import greenlet

__all__ = ["GreenletKeys", "forget_greenlets_untraced"]


class GreenletKeys(weakref.WeakKeyDictionary[Any, Any]):
    """A weak dictionary that forgets a greenlet without calling Python code."""

    data: dict[weakref.ref[Any], Any]

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, greenlet):
            self.data[weakref.ref(key, self.data.__delitem__)] = value
        else:
            super().__setitem__(key, value)


def forget_greenlets_untraced() -> None:
    """Have weak dictionaries made from now on, coverage's among them, be of this kind."""
    weakref.WeakKeyDictionary = GreenletKeys  # type: ignore[misc]
