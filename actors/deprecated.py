"""Names of the last release, which work for one more and say so."""

from __future__ import annotations

import importlib
import sys
import warnings
from types import ModuleType
from typing import Any, Final

__all__ = ["MovedAttribute", "moved", "offer_moved_modules"]

# Modules by their former names, and where what they held is now.
MODULES: Final = {
    "asking": "handle",
    "machine": "state_machine",
    "signals": "system_messages",
}


def moved(former: str, now: str) -> None:
    """Warn whoever uses `former`, two frames up."""
    warnings.warn(f"{former} is now {now}", DeprecationWarning, stacklevel=3)


class MovedAttribute:
    """An attribute under its former name.

    Not found by the class's `__getattr__`: with one, Python looks up all attributes the long way.
    """

    def __init__(self, now: str) -> None:
        self._now = now

    def __set_name__(self, owner: type, name: str) -> None:
        self._former = name

    def __get__(self, owned: object, owner: type) -> Any:
        if owned is None:
            return self
        moved(f"{owner.__name__}.{self._former}", f"{owner.__name__}.{self._now}")
        return getattr(owned, self._now)


class _Moved(ModuleType):
    """A module under its former name."""

    def __init__(self, former: str, now: str) -> None:
        super().__init__(former, f"Moved to {now}.")
        self.__dict__["_now"] = now

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system's own questions
            raise AttributeError(name)
        now: str = self.__dict__["_now"]
        moved(f"{self.__name__}.{name}", f"{now}.{name}")
        return getattr(importlib.import_module(now), name)


def offer_moved_modules(package: str) -> None:
    """Let `import` find the modules of MODULES under their former names."""
    for former, now in MODULES.items():
        full = f"{package}.{former}"
        module = sys.modules.setdefault(full, _Moved(full, f"{package}.{now}"))
        setattr(sys.modules[package], former, module)  # as an import that loads it would
