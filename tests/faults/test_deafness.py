"""The process is stopped, or its loop kept from its turn: nobody's silence is counted for that."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from threading import Event

import attrs
import pytest

from quiver.testing import Origin
from tests.support.network.conditions import Conditions
from tests.support.network.relay import Relay
from tests.support.programs.runner import ROOT
from tests.support.short_form import cases
from tests.support.waiting import until

CLIENT = """
import ctypes, sys, threading, time
pause = time.sleep  # that of the system
if "greenlets" in sys.argv:
    from gevent import monkey; monkey.patch_all()
import quiver

url, cafile = sys.argv[1:3]

def client(**options):
    made = quiver.Client(pools={"default": {"cafile": cafile, "max_connections": 1, **options}})
    if "cold" not in sys.argv:
        made.get(url + "/ok", timeout=10.0)
    return made

def tell(call):
    print("asking", flush=True)
    try:
        print(call(), flush=True)
    except quiver.QuiverError as error:
        print(type(error).__name__, flush=True)
"""


@attrs.frozen
class Row:
    """What a program asks, how long it runs and is stopped in turns, and what it is told."""

    script: str
    stops: tuple[tuple[float, float], ...]
    says: str


ONE = 'pool = client({})\ntell(lambda: pool.get(url + "{}?id=1", timeout={}).status)'
# Each limit is far above what the answer takes beside other work, and this far longer.
LONG = ((0.1, 3.0),)
ROWS = {
    "the answer comes meanwhile": Row(
        ONE.format("receive_timeout=1.5", "/delay/0.5", None),
        LONG,
        "200",
    ),
    "its whole time is over, the answer there": Row(
        ONE.format("", "/delay/0.5", 2.0),
        ((0.1, 5.5),),  # and the grace that the loop has to tell of it
        "200",
    ),
    "its whole time is over, no answer there": Row(
        ONE.format("", "/hang", 1.0),
        LONG,
        "RequestTimeout",
    ),
    "stopped again and again": Row(
        ONE.format("receive_timeout=2.5", "/delay/3", None),
        ((0.1, 0.6),) * 4,
        "200",
    ),
    "the server is silent before and after": Row(
        ONE.format("receive_timeout=1.5", "/hang", None),
        LONG,
        "ReceiveTimeout",
    ),
    "a streamed response that is read": Row(
        "pool = client(receive_timeout=1.5)\n"
        'body = pool.stream("GET", url + "/drip/20/0.05?size=100&id=1")\n'
        "tell(lambda: len(body.read()))",
        LONG,
        "2000",
    ),
    "a streamed response that nobody reads": Row(
        "pool = client(stream_idle_timeout=1.5)\n"
        'body = pool.stream("GET", url + "/drip/20/0.01?size=100&id=1")\n'
        "tell(lambda: (pause(0.3), len(body.read()))[1])",
        LONG,
        "2000",
    ),
    "an upload": Row(
        "def pieces():\n"
        "    for _ in range(20):\n"
        "        yield bytes(10_000)\n"
        "        pause(0.02)\n"
        "pool = client(receive_timeout=1.5)\n"
        'tell(lambda: len(pool.post(url + "/echo?id=1", body=pieces(), send_timeout=1.5).body))',
        LONG,
        "200000",
    ),
    "it waits for a slot": Row(
        "pool = client(max_streams_per_connection=1, checkout_timeout=2.0)\n"
        'first = threading.Thread(target=pool.get, args=(url + "/delay/0.8?id=1",))\n'
        "first.start()\n"
        'tell(lambda: pool.get(url + "/ok").status)',
        LONG,
        "200",
    ),
}


class Stopped:
    """A program that can be stopped. A `with` ends it."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._run = subprocess.Popen(
            [sys.executable, "-c", CLIENT + script, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __enter__(self) -> Stopped:
        return self

    def __exit__(self, *_: object) -> None:
        self._run.kill()
        self._run.communicate()

    def line(self) -> str:
        """What it prints next."""
        assert self._run.stdout is not None
        return self._run.stdout.readline().strip()

    def stop_for(self, seconds: float) -> None:
        self._run.send_signal(signal.SIGSTOP)
        Event().wait(seconds)
        self._run.send_signal(signal.SIGCONT)


LATER = (
    "its whole time is over, the answer there",
    "stopped again and again",
    "a streamed response that nobody reads",
)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    "name", cases(*((name,) for name in ROWS if name not in LATER), long=((n,) for n in LATER))
)
def test_stopped_while(origin: Origin, name: str) -> None:
    run(origin, ROWS[name], "threads")


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_stopped_with_greenlets_while(origin: Origin, row: Row) -> None:
    run(origin, row, "greenlets")


def run(origin: Origin, row: Row, kind: str) -> None:
    with Stopped(row.script, origin.url, origin.cafile, kind) as program:
        assert program.line() == "asking"
        until(lambda: origin.seen_ids().get("1"), within=10.0)
        for runs, stands in row.stops:
            Event().wait(runs)
            program.stop_for(stands)
        assert program.line() == row.says


@pytest.fixture
def slow_line(origin: Origin) -> Iterator[Relay]:
    with Relay(origin.port) as made:
        made.become(Conditions(delay=0.15), Conditions(delay=0.15))
        yield made


@pytest.mark.parametrize("runs", cases((0.2,), long=((0.008,), (0.014,), (0.02,), (0.35,))))
def test_stopped_during_the_handshake(origin: Origin, slow_line: Relay, runs: float) -> None:
    script = (
        "pool = client(connect_timeout=3.0, checkout_timeout=3.5)\n"
        'tell(lambda: pool.get(url + "/ok").status)'
    )
    with Stopped(script, slow_line.url, origin.cafile, "cold") as program:
        assert program.line() == "asking"
        Event().wait(runs)  # whichever moment it is, it must do no harm
        program.stop_for(4.5)
        assert program.line() == "200"


BLOCKED = {
    "by the program": ("greenlets", "import gevent; gevent.spawn_later(0.2, pause, 3.0)"),
    "by a call that keeps the GIL": (
        "threads",
        "threading.Timer(0.2, ctypes.PyDLL(None).usleep, [3_000_000]).start()",
    ),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize(("kind", "block"), BLOCKED.values(), ids=BLOCKED)
def test_blocked(origin: Origin, kind: str, block: str) -> None:
    script = (
        f"pool = client(receive_timeout=1.5)\n{block}\n"
        'tell(lambda: pool.get(url + "/delay/0.6").status)'
    )
    with Stopped(script, origin.url, origin.cafile, kind) as program:
        assert program.line() == "asking"
        assert program.line() == "200"
