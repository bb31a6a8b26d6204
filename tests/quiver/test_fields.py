"""The grammar of methods, paths, fields and hosts."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver import fields

TCHAR = "!#$%&'*+-.^_`|~" + string.digits + string.ascii_letters


@given(st.text(TCHAR, min_size=1))
def test_a_token_is_a_method_and_in_lower_case_a_name(token: str) -> None:
    assert fields.method_fault(token) is None
    assert fields.name_fault(token.lower()) is None


@given(st.text(min_size=1).filter(lambda text: not set(text) <= set(TCHAR)))
def test_anything_else_is_neither(text: str) -> None:
    assert fields.method_fault(text)
    assert fields.name_fault(text)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "empty"),
        (":path", "pseudo"),
        ("Accept", "upper-case"),
        ("a b", "token"),
        ("a\n", "token"),
        ("é", "token"),
    ],
)
def test_a_bad_name_is_told_why(name: str, said: str) -> None:
    assert said in (fields.name_fault(name) or "")


@given(st.text(st.characters(max_codepoint=0xFF)))
def test_a_value_is_good_exactly_without_controls_and_outer_space(value: str) -> None:
    controls = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0x80))]
    controls.remove("\t")
    good = not any(c in value for c in controls) and value == value.strip(" \t")
    assert (fields.value_fault(value) is None) is good


@pytest.mark.parametrize("value", ["a\r\nb", "a\x00", "\x7f", " a", "a\t", "\u20ac"])
def test_a_bad_value_is_told(value: str) -> None:
    assert fields.value_fault(value)


def test_te_may_only_say_trailers() -> None:
    assert fields.connection_fault("te", "trailers") is None
    assert fields.connection_fault("te", "gzip")
    assert fields.connection_fault("upgrade", "h2c")
    assert fields.connection_fault("accept", "*/*") is None


def test_a_whole_field_is_judged_in_order() -> None:
    assert fields.field_fault("accept", "*/*") is None
    assert "token" in (fields.field_fault("a b", "\n") or "")
    assert "control" in (fields.field_fault("a", "\n") or "")
    assert "connection-specific" in (fields.field_fault("connection", "close") or "")


@pytest.mark.parametrize("path", ["/", "/a?b=c", "//x", "/%20", "/~[]{}|"])
def test_good_paths(path: str) -> None:
    assert fields.path_fault(path) is None


@pytest.mark.parametrize("path", ["", "a", "/a b", "/é", "/\n", "/\x7f", "*"])
def test_bad_paths(path: str) -> None:
    assert fields.path_fault(path)


@pytest.mark.parametrize(
    ("host", "normal"),
    [
        ("Example.COM", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("a_b.internal", "a_b.internal"),
        ("127.0.0.1", "127.0.0.1"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("FE80::A", "fe80::a"),
    ],
)
def test_hosts_have_one_form(host: str, normal: str) -> None:
    assert fields.normal_host(host) == normal


@pytest.mark.parametrize(
    "host",
    [
        *("", "a..b", "-a", "a-", "a.", "a b", "a/b", "127.1", "1.2.3.256", "::g", "fe80::1%eth0"),
        *("a" * 64, ".".join(["a" * 50] * 6), "ü" * 70, "%41"),
    ],
)
def test_no_hosts(host: str) -> None:
    with pytest.raises(ValueError):
        fields.normal_host(host)
