"""qlog: written as it goes, for its owner alone, and without credentials."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest

import quiver
from quiver.quic.aioquic.qlog import QlogFolder
from quiver.testing import Origin

ODCID = b"\x12\xff"


def events(path: Path) -> list[dict[str, Any]]:
    (trace,) = json.loads(path.read_text())["traces"]
    assert trace["common_fields"] == {"ODCID": path.stem}
    assert trace["vantage_point"]["type"] == "client"
    return list(trace["events"])


def test_it_is_whole_at_any_time_and_holds_nothing(tmp_path: Path) -> None:
    trace = QlogFolder(str(tmp_path)).start_trace(True, ODCID)
    path = tmp_path / "12ff.qlog"
    assert events(path) == []
    for number in range(1, 50):
        trace.content("frame_parsed", 0, number)
        assert len(events(path)) == number
    assert trace.to_dict()["events"] == []
    assert [event["data"]["length"] for event in events(path)] == list(range(1, 50))
    times = [event["time"] for event in events(path)]
    assert times == sorted(times) and times[0] > 1.7e12, "milliseconds since the epoch"
    trace.close()


def test_a_packet_that_came_is_written_with_its_frames(tmp_path: Path) -> None:
    """aioquic tells of it before it takes them."""
    trace = QlogFolder(str(tmp_path)).start_trace(True, ODCID)
    frames: list[dict[str, str]] = []
    data = {"frames": frames}
    trace.log_event(category="transport", event="packet_received", data=data)
    trace.content("frame_parsed", 0, 1)
    frames.append({"frame_type": "ping"})
    trace.log_event(category="transport", event="packet_sent", data={"frames": []})
    written = events(tmp_path / "12ff.qlog")
    assert [each["data"].get("frames") for each in written] == [[{"frame_type": "ping"}], None, []]


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    QlogFolder(str(tmp_path)).start_trace(True, ODCID).close()
    assert stat.S_IMODE((tmp_path / "12ff.qlog").stat().st_mode) == 0o600


def test_no_file_is_followed_or_overwritten(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "12ff.qlog").symlink_to(tmp_path / "elsewhere")
    with caplog.at_level(logging.ERROR, "quiver.qlog"):
        trace = QlogFolder(str(tmp_path)).start_trace(True, ODCID)
        trace.content("frame_parsed", 0, 1)
    assert not (tmp_path / "elsewhere").exists()
    assert caplog.text.count("no qlog written") == 1


@pytest.mark.parametrize("asked_for", [False, True])
def test_credentials(origin: Origin, tmp_path: Path, asked_for: bool) -> None:
    options = {"cafile": origin.cafile, "qlog_dir": tmp_path, "qlog_credentials": asked_for}
    secrets = {"authorization": "Bearer s3cret", "cookie": "a=s3cret", "x-api-key": "s3cret"}
    with quiver.Client(pools={"default": options}) as client:
        client.get(origin.url + "/items/7?token=s3cret", headers={**secrets, "x-tag": "shown"})
        (path,) = tmp_path.iterdir()
        assert len(events(path)) > 10, "while it is open"
    text = path.read_text()
    assert "shown" in text and "/items/7" in text
    assert text.count("s3cret") == (4 if asked_for else 0)
