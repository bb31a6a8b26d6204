"""A link keeps its rate, its delay and its queue, and loses what its seed says."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.network.link import HEADERS, Link, LinkConditions

PACKETS = st.lists(
    st.tuples(st.floats(0, 0.01), st.integers(1, 1_472)), min_size=1, max_size=60
)  # seconds after the one before, and bytes
CONDITIONS = st.builds(
    LinkConditions,
    delay=st.floats(0, 0.2),
    rate=st.none() | st.floats(1e4, 1e8),
    queue=st.floats(0, 1e5),
    loss=st.floats(0, 1),
)


def carried(link: Link, packets: list[tuple[float, int]]) -> list[tuple[float, int, float | None]]:
    """When each was sent, how long it is, and when it arrives."""
    now, found = 100.0, []
    for gap, size in packets:
        now += gap
        found.append((now, size, link.carry(size, now)))
    return found


@given(CONDITIONS, PACKETS, st.integers())
def test_packets_keep_order_rate_delay_and_queue(
    conditions: LinkConditions, packets: list[tuple[float, int]], seed: int
) -> None:
    link = Link(conditions, str(seed))
    arrived = [
        (sent, size + HEADERS, at) for sent, size, at in carried(link, packets) if at is not None
    ]
    rate = conditions.rate or math.inf
    for sent, size, at in arrived:
        takes = conditions.delay + size / rate
        assert at - sent >= takes - 1e-6
        assert at - sent <= takes + conditions.queue / rate + 1e-6
    for (_, _, before), (_, size, after) in pairwise(arrived):
        assert after - before >= size / rate - 1e-6
    assert link.carried == len(arrived)
    assert link.carried + link.lost + link.dropped == len(packets)


@given(CONDITIONS, PACKETS, st.integers())
def test_the_same_seed_has_the_same_fate(
    conditions: LinkConditions, packets: list[tuple[float, int]], seed: int
) -> None:
    first, second = (carried(Link(conditions, str(seed)), packets) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("share", [0.001, 0.01, 0.1])
def test_the_share_of_what_is_lost(share: float) -> None:
    """Within five standard deviations of a binomial distribution, and so are losses in a row."""
    count = 100_000
    link = Link(LinkConditions(loss=share), "a seed")
    lost = [link.carry(1_200, 0.0) is None for _ in range(count)]
    for wanted, found in (
        (share, sum(lost)),
        (share * share, sum(both == (True, True) for both in pairwise(lost))),
    ):
        assert abs(found - wanted * count) <= 5 * math.sqrt(count * wanted) + 1


def test_seeds_differ() -> None:
    fates = {
        tuple(link.carry(1, 0.0) is None for _ in range(200))
        for link in (Link(LinkConditions(loss=0.1), f"{seed}") for seed in range(5))
    }
    assert len(fates) == 5


def test_the_tail_of_a_full_queue_is_dropped() -> None:
    link = Link(LinkConditions(rate=1_000.0, queue=2_000.0), "")
    found = [link.carry(1_000 - HEADERS, 5.0) for _ in range(5)]
    assert found == [6.0, 7.0, 8.0, None, None]
    assert link.carry(1_000 - HEADERS, 6.0) == 9.0  # there is room again
    assert (link.carried, link.dropped, link.lost) == (4, 2, 0)
