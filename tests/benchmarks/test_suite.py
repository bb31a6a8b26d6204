"""The suite from end to end, on the smallest scale: clients beside one another against Caddy."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs.runner import ROOT, run_program
from tests.support.servers import independent

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What a run said, and the folder that it wrote to."""
    independent._found("caddy")  # skips without it
    folder = tmp_path_factory.mktemp("results")
    document = folder / "document.md"
    document.write_text("# Title\n<!-- bench: rate -->\nold\n<!-- /bench -->\nend\n")
    arguments = ["--quick", "--seconds", "0.05", "--no-charts", "--out", str(folder)]
    said = run_program(
        *("-m", "benchmarks", *arguments, "--only", "rate", "hop"),
        *("--clients", "quiver-threads", "quiver-greenlets", "bare"),
        *("--fill", str(document)),
        timeout=55.0,
    )
    return said, folder


def test_every_client_is_measured_at_every_point(printed: tuple[str, Path]) -> None:
    saved = json.loads((printed[1] / "caddy.json").read_text())
    assert saved["failures"] == {}
    clients = ("quiver-threads", "quiver-greenlets", "bare")
    for client in clients:
        for callers in (1, 20, 50):
            (figures,) = saved["rounds"][f"rate {client} {callers}"]
            assert figures["rate"] > 0
            assert 0 < figures["p50"] <= figures["p99"] <= figures["p99.9"]
    assert {key.split(" ")[1] for key in saved["rounds"] if key.startswith("rate")} == set(clients)


def test_tables_and_targets_are_printed(printed: tuple[str, Path]) -> None:
    said, _ = printed
    for word in ("requests/s", "rate / bare", "pykka.ThreadingActor", "µs, forward"):
        assert word in said
    assert "greenlets to the bare loop, 50 callers" in said


def test_a_document_is_filled_between_its_marks(printed: tuple[str, Path]) -> None:
    text = (printed[1] / "document.md").read_text()
    assert text.startswith("# Title\n<!-- bench: rate -->\n\n| callers | client |")
    assert text.endswith("\n\n<!-- /bench -->\nend\n")
    assert "old" not in text


def test_saved_results_are_shown_again(printed: tuple[str, Path]) -> None:
    folder = printed[1]
    arguments = ["--show", str(folder / "caddy.json"), "--no-charts", "--out", str(folder)]
    assert "rate / bare" in run_program("-m", "benchmarks", *arguments)


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_saves_what_was_measured(ended_by: int, tmp_path: Path) -> None:
    independent._found("caddy")
    arguments = ["--quick", "--rounds", "1000", "--only", "rate", "--clients", "bare"]
    arguments += ["--seconds", "0.05", "--no-charts", "--out", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        assert run.stderr is not None
        next(line for line in run.stderr if line.startswith("round 2 of"))
        run.send_signal(ended_by)
        said, told = run.communicate(timeout=30.0)
    assert run.returncode == 0, told
    assert "stopped: what was measured until now" in told
    assert "requests/s" in said
    saved = json.loads((tmp_path / "caddy.json").read_text())
    assert saved["rounds"]["rate bare 1"][0]["rate"] > 0
