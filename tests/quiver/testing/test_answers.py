"""What a route may return, and what that means."""

from __future__ import annotations

from typing import Any

import pytest

from quiver.testing import Answer, Close, Reset, Silence
from quiver.testing.answers import outcome_of

TEXT = [(b"content-type", b"text/plain; charset=utf-8")]
JSON = [(b"content-type", b"application/json")]


@pytest.mark.parametrize(
    ("returned", "status", "headers", "body"),
    [
        (b"raw", 200, [], b"raw"),
        ("tëxt", 200, TEXT, "tëxt".encode()),
        ({"a": 1}, 200, JSON, b'{"a": 1}'),
        ([1, 2], 200, JSON, b"[1, 2]"),
        ((404, {"X-Name": "v"}, b"no"), 404, [(b"x-name", b"v")], b"no"),
        ((204, [("a", "1"), ("a", "2")], b""), 204, [(b"a", b"1"), (b"a", b"2")], b""),
    ],
)
def test_a_response(returned: Any, status: int, headers: Any, body: bytes) -> None:
    answer = outcome_of(returned)
    assert isinstance(answer, Answer)
    assert (answer.status, list(answer.headers), answer.body) == (status, headers, body)
    assert answer.plain


@pytest.mark.parametrize("outcome", [Answer(201), Reset(0x10B), Close(), Silence()])
def test_an_outcome_is_itself(outcome: Any) -> None:
    assert outcome_of(outcome) is outcome


@pytest.mark.parametrize("returned", [None, 200, (200, b"x"), (200, {}, "text"), object()])
def test_what_is_no_answer(returned: Any) -> None:
    with pytest.raises(TypeError, match="a route returns bytes"):
        outcome_of(returned)


@pytest.mark.parametrize("status", [0, 103, 1000])
def test_a_status_is_final(status: int) -> None:
    with pytest.raises(ValueError, match=str(status)):
        outcome_of((status, {}, b""))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=[b"a", b"b"]),
        Answer(headers={"Content-Length": "9"}, body=b"a"),
        Answer(then=Reset()),
    ],
)
def test_what_is_sent_as_it_stands(answer: Answer) -> None:
    assert not answer.plain
