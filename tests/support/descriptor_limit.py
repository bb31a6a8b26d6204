"""A process that has as many file descriptors left as a test wants."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def none_left() -> Iterator[None]:
    """No descriptor is left to this process meanwhile."""
    with left(0):
        yield


@contextlib.contextmanager
def left(count: int) -> Iterator[None]:
    """So many descriptors are left to this process meanwhile."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(count + 1)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, limits[1]))
    try:
        with contextlib.suppress(OSError):  # those below the highest that are free
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        for descriptor in sorted(held)[len(held) - count :]:
            os.close(descriptor)
            held.remove(descriptor)
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in held:
            os.close(descriptor)
