"""What becomes of a body of requests: read once, as bytes, and let go in the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests

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
