"""Origins: what names one, how it is kept, and what is refused."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.errors import InvalidURL
from quiver.origin import Origin, split_url


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
    ("url", "origin"),
    [
        ("http://localhost", "http://localhost"),
        ("HTTP://localhost:80/x", "http://localhost"),
        ("http://localhost:443", "http://localhost:443"),
        ("https://localhost:80", "https://localhost:80"),
    ],
)
def test_an_origin_without_tls_is_one_where_it_is_taken(url: str, origin: str) -> None:
    parsed = Origin.parse(url, plain=True)
    assert str(parsed) == origin
    assert parsed == Origin.only(origin, plain=True) != Origin.parse("https://localhost")
    assert Origin("http", "localhost").port == 80


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
    "parts", [("ftp", "a", 1), ("https", "", 1), ("https", "a", 0), ("https", "a", True)]
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
