"""Forks amid traffic over TCP: the parent notices nothing, the child begins anew.

A descriptor that a child keeps would keep the connection: its server would not hear that the parent
has closed it. And what a child says by its copy would be the parent's word.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quiver.testing import Authority
from tests.support.programs.runner import ROOT, run_script
from tests.support.servers.over_tcp import SPOKEN, Served, serving_over_tcp
from tests.support.waiting import until

PATCHED = "from gevent import monkey; monkey.patch_all()\n"
PROGRAMS = {"threads": "", "patched": PATCHED}
each_program = pytest.mark.parametrize("program", PROGRAMS)
each_protocol = pytest.mark.parametrize("protocol", SPOKEN)


@pytest.fixture
def served(protocol: str, authority: Authority) -> Iterator[Served]:
    with serving_over_tcp(protocol, authority) as made:
        yield made


BEGINS = """
import os, sys, threading, time, traceback
import quiver
url, cafile, protocol, version = sys.argv[1:]
client = quiver.Client(cafile=cafile, protocols=(protocol,))

def works(id):
    answer = client.get(f"{url}/ok?id={os.getpid()}-{id}", timeout=20.0)
    return (answer.body, answer.http_version) == (b"ok", version)

def outcome(call):
    try:
        call()
    except quiver.QuiverError as error:
        return type(error).__name__
    return "answered"

assert works("first")
"""

OPEN = """
LARGE = 3_000_000  # bytes: more than comes before somebody reads on
streamed = client.stream("GET", f"{url}/bytes/{LARGE}", timeout=60.0)
read = len(streamed.read(1_000))
reply = client.pool(url).ask(quiver.Request("GET", "/held", timeout=60.0), block=False)
due = time.monotonic() + 10
while client.stats(url).active < 2:
    assert time.monotonic() < due, client.stats(url)
    time.sleep(0.01)
over, failed, asked = threading.Event(), [], [0]

def ask_on(number):
    while not over.is_set():
        asked[0] += 1
        try:
            assert works(f"{number}-{asked[0]}")
        except BaseException as error:
            failed.append(error)
        time.sleep(0.001)

callers = [threading.Thread(target=ask_on, args=(number,)) for number in range(6)]
for caller in callers:
    caller.start()
"""


@pytest.mark.one_in(2)
@each_program
@each_protocol
def test_forks_amid_traffic(program: str, protocol: str, served: Served) -> None:
    """The copies are answered, and touch nothing; what is open in the parent goes on to its end.

    In a patched program the callers are greenlets, of which the child has copies.
    """
    run_script(
        PROGRAMS[program]
        + BEGINS
        + OPEN
        + """
for turn in range(5):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            assert outcome(lambda: reply.get(timeout=0)) == "PoolStopped"
            assert outcome(streamed.read) == "PoolStopped"
            streamed.close()
            assert works(f"child-{turn}-1") and works(f"child-{turn}-2")
            client.close()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    before = asked[0]
    while asked[0] < before + 20:
        assert not failed, failed
        time.sleep(0.01)
over.set()
for caller in callers:
    caller.join(20.0)
assert not failed, failed
assert not reply.done
while read < LARGE:
    read += len(streamed.read(100_000))
reply.cancel()
assert works("last")
client.close()
""",
        *(served.url, served.cafile, protocol, SPOKEN[protocol]),
    )
    assert max(times for target, times in served.seen.items() if "id=" in target) == 1
    assert sum("-child-" in target for target in served.seen) == 10


@pytest.mark.one_in(2)
@each_program
@each_protocol
def test_what_the_parent_closes_is_closed_though_a_child_lives(
    program: str, protocol: str, served: Served, tmp_path: Path
) -> None:
    text = f"{PROGRAMS[program]}{BEGINS}folder = {str(tmp_path)!r}\n{LIVES}"
    with subprocess.Popen(
        [sys.executable, "-c", text, served.url, served.cafile, protocol, SPOKEN[protocol]],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdin is not None and running.stdout is not None
        try:
            assert running.stdout.readline() == "the child lives\n"
            until(lambda: served.open == 1, what="the parent's is there, and none of the child")
            running.stdin.write("close\n")
            running.stdin.flush()
            assert running.stdout.readline() == "closed\n"
            until(lambda: served.open == 0, what="the server has heard of the end")
            running.stdin.write("end\n")
            running.stdin.flush()
            assert running.stdout.readline() == "the child works\n"
        finally:
            running.stdin.close()
            assert running.wait(20.0) == 0


LIVES = """
def say(words):
    os.write(1, words.encode() + b"\\n")

let = os.path.join(folder, "let")
child = os.fork()
if child == 0:
    status = 1
    try:
        say("the child lives")
        while not os.path.exists(let):
            time.sleep(0.01)
        assert works("child")
        say("the child works")
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
sys.stdin.readline()
client.close()
say("closed")
sys.stdin.readline()
open(let, "w").close()
assert os.waitpid(child, 0)[1] == 0
"""
