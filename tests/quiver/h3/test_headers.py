from __future__ import annotations

import pytest
from aioquic.h3.connection import MessageError, validate_request_headers
from hypothesis import given
from hypothesis import strategies as st

from quiver.h3.headers import (
    Fields,
    Malformed,
    request_fields,
    response_of,
    section_size,
    trailers_of,
)
from quiver.origin import Origin
from quiver.request import OpenChannel, Request

ORIGIN = Origin("https", "localhost", 4443)
STATUS = (b":status", b"200")


def test_pseudo_headers_come_first() -> None:
    request = Request("GET", "/items?q=1", {"X-One": "1", "host": "other:1"})
    assert request_fields(request, ORIGIN) == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"other:1"),
        (b":path", b"/items?q=1"),
        (b"x-one", b"1"),
    ]


def test_who_names_a_user_agent_goes_by_that() -> None:
    for theirs in ("theirs/1", ""):
        section = request_fields(Request("GET", "/", {"User-Agent": theirs}), ORIGIN, "ours/1")
        assert section[4:] == [(b"user-agent", theirs.encode())]
    channel = request_fields(OpenChannel("CONNECT", "/", protocol="echo"), ORIGIN, "ours/1")
    assert channel[-1] == (b"user-agent", b"ours/1")


def test_the_authority_is_the_origins() -> None:
    section = dict(request_fields(Request("GET", "/"), Origin("https", "::1", 4443)))
    assert section[b":authority"] == b"[::1]:4443"
    section = dict(request_fields(Request("GET", "/"), Origin("https", "example.com")))
    assert section[b":authority"] == b"example.com"


@pytest.mark.parametrize(
    ("request_", "length"),
    [
        (Request("GET", "/"), None),
        (Request("DELETE", "/"), None),
        (Request("GET", "/", (), b""), b"0"),
        (Request("POST", "/"), b"0"),
        (Request("PUT", "/"), b"0"),
        (Request("PATCH", "/"), b"0"),
        (Request("POST", "/", (), b"four"), b"4"),
        (Request("POST", "/", {"content-length": "4"}, b"four"), b"4"),
    ],
)
def test_content_length_is_given_once_where_content_is_expected(
    request_: Request, length: bytes | None
) -> None:
    lengths = [v for n, v in request_fields(request_, ORIGIN) if n == b"content-length"]
    assert lengths == ([] if length is None else [length])


def test_a_body_of_unknown_length_has_no_length_of_ours() -> None:
    section = request_fields(Request("POST", "/", body=iter([b"x"])), ORIGIN)
    assert b"content-length" not in dict(section)


def test_a_body_of_known_length_brings_it_along() -> None:
    section = request_fields(Request("POST", "/", body=[b"abc", b"de"]), ORIGIN)
    assert dict(section)[b"content-length"] == b"5"


def test_extended_connect_names_its_protocol() -> None:
    request = OpenChannel("CONNECT", "/session", protocol="webtransport")
    assert request_fields(request, ORIGIN)[:2] == [
        (b":method", b"CONNECT"),
        (b":protocol", b"webtransport"),
    ]


names = st.from_regex(r"\A[a-z0-9!#$%&'*+.^_`|~-]{1,12}\Z").filter(
    lambda name: (
        name
        not in (
            "connection",
            "keep-alive",
            "proxy-connection",
            "transfer-encoding",
            "upgrade",
            "te",
            "host",
            "content-length",
        )
    )
)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_categories=["Cc"]))


@given(headers=st.lists(st.tuples(names, values)), body=st.none() | st.binary(max_size=9))
def test_what_we_send_is_valid_for_a_strict_server(
    headers: list[tuple[str, str]], body: bytes | None
) -> None:
    headers = [pair for pair in headers if pair[1].strip("\x85\xa0 ") == pair[1]]
    section = request_fields(Request("POST", "/", headers, body), ORIGIN)
    validate_request_headers(section)  # raises MessageError
    sent = [(n.decode(), v.decode("latin-1")) for n, v in section[4:] if n != b"content-length"]
    assert sent == headers


def test_the_strict_server_can_fail() -> None:
    with pytest.raises(MessageError):
        validate_request_headers([(b"X", b"1")])


def test_a_response_is_status_and_fields() -> None:
    status, headers = response_of([STATUS, (b"x-a", b"\xe9 \t1"), (b"x-a", b"")])
    assert status == 200
    assert headers == [("x-a", "é \t1"), ("x-a", "")]


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ([], "no :status"),
        ([(b"x", b"1")], "no :status"),
        ([(b"x", b"1"), STATUS], "not the first"),
        ([STATUS, STATUS], "pseudo-header"),
        ([STATUS, (b":path", b"/")], "pseudo-header"),
        ([(b":status", b"20")], "three digits"),
        ([(b":status", b"2000")], "three digits"),
        ([(b":status", b"099")], "three digits"),
        ([(b":status", b"+20")], "three digits"),
        ([(b":status", b"2\xb20")], "three digits"),
        ([(b":status", b"101")], "101"),
        ([STATUS, (b"X-Upper", b"1")], "upper-case"),
        ([STATUS, (b"", b"1")], "empty"),
        ([STATUS, (b"a b", b"1")], "token"),
        ([STATUS, (b"a" * 70 + b"\n", b"1")], "token"),
        ([STATUS, (b"x", b"1\n2")], "control"),
        ([STATUS, (b"x", b"1\x00")], "control"),
        ([STATUS, (b"x", b" 1")], "white space"),
        ([STATUS, (b"x", b"1\t")], "white space"),
        ([STATUS, (b"connection", b"close")], "connection-specific"),
        ([STATUS, (b"transfer-encoding", b"chunked")], "connection-specific"),
        ([STATUS, (b"te", b"gzip")], "trailers"),
    ],
)
def test_a_malformed_response_says_why(section: Fields, said: str) -> None:
    for _ in range(2):  # faults of names are not remembered as good
        with pytest.raises(Malformed, match=said):
            response_of(section)


def test_trailers_have_no_pseudo_headers() -> None:
    assert trailers_of([(b"x-sum", b"1")]) == [("x-sum", "1")]
    with pytest.raises(Malformed, match="pseudo-header"):
        trailers_of([STATUS])


def test_a_message_shows_no_more_than_a_line() -> None:
    with pytest.raises(Malformed) as fault:
        response_of([STATUS, (b"X" * 50_000, b"")])
    assert len(str(fault.value)) < 400


@pytest.mark.parametrize(
    "field",
    [(b"set-cookie", b"a=s3cret\0"), (b"set-cookie: a=s3cret", b""), (b":set-cookie: s3cret", b"")],
)
def test_a_message_shows_no_value(field: tuple[bytes, bytes]) -> None:
    for read in (lambda: response_of([STATUS, field]), lambda: trailers_of([field])):
        with pytest.raises(Malformed, match="set-cookie") as fault:
            read()
        assert "s3cret" not in str(fault.value)


def test_a_section_is_as_large_as_the_rfc_says() -> None:
    assert section_size([]) == 0
    assert section_size([(b":status", b"200"), (b"a", b"")]) == 7 + 3 + 32 + 1 + 32
