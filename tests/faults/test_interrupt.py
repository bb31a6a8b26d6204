"""Ctrl-C in a main thread that waits for Quiver: KeyboardInterrupt at once, and a clean end."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from quiver.testing import Origin
from tests.support.programs.runner import ROOT, run_script
from tests.support.short_form import cases
from tests.support.waiting import until

SOON = 20.0  # seconds to the end of the program, on a loaded machine; what it awaits never comes

CLIENT = """
import sys, time
import quiver
url, cafile = sys.argv[1:]
client = quiver.Client(pools={"default": {"cafile": cafile}})

def interrupted(wait):
    try:
        print("waiting", flush=True)
        wait()
    except KeyboardInterrupt:
        print("interrupted", client.get(url + "/ok", timeout=5.0).status, flush=True)
        raise

def pieces():
    yield b"first"
    time.sleep(60)

"""

WAITS = {
    "a response": 'interrupted(lambda: client.get(url + "/hang"))',
    "a stream": """
with client.stream("GET", url + "/hang-after-head") as response:
    interrupted(lambda: list(response))
""".replace("hang-after-head", "stall-after/10"),
    "its own iterator": 'interrupted(lambda: client.post(url + "/echo", body=pieces()))',
    "a channel": """
with client.open_channel(url + "/session", protocol="echo") as channel:
    interrupted(lambda: list(channel))
""",
    "a reply": """
reply = client.pool(url).ask(quiver.Request("GET", "/hang"), block=False)
interrupted(reply.get)
""",
}

PATCHED = "from gevent import monkey; monkey.patch_all()\n"


@pytest.mark.one_in(6)
@pytest.mark.parametrize(
    ("awaited", "program"),
    cases(
        ("a response", "patched"),
        ("a stream", "threads"),
        ("its own iterator", "threads"),
        ("a channel", "patched"),
        ("a reply", "threads"),
        long=(
            ("a response", "threads"),
            ("a stream", "patched"),
            ("its own iterator", "patched"),
            ("a channel", "threads"),
            ("a reply", "patched"),
        ),
    ),
)
def test_interrupted_while_it_waits_for(awaited: str, program: str, origin: Origin) -> None:
    script = (PATCHED if program == "patched" else "") + CLIENT + WAITS[awaited]
    running = subprocess.Popen(
        [sys.executable, "-c", script, origin.url, origin.cafile],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == "waiting\n"
        until(lambda: origin.streams_open() > 0)
        threading.Event().wait(0.1)  # it waits by now, or will be told just before
        started = time.monotonic()
        running.send_signal(signal.SIGINT)
        line = running.stdout.readline()
        assert line == "interrupted 200\n", running.communicate(timeout=SOON)
        if awaited != "a reply":  # whoever asked without waiting may still want it
            until(lambda: any(r["kind"] for r in origin.resets()))
        _, said = running.communicate(timeout=SOON)
        assert time.monotonic() - started < SOON
    finally:
        running.kill()
        running.communicate()
    assert running.returncode in (130, -signal.SIGINT), said
    assert said.endswith("KeyboardInterrupt\n"), said
    until(lambda: origin.streams_open() == 0)


def test_a_signal_that_does_not_interrupt_the_wait_is_heeded_all_the_same(origin: Origin) -> None:
    """As one that comes just before it: here another thread gets it, as this one has it blocked."""
    printed = run_script(
        f"""
import signal, threading, os
import quiver
options = {{"cafile": {origin.cafile!r}, "receive_timeout": None}}
with quiver.Client(pools={{"default": options}}) as client:
    client.get({origin.url!r} + "/ok")
    unblocked = threading.Event()
    def interrupt():
        unblocked.wait()
        client.get({origin.url!r} + "/delay/0.3")  # the main thread waits by then
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=interrupt).start()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    unblocked.set()
    try:
        client.get({origin.url!r} + "/hang")
    except KeyboardInterrupt:
        print("interrupted")
"""
    )
    assert printed == "interrupted\n"


def test_interrupt_that_an_actor_gets_goes_on_to_the_main_greenlet() -> None:
    printed = run_script(
        PATCHED
        + """
import gevent
from quiver.actors.actor import GeventActor

class Busy(GeventActor):
    def on_receive(self, message):
        raise KeyboardInterrupt

busy = Busy.start()
other = Busy.start()
busy.tell("signal")
try:
    gevent.sleep(10)
except KeyboardInterrupt:
    print("interrupted", busy.is_alive(), other.is_alive())
"""
    )
    assert printed == "interrupted False True\n"
