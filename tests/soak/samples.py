"""What a soak looks like every few seconds, and whether it grows."""

from __future__ import annotations

import contextlib
import csv
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

import attrs

__all__ = ["Growth", "Sample", "csv_of", "growths"]


@attrs.frozen
class Sample:
    """The program at one moment. Seconds since the start, asks since the start, bytes."""

    seconds: float
    asked: int
    answered: int
    errors: int
    rate: float  # asks that ended per second, since the sample before
    rss: int
    descriptors: int
    threads: int
    greenlets: int
    connections: int
    queued: int
    network: str


@attrs.frozen
class Growth:
    """The median of a column in the first third and in the last, after warm-up."""

    column: str
    before: float
    after: float
    most: float  # that `after` may be

    @classmethod
    def of(cls, samples: list[Sample], column: str, allowed: Callable[[float], float]) -> Self:
        values = [getattr(sample, column) for sample in samples]
        third = max(1, len(values) // 3)
        before, after = statistics.median(values[:third]), statistics.median(values[-third:])
        return cls(column, before, after, allowed(before))

    @property
    def too_much(self) -> bool:
        return self.after > self.most

    def __str__(self) -> str:
        return f"{self.column} {self.before:,.0f} -> {self.after:,.0f} (at most {self.most:,.0f})"


ENOUGH: Final = 6  # samples, two in each third


def growths(samples: list[Sample], warm_up: float, room: int = 4) -> list[Growth]:
    """How memory and what else is held has changed from `warm_up` (seconds) on.

    Nothing when there are too few samples to tell. There may be `room` descriptors, threads or
    greenlets more: those of a connection more or less at the time.
    """
    warm = [sample for sample in samples if sample.seconds >= warm_up]
    if len(warm) < ENOUGH:
        return []
    held = ("descriptors", "threads", "greenlets")
    return [
        Growth.of(warm, "rss", lambda before: before * 1.05),
        *(Growth.of(warm, name, lambda before: before + room) for name in held),
    ]


@contextlib.contextmanager
def csv_of(path: Path) -> Iterator[Callable[[Sample], None]]:
    """A file of samples, each written as it comes."""
    with path.open("w", newline="", buffering=1) as file:
        rows = csv.writer(file)
        rows.writerow([attribute.name for attribute in attrs.fields(Sample)])
        yield lambda sample: rows.writerow(attrs.astuple(sample))
