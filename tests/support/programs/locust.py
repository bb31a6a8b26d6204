"""Locust as its users start it: OS processes of its own, headless, with CSV files to read."""

from __future__ import annotations

import csv
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from quiver.testing import Origin
from tests.support.programs.runner import ROOT
from tests.support.waiting import until

__all__ = ["LOCUSTFILE", "Locusts", "ended", "free_port"]

PREFIX = "out"  # of the CSV files
LOCUSTFILE = ROOT / "examples" / "locustfile.py"


class Locusts:
    """Runs against one origin, in one folder. Every process is ended with the `with`."""

    def __init__(self, origin: Origin, folder: Path, locustfile: Path = LOCUSTFILE) -> None:
        self._origin = origin
        self._folder = folder
        self._locustfile = locustfile
        self._started: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Locusts:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._started:
            one.kill()
            one.communicate()

    def start(self, *arguments: str, host: str | None = None) -> subprocess.Popen[str]:
        """`locust -f LOCUSTFILE --host ORIGIN` with further arguments."""
        host = host or self._origin.url
        command = ["-m", "locust", "-f", str(self._locustfile), "--host", host]
        started = subprocess.Popen(
            [sys.executable, *command, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "CAFILE": self._origin.cafile},
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(started)
        return started

    def run(self, *arguments: str, names: Iterable[str], within: float = 40.0) -> str:
        """A headless run that is ended when its CSV files tell of all `names`; what it printed.

        They are written every few seconds, and not once more at the end.
        """
        wanted = set(names)
        run = self.start("--headless", "--csv", PREFIX, "--exit-code-on-error", "0", *arguments)
        until(lambda: run.poll() is not None or wanted <= set(self.rows()), within=within)
        run.terminate()
        return ended(run)

    def rows(self, kind: str = "stats") -> dict[str, dict[str, str]]:
        """What the CSV file says, or that of "failures", by the name of the request."""
        path = self._folder / f"{PREFIX}_{kind}.csv"
        if not path.exists():
            return {}
        with path.open(encoding="utf-8", newline="") as file:
            return {row["Name"]: row for row in csv.DictReader(file)}


def ended(process: subprocess.Popen[str], within: float = 20.0, status: int = 0) -> str:
    """What it printed, when it has ended; fails on another status."""
    printed, _ = process.communicate(timeout=within)
    assert process.returncode == status, f"status {process.returncode}\n{printed}"
    return printed


def free_port() -> int:
    """A TCP port of loopback that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
