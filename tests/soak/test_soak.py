"""The short form of the soak; `tox -e soak` runs the long one."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers.packaged import CurrentCaddy

ROOT = Path(__file__).resolve().parents[2]
ASKS = 20_000
SECONDS = 50.0  # after which a slow machine has to be content with fewer asks
MUCH = ASKS // 10
OPTIONS: dict[str, dict[str, float]] = {
    "quic": {},
    "all": {"callers": 80, "timeout": 3.0},  # who waits for UDP that is silent does so for long
}


@pytest.mark.long
@pytest.mark.parametrize("over", ["quic", "all"])
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="what is held is read from /proc")
def test_nothing_is_lost_and_nothing_grows(over: str, tmp_path: Path) -> None:
    """In a process of its own: what other tests left in this one is not its growth."""
    if over == "all":
        CurrentCaddy.locate()
    samples = tmp_path / "samples.csv"
    numbers = {
        "over": over,
        "asks": ASKS,
        "seconds": SECONDS,
        "period": 4,
        **OPTIONS[over],
        "every": 0.25,
        "csv": samples,
    }
    options = [word for name, value in numbers.items() for word in (f"--{name}", str(value))]
    ended = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.soak", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=290,
    )
    print(ended.stdout)
    assert ended.returncode == 0, ended.stderr
    with samples.open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert int(last["answered"]) + int(last["errors"]) == int(last["asked"]) > MUCH
