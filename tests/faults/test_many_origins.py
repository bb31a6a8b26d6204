"""A program that visits many origins once each holds no more after them than after the first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.memory import MIB
from tests.support.programs.many_origins import growth_of

FEW, MANY = 300, 1_500


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is read from /proc")
def test_memory_is_bounded() -> None:
    growth = growth_of(FEW, MANY)
    assert growth.memory <= 8 * MIB
    assert growth.threads <= 0
    assert growth.descriptors <= 16
    assert not growth.actors
    assert not growth.pools
