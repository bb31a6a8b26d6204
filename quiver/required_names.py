"""Whether names of another library that are not documented are there, and are what they should be.

A table says for each place, a module or an object as it is when new, which names it must have, and
what each must be: a type, or the parameters of a function. A dotted name is looked up step by step.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Names", "missing"]

Names = Mapping[str, type | tuple[str, ...]]


def missing(
    table: Mapping[str, Names], new: Mapping[str, Callable[[], Any]] | None = None
) -> list[str]:
    """List what is not there, or is not what it should be.

    Args:
        table: names by place.
        new: how to make each place that is no module.

    Raises:
        MemoryError, OSError: the process has too little left to look; nothing is known then.
    """
    made = new or {}
    places: dict[str, Any] = {}
    return [
        f"{name} of {place}"
        for place, names in table.items()
        for name, expected in names.items()
        if not _is_there(places, made, place, name, expected)
    ]


def _is_there(
    places: dict[str, Any],
    made: Mapping[str, Callable[[], Any]],
    place: str,
    name: str,
    expected: type | tuple[str, ...],
) -> bool:
    try:
        if place not in places:
            places[place] = made[place]() if place in made else importlib.import_module(place)
        found = places[place]
        for step in name.split("."):
            found = getattr(found, step)
    except (MemoryError, OSError):  # they tell of the process, not of the library
        raise
    except Exception:  # noqa: BLE001 - whatever it is, it is not there
        return False
    if isinstance(expected, tuple):
        code = getattr(found, "__code__", None)
        return code is not None and code.co_varnames[: code.co_argcount] == expected
    return isinstance(found, expected)
