from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.report.markdown import fill
from benchmarks.report.results import Results, Spread, about
from benchmarks.report.table import grid, grids, number, remarks
from benchmarks.report.targets import TARGETS, needed
from benchmarks.workloads.measures import find


def measured(**rates: list[float | None]) -> Results:
    """A rate for each round of each client, at 50 callers."""
    results = Results(about(server="caddy", rounds=3, seconds=1.0))
    for client, values in rates.items():
        for value in values:
            name = client.replace("_", "-")
            if value is None:
                results.fail("rate", name, 50, "no luck")
            else:
                figures = {"rate": value, "cpu": 1e6 / value, "p50": 1, "p99": 1, "p99.9": 1}
                results.add("rate", name, 50, figures)
    return results


def test_a_spread_has_the_median_and_both_ends() -> None:
    assert Spread.of([3.0, 1.0, 8.0]) == Spread(3.0, 1.0, 8.0)
    assert Spread.of([]) is None


def test_ratios_are_of_the_same_round() -> None:
    results = measured(quiver_threads=[100.0, 10.0, 40.0], bare=[200.0, 20.0, 10.0])
    assert results.ratio("rate", "quiver-threads", ["bare"], 50, "rate") == Spread(0.5, 0.5, 4.0)


def test_a_ratio_is_to_the_best_of_each_round() -> None:
    results = measured(bare=[60.0, 60.0], one=[20.0, 30.0], two=[30.0, 10.0])
    assert results.ratio("rate", "bare", ["one", "two"], 50, "rate") == Spread(2.0, 2.0, 2.0)
    least = results.ratio("rate", "bare", ["one", "two"], 50, "rate", best=min)
    assert least == Spread(4.5, 3.0, 6.0)


def test_a_failed_round_takes_part_in_no_ratio() -> None:
    results = measured(quiver_threads=[100.0, None, 40.0], bare=[200.0, 20.0, None])
    assert results.ratio("rate", "quiver-threads", ["bare"], 50, "rate") == Spread(0.5, 0.5, 0.5)
    assert list(remarks(results)) == [
        "rate quiver-threads 50 failed in 1 of 3 rounds: no luck",
        "rate bare 50 failed in 1 of 3 rounds: no luck",
    ]


def test_who_is_absent_stands_in_the_table() -> None:
    results = measured(quiver_threads=[100.0], bare=[200.0])
    results.absent["niquests-threads"] = "niquests not installed"
    (grid,) = grids(results)
    rows = {row[1]: row for row in grid.rows}
    assert rows["niquests-threads"][2] == "absent"
    assert rows["quiver-threads"][-2:] == ("1.00", "0.50")
    assert all(len(row) == len(grid.columns) for row in grid.rows)
    assert list(remarks(results)) == ["niquests-threads is absent: niquests not installed"]


@pytest.mark.parametrize(
    ("measure", "ratios"),
    [
        ("rate", ("rate / quiver-threads", "rate / bare")),
        ("where", ("all / bare",)),
        ("connections", ("rate / quiver-threads",)),
        ("table", ()),
    ],
)
def test_a_table_compares_with_each_base_once(measure: str, ratios: tuple[str, ...]) -> None:
    columns = grid(find(measure), measured()).columns
    assert tuple(each for each in columns if " / " in each) == ratios


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    results = measured(quiver_threads=[100.0, None])
    results.save(tmp_path / "saved.json")
    assert Results.load(tmp_path / "saved.json") == results


def test_a_document_that_names_an_unknown_measure_is_refused(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text("<!-- bench: nonsense -->\n<!-- /bench -->\n")
    with pytest.raises(LookupError, match="nonsense"):
        fill(document, measured())


def test_targets_are_judged_in_their_own_direction() -> None:
    results = measured(quiver_greenlets=[100.0], bare=[100.0])
    verdicts = {}
    for target in TARGETS:
        ratio = target.measured(results)
        if ratio is not None:
            verdicts[target.text] = (target.met(ratio.median), target.met(target.limit))
    assert verdicts == {
        "greenlets to the bare loop, 50 callers": (True, True),
        "CPU of 50 greenlets to the bare loop's": (True, True),
    }
    worse = measured(quiver_greenlets=[50.0], bare=[100.0])
    assert [t.met(r.median) for t in TARGETS if (r := t.measured(worse))] == [False, False]


def test_the_targets_tell_what_they_need() -> None:
    rate, down = needed(find("rate")), needed(find("down"))
    assert rate is not None
    assert down is not None
    assert rate.points == rate.quick == (1, 20, 50)
    assert "quiver-actor" not in rate.clients
    assert {"quiver-threads", "niquests-async", "curl_cffi-threads", "bare"} <= {*down.clients}
    assert not [name for name in down.clients if name.startswith(("httpx", "quiver-h2"))]
    assert needed(find("hop")) is None


@pytest.mark.parametrize(
    ("value", "said"), [(1234.5, "1,234"), (99.96, "100"), (0.01234, "0.0123")]
)
def test_numbers_have_three_digits(value: float, said: str) -> None:
    assert number(value) == said
