"""The demo's account: every ask has an outcome, also when a connection is stopped half-way."""

from __future__ import annotations

import signal
import threading

import pytest

import quiver
from quiver.cli.demo import Account, Demo
from tests.support.programs.quiver_command import run
from tests.support.waiting import until


def test_a_demo_ends_by_itself_and_loses_nothing() -> None:
    with Demo(requests=200, threads=8, connections=2) as demo:
        until(lambda: demo.account.asked > 100)
        demo.stop_a_connection_half_way()
        first = demo.stopped
        demo.stop_a_connection_half_way()  # only one
        assert demo.stopped == first is not None
        until(lambda: agree(demo))
        demo.wait(60.0)
        assert not demo.running
    assert demo.account.complete
    assert (demo.account.asked, demo.account.answered) == (200, 200)
    assert all(latency > 0 for latency in demo.account.latencies)


def test_a_demo_that_is_interrupted_asks_no_more_and_loses_nothing() -> None:
    guarded = threading.Event()

    def interrupt(main: int) -> None:
        guarded.wait(60)
        until(lambda: demo.account.answered > 10)
        signal.pthread_kill(main, signal.SIGINT)

    with Demo(requests=100_000, threads=1, connections=1) as demo:
        threading.Thread(target=interrupt, args=(threading.get_ident(),)).start()
        with pytest.raises(KeyboardInterrupt):
            guarded.set()  # before, it would be the end of the whole run
            demo.wait(60)
        assert demo.running
    assert not demo.running
    assert demo.account.asked == demo.account.answered < 100_000


def agree(demo: Demo) -> bool:
    """Both views are taken one after the other, and one that is stopped may end in between."""
    stats, connections = demo.stats()
    return 1 <= stats.connections <= len(connections)


@pytest.mark.long
def test_an_interrupted_demo_ends_as_the_other_commands_do() -> None:
    after_ten = """
import os, signal
from quiver.cli.demo import Account

answered_in = Account.answered_in

def interrupting(account, seconds):
    answered_in(account, seconds)
    if account.answered == 10:
        os.kill(os.getpid(), signal.SIGINT)

Account.answered_in = interrupting
"""
    ended = run("demo", "--requests", "100000", "--threads", "1", program=after_ten)
    assert (ended.returncode, ended.stderr) == (130, "")


def test_without_a_connection_there_is_none_to_stop() -> None:
    demo = Demo(requests=1, threads=1, connections=1)
    assert demo.account.take()
    demo.stop_a_connection_half_way()
    assert demo.stopped is None


def test_errors_are_counted_by_kind() -> None:
    account = Account(planned=2)
    assert account.take()
    account.failed(quiver.CheckoutTimeout("late", origin="https://a"))
    assert account.take()
    account.failed(quiver.PoolStopped("gone"))
    assert not account.take()
    assert account.errors == {"CheckoutTimeout (transient)": 1, "PoolStopped (unrecoverable)": 1}
    assert not account.complete
