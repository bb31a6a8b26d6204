"""`quiver bench` as it is called, and what it prints."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import quiver
from quiver.cli import bench_report
from quiver.cli.bench_load import Load, Plan
from quiver.cli.main import main
from quiver.testing import Authority, LocalOrigin, Origin, Reset
from tests.support.programs.quiver_command import popen
from tests.support.waiting import until

Bench = Callable[..., Result]


@pytest.fixture
def bench(origin: Origin) -> Bench:
    """Runs `quiver bench` on a path of the origin, which it trusts."""

    def run_bench(path: str, *options: str) -> Result:
        arguments = ["bench", origin.url + path, "--cafile", origin.cafile, *options]
        return CliRunner().invoke(main, arguments)

    return run_bench


def test_for_people(bench: Bench, origin: Origin) -> None:
    done = bench("/ok", "-n", "40", "-c", "4", "-t", "2")
    assert (done.exit_code, done.stderr) == (0, "")
    for word in (f"GET {origin.url}/ok", "answered", "status 200", "per second", "p99.9", "max"):
        assert word in done.stdout
    assert "since due" not in done.stdout
    assert origin.requests_served("/ok") == 41  # one goes ahead


def test_for_programs(bench: Bench, origin: Origin) -> None:
    arguments = ("-n", "30", "-c", "3", "--rate", "300", "--json", "-d", "abc", "-X", "PUT")
    done = bench("/echo", *arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["url"], told["method"]) == (origin.url + "/echo", "PUT")
    assert (told["concurrency"], told["threads"], told["requested_rate"]) == (3, 1, 300)
    assert (told["asked"], told["answered"], told["errors"]) == (30, 30, {})
    assert (told["statuses"], told["bytes"]) == ({"200": 30}, 90)
    assert told["rate"] == pytest.approx(30 / told["seconds"])
    for key in ("latency", "service_latency"):
        shares = [told[key][name] for name in ("min", "p50", "p90", "p99", "p99.9", "max")]
        assert shares == sorted(shares)
        assert 0 < told[key]["mean"] <= told[key]["max"]
    assert told["latency"]["mean"] >= told["service_latency"]["mean"]


def test_a_rate_shows_both_latencies(bench: Bench) -> None:
    done = bench("/ok", "-n", "20", "--rate", "400")
    assert "ms since due" in done.stdout and "ms since sent" in done.stdout


@pytest.mark.long
def test_a_picture(bench: Bench, tmp_path: Path) -> None:
    picture = tmp_path / "out.png"
    done = bench("/ok", "-n", "20", "--rate", "400", "--plot", str(picture))
    assert done.exit_code == 0, done.output
    assert picture.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_without_matplotlib_it_says_so_before_it_asks(
    bench: Bench, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = bench("/ok", "--plot", "out.png")
    assert done.exit_code == 2
    assert "pip install 'quiver-http3[plot]'" in done.stderr
    assert origin.requests_served() == 0


def test_a_picture_of_no_known_format_is_refused_first(bench: Bench, origin: Origin) -> None:
    pytest.importorskip("matplotlib")
    done = bench("/ok", "-n", "10", "--plot", "x.foo")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--plot" in done.stderr and "'foo' is no format" in done.stderr
    assert origin.requests_served() == 0


def test_a_first_request_that_fails_ends_it(bench: Bench, origin: Origin) -> None:
    done = bench("/reset/0x102", "-n", "1000")
    assert (done.exit_code, done.stdout) == (8, "")
    assert "reset the stream" in done.stderr
    assert origin.requests_served() == 1


def test_it_ends_with_its_most_frequent_error(authority: Authority) -> None:
    with LocalOrigin(authority=authority) as local:
        turns = iter(range(21))
        local.route("/some")(lambda asked: Reset(0x102) if next(turns) % 4 == 1 else b"")
        arguments = ["bench", local.url + "/some", "-k", "-n", "20", "-c", "1", "--json"]
        done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 8
    told = json.loads(done.stdout)
    assert told["errors"] == {"StreamReset": 5}
    assert (told["asked"], told["answered"]) == (20, 15)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-n", "0"],
        ["-c", "0"],
        ["-t", "-1"],
        ["--rate", "0"],
        ["-n", "many"],
        ["--rate", "nan"],
        ["--rate", "inf"],
        ["-D", "0"],
        ["-D", "inf"],
        ["-D", "nan"],
        ["--timeout", "inf"],
        ["--max-connections", "0"],
    ],
)
def test_bad_numbers(arguments: list[str]) -> None:
    done = CliRunner().invoke(main, ["bench", "https://localhost/", *arguments])
    assert done.exit_code == 2
    assert arguments[1] in done.stderr


def test_it_ends_by_time(bench: Bench) -> None:
    told = json.loads(bench("/ok", "-D", "0.3", "-c", "2", "--json").stdout)
    assert told["requested_duration"] == 0.3
    assert told["asked"] == told["answered"] > 0
    told = json.loads(bench("/ok", "-D", "50", "-n", "7", "--json").stdout)
    assert told["asked"] == 7  # whichever comes first


def test_an_interrupt_shows_what_there_is(origin: Origin) -> None:
    program = popen("bench", f"{origin.url}/ok", "-k", "-n", "10000000", "--json")
    assert program.stdout is not None and program.stderr is not None
    with program:
        until(lambda: origin.requests_served("/ok") > 20, within=20)
        program.send_signal(signal.SIGINT)
        told = json.loads(program.stdout.read())
        assert program.stderr.read() == b""
        assert program.wait(20) == 130
    assert told["asked"] == told["answered"] + sum(told["errors"].values()) < 10_000_000


def test_the_live_view(origin: Origin, client: quiver.Client) -> None:
    plan = Plan("GET", origin.url + "/ok", [], None, 2, 50, 1, None)
    with Load(client, plan) as load:
        load.wait(20)
    shown = io.StringIO()
    Console(width=120, file=shown).print(bench_report.now(load))
    assert "50 of 50 answered" in shown.getvalue()
    assert "p99" in shown.getvalue() and "errors 0" in shown.getvalue()


@pytest.mark.long
def test_a_terminal_sees_it_live(origin: Origin) -> None:
    ours, theirs = pty.openpty()
    arguments = ("bench", f"{origin.url}/ok", "-k", "-n", "300", "--rate", "300", "--json")
    program = popen(*arguments, stderr=theirs)
    os.close(theirs)
    assert program.stdout is not None
    with program, open(ours, "rb", closefd=True) as terminal:
        shown = b""
        while b"of 300 answered" not in shown:
            shown += os.read(terminal.fileno(), 10_000)
        assert json.loads(program.stdout.read())["answered"] == 300
