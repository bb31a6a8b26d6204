"""Modules by their former names, which work for one release and warn."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["moved"]


def moved(former: str, now: str, renamed: Mapping[str, str]) -> Callable[[str], Any]:
    """Make the `__getattr__` of a module that is now elsewhere, where some names are others."""

    def find(name: str) -> Any:
        new = renamed.get(name, name)
        module = importlib.import_module(now)
        if new not in module.__all__:
            raise AttributeError(f"module {former!r} has no attribute {name!r}")
        said = f"{former}.{name} is now {now}.{new}"
        warnings.warn(said, DeprecationWarning, stacklevel=2)
        return getattr(module, new)

    return find
