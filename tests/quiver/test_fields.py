"""The grammar of methods, paths, fields and hosts."""

from __future__ import annotations

import string

import pylsqpack
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
    ("host", "normal"),
    [
        ("faß.de", "xn--fa-hia.de"),  # IDNA 2003 made it fass.de, which is another's
        ("Straße.Example", "xn--strae-oqa.example"),
        ("κλαρα-σωλις.ευ", "xn----ylba7abgd9bnh0e.xn--qxa6a"),
        ("نامه\u200cای.example", "xn--mgba3gch31f060k.example"),
        ("日本語。ＪＰ", "xn--wgv71a119e.jp"),
        ("１２７.0.0.1", "127.0.0.1"),
    ],
)
def test_international_hosts_are_those_of_browsers(host: str, normal: str) -> None:
    """IDNA 2008 after UTS 46, non-transitional (RFC 5891)."""
    assert fields.normal_host(host) == normal
    assert fields.normal_host(normal) == normal


@pytest.mark.parametrize(
    "host",
    ["☃.example", "ü_.example", "ü..de", "ü-.de", "ü.", "a\u202eb.de", "ü\udc80", "ü" * 2_000],
)
def test_what_idna_2008_refuses(host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        fields.normal_host(host)


@pytest.mark.parametrize(
    "host",
    [
        *("", "a..b", "-a", "a-", "a.", "a b", "a/b", "127.1", "1.2.3.256", "::g", "fe80::1%eth0"),
        *("a" * 64, ".".join(["a" * 50] * 6), "ü" * 70, "%41"),
        *("2130706433", "0x7f000001", "0X7F.0.0.1", "127.0.0.0x1", "a.0x", "１２７.0.0.0ｘ1"),
    ],
)
def test_no_hosts(host: str) -> None:
    with pytest.raises(ValueError):
        fields.normal_host(host)


def test_a_field_line_has_a_limit() -> None:
    assert fields.length_fault("x", "a" * (fields.LONGEST - 1)) is None
    assert "65501 bytes" in (fields.length_fault("x", "a" * fields.LONGEST) or "")


@pytest.mark.parametrize("value", [b"a", b"~", b"\xff"], ids=["short", "long", "raw"])
@pytest.mark.parametrize("name", [b":path", b":method", b":protocol", b"x-name"])
def test_what_is_within_the_limit_goes_through_qpack(name: bytes, value: bytes) -> None:
    """Whatever Huffman's code makes of it, and whether the name is in the static table."""
    line = (name, value * (fields.LONGEST - len(name)))
    _, block = pylsqpack.Encoder().encode(0, [line])
    assert pylsqpack.Decoder(0, 0).feed_header(0, block)[1] == [line]
