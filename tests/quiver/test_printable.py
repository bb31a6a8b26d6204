"""Text from outside: what a terminal or a log would obey is escaped, and nothing is endless."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.printable import LONGEST, escaped, in_message


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[2J", r"\x1b[2J"),
        ("a\r\nb", r"a\r\nb"),
        ("\x9b2J", r"\x9b2J"),  # CSI as one character of C1
        ("\u202etxt.exe", r"\u202etxt.exe"),
        ("\u2066\u2069\u200f", r"\u2066\u2069\u200f"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\U000e0041"),
        ("a\tb\x7f\0", r"a\tb\x7f\x00"),
    ],
)
def test_what_steers_is_escaped(raw: str, shown: str) -> None:
    assert escaped(raw) == shown
    assert in_message(raw) == shown


def test_what_is_printable_stays() -> None:
    for text in ("", "plain text", "grüße, 日本語 — 🙂", r"a\x1bb"):
        assert escaped(text) is text


anything = st.text(st.characters(codec=None, exclude_categories=()))


@given(anything)
def test_nothing_that_is_no_visible_character_comes_out(text: str) -> None:
    shown = escaped(text)
    shown.encode("utf-8")
    assert escaped(shown) == shown
    assert {unicodedata.category(each)[0] for each in shown if each != " "} <= set("LMNPS")


@given(anything, st.integers(40, 200))
def test_a_message_is_bounded(text: str, most: int) -> None:
    assert len(in_message(text * 50, most)) <= 10 * most


def test_beginning_and_end_of_a_long_one_are_kept() -> None:
    shown = in_message("begin" + "x" * 10 * LONGEST + "end")
    assert shown.startswith("beginx") and shown.endswith("xend") and " ... " in shown
    assert len(shown) == LONGEST
