"""Latencies corrected for coordinated omission, and percentiles, against simple models."""

from __future__ import annotations

import heapq
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.cli.latency import SHARES, Timing, due, percentile, summary_of

seconds = st.floats(0, 10, allow_nan=False)
rates = st.floats(0.1, 1e5)


def run(services: list[float], rate: float, callers: int) -> list[Timing]:
    """What a load of so many callers meets, when answer number n takes `services[n]`."""
    free = [0.0] * callers
    timings = []
    for turn, service in enumerate(services):
        wanted = due(turn, rate)
        sent = max(wanted, heapq.heappop(free))
        heapq.heappush(free, sent + service)
        timings.append(Timing(wanted, sent, sent + service))
    return timings


@given(st.lists(seconds, min_size=1, max_size=50), rates)
def test_one_caller_meets_a_queue(services: list[float], rate: float) -> None:
    """Lindley's recursion says how long each would wait who comes at the rate."""
    wait = 0.0
    for timing, service in zip(run(services, rate, 1), services, strict=True):
        assert timing.service == pytest.approx(service, abs=1e-6)
        assert timing.corrected == pytest.approx(wait + service, abs=1e-6)
        wait = max(0.0, wait + service - 1 / rate)


@given(st.lists(seconds, min_size=1, max_size=50), rates, st.integers(1, 5))
def test_correction_never_flatters(services: list[float], rate: float, callers: int) -> None:
    for timing in run(services, rate, callers):
        assert timing.corrected >= timing.service


@given(st.lists(seconds, min_size=1, max_size=20), rates)
def test_with_callers_enough_there_is_nothing_to_correct(
    services: list[float], rate: float
) -> None:
    for timing in run(services, rate, len(services)):
        assert timing.corrected == timing.service


def test_a_stall_is_met_by_all_who_would_have_come() -> None:
    """100 a second, one stall of a second: one slow answer as sent, a hundred as due."""
    services = [0.001] * 100 + [1.0] + [0.001] * 300
    timings = run(services, 100, 1)
    assert sum(timing.service > 0.1 for timing in timings) == 1
    assert 90 <= sum(timing.corrected > 0.1 for timing in timings) <= 110
    assert percentile(sorted(t.service for t in timings), 90) == pytest.approx(0.001)
    assert percentile(sorted(t.corrected for t in timings), 90) > 0.5


@given(st.integers(0, 10**6), rates)
def test_requests_are_due_at_the_rate(turn: int, rate: float) -> None:
    assert due(0, rate) == 0
    assert due(turn + 1, rate) - due(turn, rate) == pytest.approx(1 / rate, rel=1e-3)


@given(st.lists(seconds, min_size=2), st.integers(1, 99))
def test_percentiles_are_those_of_the_standard_library(values: list[float], share: int) -> None:
    expected = statistics.quantiles(values, n=100, method="inclusive")[share - 1]
    assert percentile(sorted(values), share) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("latencies", "share", "expected"),
    [([], 50, 0.0), ([0.3], 99, 0.3), ([0.1, 0.2, 0.3], 50, 0.2), ([1.0, 3.0], 99.9, 2.998)],
)
def test_percentiles(latencies: list[float], share: float, expected: float) -> None:
    assert percentile(latencies, share) == pytest.approx(expected)


@given(st.lists(seconds, max_size=50))
def test_a_summary_is_in_order(values: list[float]) -> None:
    summary = summary_of(sorted(values))
    places = [summary.least, *(latency for _, latency in summary.shares), summary.most]
    assert places == sorted(places)
    assert tuple(share for share, _ in summary.shares) == SHARES
    assert summary.mean == pytest.approx(statistics.fmean(values) if values else 0.0)
