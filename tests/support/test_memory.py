"""The bound on memory is one that can be broken."""

from __future__ import annotations

import pytest

from tests.support.memory import MIB, bounded


def test_a_peak_is_seen_after_it_is_over() -> None:
    with pytest.raises(AssertionError, match="grew by"), bounded(16 * MIB):
        bytearray(64 * MIB)


def test_less_than_the_bound_passes() -> None:
    with bounded(64 * MIB):
        bytearray(16 * MIB)
