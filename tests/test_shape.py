"""Bounds on the shape of the library; `python -m tests.support.shape` prints it all."""

from __future__ import annotations

from typing import Final

from tests.support.shape import warm_get

FILES: Final = 41  # of ours, that a warm GET enters
CALLS: Final = 400  # of functions in Python, for it
TRIES: Final = 4  # on a busy machine a timer of QUIC's is due before what it waits for has come


def test_a_warm_get_goes_through_few_rooms() -> None:
    for _ in range(TRIES):
        got = warm_get()
        if len(got.files) <= FILES and got.calls <= CALLS:
            return
    assert len(got.files) <= FILES, "\n".join(got.files)
    assert got.calls <= CALLS
