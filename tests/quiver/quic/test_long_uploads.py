"""Uploads over a path with a rate, a delay and a queue, as the qlog of our side tells of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import quiver
from quiver.testing import Origin
from tests.support.network.link import LinkConditions
from tests.support.network.long_path import LongPath, PathReport

MIB = 1024 * 1024
LIMIT = 40.0  # seconds
RATE, DELAY = 1e6, 0.02  # so 40 kB are on their way in a round trip


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    with Origin() as started:
        yield started


def pieces(folder: Path) -> Iterator[bytes]:
    """A body that goes on until slow start has ended."""
    due = time.monotonic() + LIMIT / 2
    while not any('"ssthresh"' in each.read_text() for each in folder.glob("*.qlog")):
        assert time.monotonic() < due
        yield bytes(MIB // 4)
    yield bytes(MIB // 4)


def uploaded(
    origin: Origin, folder: Path, conditions: LinkConditions
) -> tuple[PathReport, list[dict[str, Any]]]:
    """Upload until slow start has ended. What became of the packets, and what congestion control
    knew."""
    with LongPath(origin.port, conditions, seed=1) as path:
        options = {"cafile": origin.cafile, "qlog_dir": str(folder), "timeout": LIMIT}
        with quiver.Client(pools={"default": options}) as client:
            url = f"https://localhost:{path.port}/ok"
            assert client.post(url, body=pieces(folder)).status == 200
    (written,) = folder.glob("*.qlog")
    (trace,) = json.loads(written.read_text())["traces"]
    updates = [each for each in trace["events"] if each["name"] == "recovery:metrics_updated"]
    return path.report, [each["data"] for each in updates]


def test_slow_start_ends_by_the_queue_without_a_loss(origin: Origin, tmp_path: Path) -> None:
    roomy = LinkConditions(rate=RATE, delay=DELAY, queue=50 * RATE)
    report, known = uploaded(origin, tmp_path, roomy)
    assert report.dropped == report.lost == (0, 0)
    assert "ssthresh" not in known[0]
    ended = next(each for each in known if "ssthresh" in each)
    assert ended["ssthresh"] <= ended["cwnd"] < RATE


def test_a_full_queue_takes_three_tenths_once_in_a_round_trip(
    origin: Origin, tmp_path: Path
) -> None:
    queue = 4 * RATE * DELAY  # far longer than what goes out at once: who is lost had others before
    report, known = uploaded(origin, tmp_path, LinkConditions(rate=RATE, delay=DELAY, queue=queue))
    losses = [
        (before["cwnd"], after["cwnd"])
        for before, after in pairwise(known)
        if after["cwnd"] < before["cwnd"]
    ]
    assert 0 < len(losses) <= report.dropped[0]
    for before, after in losses:
        assert after == pytest.approx(0.7 * before, abs=2)
