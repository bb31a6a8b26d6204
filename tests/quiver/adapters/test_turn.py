"""Turn: one at a time, and a fork in the middle of one."""

from __future__ import annotations

import threading

from quiver.adapters.turn import Turn
from tests.support.scripts import run_script


def test_one_at_a_time() -> None:
    turn, entered = Turn(), threading.Event()

    def enter() -> None:
        with turn:
            entered.set()

    with turn:
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(0.05)
    assert entered.wait(5.0)
    other.join(5.0)


def test_a_fork_while_another_thread_has_it() -> None:
    run_script(
        """
import os, threading
from quiver.adapters.turn import Turn
turn, held, left = Turn(), threading.Event(), threading.Event()
def hold():
    with turn:
        held.set()
        left.wait(20)
thread = threading.Thread(target=hold)
thread.start()
held.wait(20)
child = os.fork()
if child == 0:
    with turn:
        os._exit(0)
left.set()
thread.join(20)
assert os.waitpid(child, 0)[1] == 0
with turn:
    pass
"""
    )
