"""What was read from files: kept in memory, read again when one of them has changed, never lost.

A file may be away for a moment while it is replaced, or there may be no descriptor left for it:
that must cost nobody anything who has read it once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

__all__ = ["CACHE_SIZE", "FileCache"]

T = TypeVar("T")

CACHE_SIZE: Final = 32
"""Of one kind, used last, that outlive the pools which use them; public roots take 0.2 to 1 MiB."""


class FileCache(Generic[T]):
    """What `read` makes of the files at `paths`.

    Raises:
        OSError, ValueError: what `read` raises the first time.
    """

    def __init__(self, paths: Sequence[str], read: Callable[[], T]) -> None:
        self.paths = paths
        self._read = read
        self._look = self._look_at()
        self._value = read()

    @property
    def value(self) -> T:
        """As the files are now; while they cannot be read, as they were."""
        try:
            look = self._look_at()
            if look != self._look:
                self._value = self._read()
                self._look = look
        except (OSError, ValueError):
            pass  # looked at again next time: it may be in the middle of being replaced
        return self._value

    def _look_at(self) -> list[tuple[int, ...]]:
        """What tells one state of the files from another."""
        found = map(os.stat, self.paths)
        return [(each.st_dev, each.st_ino, each.st_size, each.st_mtime_ns) for each in found]
