"""The `quiver` command in a process of its own, as a shell runs it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

__all__ = ["popen", "run"]


def _command(arguments: tuple[str, ...], program: str) -> list[str]:
    start = f"{program}\nfrom quiver.cli.main import main; main(prog_name='quiver')"
    return [sys.executable, "-W", "error", "-c", start, *arguments]


def run(*arguments: str, program: str = "") -> subprocess.CompletedProcess[str]:
    """Run `quiver` with these arguments to its end, after `program`."""
    command = _command(arguments, program)
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def popen(*arguments: str, program: str = "", **options: Any) -> subprocess.Popen[bytes]:
    """Start `quiver` with these arguments, after `program`; pipes on all three."""
    pipe = subprocess.PIPE
    given = {"stdin": pipe, "stdout": pipe, "stderr": pipe, **options}
    return subprocess.Popen(_command(arguments, program), **given)
