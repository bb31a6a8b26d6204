"""Whether a soak grows is told by medians: a peak is no growth, a slow leak is one."""

from __future__ import annotations

import csv
from pathlib import Path

import attrs
import pytest

from tests.soak.samples import Sample, csv_of, growths

MIB = 1024 * 1024


def samples(
    rss: list[float], descriptors: list[int] | None = None, threads: list[int] | None = None
) -> list[Sample]:
    """One a second."""
    return [
        Sample(
            seconds=float(second),
            asked=second,
            answered=second,
            errors=0,
            rate=1.0,
            rss=int(size * MIB),
            descriptors=descriptors[second] if descriptors else 20,
            threads=threads[second] if threads else 10,
            greenlets=30,
            connections=2,
            queued=0,
            network="clear",
        )
        for second, size in enumerate(rss)
    ]


def too_much(found: list[Sample], warm_up: float = 0.0) -> list[str]:
    return [growth.column for growth in growths(found, warm_up) if growth.too_much]


def test_steady_memory_with_a_peak_is_no_growth() -> None:
    assert too_much(samples([100.0] * 20 + [150.0] + [100.0] * 9)) == []


def test_growth_while_it_warms_up_does_not_count() -> None:
    rising = [50.0 + second for second in range(50)]
    assert too_much(samples(rising + [100.0] * 30), warm_up=50.0) == []
    assert too_much(samples(rising + [100.0] * 30)) == ["rss"]


@pytest.mark.parametrize(("in_all", "found"), [(0.04, []), (0.12, ["rss"])])
def test_slow_leak(in_all: float, found: list[str]) -> None:
    assert too_much(samples([100 * (1 + in_all * part / 30) for part in range(30)])) == found


def test_descriptors_and_threads_that_pile_up() -> None:
    one_each_second = list(range(30))
    assert too_much(samples([100.0] * 30, descriptors=one_each_second)) == ["descriptors"]
    assert too_much(samples([100.0] * 30, threads=one_each_second)) == ["threads"]


def test_too_few_samples_prove_nothing() -> None:
    ten = samples([100.0] * 10)
    assert growths(ten, warm_up=4.0)
    assert not growths(ten, warm_up=5.0)


def test_csv_has_a_row_for_each_sample(tmp_path: Path) -> None:
    taken = samples([100.0, 101.0])
    with csv_of(tmp_path / "soak.csv") as keep:
        for sample in taken:
            keep(sample)
        with (tmp_path / "soak.csv").open(newline="") as file:  # while the soak still runs
            rows = list(csv.DictReader(file))
    names = [attribute.name for attribute in attrs.fields(Sample)]
    assert [list(row) for row in rows] == [names, names]
    assert [row["rss"] for row in rows] == [str(100 * MIB), str(101 * MIB)]
