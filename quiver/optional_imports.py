"""Imports of what an extra of the distribution brings, with advice where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["extra"]


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import within the `with` what this extra brings.

    Raises:
        ModuleNotFoundError: something is not installed; the message says how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        advice = f"{missing.name} is not installed: pip install 'quiver-http3[{name}]'"
        raise ModuleNotFoundError(advice, name=missing.name) from None
