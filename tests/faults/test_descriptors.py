"""The process has no file descriptor left, or a few: whoever asks is told so, at once."""

from __future__ import annotations

import pytest

from quiver.testing import Origin
from tests.support.programs.runner import run_script
from tests.support.short_form import cases

ENOUGH = 3  # the loop's two, and a socket

CLIENT = """
import os, resource, sys, threading, time
close = os.close  # gevent's may wait for the loop
if "greenlets" in sys.argv:
    from gevent import monkey; monkey.patch_all()
import quiver

os.dup2(1, 2)  # what is written to stderr would be seen
url, cafile, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = quiver.Client(pools={"default": {"cafile": cafile, "connect_timeout": 5.0}})

def outcome(timeout=10.0):
    begun = time.monotonic()
    try:
        said = str(client.get(url + "/ok", timeout=timeout).status)
    except quiver.ResourceExhausted as error:
        assert error.kind == "transient", error
        assert error.unprocessed, error
        said = "told"
    assert time.monotonic() - begun < timeout - 2.0
    return said

def take_all():
    resource.setrlimit(resource.RLIMIT_NOFILE, (96, 96))
    held = []
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        return held
"""

EACH = """
def try_it(left):
    held = take_all()
    for _ in range(left):
        close(held.pop())
    first = outcome()
    for each in held:
        close(each)
    assert outcome() == "200", left
    assert first == "200" or (first == "told" and left <= most), (left, first)

most = left
if "forked" in sys.argv:
    assert outcome() == "200"
for left in range(most + 3):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            try_it(left)
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0, left
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize(
    ("before", "kind", "host"),
    cases(
        ("first", "threads", "127.0.0.1"),
        ("first", "greenlets", "localhost"),
        ("forked", "threads", "localhost"),
        ("forked", "greenlets", "127.0.0.1"),
        long=(
            ("first", "threads", "localhost"),
            ("first", "greenlets", "127.0.0.1"),
            ("forked", "threads", "127.0.0.1"),
            ("forked", "greenlets", "localhost"),
        ),
    ),
)
def test_first_request_with_so_many_left(origin: Origin, before: str, kind: str, host: str) -> None:
    """In a process that has asked nothing before, and in a child of one that has."""
    url = f"https://{host}:{origin.port}"
    said = run_script(CLIENT + EACH, url, origin.cafile, str(ENOUGH), kind, before)
    assert said == ""


@pytest.mark.long
def test_none_left_at_a_dial(origin: Origin) -> None:
    """Where a name has to be looked up, and where not."""
    script = """
there, other = (f"https://{host}:{url.rpartition(':')[2]}" for host in ("127.0.0.1", "localhost"))
if left:
    there, other = other, there
url = there
assert outcome() == "200"
held = take_all()
url = other
assert outcome() == "told"
url = there
assert outcome() == "200"
for each in held:
    close(each)
url = other
assert outcome() == "200"
"""
    for turn in ("0", "1"):
        run_script(CLIENT + script, origin.url, origin.cafile, turn)


@pytest.mark.parametrize("left", cases((2,), (4,), long=((3,), (5,))))
def test_others_take_the_last_ones_meanwhile(origin: Origin, left: int) -> None:
    script = """
held = take_all()
for _ in range(left):
    close(held.pop())
over = threading.Event()

def take_and_give():
    while not over.is_set():
        try:
            close(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        over.wait(0.001)  # held without a pause, they would be as good as taken

threads = [threading.Thread(target=take_and_give) for _ in range(4)]
for each in threads:
    each.start()
try:
    outcome()
finally:
    over.set()
    for each in threads:
        each.join()
for each in held:
    close(each)
print(outcome())
"""
    url = f"https://127.0.0.1:{origin.port}"
    assert run_script(CLIENT + script, url, origin.cafile, str(left)) == "200\n"
