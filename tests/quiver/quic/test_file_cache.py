from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from quiver.quic.file_cache import FileCache
from tests.support.descriptor_limit import none_left


def kept(path: Path) -> FileCache[int]:
    return FileCache([str(path)], lambda: int(path.read_text()))


def test_the_first_time_it_must_be_readable(tmp_path: Path) -> None:
    path = tmp_path / "number"
    with pytest.raises(FileNotFoundError):
        kept(path)
    path.write_text("none")
    with pytest.raises(ValueError, match="none"):
        kept(path)


def test_a_file_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("1")
    reads = itertools.count(1)
    value = FileCache([str(path)], lambda: next(reads))
    assert [value.value for _ in range(3)] == [1, 1, 1]
    path.write_text("22")
    assert [value.value for _ in range(3)] == [2, 2, 2]


def test_one_that_took_its_place_is_read(tmp_path: Path) -> None:
    path, other = tmp_path / "number", tmp_path / "other"
    path.write_text("1")
    number = kept(path)
    other.write_text("2")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))  # as `cp -p` leaves it
    other.replace(path)
    assert number.value == 2


def test_what_cannot_be_read_leaves_what_was(tmp_path: Path) -> None:
    path = tmp_path / "number"
    path.write_text("1")
    number = kept(path)
    path.unlink()
    assert number.value == 1
    path.write_text("broken")
    assert number.value == 1
    path.write_text("234")
    with none_left():
        assert number.value == 1
    assert number.value == 234
