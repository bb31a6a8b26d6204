"""No two threads make a syntax tree at a time."""

from __future__ import annotations

import ast
import gc
import threading
from typing import Any

SOURCE = "\n".join(f"name_{number} = [{number}, ({number}, -{number})]" for number in range(500))


def test_a_second_waits_until_the_first_has_its_tree() -> None:
    ended = threading.Event()
    ended_meanwhile: list[bool] = []

    def parse() -> None:
        ast.parse("1")
        ended.set()

    second = threading.Thread(target=parse)

    def amid_the_tree(phase: str, info: dict[str, Any]) -> None:
        if not ended_meanwhile and phase == "start" and threading.current_thread() is first:
            second.start()
            ended_meanwhile.append(ended.wait(0.1))

    first = threading.current_thread()
    before = gc.get_threshold()
    gc.collect()
    gc.callbacks.append(amid_the_tree)
    gc.set_threshold(500)  # more than come before the tree, and less than it has
    try:
        ast.parse(SOURCE)
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(amid_the_tree)
    assert ended_meanwhile == [False], "the collector ran, and the second thread had its tree"
    second.join(10)
    assert ended.is_set()
