"""The shield: handlers of signals that come while an actor runs, in a patched program."""

from __future__ import annotations

import signal

import pytest

from quiver.actors import signal_deferral
from tests.support.programs.runner import run_script

PROGRAM = """
from gevent import monkey; monkey.patch_all()
import signal
import gevent
from quiver.actors.actor import GeventActor
from quiver.actors.propagation import raised_by_signal

class Limit(Exception): pass

def handler(number, frame):
    called.append(gevent.getcurrent() is gevent.get_hub())
    raise Limit

class Hit(GeventActor):
    def on_receive(self, message):
        signal.raise_signal(message)
        return "went on"

called = []
signal.signal(signal.SIGALRM, handler)
hit = Hit.start()
"""


def test_an_actor_goes_on_and_the_main_greenlet_hears_of_it() -> None:
    printed = run_script(
        PROGRAM
        + """
for number in (signal.SIGALRM, signal.SIGINT):
    reply = hit.ask(number, block=False)
    try:
        gevent.sleep(10)
    except (Limit, KeyboardInterrupt) as error:
        print(type(error).__name__, raised_by_signal(error), reply.get(timeout=5), hit.is_alive())
print(called)
"""
    )
    assert printed == ("Limit True went on True\nKeyboardInterrupt True went on True\n[True]\n")


def test_what_is_cancelled_as_nobody_holds_it_is_no_place_for_a_signal() -> None:
    """A greenlet of its own would be hit: gevent writes that, and the program never hears of it."""
    printed = run_script(
        PROGRAM
        + """
class Keeper(GeventActor):
    def on_receive(self, message):
        if message is not None:
            self.defer().on_cancel(signal.raise_signal, message)

keeper = Keeper.start()
dropped = keeper.ask(signal.SIGALRM, block=False)
keeper.ask(None)
del dropped
try:
    gevent.sleep(10)
    print("never heard of")
except Limit:
    print("heard of")
"""
    )
    assert printed == "heard of\n"


def test_a_greenlet_of_the_programs_is_hit_at_once() -> None:
    printed = run_script(
        PROGRAM
        + """
def own():
    try:
        signal.raise_signal(signal.SIGALRM)
    except Limit as error:
        print("hit", raised_by_signal(error))

own()
gevent.spawn(own).join()
print(called)
"""
    )
    assert printed == "hit True\nhit True\n[False, False]\n"


def test_it_is_off_in_a_program_of_threads() -> None:
    signal_deferral.uninterrupted(lambda: None)
    assert not signal_deferral.active
    assert not isinstance(signal.getsignal(signal.SIGINT), signal_deferral.DeferredHandler)
    with pytest.raises(ZeroDivisionError):
        signal_deferral.uninterrupted(lambda: 1 // 0)


def test_a_start_in_the_main_greenlet_is_one_step() -> None:
    printed = run_script(
        PROGRAM
        + """
from quiver.actors.registry import Registry
registry = Registry()

class Begun(Hit):
    def launch(self):
        signal.raise_signal(signal.SIGALRM)
        return super().launch()

try:
    ref = registry.start("name", None, Begun())
    print(ref.ask(signal.SIGCONT, timeout=5), registry.find("name") is ref)
    gevent.sleep(1)
except Limit:
    print("hit", registry.find("name").is_alive())
"""
    )
    assert printed.endswith("hit True\n")
