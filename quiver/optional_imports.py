"""Imports of what an extra of the distribution brings, with advice where it is missing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["extra"]


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import within the `with` what this extra brings.

    Raises:
        ModuleNotFoundError: something is not installed; the message says how to install it. Or a
            file of the program's has its name, and is no package, as Python says then.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        there = sys.modules.get(str(missing.name).partition(".")[0])
        if there is not None and not hasattr(there, "__path__"):  # a `requests.py`, say
            raise
        advice = f"{missing.name} is not installed: pip install 'quiver-http3[{name}]'"
        raise ModuleNotFoundError(advice, name=missing.name) from None
