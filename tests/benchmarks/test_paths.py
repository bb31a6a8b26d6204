"""Long paths: how they are numbered, sized and judged, and a whole run on the smallest scale."""

from __future__ import annotations

import json
from pathlib import Path as File

import pytest

from benchmarks.report.markdown import fill
from benchmarks.report.path_targets import PATH_TARGETS
from benchmarks.report.results import Results, Spread, about
from benchmarks.report.table import remarks, tables
from benchmarks.report.targets import STREAMED, needed
from benchmarks.workloads.measures import MEASURES, Scale, find
from benchmarks.workloads.paths import FAST, GRID, Path
from tests.support.network.link import LinkConditions
from tests.support.programs.runner import run_program
from tests.support.servers import independent

OURS, CURL = "quiver-client", "curl_cffi-threads"
NEAR, FAR = Path(20, 0), Path(200, 10)


def measured(ours: dict[Path, list[float]], down: float = 1.0) -> Results:
    """Uploads and streamed downloads at our rates; curl_cffi's are at 1 MB/s."""
    results = Results(about(server="caddy", rounds=3, seconds=10.0))
    for path, rates in ours.items():
        for rate in rates:
            figures = {"up": rate, "down": down, "stream": rate}
            results.add("paths", OURS, path.number, figures)
            results.add("paths", CURL, path.number, {"up": 1.0, "down": 1.0, "stream": 1.0})
    return results


def judged(results: Results) -> dict[str, Spread]:
    return {each.text: found for each in PATH_TARGETS if (found := each.measured(results))}


@pytest.mark.parametrize("path", [*GRID, FAST], ids=str)
def test_a_path_is_found_by_its_number(path: Path) -> None:
    assert Path.numbered(path.number) == path


def test_paths_are_in_the_order_of_their_numbers() -> None:
    numbers = [each.number for each in (*GRID, FAST)]
    assert numbers == sorted(set(numbers))


def test_a_path_tells_its_conditions() -> None:
    assert str(Path(50, 1)) == "50 ms, 0.1 %"
    assert str(FAST) == "100 ms, 0 %, 500 Mbit/s"
    wanted = LinkConditions(delay=0.1, rate=12.5e6, queue=2.5e6, loss=0.01)
    assert FAR.conditions == wanted


def test_transfers_fill_the_path_after_slow_start() -> None:
    carried = 10.0 * 100e6 / 8
    assert 0.8 * carried < Path(20, 0).size("down", 10.0) < carried
    assert Path(200, 0).size("down", 0.6) == (10 + 20 + 40) * 1_400
    assert FAST.size("down", 10.0) == 100 * 1024 * 1024  # which is the most


def test_transfers_are_smaller_where_packets_are_lost() -> None:
    steady = 1_400 / 0.2 * (1.5 / 0.01) ** 0.5  # bytes a second, by Mathis et al. (1997)
    assert FAR.size("down", 100.0) / 100 == pytest.approx(steady, rel=0.5)
    for trip in (20, 50, 100, 200):
        sizes = [Path(trip, loss).size("down", 5.0) for loss in (0, 1, 10)]
        assert sizes == sorted(sizes, reverse=True)


def test_uploads_are_as_large_as_servers_let_clients_send() -> None:
    assert 0.9 < FAST.size("up", 10.0) / (10 * 10 * 256 * 1024) < 1.0


def test_long_paths_are_measured_by_themselves() -> None:
    assert [each.name for each in MEASURES if each.alone] == ["paths"]
    assert needed(find("paths")) == find("paths")
    with pytest.raises(AssertionError, match="paths is measured by itself, or beside first"):
        run_program("-m", "benchmarks", "--only", "first", "paths", "rate")


def test_all_clients_meet_a_path_before_the_next_one_is_measured() -> None:
    cases = list(find("paths").cases(None, Scale(), turn=1))
    numbers = list(dict.fromkeys(at for _, at in cases))
    assert numbers == [each.number for each in (*GRID, FAST)]
    assert [at for _, at in cases] == [at for at in numbers for _ in range(3)]


def test_the_worst_of_the_steady_paths_decides() -> None:
    results = measured({NEAR: [1.0, 1.1, 1.1], Path(50, 0): [0.9, 0.9, 1.0]})
    found = judged(results)
    assert found[f"up, to {CURL}, worst steady path"] == Spread(0.9, 0.9, 1.0)
    assert f"up, to {CURL}, unsteady paths together" not in found
    target = next(each for each in PATH_TARGETS if each.figure == "up")
    assert [target.met(ratio) for ratio in (0.9, 0.95, 1.2)] == [False, True, True]


def test_unsteady_paths_are_judged_together() -> None:
    results = measured({NEAR: [1.0, 1.0, 1.0], Path(50, 10): [0.5, 0.7, 1.0], FAR: [1.2, 1.8, 2.4]})
    found = judged(results)
    assert found[f"up, to {CURL}, worst steady path"] == Spread(1.0, 1.0, 1.0)
    assert found[f"up, to {CURL}, unsteady paths together"] == Spread(1.1, 0.5, 2.4)


def test_paths_beside_the_grid_are_judged_by_their_own_target() -> None:
    results = measured({FAST: [0.8, 0.9, 1.0]}, down=2.0)
    assert judged(results) == {}
    assert STREAMED.measured(results) == Spread(0.45, 0.4, 0.5)


def test_clients_stand_side_by_side_in_a_table_for_each_figure() -> None:
    results = measured({NEAR: [2.0, 2.0], FAR: [1.5, 3.0]})
    results.fail("paths", CURL, FAR.number, "no luck")
    up, down, _ = tables(find("paths"), results)
    assert up.columns == (
        "MB/s up", OURS, CURL, "niquests-threads", f"/ {CURL}", "/ niquests-threads",
    )  # fmt: skip
    assert up.rows == [
        ("20 ms, 0 %", "2", "1", "", "2.00 (2.00–2.00)", ""),
        ("200 ms, 1 %", "2.25 (1.5–3)", "1", "", "2.25 (1.50–3.00)", ""),
    ]
    assert down.rows[0][1:3] == ("1", "1")
    assert list(remarks(results)) == [
        f"paths {CURL} 200 ms, 1 % failed in 1 of 3 rounds: no luck",
    ]


def test_a_document_keeps_what_another_run_has_measured(tmp_path: File) -> None:
    places = "".join(
        f"<!-- bench: {names} -->\n{names}, of before\n<!-- /bench -->\n"
        for names in ("about targets", "rate", "hop table", "about path-targets paths")
    )
    document = tmp_path / "document.md"
    document.write_text(places)
    fill(document, measured({NEAR: [1.0]}))
    text = document.read_text()
    for kept in ("about targets", "rate", "hop table"):
        assert f"{kept}, of before" in text
    assert "path-targets paths, of before" not in text
    assert "Medians of 3 rounds of 10.0 s" in text
    assert f"| up, to {CURL}, worst steady path | ≥ 0.95 | 1.00 (1.00–1.00) | yes |" in text
    assert "| MB/s up | quiver-client |" in text


@pytest.mark.long
def test_a_run_carries_both_ways_over_each_path(tmp_path: File) -> None:
    independent._found("caddy")  # skips without it
    arguments = ["--quick", "--only", "paths", "--clients", OURS, "--no-charts"]
    said = run_program("-m", "benchmarks", *arguments, "--out", str(tmp_path), timeout=55.0)
    saved = json.loads((tmp_path / "caddy-paths.json").read_text())
    assert saved["failures"] == {}
    taken = {key: each for key, each in saved["rounds"].items() if key.startswith("paths ")}
    assert len(taken) == 2 and f"sessions {OURS} 0" in saved["rounds"]
    for ((figures),) in taken.values():
        assert set(figures) == {"up", "down", "stream", "late"}
        assert all(value > 0 for value in figures.values())
    for word in ("MB/s up", "MB/s down, streamed", "20 ms, 0 %", "100 ms, 1 %"):
        assert word in said
