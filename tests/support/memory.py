"""How much memory the program has needed at most, Python's and C's; and what frees it."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

MIB: Final = 1024 * 1024
_RESET_PEAK: Final = "5"  # proc(5), /proc/pid/clear_refs


@contextlib.contextmanager
def bounded(most: int, *, collect: bool = True) -> Iterator[None]:
    """Fails when the resident set grew by more than `most` bytes at any moment within.

    The servers of the test's process count too. `collect` the garbage of others first, or it may
    make room for what is to be measured; it takes some 50 ms. Where Linux's /proc is missing,
    the test is skipped.
    """
    if collect:
        gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK)
        before = resident()
    except OSError:
        pytest.skip("peak memory is read from /proc")
    yield
    grown = resident("VmHWM") - before
    assert grown <= most, f"grew by {grown / MIB:.1f} MiB, more than {most / MIB:.1f}"


def resident(name: str = "VmRSS") -> int:
    """Bytes of this program's memory that are in RAM now; `VmHWM` for the peak. See proc(5)."""
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(name + ":"))
    return int(line.split()[1]) * 1024


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """What is freed within is freed without the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
