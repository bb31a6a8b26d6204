"""What travels back: responses and counts."""

from __future__ import annotations

import math

import attrs
import pytest

from quiver.models import GetStats, Handshake, Response, ResponseConnection, Stats


def response(content_type: str | None = None, body: bytes = b"") -> Response:
    headers = [] if content_type is None else [("content-type", content_type)]
    return Response(200, headers, body, [])


def test_the_first_header_of_a_name_in_any_case() -> None:
    answer = Response(200, [("a", "1"), ("a", "2")], b"")
    assert (answer.header("A"), answer.header("b"), answer.header("b", "x")) == ("1", None, "x")


@pytest.mark.parametrize(
    ("content_type", "body", "text"),
    [
        (None, "é".encode(), "é"),
        ("text/plain; charset=latin-1", b"\xe9", "é"),
        ('text/plain; Charset="UTF-16"', "é".encode("utf-16"), "é"),
        ("text/plain; charset=no-such", b"ok", "ok"),
        ("text/plain; charset=hex", b"ok", "ok"),
        ("text/plain; charset=undefined", b"ok", "ok"),
        ("text/plain; charset=utf-8", b"\xff", "\ufffd"),
    ],
)
def test_text_is_decoded_as_the_server_said(
    content_type: str | None, body: bytes, text: str
) -> None:
    assert response(content_type, body).text == text


def test_json() -> None:
    assert response(body=b'{"a": [1]}').json() == {"a": [1]}
    with pytest.raises(ValueError):
        response(body=b"no").json()


def test_values_are_values() -> None:
    assert repr(response(body=b"12345")) == "<Response 200, 5 bytes>"
    assert Response(200) == Response(200, [], b"", [])
    assert GetStats() == GetStats()
    assert Stats(1, 2, 3, 4) == Stats(idle=1, active=2, queued=3, connections=4)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Stats(1, 2, 3, 4).idle = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("host", "place", "shown"),
    [
        ("127.0.0.1", None, "<ResponseConnection 3, HTTP/2 with 127.0.0.1:443>"),
        ("::1", None, "<ResponseConnection 3, HTTP/2 with [::1]:443>"),
        ("::1", "edge:8443", "<ResponseConnection 3, HTTP/2 with [::1]:443 (edge:8443)>"),
    ],
)
def test_a_connection_shows_with_whom_it_is_and_what_is_spoken(
    host: str, place: str | None, shown: str
) -> None:
    agreed = Handshake("TLSv1.3", "h2", "TLS_AES_128_GCM_SHA256", b"secret", math.inf, 100, 0)
    made = ResponseConnection(3, (host, 443), ("127.0.0.1", 50_000), agreed, 0.1, place)
    assert repr(made) == shown
