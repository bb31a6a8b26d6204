"""Where a first request goes: each step is met, and the rows add up to the whole."""

from __future__ import annotations

import pytest

from benchmarks.workloads.first_request import IMPORTS, STEPS, WAITING, measure, middle, report
from quiver.testing import Origin


def test_each_step_is_met(origin: Origin) -> None:
    """Else a function was renamed, or its step is no longer gone through: the table would lie."""
    (found,) = measure(origin.cafile, origin.url + "/ok", 1)
    missed = [step for step in (*IMPORTS, *STEPS) if not found.get(step, 0.0) > 0.0]
    assert missed == []


def test_the_rows_add_up() -> None:
    steps = dict.fromkeys([*IMPORTS, *STEPS], 1.0)
    programs = [{**steps, WAITING: 2.0, "the socket": cpu} for cpu in (1.0, 2.0, 4.0, 90.0)]
    rows = middle(programs)
    assert rows["the socket"] == pytest.approx(3.0), "neither the fastest nor the slowest count"
    table = report(rows)
    assert f"| **imports** | **{len(IMPORTS):.2f}** | 100% |" in table
    cpu = len(STEPS) - 1 + 3.0
    assert f"| **the first request** | **{cpu:.2f}** | 100% |" in table
    assert f"| the socket | 3.00 | {3.0 / cpu:.1%} |" in table
    assert table.endswith(f"| {WAITING} | +2.00 | |")
