"""A body on a terminal: text stays text, and nothing steers."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.cli.terminal_text import TerminalText


def shown(*pieces: bytes) -> str:
    text = TerminalText()
    return b"".join([*map(text.feed, pieces), text.end()]).decode()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"one\ntwo\r\n\tthree\n", "one\ntwo\n\tthree\n"),
        (b"\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        (b"100%\r  0%", r"100%\r  0%"),
        (b"end\r", r"end\r"),
        ("\x9b2J \u202e grüße".encode(), r"\x9b2J \u202e grüße"),
        (b"\x9b2J\xff", "�2J�"),
        (b"\0", r"\x00"),
    ],
)
def test_what_steers_is_escaped(body: bytes, expected: str) -> None:
    assert shown(body) == expected


@given(st.binary(), st.lists(st.integers(0, 40)))
def test_pieces_make_no_difference(body: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(body), *(min(cut, len(body)) for cut in cuts)})
    pieces = [body[begin:end] for begin, end in itertools.pairwise(places)]
    assert shown(*pieces) == shown(body)
    assert all(each in "\n\t" or each.isprintable() for each in shown(body))
