"""Running a program of its own, with a time limit."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

__all__ = ["ROOT", "run_program", "run_script"]

ROOT = Path(__file__).resolve().parents[3]


def run_script(text: str, *arguments: str, timeout: float = 30.0, status: int = 0) -> str:
    """Run `text` as a Python program; return what it printed. Fails on another exit status."""
    return run_program("-c", textwrap.dedent(text), *arguments, timeout=timeout, status=status)


def run_program(*arguments: str, timeout: float = 30.0, status: int = 0) -> str:
    """Run Python with `arguments`; return what it printed. Fails on another exit status."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert ended.returncode == status, f"status {ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout
