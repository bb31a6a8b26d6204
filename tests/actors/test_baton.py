"""Threads that are woken together wake each other, and none is left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from quiver.actors import baton as module
from quiver.actors.baton import Baton


@pytest.fixture
def baton() -> Baton:
    return Baton()


def gates(count: int) -> list[Any]:
    made = [threading.Lock() for _ in range(count)]
    for gate in made:
        gate.acquire()
    return made


def released(row: list[Any]) -> list[bool]:
    return [not gate.locked() for gate in row]


def call_all(baton: Baton, row: list[Any]) -> None:
    for gate in row:
        baton.call(gate)


def test_each_calls_the_next(baton: Baton) -> None:
    row = gates(3)
    call_all(baton, row)
    for count in (1, 2, 3):
        assert released(row) == [True] * count + [False] * (3 - count)
        assert baton.held
        baton.pass_on()
    assert not baton.held


def test_after_the_last_one_the_next_is_called_at_once(baton: Baton) -> None:
    call_all(baton, gates(1))
    baton.pass_on()
    row = gates(1)
    call_all(baton, row)
    assert released(row) == [True]


def test_waiting_for_nobody_takes_no_time(baton: Baton, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(module, "_sleep", slept.append)
    baton.wait()
    assert slept == []
    call_all(baton, gates(1))
    baton.wait()  # one that has been called need only be let run
    assert slept == [0]


def test_it_waits_until_the_last_has_been_woken(
    baton: Baton, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 5.0)
    row = gates(20)
    order: list[int] = []
    waiting = threading.Event()
    wait_for_last = baton._wait_for_last

    def seen_waiting() -> None:
        waiting.set()
        wait_for_last()

    monkeypatch.setattr(baton, "_wait_for_last", seen_waiting)

    def walk(mine: int) -> None:
        row[mine].acquire()
        waiting.wait(5)  # else all might have walked before anybody waits for them
        order.append(mine)
        baton.pass_on()

    threads = [threading.Thread(target=walk, args=(mine,)) for mine in range(20)]
    for thread in threads:
        thread.start()
    for _ in range(2):  # what is left of an earlier row does not count
        baton._tell_over()
    call_all(baton, row)
    began = time.monotonic()
    baton.wait()
    assert time.monotonic() - began < 5.0
    assert order == list(range(20))
    for thread in threads:
        thread.join(5)
    assert not baton.held


def test_when_the_baton_is_lost_the_loop_calls_everybody(baton: Baton) -> None:
    row = gates(4)
    call_all(baton, row)
    baton.wait()  # nobody passes it on
    assert released(row) == [True] * 4
    for _ in row:
        baton.pass_on()
    assert not baton.held


def test_a_baton_that_has_not_moved_for_long_is_taken_for_lost(
    baton: Baton, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = gates(2)
    call_all(baton, row)
    assert released(row) == [True, False]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1.0)
    call_all(baton, gates(1))
    assert released(row) == [True, True]


_IN_A_CHILD = """
import os, threading
from quiver.actors.baton import baton
row = [threading.Lock() for _ in range(3)]
for gate in row:
    gate.acquire()
for gate in row[:2]:
    baton.call(gate)
child = os.fork()
if not child:
    held = baton.held
    baton.call(row[2])
    os._exit(held or row[2].locked())
assert os.waitpid(child, 0)[1] == 0
"""


def test_in_a_forked_child_nobody_holds_it() -> None:
    subprocess.run([sys.executable, "-c", _IN_A_CHILD], check=True, timeout=20)
