"""Threads that are woken together wake each other, and none is left behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from quiver.actors import wake_chain as module
from quiver.actors.wake_chain import WakeChain


@pytest.fixture
def wake_chain() -> WakeChain:
    return WakeChain()


def gates(count: int) -> list[Any]:
    made = [threading.Lock() for _ in range(count)]
    for gate in made:
        gate.acquire()
    return made


def released(row: list[Any]) -> list[bool]:
    return [not gate.locked() for gate in row]


def call_all(wake_chain: WakeChain, row: list[Any]) -> None:
    for gate in row:
        wake_chain.call(gate)


def test_each_calls_the_next(wake_chain: WakeChain) -> None:
    row = gates(3)
    call_all(wake_chain, row)
    for count in (1, 2, 3):
        assert released(row) == [True] * count + [False] * (3 - count)
        assert wake_chain.held
        wake_chain.pass_on()
    assert not wake_chain.held


def test_after_the_last_one_the_next_is_called_at_once(wake_chain: WakeChain) -> None:
    call_all(wake_chain, gates(1))
    wake_chain.pass_on()
    row = gates(1)
    call_all(wake_chain, row)
    assert released(row) == [True]


def test_waiting_for_nobody_takes_no_time(
    wake_chain: WakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(module, "sleep", slept.append)
    wake_chain.wait()
    assert slept == []
    call_all(wake_chain, gates(1))
    wake_chain.wait()  # one that has been called need only be let run
    assert slept == [0]
    wake_chain.pass_on()
    call_all(wake_chain, gates(2))
    wake_chain.pass_on()
    wake_chain.wait(lingers=True)  # and so need the last one of many
    assert slept == [0, 0]


def test_it_waits_until_the_last_has_been_woken(
    wake_chain: WakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 5.0)
    row = gates(20)
    order: list[int] = []
    waiting = threading.Event()
    wait_for_last = wake_chain._wait_for_last

    def seen_waiting() -> None:
        waiting.set()
        wait_for_last()

    monkeypatch.setattr(wake_chain, "_wait_for_last", seen_waiting)

    def walk(mine: int) -> None:
        row[mine].acquire()
        waiting.wait(5)  # else all might have walked before anybody waits for them
        order.append(mine)
        wake_chain.pass_on()

    threads = [threading.Thread(target=walk, args=(mine,)) for mine in range(20)]
    for thread in threads:
        thread.start()
    for _ in range(2):  # what is left of an earlier row does not count
        wake_chain._tell_over()
    call_all(wake_chain, row)
    began = time.monotonic()
    wake_chain.wait()
    assert time.monotonic() - began < 5.0
    assert order == list(range(20))
    for thread in threads:
        thread.join(5)
    assert not wake_chain.held


def test_who_lingers_waits_until_an_only_one_has_been_woken(
    wake_chain: WakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 30.0)
    (gate,) = gates(1)
    waiting, woken = threading.Event(), list[bool]()
    wait_for_last = wake_chain._wait_for_last

    def seen_waiting() -> None:
        waiting.set()
        wait_for_last()

    monkeypatch.setattr(wake_chain, "_wait_for_last", seen_waiting)

    def walk() -> None:
        gate.acquire()
        woken.append(waiting.wait(10))
        wake_chain.pass_on()

    thread = threading.Thread(target=walk)
    thread.start()
    call_all(wake_chain, [gate])
    began = time.monotonic()
    wake_chain.wait(lingers=True)
    assert woken == [True]
    assert time.monotonic() - began < 20.0  # it was told, and did not run out of patience
    thread.join(5)
    assert not wake_chain.held


def test_who_lingers_does_not_wait_long_for_one_that_does_not_come(wake_chain: WakeChain) -> None:
    call_all(wake_chain, gates(1))
    began = time.monotonic()
    wake_chain.wait(lingers=True)
    assert time.monotonic() - began < 5.0
    wake_chain.pass_on()
    assert not wake_chain.held


def test_when_the_baton_is_lost_the_loop_calls_everybody(wake_chain: WakeChain) -> None:
    row = gates(4)
    call_all(wake_chain, row)
    wake_chain.wait()  # nobody passes it on
    assert released(row) == [True] * 4
    for _ in row:
        wake_chain.pass_on()
    assert not wake_chain.held


def test_a_baton_that_has_not_moved_for_long_is_taken_for_lost(
    wake_chain: WakeChain, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = gates(2)
    call_all(wake_chain, row)
    assert released(row) == [True, False]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1.0)
    call_all(wake_chain, gates(1))
    assert released(row) == [True, True]


class Round:
    """A loop amid a round of calls, and what it makes after them; `over`: it has none to make."""

    def __init__(self) -> None:
        self.later: list[Callable[[], object]] = []
        self.over = False

    def call_after_others(self, call: Callable[[], object]) -> bool:
        if not self.over:
            self.later.append(call)
        return not self.over


@pytest.fixture
def loop(wake_chain: WakeChain, monkeypatch: pytest.MonkeyPatch) -> Round:
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    wake_chain.loop = Round()
    return wake_chain.loop


def test_what_is_called_in_one_round_of_the_loop_is_one_row(
    wake_chain: WakeChain, loop: Round
) -> None:
    row = gates(3)
    call_all(wake_chain, row[:2])  # by one actor,
    wake_chain.wait()
    call_all(wake_chain, row[2:])  # and by the next
    assert released(row) == [False] * 3
    (begin,) = loop.later
    order: list[int] = []

    def walk(mine: int) -> None:
        row[mine].acquire()
        order.append(mine)
        wake_chain.pass_on()

    threads = [threading.Thread(target=walk, args=(mine,)) for mine in range(3)]
    for thread in threads:
        thread.start()
    monotonic = time.monotonic()
    begin()
    for thread in threads:
        thread.join(5)
    assert order == [0, 1, 2] and time.monotonic() - monotonic < 5.0
    assert not wake_chain.held
    loop.over = True  # nobody else has a turn
    last = gates(1)
    call_all(wake_chain, last)
    assert released(last) == [True] and len(loop.later) == 1


def test_the_end_of_a_round_also_waits_for_one_that_was_called_alone(
    wake_chain: WakeChain, loop: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[bool] = []
    monkeypatch.setattr(wake_chain, "_wait_for_last", lambda: waited.append(wake_chain.held))
    call_all(wake_chain, gates(1))
    loop.later[0]()
    assert waited == [True]


def test_a_round_that_takes_long_holds_nobody_up(
    wake_chain: WakeChain, loop: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = gates(2)
    call_all(wake_chain, row)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 0.06)
    wake_chain.wait()  # as after each actor's turn; nobody passes it on
    assert released(row) == [True, True]
    for _ in row:
        wake_chain.pass_on()
    loop.later[0]()
    assert not wake_chain.held


def test_a_round_whose_end_does_not_come_is_not_waited_for(
    wake_chain: WakeChain, loop: Round, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = gates(2)
    call_all(wake_chain, row[:1])
    assert len(loop.later) == 1 and released(row) == [False, False]
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1.0)
    call_all(wake_chain, row[1:])  # by a thread, say
    assert released(row) == [True, False]
    wake_chain.pass_on()
    assert released(row) == [True, True]


def test_a_loop_that_leaves_calls_whom_it_has_gathered(wake_chain: WakeChain, loop: Round) -> None:
    row = gates(2)
    call_all(wake_chain, row)
    wake_chain.leave(Round())  # another one
    assert released(row) == [False, False]
    wake_chain.leave(loop)
    assert released(row) == [True, False]
    wake_chain.pass_on()
    wake_chain.pass_on()
    last = gates(1)
    call_all(wake_chain, last)
    assert released(last) == [True] and len(loop.later) == 1


_IN_A_CHILD = """
import os, threading
from quiver.actors.wake_chain import wake_chain
row = [threading.Lock() for _ in range(3)]
for gate in row:
    gate.acquire()
for gate in row[:2]:
    wake_chain.call(gate)
child = os.fork()
if not child:
    held = wake_chain.held
    wake_chain.call(row[2])
    os._exit(held or row[2].locked())
assert os.waitpid(child, 0)[1] == 0
"""


def test_in_a_forked_child_nobody_holds_it() -> None:
    subprocess.run([sys.executable, "-c", _IN_A_CHILD], check=True, timeout=20)
