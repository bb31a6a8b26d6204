"""The end of the program, of its loop, of its copy: with every kind of exchange open."""

from __future__ import annotations

import pytest

from quiver.testing import Origin
from tests.support.programs.runner import run_script
from tests.support.short_form import cases
from tests.support.waiting import until

OPEN = """
import atexit, os, sys, threading, time, traceback
import quiver
from quiver.actors.hub import Hub
url, cafile = sys.argv[1:]
client = quiver.Client(pools={"default": {"cafile": cafile}})

def endless():
    while True:
        time.sleep(0.05)
        yield b"piece"

def outcome(call):
    try:
        call()
    except quiver.PoolStopped:
        return "PoolStopped"
    except quiver.QuiverError as error:
        return type(error).__name__
    return "answered"

ended = []

def spawn(call):
    threading.Thread(target=lambda: ended.append(outcome(call)), daemon=True).start()

streamed = client.stream("GET", url + "/stall-after/10")
channel = client.open_channel(url + "/session", protocol="echo")
uploading = quiver.StreamRequest("POST", url + "/echo-stream", body=endless())
echoed = client.pool(url).ask(uploading)
spawn(lambda: client.get(url + "/hang"))
spawn(lambda: client.post(url + "/echo", body=endless()))
spawn(streamed.read)
spawn(echoed.read)
spawn(lambda: list(channel) and None)
reply = client.pool(url).ask(quiver.Request("GET", "/hang"), block=False)

def busy(streams):
    due = time.monotonic() + 10
    while client.stats(url).active != streams:
        assert time.monotonic() < due, client.stats(url)
        time.sleep(0.01)

def wait_ended(count):
    due = time.monotonic() + 5
    while len(ended) < count:
        assert time.monotonic() < due, ended
        time.sleep(0.01)

busy(6)
"""

PATCHED = "from gevent import monkey; monkey.patch_all()\n"
PROGRAMS = {"threads": "", "patched": PATCHED}
each_program = pytest.mark.parametrize("program", PROGRAMS)


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("program", "last"),
    cases(
        *(("threads", ""), ("patched", "sys.exit(3)"), ("threads", "raise RuntimeError")),
        long=(("patched", ""), ("threads", "sys.exit(3)"), ("patched", "raise RuntimeError")),
    ),
)
def test_the_interpreter_exits(program: str, last: str, origin: Origin) -> None:
    """At once, with the status that the program gave, and the server hears of it."""
    told = """
@atexit.register
def look():  # after the hub's own, which was registered later
    print(reply.done, outcome(reply.get), time.monotonic() - began < 3.0)
"""
    script = PROGRAMS[program] + "import atexit" + told + OPEN + "began = time.monotonic()\n" + last
    status = {"": 0, "sys.exit(3)": 3, "raise RuntimeError": 1}[last]
    printed = run_script(script, origin.url, origin.cafile, timeout=15.0, status=status)
    assert printed == "True PoolStopped True\n"
    until(lambda: origin.connections_open() == 0)


@pytest.mark.one_in(2)
@each_program
def test_the_hub_is_stopped(program: str, origin: Origin) -> None:
    run_script(
        PROGRAMS[program]
        + OPEN
        + """
Hub.current().stop()
wait_ended(5)
assert sorted(ended) == ["PoolStopped"] * 4 + ["answered"], ended  # the channel is closed
assert outcome(reply.get) == "PoolStopped"
assert client.get(url + "/ok", timeout=5.0).status == 200
""",
        origin.url,
        origin.cafile,
    )


def test_the_hubs_thread_dies(origin: Origin) -> None:
    """Of what no actor catches. Whoever waits is answered, and the next begins anew."""
    run_script(
        OPEN
        + """
import gevent, logging
logging.disable()
hub = Hub.current()

def fail():
    raise SystemExit("the loop's own")

hub.wakeup.call_soon(lambda: hub.wakeup._loop.run_callback(fail))
wait_ended(5)
assert sorted(ended) == ["PoolStopped"] * 4 + ["answered"], ended
assert outcome(lambda: reply.get(timeout=5.0)) == "PoolStopped"
assert client.get(url + "/ok", timeout=5.0).status == 200
assert Hub.current() is not hub
""",
        origin.url,
        origin.cafile,
    )


@pytest.mark.one_in(2)
@each_program
def test_fork_in_the_middle(program: str, origin: Origin) -> None:
    """The child's copies are answered, and it can ask anew; the parent's go on."""
    run_script(
        PROGRAMS[program]
        + OPEN
        + """
child = os.fork()
if child == 0:
    status = 1
    try:
        assert outcome(lambda: reply.get(timeout=0)) == "PoolStopped", "reply"
        assert outcome(streamed.read) == "PoolStopped"
        last = list(channel)[-1]
        assert isinstance(last.error, quiver.PoolStopped), last
        assert client.get(url + "/ok", timeout=5.0).status == 200
        with client.stream("GET", url + "/bytes/100000") as response:
            assert len(response.read()) == 100_000
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
assert os.waitpid(child, 0)[1] == 0
busy(6)
assert not ended and not reply.done
assert client.get(url + "/ok", timeout=5.0).status == 200
channel.write(b"on")
""",
        origin.url,
        origin.cafile,
    )
