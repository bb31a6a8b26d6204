"""Queries and JSON bodies: what is written, and what is refused in which words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.errors import InvalidRequest
from quiver.request import OpenChannel, Request
from quiver.request_forms import json_body, with_query

TEXT = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)


@pytest.mark.parametrize(
    ("target", "params", "written"),
    [
        ("/a", {"q": "a b&c=d", "é": "ü"}, "/a?q=a%20b%26c%3Dd&%C3%A9=%C3%BC"),
        ("/a?x=1", {"y": 2}, "/a?x=1&y=2"),
        ("/a?", {"y": 2.5}, "/a?y=2.5"),
        ("/a", {"t": ["x", "y"], "u": (1,), "v": []}, "/a?t=x&t=y&u=1"),
        ("/a", {"yes": True, "no": False}, "/a?yes=true&no=false"),
        ("/a", {"gone": None, "some": [None, "x"]}, "/a?some=x"),
        ("/a", [("a", "1"), ("a", b"\xff")], "/a?a=1&a=%FF"),
        ("/a?x", {}, "/a?x"),
        ("/a", iter([("n", range(2))]), "/a?n=0&n=1"),
    ],
)
def test_queries(target: str, params: Any, written: str) -> None:
    assert with_query(target, params) == written


@given(st.lists(st.tuples(TEXT, TEXT)))
def test_a_query_is_read_as_it_was_meant(pairs: list[tuple[str, str]]) -> None:
    target = with_query("/a", pairs)
    assert parse_qsl(urlsplit(target).query, keep_blank_values=True) == pairs
    Request("GET", target)  # which takes it


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ("a=1", "params: a str is neither a mapping nor pairs; write a query that is encoded into"),
        (7, "params: a int is neither"),
        (["a=1"], "params: a str is no pair"),
        ([("a",)], "params: a tuple is no pair"),
        ({1: "x"}, "params: a name is a int, not a str"),
        ({"a": object()}, r"params\['a'\]: a object is neither text nor a number: convert it"),
        ({"a": {"b": 1}}, r"params\['a'\]: a dict is neither"),
        ({"a": "\ud800"}, "surrogate"),
    ],
)
def test_what_is_no_query(params: Any, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Request("GET", "/a", params=params)


def test_no_query_for_a_target_that_has_none() -> None:
    with pytest.raises(InvalidRequest, match=r"params: the target \* has no query"):
        Request("OPTIONS", "*", params={"a": 1})


@given(JSON)
def test_json_is_read_as_it_was_meant(value: Any) -> None:
    assert json.loads(json_body(value)) == value


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({1, 2}, "json: a set cannot be sent: Object of type set"),
        ({"key": object()}, "json: a dict cannot be sent: Object of type object"),
        (float("nan"), "json: a float cannot be sent: NaN"),
        ("\udc00", "half a character"),
    ],
)
def test_what_is_no_json(value: object, said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Request("POST", "/", json=value)


def test_a_circle_is_no_json() -> None:
    circle: dict[str, object] = {}
    circle["inside"] = circle
    with pytest.raises(InvalidRequest, match="a circle"):
        Request("POST", "/", json=circle)


def test_json_is_a_body_with_its_type() -> None:
    request = Request("POST", "/", json={"é": [1, None]})
    assert request.body == '{"é":[1,null]}'.encode()
    assert request.headers == (("content-type", "application/json"),)
    assert request.content_length == 15


@pytest.mark.parametrize("headers", [{"Content-Type": "application/ld+json"}])
def test_a_type_of_ones_own_stays(headers: Mapping[str, str]) -> None:
    request = Request("POST", "/", headers=headers, json=[])
    assert request.headers == (("content-type", "application/ld+json"),)


def test_one_body_only() -> None:
    with pytest.raises(InvalidRequest, match="json and body"):
        Request("POST", "/", json=[], body=b"")
    with pytest.raises(InvalidRequest, match="a channel has none"):
        OpenChannel("CONNECT", "/", protocol="echo", json=[])


def test_a_copy_takes_them_no_second_time() -> None:
    request = Request("POST", "/?a=1", json=[1], params={"b": 2})
    copied = attrs.evolve(request, timeout=1.0)
    assert (copied.target, copied.body, copied.headers) == (
        "/?a=1&b=2",
        b"[1]",
        (("content-type", "application/json"),),
    )


def test_they_are_no_part_of_its_repr() -> None:
    request = Request("POST", "/", json={"password": "secret"}, params={"token": "secret"})
    assert "secret" not in repr(request)
