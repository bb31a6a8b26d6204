"""The `quiver` command, run as a user runs it."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner

from quiver import __version__
from quiver.cli.main import COMMANDS, main
from tests.support.programs.quiver_command import run
from tests.support.programs.runner import run_program
from tests.support.short_form import cases


@pytest.mark.long
@pytest.mark.parametrize(
    ("options", "asked"), cases((["--requests", "1000"], "1000"), long=(([], "4000"),))
)
def test_the_demo(options: list[str], asked: str) -> None:
    """What `make demo` shows; it ends by itself, in a few seconds unless the machine is busy: then
    it would ask less, as its time is up."""
    patient = "from quiver.cli import demo\ndemo.TIME_LIMIT = 120.0"
    done = run("demo", *options, program=patient)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = rows_of(done.stdout)
    assert (rows["asked"], rows["answered"], rows["errors"]) == (asked, asked, "0")
    assert rows["stopped half-way"].startswith("Connection")
    assert {"latency p50", "latency p90", "latency p99", "per second"} <= set(rows)
    assert done.stdout.rstrip().endswith("Nothing is lost.")
    assert done.stderr == ""


def rows_of(shown: str) -> dict[str, str]:
    """The rows of the summary, which has two columns."""
    cells = [[cell.strip() for cell in line.split("│")] for line in shown.splitlines()]
    return {row[1]: row[2] for row in cells if len(row) == 4}


@pytest.mark.parametrize("option", ["requests", "threads", "connections"])
@pytest.mark.parametrize("value", ["0", "-3", "many"])
def test_bad_numbers(option: str, value: str) -> None:
    result = CliRunner().invoke(main, ["demo", f"--{option}", value])
    assert result.exit_code == 2
    assert f"--{option}" in result.output
    assert value in result.output


@pytest.mark.parametrize("arguments", [["dmeo"], ["demo", "--colour"], ["demo", "now"]])
def test_bad_arguments(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert arguments[-1] in result.output


def test_help_and_version() -> None:
    runner = CliRunner()
    assert __version__ in runner.invoke(main, ["--version"]).output
    assert "demo" in runner.invoke(main, ["--help"]).output
    shown = runner.invoke(main, ["demo", "--help"]).output
    assert all(option in shown for option in ("--requests", "--threads", "--connections"))


def test_it_is_a_module_as_well() -> None:
    """`python -m quiver`, where the script of another Python is the first on the PATH."""
    assert run_program("-m", "quiver", "--version") == f"quiver, version {__version__}\n"
    assert run_program("-m", "quiver", "get", "--help").startswith("Usage: python -m quiver get ")


def test_the_help_imports_no_subcommand() -> None:
    """It takes a third of a second where it would take one and a half with them."""
    told = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr))"
    done = run("--help", program=told)
    assert done.returncode == 0
    imported = set(done.stderr.split())
    assert "click" in imported
    assert not imported & {"aioquic", "cryptography", "gevent", "matplotlib", "pykka", "rich"}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_subcommand_is_where_the_help_says(name: str) -> None:
    assert main.load(name).name == name
    assert COMMANDS[name][1] in CliRunner().invoke(main, ["--help"]).stdout


@pytest.mark.parametrize("absent", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(absent: Any) -> None:
    done = run("demo", program=f"import sys; sys.modules['{absent}'] = None")
    assert done.returncode == 1
    expected = f"quiver's command line needs {absent}: pip install 'quiver-http3[cli]'\n"
    assert done.stderr == expected
