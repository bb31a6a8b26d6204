"""ForkSafeLock: one at a time, and a fork in the middle of one."""

from __future__ import annotations

import threading

from quiver.adapters.shared.fork_safe_lock import ForkSafeLock
from tests.support.programs.runner import run_script


def test_one_at_a_time() -> None:
    lock, entered = ForkSafeLock(), threading.Event()

    def enter() -> None:
        with lock:
            entered.set()

    with lock:
        other = threading.Thread(target=enter)
        other.start()
        assert not entered.wait(0.05)
    assert entered.wait(5.0)
    other.join(5.0)


def test_a_fork_while_another_thread_has_it() -> None:
    run_script(
        """
import os, threading
from quiver.adapters.shared.fork_safe_lock import ForkSafeLock
lock, held, left = ForkSafeLock(), threading.Event(), threading.Event()
def hold():
    with lock:
        held.set()
        left.wait(20)
thread = threading.Thread(target=hold)
thread.start()
held.wait(20)
child = os.fork()
if child == 0:
    with lock:
        os._exit(0)
left.set()
thread.join(20)
assert os.waitpid(child, 0)[1] == 0
with lock:
    pass
"""
    )
