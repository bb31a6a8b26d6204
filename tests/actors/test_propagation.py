"""What a boundary keeps, what it lets pass, and how a signal handler's exception is known."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pykka
import pytest

from quiver.actors.actor import GeventActor
from quiver.actors.propagation import must_propagate, raised_by_signal
from quiver.actors.wait_queue import wake
from tests.support.programs.runner import run_script


@pytest.mark.parametrize(
    "error",
    [LookupError(), SystemExit(3), BaseException(), gevent.Timeout(1.0)],
    ids=lambda error: type(error).__name__,
)
def test_what_a_callback_raises_is_its_own(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        raise error
    assert not must_propagate(caught.value)


def test_a_greenlet_that_is_killed_is_killed() -> None:
    assert must_propagate(gevent.GreenletExit())


def test_what_a_signal_raises_is_the_programs() -> None:
    def exhausted(*_: object) -> None:
        raise LookupError("out of time")

    before = signal.signal(signal.SIGUSR1, exhausted)
    try:
        with pytest.raises(LookupError) as caught:
            signal.raise_signal(signal.SIGUSR1)
        assert must_propagate(caught.value)
        assert must_propagate(KeyboardInterrupt())
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_elsewhere_than_in_the_main_thread_no_signal_comes_up() -> None:
    passed: list[bool] = []
    thread = threading.Thread(target=lambda: passed.append(must_propagate(KeyboardInterrupt())))
    thread.start()
    thread.join()
    assert passed == [False]


def test_in_a_patched_program_it_comes_up_in_any_greenlet() -> None:
    code = """
import gevent.monkey
gevent.monkey.patch_all()
import gevent
from quiver.actors.propagation import must_propagate, raised_by_signal
print(gevent.spawn(must_propagate, KeyboardInterrupt()).get())
"""
    assert run_script(code).strip() == "True"


class Calling(GeventActor):
    """Makes the calls that it is told."""

    def on_receive(self, message: Any) -> bool:
        calls = [message]
        wake(calls)
        return not calls


def raise_exit() -> None:
    raise gevent.GreenletExit


def test_an_actor_outlives_a_call_that_raises_what_would_kill_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    actor = Calling.start()
    try:
        with caplog.at_level("CRITICAL", logger="quiver.actors"):
            assert actor.ask(raise_exit, timeout=5.0)
            assert actor.ask(lambda: None, timeout=5.0)
    finally:
        actor.stop()


def test_an_actor_that_is_killed_in_a_call_is_killed() -> None:
    actor, entered = Calling.start(), threading.Event()

    def stay() -> None:
        entered.set()
        gevent.sleep(10)

    future = actor.ask(stay, block=False)
    assert entered.wait(5)
    actor.kill()
    with pytest.raises(pykka.ActorDeadError):
        future.get(timeout=5.0)


def test_whoever_is_killed_in_a_call_of_its_own_is_killed() -> None:
    with pytest.raises(gevent.GreenletExit):
        wake([raise_exit])


def test_in_a_patched_program_an_actor_outlives_a_call_that_raises_an_interrupt() -> None:
    """Ctrl-C does not come up in it, so it is the call's own."""
    code = """
import gevent.monkey
gevent.monkey.patch_all()
import logging, sys
from tests.actors.test_propagation import Calling
logging.disable(logging.CRITICAL)

def interrupt():
    raise KeyboardInterrupt

actor = Calling.start()
print(actor.ask(interrupt, timeout=5.0), actor.ask(lambda: None, timeout=5.0))
actor.stop()
"""
    assert run_script(code).strip() == "True True"


# raised_by_signal ---------------------------------------------------------------------------


class Stop(Exception):
    """The program's own."""


def _raise(*_: object) -> None:
    raise Stop


class Callee:
    def __call__(self, *_: object) -> None:
        _raise_deeper()

    def method(self, *_: object) -> None:
        _raise_deeper()


def _raise_deeper() -> None:
    raise Stop


@pytest.fixture
def handler(request: pytest.FixtureRequest) -> Iterator[Callable[..., object]]:
    before = signal.signal(signal.SIGUSR1, request.param)
    yield request.param
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    "handler",
    [_raise, Callee(), Callee().method, lambda *_: _raise_deeper()],
    ids=["function", "object", "method", "lambda"],
    indirect=True,
)
def test_what_a_handler_raises(handler: Callable[..., object]) -> None:
    with pytest.raises(Stop) as caught:
        signal.raise_signal(signal.SIGUSR1)
    assert raised_by_signal(caught.value)


def test_what_the_program_raises_itself() -> None:
    with pytest.raises(Stop) as caught:
        _raise()
    assert not raised_by_signal(caught.value)


def test_control_c() -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        signal.raise_signal(signal.SIGINT)
    assert raised_by_signal(caught.value)
