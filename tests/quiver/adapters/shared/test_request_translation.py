"""What becomes of another library's request: its URL, and the fields that may go out."""

from __future__ import annotations

import pytest

import quiver
from quiver.adapters.shared.request_translation import split, translated
from quiver.origin import Origin
from quiver.pool.fallback_table import Route

A = Origin.parse("https://a.example:8443")
ALTERNATIVE = Origin.parse("https://b.example:9443")
THERE = Route(A, A)
ELSEWHERE = Route(A, ALTERNATIVE)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://a.example:8443/x?y=@z", "/x?y=@z"),
        ("https://user:p%40ss@a.example:8443/x@y", "/x@y"),
        ("https://user@a.example:8443", "/"),
        ("https://a.example:8443?q=u@v", "/?q=u@v"),
    ],
)
def test_split(url: str, target: str) -> None:
    assert split(url) == (A, target)


def test_nothing_about_a_connection_goes_out() -> None:
    given: list[tuple[str | bytes, str | bytes]] = [
        ("Connection", "keep-alive, X-Mine"),
        ("Keep-Alive", "5"),
        ("Transfer-Encoding", "chunked"),
        ("TE", "gzip"),
        ("X-Mine", "dropped"),
        (b"X-Kept", b" padded\t"),
        ("Upgrade", "websocket"),
    ]
    assert translated(THERE, "GET", "/", given).headers == (("x-kept", "padded"),)
    assert translated(THERE, "GET", "/", [("te", "Trailers")]).headers == (("te", "Trailers"),)


def test_an_alternative_is_told_whom_it_stands_for() -> None:
    told = dict(translated(ELSEWHERE, "GET", "/", []).headers)
    assert told == {"host": "a.example:8443", "alt-used": "b.example:9443"}
    assert dict(translated(ELSEWHERE, "GET", "/", [("Host", "c")]).headers)["host"] == "c"


def test_the_same_values_without_a_body_make_the_same_request() -> None:
    fields: list[tuple[str | bytes, str | bytes]] = [("x-a", "1")]
    asked = [
        translated(THERE, "GET", "/", fields, receive_timeout=limit) for limit in (1.0, 1.0, 2.0)
    ]
    assert asked[0] is asked[1] and asked[2].receive_timeout == 2.0
    sent = [translated(THERE, "POST", "/", fields, body=b"abc") for _ in range(2)]
    assert sent[0] is not sent[1] and sent[0].body == sent[1].body == b"abc"
    ended = translated(THERE, "POST", "/", fields, trailers=[("x-sum", "1")])
    assert ended.trailers == (("x-sum", "1"),)


def test_what_is_wrong_is_refused() -> None:
    with pytest.raises(quiver.InvalidRequest, match="x-bad"):
        translated(THERE, "GET", "/", [("X-Bad", "a\nb")])
    with pytest.raises(quiver.InvalidURL):
        split("http://a.example/")
