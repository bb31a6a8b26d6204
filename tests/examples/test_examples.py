"""Every example runs without arguments, ends well and prints what it promises."""

from __future__ import annotations

import pytest

from tests.support.programs.runner import ROOT, run_program

PRINTS = {
    "actor_service.py": ["item 0: ", "item 1: ", "item 2: ", "connections="],
    "greenlets.py": ["500 of 500 items found", "gave up on the slow one after 0.1 seconds"],
    "three_kinds.py": [
        "thread -> greenlet -> thread: volume 42",
        "thread -> greenlet, passed on: volume 7",
        "thread -> thread -> greenlet: volume 42 stands on shelf 4",
        "an error is an answer too: no idea what 'nonsense' is",
    ],
    "threaded.py": ["200 of 200 items found", "connections="],
}

OTHERS = ["locustfile.py"]  # for Locust to run: tests/quiver/adapters/test_locust.py


def test_none_is_forgotten() -> None:
    assert sorted([*PRINTS, *OTHERS]) == sorted(
        path.name for path in (ROOT / "examples").glob("*.py")
    )


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", PRINTS)
def test_example(name: str) -> None:
    printed = run_program(f"examples/{name}", timeout=50.0)
    for line in PRINTS[name]:
        assert line in printed
