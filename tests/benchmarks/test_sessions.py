"""First requests by full handshakes, resumed sessions and early data: taken, told and judged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import pytest

from benchmarks import __main__ as program
from benchmarks.report.markdown import fill
from benchmarks.report.results import Results, Spread, about
from benchmarks.report.table import tables
from benchmarks.report.targets import SESSION_TARGETS
from benchmarks.workloads import sessions
from benchmarks.workloads.load import Load, Settings
from benchmarks.workloads.measures import find
from quiver.testing import Authority, Origin

OURS, BARE = "quiver-client", "bare"


@pytest.fixture(scope="module")
def giving(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority, session_tickets=True) as started:
        yield started


def taken(client: str, origin: Origin, trip: int = 0) -> dict[str, float]:
    load = Load((origin.url + "/ok",))
    return sessions.first_requests(trip, client, Settings(origin.cafile), load)


@pytest.mark.parametrize("client", [OURS, BARE])
def test_each_kind_is_what_it_says(
    client: str, giving: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes them asserts that each session is resumed, and goes early, or is not."""
    monkeypatch.setattr(sessions, "_NEAR", 2)
    known = giving.connections_accepted()
    figures = taken(client, giving)
    assert giving.connections_accepted() == known + 3 * 3, "a connection for each"
    assert set(figures) == {
        *("full", "resumed", "early", "cpu-full", "cpu-resumed", "cpu-early"),
        *("handshake-full", "handshake-resumed", "handshake-early"),
    }
    assert figures["handshake-full"] < figures["cpu-full"]
    assert all(value > 0 for value in figures.values())


@pytest.mark.parametrize("client", [OURS, BARE])
def test_over_a_path_they_are_told_in_round_trips(
    client: str, giving: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_FAR", 1)
    figures = taken(client, giving, trip=200)
    for kind, least in (("full", 2.0), ("resumed", 2.0), ("early", 1.0)):
        assert figures[f"trips-{kind}"] == pytest.approx(figures[kind] / 200)
        assert figures[f"trips-{kind}"] >= least


_ALIKE = (
    *("full", "resumed", "early", "cpu-full", "cpu-resumed", "cpu-early"),
    *("handshake-full", "handshake-early"),
)


def measured(ours: list[float], bare: list[float], *, trips: float = 1.1) -> Results:
    results = Results(about(server="caddy", rounds=len(ours), seconds=2.0))
    figures = dict.fromkeys(_ALIKE, 1.0)
    for client, shares in ((OURS, ours), (BARE, bare)):
        for share in shares:
            results.add("sessions", client, 0, {**figures, "handshake-resumed": share})
            far: dict[str, Any] = {**figures, "handshake-resumed": 5.0, "trips-early": trips}
            results.add("sessions", client, 100, {**far, "trips-full": 2.1, "trips-resumed": 2.1})
    return results


def test_they_are_held_against_the_bare_loop_by_the_difference() -> None:
    results = measured([0.8, 0.82, 0.9], [0.78, 0.78, 0.8])
    share, apart, trips = SESSION_TARGETS
    assert share.measured(results) == Spread(0.82, 0.8, 0.9)
    found = apart.measured(results)
    assert found is not None
    assert (found.median, found.least, found.most) == pytest.approx((0.04, 0.02, 0.1))
    assert [each.met(0.04) for each in (share, apart, trips)] == [True, False, True]
    assert trips.measured(results) == Spread(1.1, 1.1, 1.1)


def test_over_loopback_no_round_trips_are_told() -> None:
    [table] = tables(find("sessions"), measured([0.8], [0.8]))
    near, far = (row for row in table.rows if row[1] == OURS)
    at = table.columns.index("round trips, early")
    assert (near[0], near[at], far[0], far[at]) == ("0", "", "100", "1.1")


def test_they_go_along_with_first_and_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    for only in (["first"], ["paths"], ["first", "paths"], ["sessions"]):
        monkeypatch.setattr("sys.argv", ["benchmarks", "--only", *only])
        chosen = [each.name for each in program._chosen(program._arguments())]
        assert set(chosen) == {*only, "sessions"}
    monkeypatch.setattr("sys.argv", ["benchmarks", "--only", "begin"])
    assert [each.name for each in program._chosen(program._arguments())] == ["begin"]


def test_a_table_of_targets_is_of_one_run(tmp_path: File) -> None:
    """One that has taken not all of their measures leaves what another one has written."""
    places = ("targets", "session-targets", "sessions")
    document = tmp_path / "document.md"
    document.write_text(
        "".join(f"<!-- bench: {each} -->\n{each}\n<!-- /bench -->" for each in places)
    )
    results = measured([0.8], [0.8])
    results.add("first", "bare", 1, {"cold": 1.0, "cpu": 1.0, "warm": 1.0})
    results.add("first", "quiver-threads", 1, {"cold": 1.0, "cpu": 1.0, "warm": 1.0})
    fill(document, results)
    text = document.read_text()
    assert "<!-- bench: targets -->\ntargets\n" in text
    assert "| the same, less the bare loop's | ≤ 0.03 | 0.00 (0.00–0.00) | yes |" in text
    assert "| ms of a round trip | client | ms, full |" in text
