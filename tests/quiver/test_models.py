"""Origin, Request and Response: what is taken, how it is kept, what is refused and how."""

from __future__ import annotations

import io
import pickle
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.errors import InvalidRequest, InvalidURL, QuiverError
from quiver.models import GetStats, Response, Stats
from quiver.origin import Origin, split_url
from quiver.request import Request

# Origin -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://localhost", "https://localhost"),
        ("https://localhost:443/x", "https://localhost"),
        ("HTTPS://Example.COM:4443/a?b#c", "https://example.com:4443"),
        ("https://[::1]:4443/", "https://[::1]:4443"),
        ("https://[0::1]", "https://[::1]"),
        ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ("https://host:", "https://host"),
        ("https://host?q", "https://host"),
    ],
)
def test_the_origin_of_a_url(url: str, origin: str) -> None:
    assert str(Origin.parse(url)) == origin
    assert Origin.parse(origin) == Origin.parse(url)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://localhost/", "https"),
        ("ftp://localhost/", "https"),
        ("https://", "no host"),
        ("https:///path", "no host"),
        ("https://:443", "no host"),
        ("localhost:443", "not absolute"),
        ("//localhost", "not absolute"),
        ("", "not absolute"),
        ("https://host:0", "65535"),
        ("https://host:65536", "65535"),
        ("https://host:99999999999999", "65535"),
        ("https://host:http", "port"),
        ("https://::1/", "brackets"),
        ("https://[host]/", "brackets"),
        ("https://[::g]/", "IPv6"),
        ("https://[fe80::1%25eth0]/", "IPv6"),
        ("https://1.2.3.256/", "IPv4"),
        ("https://host./", "dot"),
        ("https://ho st/", "space"),
        ("https://host\\@evil/", "backslash"),
        ("https://host/\x00", "control"),
        ("https://%41/", "no name"),
        (3, "not a str"),
        (None, "not a str"),
        (b"https://host", "not a str"),
    ],
)
def test_what_names_no_origin(url: Any, said: str) -> None:
    with pytest.raises(InvalidURL, match=said) as caught:
        Origin.parse(url)
    assert caught.value.kind == "invalid"


def test_a_password_in_a_url_is_not_echoed() -> None:
    with pytest.raises(InvalidURL, match="user information") as caught:
        Origin.parse("https://user:secret@host/")
    assert "secret" not in str(caught.value)


def test_an_origin_is_a_value() -> None:
    origin = Origin("https", "LocalHost", 4443)
    assert origin == Origin.parse("https://localhost:4443/x")
    assert len({origin, Origin("https", "localhost", 4443)}) == 1
    assert pickle.loads(pickle.dumps(origin)) == origin
    assert (origin.authority, Origin("https", "::1").authority) == ("localhost:4443", "[::1]")


@pytest.mark.parametrize(
    "parts", [("http", "a", 1), ("https", "", 1), ("https", "a", 0), ("https", "a", True)]
)
def test_an_origin_judges_its_parts(parts: Any) -> None:
    with pytest.raises(InvalidURL):
        Origin(*parts)


@given(st.text())
def test_any_text_is_an_origin_or_an_invalid_url(text: str) -> None:
    for url in (text, "https://" + text):
        try:
            origin, target = split_url(url)
        except InvalidURL:
            continue
        assert Origin.parse(str(origin)) == origin
        assert target.startswith("/")


# Request ------------------------------------------------------------------------------------


def test_a_request_by_path() -> None:
    request = Request("GET", "/items/42?x=1#top", headers={"Accept": "text/plain"})
    assert request.target == "/items/42?x=1"
    assert request.headers == (("accept", "text/plain"),)
    assert (request.origin, request.body, request.timeout) == (None, None, None)


def test_a_request_by_url() -> None:
    request = Request("GET", "https://Host:4443?x#y")
    assert (request.origin, request.target) == (Origin("https", "host", 4443), "/?x")
    assert Request("GET", "https://host/#y").target == "/"


def test_a_path_may_hold_a_url() -> None:
    assert Request("GET", "/to?https://a").target == "/to?https://a"


def test_headers_may_be_pairs_and_bytes_and_come_twice() -> None:
    pairs: list[Any] = [("A", "1"), [b"a", b"\xe9"], ("te", "trailers")]
    request = Request("GET", "/", pairs)
    assert request.headers == (("a", "1"), ("a", "é"), ("te", "trailers"))
    assert Request("GET", "/", iter([("a", "1")])).headers == (("a", "1"),)


@pytest.mark.parametrize("body", [b"x", bytearray(b"x"), memoryview(b"x")])
def test_a_body_is_kept_as_bytes(body: Any) -> None:
    request = Request("POST", "/", body=body)
    assert request.body == b"x"
    assert type(request.body) is bytes


def test_options_may_ask_about_the_server() -> None:
    assert Request("OPTIONS", "*").target == "*"


def test_what_a_request_was_can_be_changed_into_a_new_one() -> None:
    request = Request("GET", "https://host/x", timeout=1)
    later = attrs.evolve(request, timeout=2.5)
    assert (later.origin, later.target, later.timeout) == (request.origin, "/x", 2.5)
    assert pickle.loads(pickle.dumps(request)) == request
    assert hash(request) != hash(later)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"method": ""}, "method=''"),
        ({"method": "GE T"}, "method='GE T'"),
        ({"method": "GET\r\n"}, "method="),
        ({"method": b"GET"}, "method=b'GET' is a bytes"),
        ({"method": "CONNECT"}, "use a channel"),
        ({"target": ""}, "target='' is empty"),
        ({"target": "x"}, "does not begin"),
        ({"target": "*"}, "does not begin"),
        ({"target": "/a b"}, "percent-encode"),
        ({"target": "/é"}, "percent-encode"),
        ({"target": "/a\r\nx: y"}, "percent-encode"),
        ({"target": None}, "target=None is a NoneType"),
        ({"headers": "a: b"}, "headers='a: b'"),
        ({"headers": 5}, "headers=5"),
        ({"headers": ["ab"]}, "'ab' is no pair"),
        ({"headers": [("a",)]}, "no pair"),
        ({"headers": {"": "x"}}, "header name '' is empty"),
        ({"headers": {"a b": "x"}}, "header name 'a b'"),
        ({"headers": {":path": "/x"}}, "pseudo-header"),
        ({"headers": {"\N{KELVIN SIGN}ey": "x"}}, "not a token"),  # its lower() is an ASCII k
        ({"headers": {"a": "x\ny"}}, r"header a: 'x\\ny' has a control"),
        ({"headers": {"a": "x\0"}}, "control"),
        ({"headers": {"a": " x"}}, "white space"),
        ({"headers": {"a": "€"}}, "latin-1"),
        ({"headers": {"a": 5}}, "header 'a': the value 5 is a int"),
        ({"headers": {None: "x"}}, "the name None"),
        ({"headers": {"Connection": "close"}}, "connection-specific"),
        ({"headers": {"transfer-encoding": "chunked"}}, "connection-specific"),
        ({"headers": {"te": "gzip"}}, "trailers"),
        ({"headers": {"content-length": "5"}}, "'5', but the body has 0"),
        ({"headers": [("content-length", "0")] * 2}, "'0, 0'"),
        ({"headers": [("host", "a"), ("host", "a")]}, "more than once"),
        ({"headers": {"host": "a/b"}}, "header host: 'a/b'"),
        ({"headers": {"host": "a:b"}}, "header host: "),
        ({"headers": {"host": ""}}, "no host"),
        ({"body": "text"}, "encode it"),
        ({"body": 5}, "body is a int"),
        ({"body": {"a": b"x"}}, "body is a dict"),
        ({"body": ["x"]}, "a piece is a str"),
        ({"body": io.StringIO("x")}, "text mode"),
        ({"trailers": {"content-length": "1"}}, "trailer content-length"),
        ({"trailers": {":x": "1"}}, "pseudo"),
        ({"on_informational": 5}, "cannot be called"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": -1.0}, "timeout=-1.0"),
        ({"timeout": True}, "timeout=True"),
        ({"timeout": "5"}, "timeout='5'"),
        ({"timeout": float("inf")}, "timeout=inf"),
        ({"receive_timeout": float("nan")}, "receive_timeout=nan"),
    ],
)
def test_what_is_no_request(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Request(**{"method": "GET", "target": "/", **changed})


def test_a_bad_url_is_told_as_one() -> None:
    with pytest.raises(InvalidURL, match="https"):
        Request("GET", "http://host/")


def test_a_url_must_be_at_the_origin_that_was_said() -> None:
    here = Origin.parse("https://here")
    assert Request("GET", "https://here/x", origin=here).origin == here
    with pytest.raises(InvalidRequest, match="not at https://here"):
        Request("GET", "https://there/x", origin=here)


def test_good_special_headers() -> None:
    request = Request("POST", "/", {"content-length": "1", "host": "Host:80"}, b"x")
    assert request.headers == (("content-length", "1"), ("host", "Host:80"))


@given(st.text(), st.text(), st.text(), st.text())
def test_nothing_but_an_invalid_request_comes_of_text(
    method: str, target: str, name: str, value: str
) -> None:
    try:
        request = Request(method, "/" + target, [(name, value)])
    except QuiverError as error:
        assert error.kind == "invalid"
        return
    wire = "".join([request.method, request.target, name])
    assert wire.isascii()
    assert not set(wire + value) & set("\0\r\n")


# Response -----------------------------------------------------------------------------------


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
