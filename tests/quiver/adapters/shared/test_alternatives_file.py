"""The file of alternatives: read whatever it is, written seldom."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

import pytest

from quiver.adapters.shared.alternatives_file import AT_ONCE, LARGEST, PAUSE, AlternativesFile


def test_what_is_written_is_read_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = AlternativesFile(tmp_path / "file")
    assert file.read() is None
    assert file.news(0.0) and file.pending
    file.write("ü")
    assert file.read() == "ü" and not file.pending
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["large", "fifo", "folder", "bytes"])
def test_what_cannot_be_it(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file"
    match kind:
        case "large":
            path.write_bytes(b" " * (LARGEST + 1))
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "bytes":
            path.write_bytes(b"\xff")
    with caplog.at_level(logging.WARNING, "quiver.adapters"):
        assert AlternativesFile(path).read() is None
    assert "begun anew" in caplog.text


def test_news_without_end_are_written_now_and_then(tmp_path: Path) -> None:
    file = AlternativesFile(tmp_path / "file")
    due = [file.news(moment / 10) for moment in range(1, 1_001)]
    assert all(due[:AT_ONCE])
    assert AT_ONCE + 100 / PAUSE - 1 <= sum(due) <= AT_ONCE + 100 / PAUSE + 1
    assert file.pending
    assert file.news(1e6), "and at once again after a while"
