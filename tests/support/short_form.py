"""What `make test` takes of much that is alike: a share of it. `make check` takes it all.

The profile of hypothesis says which of the two it is: `quiver` is the short form, `long` the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeVar

import pytest
from hypothesis import settings

__all__ = ["cases", "examples", "some", "thin_out"]

_T = TypeVar("_T")


def examples(whole: int) -> int:
    """So many in the long form, fewer in the short one."""
    assert settings.default is not None
    return whole * settings.default.max_examples // 100


def some(of: Iterable[_T], turn: int) -> list[_T]:
    """All in the long form, a share of them in the short one: another with each turn."""
    every = 100 // examples(100)
    return list(of)[turn % every :: every]


def cases(*short: tuple[object, ...], long: Iterable[tuple[object, ...]] = ()) -> list[Any]:
    """Parameters of a test: those of both forms, and those of the long one only."""
    longer = (pytest.param(*each, marks=pytest.mark.long) for each in long)
    return [*(pytest.param(*each) for each in short), *longer]


def thin_out(items: Iterable[pytest.Item]) -> None:
    """Mark as long all but one in `n` of the parameters of each test that is marked `one_in(n)`."""
    seen: Counter[tuple[object, ...]] = Counter()
    for item in items:
        if (share := item.get_closest_marker("one_in")) is None:
            continue
        test = item.path, item.getparent(pytest.Class), getattr(item, "originalname", item.name)
        if seen[test] % share.args[0]:
            item.add_marker(pytest.mark.long)
        seen[test] += 1
