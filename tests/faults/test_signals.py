"""An exception that a signal handler raises comes out as it is, and leaves nothing half-made."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quiver.testing import Origin
from tests.support.programs.runner import ROOT, run_script
from tests.support.short_form import cases

slow = pytest.mark.slow
LOOPS = pytest.mark.parametrize("loop", cases(("anew",), long=(("kept",),)))
ROUNDS = pytest.mark.parametrize(
    "rounds", [pytest.param("20"), pytest.param("200", marks=slow)], ids=["short", "long"]
)
pytestmark = pytest.mark.timeout(400)  # of every line, on a slow day


PATCHED = """
from gevent import monkey
monkey.patch_all()
from tests.support.programs import interrupted_requests
interrupted_requests.main()
"""


def walk(origin: Origin, *arguments: str, patched: bool = False) -> dict[str, Any]:
    program = ["-c", PATCHED] if patched else ["-m", "tests.support.programs.interrupted_requests"]
    ended = subprocess.run(
        [sys.executable, *program, origin.url, origin.cafile, *arguments],
        env={"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    assert found["faults"] == [], found
    assert found["left"] == 0, found
    return found


@pytest.mark.long
@pytest.mark.parametrize(
    "step", [pytest.param("17"), pytest.param("1", marks=slow)], ids=["some", "every"]
)
@LOOPS
def test_first_request_interrupted_at_a_line_of_ours(loop: str, step: str, origin: Origin) -> None:
    seen = walk(origin, "lines", loop, step)["seen"]
    assert seen["interrupted SoftTimeLimitExceeded"] > 150 // int(step)


@pytest.mark.long
@ROUNDS
@LOOPS
def test_first_requests_in_a_storm_of_signals(loop: str, rounds: str, origin: Origin) -> None:
    seen = walk(origin, "storm", loop, rounds)["seen"]
    assert seen["interrupted SoftTimeLimitExceeded"] > 0


@pytest.mark.long
@ROUNDS
@pytest.mark.parametrize(
    ("loop", "kind"),
    cases(("kept", "storm"), ("anew", "once"), long=(("kept", "once"), ("anew", "storm"))),
)
def test_signals_in_a_patched_program(loop: str, kind: str, rounds: str, origin: Origin) -> None:
    """The actors live in the thread that is hit, and none is hit."""
    seen = walk(origin, kind, loop, rounds, patched=True)["seen"]
    assert seen["interrupted SoftTimeLimitExceeded"] > 0


AMID_A_READ = """
import os, signal, sys, threading
import quiver
url, cafile = sys.argv[1:]
client = quiver.Client()  # all is imported
os.mkfifo("roots")

def late(*_):
    raise TimeoutError("late")  # an OSError, as what is wrong with a file

def interrupt():
    with open("roots", "wb"):  # when it is being read; and who reads it waits
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)
        interrupted.wait()

signal.signal(signal.SIGALRM, late)
interrupted = threading.Event()
threading.Thread(target=interrupt, daemon=True).start()
os.environ["SSL_CERT_FILE"] = "roots"
try:
    client.get(url + "/ok")
except TimeoutError as error:
    print(error)
interrupted.set()
print(quiver.Client(cafile=cafile).get(url + "/ok").status)
"""


def test_interrupted_while_the_roots_are_read(origin: Origin, tmp_path: Path) -> None:
    script = f"import os; os.chdir({str(tmp_path)!r})" + AMID_A_READ
    assert run_script(script, origin.url, origin.cafile) == "late\n200\n"


NO_THREAD = """
import sys
import quiver
from quiver.actors import hub
url, cafile = sys.argv[1:]
real = getattr(hub, "{start}")

def refuse(*_):
    raise RuntimeError("can't start new thread")

setattr(hub, "{start}", refuse)
client = quiver.Client(pools={{"default": {{"cafile": cafile}}}})
for start in (lambda: client.get(url + "/ok"), lambda: quiver.HTTP3Pool.start(url)):
    try:
        start()
    except quiver.ResourceExhausted as error:
        print("can't start new thread" in str(error))
setattr(hub, "{start}", real)
print(client.get(url + "/ok").status)
"""


@pytest.mark.parametrize("start", ["start_new_thread", "start_thread"])
def test_no_thread_for_the_loop(start: str, origin: Origin) -> None:
    printed = run_script(NO_THREAD.format(start=start), origin.url, origin.cafile)
    assert printed == "True\nTrue\n200\n"
