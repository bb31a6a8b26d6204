"""Progress: how far a dial has come, in words; of several, the furthest."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from quiver.errors import ConnectionRefused, ConnectTimeout, NameResolutionFailed
from quiver.pool.dial_progress import Dials, Progress

NAME = "https://a.example"
RESOLVING = Progress()
SILENT = Progress(("127.0.0.1", 443), 1, 1)
SECOND = Progress(("::1", 443), 2, 3)
UNSENT = Progress(("127.0.0.1", 443), 1, 1, unsent="too long")
ANSWERED = Progress(("127.0.0.1", 443), 1, 1, answered=True)


@pytest.mark.parametrize(
    ("progress", "said"),
    [
        (RESOLVING, "the name was still being resolved"),
        (Progress(addresses=2), "the name was still being resolved"),
        (SILENT, "127.0.0.1:443 answered nothing"),
        (SECOND, "2 of 3 addresses tried, [::1]:443 answered nothing"),
        (UNSENT, "127.0.0.1:443 answered nothing, and datagrams to it were lost here: too long"),
        (ANSWERED, "127.0.0.1:443 answered, but the handshake was not over"),
    ],
    ids=["resolving", "resolved", "silent", "second", "unsent", "answered"],
)
def test_words(progress: Progress, said: str) -> None:
    assert str(progress) == said


def test_the_error_of_one() -> None:
    error = SILENT.too_slow("x=1.0 seconds", NAME)
    assert type(error) is ConnectTimeout and error.origin == NAME
    assert error.message == f"no connection within x=1.0 seconds: {SILENT}"


def test_a_name_that_takes_all_the_time_is_both() -> None:
    error = RESOLVING.too_slow("x=1.0 seconds", NAME)
    for twin in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert isinstance(twin, NameResolutionFailed) and isinstance(twin, ConnectTimeout)
        assert str(twin) == str(error) and twin.kind == "transient"


def said(dials: Dials) -> str:
    return dials.too_slow("x=1.0 seconds", NAME).message.partition(": ")[2]


def test_the_furthest_is_told_of() -> None:
    dials = Dials()
    for number, progress in enumerate([RESOLVING, ANSWERED, SECOND, SILENT]):
        dials.came(number, progress)
    assert said(dials) == str(ANSWERED)
    dials.ended(1)
    assert said(dials) == str(SECOND)
    dials.came(2, RESOLVING)
    assert said(dials) == str(SILENT)


def test_when_none_is_under_way_it_is_for_a_failure_or_for_one_that_is_suspended() -> None:
    dials = Dials()
    dials.came(1, SILENT)
    dials.ended(1, ConnectionRefused("refused", origin=NAME))
    dials.ended(1)  # its actor has ended too
    assert said(dials) == "the next attempt was held back after one had failed: refused"
    dials.came(2, SILENT)
    dials.arrived(2)
    assert said(dials) == "the server has stopped answering on the one there was"


def test_what_is_waited_for() -> None:
    dials = Dials()
    steps: list[tuple[Callable[[], object], bool]] = [
        (lambda: None, False),
        (lambda: dials.came(1, SILENT), True),
        (lambda: dials.came(2, SILENT), True),
        (lambda: dials.arrived(1), False),
        (lambda: dials.ended(2, ConnectTimeout("late")), False),
        (lambda: dials.ended(1), True),
        (lambda: dials.came(3, RESOLVING), True),
    ]
    for step, waited_for in steps:
        step()
        assert dials.waited_for is waited_for
