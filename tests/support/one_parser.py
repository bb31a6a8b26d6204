"""Parsing by one thread at a time, so that no test's report is lost to another's traceback.

CPython before 3.11.8 counts in one place for all threads how deep it is in a syntax tree. Of two
that make one at a time, one raises SystemError: it takes no more than a collection that runs Python
code (Hypothesis has some) amid a tree. Every traceback that is told is parsed, those of the loop's
log as well; and a SystemError in pytest's report, as of a failure that is expected, ends the run.
"""

from __future__ import annotations

import ast
import functools
import os
import threading
from typing import Any, Final

__all__ = ["parse_one_at_a_time"]

_parse: Final = ast.parse
_lock = threading.RLock()  # a thread may come to it again by the collector, amid its own tree


@functools.wraps(_parse)
def _parse_alone(*args: Any, **kwargs: Any) -> Any:
    with _lock:
        return _parse(*args, **kwargs)


def _renew() -> None:
    global _lock
    _lock = threading.RLock()


def parse_one_at_a_time() -> None:
    """Have all of this process parse so from now on: `traceback`, pytest and Hypothesis too."""
    ast.parse = _parse_alone
    os.register_at_fork(after_in_child=_renew)
