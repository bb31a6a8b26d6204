"""IdlePolicy: when a pool that nobody uses may end; and which, when there are too many."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from quiver.pool.idle_policy import HELD, UNPROVEN, IdlePolicy, surplus

NEVER = -math.inf  # was the table used


def test_a_vacant_pool_ends_so_long_after_its_last_use() -> None:
    idle_policy = IdlePolicy(300.0, now=10.0)
    assert idle_policy.until(NEVER, proven=True) == 310.0
    assert idle_policy.until(50.0, proven=True) == 350.0


def test_one_that_never_had_a_connection_ends_soon() -> None:
    assert IdlePolicy(300.0, now=10.0).until(20.0, proven=False) == 20.0 + UNPROVEN
    assert IdlePolicy(0.1, now=10.0).until(20.0, proven=False) == 20.1


def test_it_stays_while_a_refusal_is_told_without_a_dial() -> None:
    assert IdlePolicy(300.0, now=10.0).until(20.0, proven=False, refused_until=28.0) == 28.0


def test_without_a_limit_it_never_ends() -> None:
    idle_policy = IdlePolicy(None, now=10.0)
    assert idle_policy.until(20.0, proven=False) is None
    assert idle_policy.until(20.0, proven=True) is None


def test_unneeded_it_ends_at_once_unless_it_is_used_again() -> None:
    idle_policy = IdlePolicy(300.0, now=10.0)
    idle_policy.unneeded(30.0, for_good=False)
    assert idle_policy.until(20.0, proven=True) == 20.0
    assert idle_policy.until(31.0, proven=True) == 331.0


def test_unneeded_for_good_it_ends_whenever_it_was_used() -> None:
    for limit in (300.0, None):
        idle_policy = IdlePolicy(limit, now=10.0)
        idle_policy.unneeded(30.0, for_good=True)
        idle_policy.unneeded(31.0, for_good=False)
        assert idle_policy.for_good
        assert idle_policy.until(40.0, proven=True) == 40.0


def test_held_on_to_it_counts_anew() -> None:
    idle_policy = IdlePolicy(300.0, now=10.0)
    idle_policy.put_off(310.0)
    assert idle_policy.until(NEVER, proven=True) == 610.0
    assert idle_policy.used(NEVER) == 310.0


def test_held_on_to_for_good_it_is_looked_at_again_after_a_while() -> None:
    idle_policy = IdlePolicy(None, now=10.0)
    idle_policy.unneeded(30.0, for_good=True)
    idle_policy.put_off(310.0)
    assert idle_policy.until(NEVER, proven=True) == 310.0 + HELD


@given(st.lists(st.floats(0, 100)), st.integers(0, 20))
def test_the_least_recently_used_are_too_many(used: list[float], most: int) -> None:
    idle = list(zip(used, range(len(used)), strict=True))
    gone = surplus(idle, most)
    assert len(gone) == max(0, len(used) - most)
    kept = [used[name] for name in range(len(used)) if name not in gone]
    assert all(used[name] <= each for name in gone for each in kept)
