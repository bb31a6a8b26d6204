"""The own tests of another library, of the release that is installed: fetched and run with pip.

They are run in a process of their own, with a plugin of `tests/support/programs` that puts our way
in the place of theirs, and writes a report of what came of it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs.runner import ROOT

__all__ = ["environment", "pip", "run_suite", "sources_of"]

LIMIT = 400.0  # seconds for one run


def pip(*arguments: str) -> None:
    """Run it, or skip the test where it cannot have what it is asked for."""
    ended = subprocess.run(
        [sys.executable, "-m", "pip", "-q", *arguments], capture_output=True, text=True, check=False
    )
    if ended.returncode:
        pytest.skip(f"pip {arguments[0]}: {ended.stderr[-500:]}")


def sources_of(library: str, folder: Path) -> Path:
    """Fetch the sources of a library into `folder`; return theirs, with the tests."""
    release = f"{library}=={version(library)}"
    pip("download", "--no-binary", ":all:", "--no-deps", release, "-d", str(folder))
    with tarfile.open(next(folder.glob(f"{library}-*.tar.gz"))) as sdist:
        sdist.extractall(folder, filter="data")
    return folder / f"{library}-{version(library)}"


def environment(*path: Path, **told: str) -> dict[str, str]:
    """The environment of a program that imports from `path`, and is told so much."""
    return {**os.environ, **told, "PYTHONPATH": os.pathsep.join(map(str, path))}


def run_suite(sources: Path, tools: Path, plugin: str, *tests: str, **told: str) -> Any:
    """Run these tests, or all, with a plugin that is told so much; return its report."""
    report = sources.parent / "report.json"
    plugins = ("-p", "no:quiver", "-p", "no:cacheprovider", "-p", plugin)
    path = (tools, ROOT, ROOT / "tests" / "support" / "programs")
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugins, "--timeout=60", *(tests or ["tests"])],
        cwd=sources,
        env=environment(*path, SUITE_REPORT=str(report), **told),
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert ended.returncode in (0, 1), ended.stdout + ended.stderr
    return json.loads(report.read_text(encoding="utf-8"))
