"""Requests: what is taken, how it is kept, what is refused and how."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.errors import InvalidRequest, InvalidURL, QuiverError
from quiver.origin import Origin
from quiver.request import OpenChannel, Request, StreamRequest, trailer_pairs
from quiver.streams.body_source import BodySource


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
        ({"target": None}, "target is a NoneType"),
        ({"headers": "a: b"}, "headers: a str is neither"),
        ({"headers": 5}, "headers: a int"),
        ({"headers": ["ab"]}, "a str is no pair"),
        ({"headers": [("a",)]}, "a tuple of 1 is no pair"),
        ({"headers": {"": "x"}}, "header name '' is empty"),
        ({"headers": {"a b": "x"}}, "header name 'a'... is not a token"),
        ({"headers": {":path": "/x"}}, "pseudo-header"),
        ({"headers": {"\N{KELVIN SIGN}ey": "x"}}, "not a token"),  # its lower() is an ASCII k
        ({"headers": {"a": "x\ny"}}, r"header a: the value has a control character, '\\n' at 1"),
        ({"headers": {"a": "x\0"}}, "control"),
        ({"headers": {"a": " x"}}, "white space"),
        ({"headers": {"a": "€"}}, "latin-1"),
        ({"headers": {"a": 5}}, "header 'a': the value is a int"),
        ({"headers": {None: "x"}}, "header NoneType: the name is a"),
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
        ({"trailers": {":x": "1"}}, "trailer name ':x' is a pseudo"),
        ({"trailers": 5}, "trailers: a int"),
        ({"trailers": {"x": 5}}, "trailer 'x': the value is a int"),
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


LIMITS: Final = [
    each.name for each in attrs.fields(OpenChannel) if str(each.type) == "float | None"
]


@pytest.mark.parametrize("name", [*LIMITS, "early_data", "on_informational"])
def test_each_option_is_checked_also_in_a_copy(name: str) -> None:
    changed: dict[str, Any] = {name: -1}
    first = OpenChannel("GET", "/")
    for make in (partial(OpenChannel, "GET", "/"), partial(attrs.evolve, first)):
        with pytest.raises(InvalidRequest, match=f"{name}=-1 "):
            make(**changed)


class Patient(Request):
    """A request of a program's own, with one constructor argument."""

    def __init__(self, patience: Any) -> None:
        super().__init__("GET", "/", timeout=patience)


def test_options_are_checked_that_a_subclass_gives() -> None:
    assert Patient(5).timeout == 5
    with pytest.raises(InvalidRequest, match="timeout='5' is not a number of seconds"):
        Patient("5")


def test_a_keyword_that_is_none_is_told_so_whatever_its_value() -> None:
    with pytest.raises(TypeError, match="open_timeout is no keyword of a request"):
        Request("GET", "/", open_timeout=0)  # type: ignore[call-arg]


def test_no_time_limit_is_left_out_of_these() -> None:
    assert len(LIMITS) == 6


def test_a_bad_url_is_told_as_one() -> None:
    with pytest.raises(InvalidURL, match="https or http"):
        Request("GET", "ftp://host/")


def test_a_url_may_be_without_tls() -> None:
    """Whoever is asked for it says whether that can be."""
    request = Request("GET", "http://host/x")
    assert (request.origin, request.target) == (Origin("http", "host", 80), "/x")


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


# bodies and trailers ------------------------------------------------------------------------


def test_what_is_no_bytes_becomes_a_source() -> None:
    request = Request("POST", "/", body=[b"ab", b"c"])
    assert isinstance(request.body, BodySource)
    assert attrs.evolve(request, method="PUT").body is request.body


@pytest.mark.parametrize(
    ("body", "headers", "length"),
    [
        (None, {}, 0),
        (b"abc", {}, 3),
        ([b"ab", b"c"], {}, 3),
        (io.BytesIO(b"abc"), {}, 3),
        (iter([b"abc"]), {}, None),
        (iter([b"abc"]), {"Content-Length": "7"}, 7),
    ],
)
def test_the_length_that_is_known(body: Any, headers: Any, length: int | None) -> None:
    assert Request("POST", "/", headers, body).content_length == length


@pytest.mark.parametrize("body", [b"abc", [b"ab", b"c"], io.BytesIO(b"abc")])
def test_a_length_that_is_known_is_compared_at_once(body: Any) -> None:
    assert Request("POST", "/", {"content-length": "3"}, body).content_length == 3
    with pytest.raises(InvalidRequest, match="'4', but the body has 3"):
        Request("POST", "/", {"content-length": "4"}, body)


@pytest.mark.parametrize("value", ["", "-1", "1.0", "x", "٣", "3, 3"])
def test_a_length_that_is_none(value: str) -> None:
    with pytest.raises(InvalidRequest):
        Request("POST", "/", {"content-length": value}, iter([b"abc"]))


def test_trailers_are_kept_as_headers_are_or_asked_for_later() -> None:
    assert Request("POST", "/", trailers={"X-Sum": "1"}).trailers == (("x-sum", "1"),)
    assert Request("POST", "/", trailers=[("a", "1"), ("A", "2")]).trailers == (
        ("a", "1"),
        ("a", "2"),
    )
    assert Request("POST", "/", trailers=dict).trailers is dict


@pytest.mark.parametrize("name", ["content-length", "Host", "TE"])
def test_what_no_trailer_may_be(name: str) -> None:
    value = "trailers" if name == "TE" else "1"
    for given_so in ({name: value}, [(name, value)]):
        with pytest.raises(InvalidRequest, match=f"trailer {name.lower()}"):
            Request("POST", "/", trailers=given_so)
        with pytest.raises(InvalidRequest, match="before the body"):
            trailer_pairs(given_so)


def test_a_callback_is_no_part_of_what_a_request_is() -> None:
    assert Request("GET", "/", on_informational=print) == Request("GET", "/")


# streamed, and channels ---------------------------------------------------------------------


def test_a_stream_request_is_a_request_of_another_kind() -> None:
    streamed = StreamRequest("GET", "/", {"a": "1"}, timeout=2.0)
    assert isinstance(streamed, Request)
    assert streamed != Request("GET", "/", {"a": "1"}, timeout=2.0)
    with pytest.raises(InvalidRequest, match="use a channel"):
        StreamRequest("CONNECT", "/")


@pytest.mark.parametrize(("method", "protocol"), [("CONNECT", "webtransport"), ("GET", None)])
def test_a_channel_is_opened_by_connect_with_a_protocol_or_by_others_without(
    method: str, protocol: str | None
) -> None:
    opened = OpenChannel(method, "/session", protocol=protocol, require_datagrams=True)
    assert (opened.method, opened.protocol, opened.require_datagrams) == (method, protocol, True)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"protocol": None}, "CONNECT needs one"),
        ({"method": "GET"}, "protocol='webtransport' needs method='CONNECT'"),
        ({"protocol": "web transport"}, "protocol='web transport' is not a token"),
        ({"protocol": ""}, "protocol=''"),
        ({"protocol": 5}, "protocol=5 is not a str"),
        ({"body": b"x"}, "a channel has none"),
        ({"body": b""}, "a channel has none"),
        ({"body": iter([b"x"])}, "a channel has none"),
        ({"trailers": {"a": "1"}}, "a channel has none"),
        ({"trailers": dict}, "a channel has none"),
        ({"early_data": True}, "early_data: a channel has none"),
        ({"early_data": False}, "early_data: a channel has none"),
        ({"target": ""}, "target=''"),
        ({"timeout": -1}, "timeout=-1"),
    ],
)
def test_what_opens_no_channel(changed: dict[str, Any], said: str) -> None:
    given_so = {"method": "CONNECT", "target": "/", "protocol": "webtransport", **changed}
    with pytest.raises(InvalidRequest, match=said):
        OpenChannel(**given_so)


# what does not fit one field line ----------------------------------------------------------------

LONG = "a" * 65_536


def _streamed(headers: Any) -> Request:
    return StreamRequest("GET", "/", headers=headers)


@pytest.mark.parametrize(
    ("said", "make"),
    [
        ("header x: the value", lambda: Request("GET", "/", {"x": LONG})),
        ("header x: the value", lambda: Request("GET", "/", [("x", LONG.encode())])),
        ("header name 'aaaa", lambda: Request("GET", "/", {LONG: "x"})),
        ("header x: the value", lambda: _streamed({"x": LONG})),
        ("trailer x: the value", lambda: Request("POST", "/", trailers={"x": LONG})),
        ("trailer x: the value", lambda: trailer_pairs({"x": LONG})),
        ("header name 'aaaa", lambda: Request("GET", "/", {LONG[:32_767]: LONG[:32_769]})),
        ("target='/aaaa", lambda: Request("GET", "/" + LONG)),
        ("target='/aaaa", lambda: Request("GET", "https://host/" + LONG)),
        ("target='/[?][*]{3}'", lambda: Request("GET", "/?" + LONG)),
        ("method='aaaa", lambda: Request(LONG, "/")),
        ("header x: ", lambda: OpenChannel("CONNECT", "/", {"x": LONG}, protocol="p")),
        ("protocol='aaaa", lambda: OpenChannel("CONNECT", "/", protocol=LONG)),
    ],
    ids=lambda value: value if isinstance(value, str) else "made",
)
def test_what_no_field_line_can_hold(said: str, make: Callable[[], Request]) -> None:
    with pytest.raises(InvalidRequest, match=f"^{said}.* bytes, .* limit is 65500") as caught:
        make()
    assert len(str(caught.value)) < 200


def test_a_fragment_may_be_long_because_it_is_not_sent() -> None:
    assert Request("GET", "/x#" + LONG).target == "/x"
    assert Request("GET", "https://host/x#" + LONG).target == "/x"


def test_many_fields_may_be_long_together() -> None:
    assert len(Request("GET", "/", [("x", LONG[:65_000])] * 10).headers) == 10


@pytest.mark.parametrize("host", ["b\xfccher.example", "\u4f8b.example", "host.example:4\u0663"])
def test_a_host_field_is_ascii(host: str) -> None:
    with pytest.raises(InvalidRequest, match=r"header host: .*(ASCII|latin-1)"):
        Request("GET", "/", {"host": host})


def test_a_length_beyond_any_stream() -> None:
    with pytest.raises(InvalidRequest, match=r"content-length: .* 5000 digits, the limit is 19"):
        Request("POST", "/", {"content-length": "9" * 5000}, body=iter([b"x"]))


def test_a_time_beyond_any_float() -> None:
    with pytest.raises(InvalidRequest, match=r"no.* a number of seconds"):
        Request("GET", "/", timeout=10**400)
