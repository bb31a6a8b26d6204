"""How the code is linted, typed and tested is written once, in the Makefile."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOOLS = re.compile(
    r"ruff (?:check|format)|\bmypy --|pytest [^\n]*(?:--dist|--numprocesses|-n logical)"
)
CALLERS = ["tox.ini", ".ci/run", "CONTRIBUTING.md", "docs/maintaining.md", "pyproject.toml"]


def dry_run(*arguments: str) -> list[str]:
    """The commands that make would run; nothing of a make that runs this test is passed on."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    done = subprocess.run(
        ["make", "--dry-run", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", CALLERS)
def test_others_call_the_makefile(name: str) -> None:
    path = ROOT / name
    assert not path.exists() or TOOLS.findall(path.read_text(encoding="utf-8")) == []


def test_the_targets_that_others_call_are_there() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in ("tox.ini", ".ci/run", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        called = re.findall(r"^(?:commands = )?make .* (\w+)$|`make (\w+)`", text, re.MULTILINE)
        assert called, name
        for target in map("".join, called):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), (name, target)


def test_an_environment_of_the_callers_is_not_installed_into() -> None:
    commands = dry_run("BIN=/there/bin", "ALL=yes", "COVERAGE=", "lint", "types", "test", "long")
    assert [command.split()[0] for command in commands] == [
        *("/there/bin/ruff", "/there/bin/ruff", "/there/bin/mypy"),
        *("/there/bin/python", "/there/bin/python"),
    ]
    assert "long and not slow" in commands[-1]
    assert "--cov" not in "".join(commands)


def test_the_gate_measures_coverage_and_runs_all_the_rest() -> None:
    *_, shorter, longer = dry_run("BIN=/there/bin", "check")
    assert "--cov" in shorter and " -m pytest" in shorter
    assert "long and not slow" in longer and "--cov" not in longer
