"""What becomes of a body of requests: read once, as bytes, and let go in the end."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import pytest
import requests

from quiver.adapters.requests import bodies
from quiver.adapters.requests.bodies import TextFile
from quiver.testing import Origin
from tests.support.waiting import until


class Pieces:
    """A generator that says when it was begun, and when it was closed."""

    def __init__(self, *pieces: Any) -> None:
        self.told: list[str] = []
        self.pieces = self._pieces(pieces)

    def _pieces(self, pieces: tuple[Any, ...]) -> Iterator[Any]:
        self.told.append("begun")
        try:
            yield from pieces
        finally:
            self.told.append("closed")


def test_text_goes_out_as_utf_8_piece_by_piece(session: requests.Session, origin: Origin) -> None:
    body = Pieces("grü", b"-", "ße")
    assert session.post(origin.url + "/echo", data=body.pieces).text == "grü-ße"
    assert body.told == ["begun", "closed"]


@pytest.mark.parametrize(
    "body",
    [bytearray(b"raw"), memoryview(b"raw"), array("B", b"raw")],
    ids=["bytearray", "memoryview", "array"],
)
def test_whatever_has_a_buffer_is_its_bytes(
    body: Any, session: requests.Session, origin: Origin
) -> None:
    """As urllib3 takes it; its items are numbers."""
    assert session.post(origin.url + "/echo", data=body).content == b"raw"


def text_files(folder: Path) -> Iterator[Any]:
    """Those that wrap one of `io`, or are none."""
    (folder / "text").write_text("grüße", encoding="utf-8")
    with (
        tempfile.NamedTemporaryFile("w+", encoding="utf-8") as named,
        tempfile.SpooledTemporaryFile(1_000, "w+", encoding="utf-8") as spooled,
        codecs.open(str(folder / "text"), encoding="utf-8") as coded,
    ):
        for each in (named, spooled):
            each.write("grüße")
            each.seek(0)
        yield from (named, spooled, coded)


@pytest.mark.filterwarnings("ignore::requests.exceptions.FileModeWarning")
def test_files_in_text_mode_of_other_modules(
    session: requests.Session, origin: Origin, tmp_path: Path
) -> None:
    for file in text_files(tmp_path):
        assert session.post(origin.url + "/echo", data=file).text == "grüße", type(file)


def test_a_list_that_was_prepared_by_hand(session: requests.Session, origin: Origin) -> None:
    prepared = requests.Request("POST", origin.url + "/echo").prepare()
    del prepared.headers["content-length"]
    prepared.body = ["grü", "ße".encode()]
    assert session.send(prepared).content == "grüße".encode()


def test_what_is_not_read_to_its_end_is_closed(session: requests.Session, origin: Origin) -> None:
    body = Pieces(*[b"x" * 60_000] * 200)
    assert session.post(origin.url + "/early/413", data=body.pieces).status_code == 413
    until(lambda: body.told == ["begun", "closed"])


def test_what_is_not_sent_is_not_begun(session: requests.Session) -> None:
    body = Pieces(b"x")
    with pytest.raises(requests.ConnectionError):
        session.post("https://127.0.0.1:1/", data=body.pieces)
    assert body.told == []


TEXT = "grüße\n" * 10_000


@pytest.fixture
def text_file(tmp_path: Path) -> Iterator[TextIO]:
    path = tmp_path / "text"
    path.write_text("skipped\n" + TEXT, encoding="utf-16")
    with path.open(encoding="utf-16") as opened:
        opened.readline()
        yield opened


def test_text_files_go_out_as_utf_8(
    session: requests.Session, origin: Origin, text_file: TextIO
) -> None:
    """Whatever they are on the disk, and whatever length requests has thought of."""
    with pytest.warns(requests.exceptions.FileModeWarning, match="incorrect content-length"):
        assert session.post(origin.url + "/echo", data=text_file).content == TEXT.encode()
    text = io.StringIO(TEXT)
    assert session.post(origin.url + "/echo", data=text).content == TEXT.encode()


@pytest.mark.filterwarnings("ignore::requests.exceptions.FileModeWarning")
def test_the_length_of_a_text_file_is_told_in_bytes(
    session: requests.Session,
    origin: Origin,
    text_file: TextIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    size = str(len(TEXT.encode()))
    for body in (text_file, io.StringIO(TEXT)):
        told = dict(session.post(origin.url + "/headers", data=body).json())
        assert told["content-length"] == size
    monkeypatch.setattr(bodies, "COUNTED", int(size) - 1)
    text_file.seek(0)
    told = dict(session.post(origin.url + "/headers", data=text_file).json())
    assert "content-length" not in told
    with reading_a_pipe(TEXT[:100]) as pipe:
        assert TextFile(pipe).counted() is None


def test_a_text_file_is_sent_again_from_where_it_stood(text_file: TextIO) -> None:
    body = TextFile(text_file)
    first, second = body.open(), body.open()
    assert next(first) and body.leave(first)
    assert b"".join(second) == TEXT.encode()
    assert body.withdraw(), "it can go out over TCP"
    assert text_file.read() == TEXT


def test_a_text_file_that_is_iterated_over_is_sent_once(text_file: TextIO) -> None:
    next(text_file)
    body = TextFile(text_file)
    assert not body.replayable
    assert b"".join(body.open()) == TEXT.partition("\n")[2].encode()


@contextlib.contextmanager
def reading_a_pipe(text: str) -> Iterator[TextIO]:
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as pipe, open(writing, "w", encoding="utf-8") as other:
        other.write(text)
        other.close()
        yield pipe


def test_a_text_file_that_cannot_seek_is_sent_once() -> None:
    with reading_a_pipe(TEXT[:100]) as pipe:
        body = TextFile(pipe)
        assert not body.replayable
        assert b"".join(body.open()) == TEXT[:100].encode()
        assert not body.withdraw()
