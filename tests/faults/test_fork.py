"""Forked children start a hub of their own, and their client works; the parent's goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from quiver.testing import Origin
from tests.support.clients.bare import BareClient
from tests.support.programs.runner import run_script
from tests.support.servers.gunicorn import gunicorn

CLIENT = """
import os, sys, threading
import quiver
url, cafile = sys.argv[1:]
client = quiver.Client(pools={"default": {"cafile": cafile, "max_connections": 1}})
def works():
    return client.get(url + "/ok", timeout=10.0).status == 200
assert works()
"""


def test_os_fork(origin: Origin) -> None:
    run_script(
        CLIENT
        + """
for _ in range(3):
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if works() and works() else 2
        finally:
            os._exit(status)
    assert works()
    assert os.waitpid(child, 0)[1] == 0
    assert works()
""",
        origin.url,
        origin.cafile,
    )
    assert origin.connections_accepted() == 4  # the parent's one lives on, each child has its own


def test_what_the_parent_asked_is_answered_in_the_child(origin: Origin) -> None:
    run_script(
        CLIENT
        + """
future = client.pool(url).ask(quiver.Request("GET", "/delay/1"), block=False)
child = os.fork()
if child == 0:
    status = 1
    try:
        future.get(timeout=5.0)
    except quiver.QuiverError:
        status = 0
    finally:
        os._exit(status)
assert future.get(timeout=10.0).status == 200
assert os.waitpid(child, 0)[1] == 0
""",
        origin.url,
        origin.cafile,
    )


def test_multiprocessing(origin: Origin) -> None:
    run_script(
        CLIENT
        + """
import multiprocessing
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.apply(works) and pool.apply(works)
assert works()
""",
        origin.url,
        origin.cafile,
    )


def test_fork_of_a_patched_program(origin: Origin) -> None:
    run_script(
        "from gevent import monkey; monkey.patch_all()"
        + CLIENT
        + """
child = os.fork()
if child == 0:
    status = 1
    try:
        status = 0 if works() else 2
    finally:
        os._exit(status)
assert works()
assert os.waitpid(child, 0)[1] == 0
assert works()
""",
        origin.url,
        origin.cafile,
    )


APP = """
import os
import quiver
client = quiver.Client(pools={{"default": {{"cafile": {cafile!r}}}}})
client.get({url!r} + "/ok", timeout=10.0)  # in the arbiter: the app is preloaded

def app(environ, start_response):
    status = client.get({url!r} + "/ok", timeout=10.0).status
    start_response("200 OK", [("content-type", "text/plain")])
    return [f"{{status}} {{os.getpid()}}".encode()]
"""


@pytest.mark.one_in(2)
@pytest.mark.parametrize("worker", ["sync", "gevent"])
def test_gunicorn(worker: str, origin: Origin, tmp_path: Path) -> None:
    app = APP.format(cafile=origin.cafile, url=origin.url)
    with gunicorn(app, worker, tmp_path) as server:
        answers = [server.ask() for _ in range(10)]
        assert all(b"200 OK" in answer for answer in answers), server.log()
        workers = {answer.rsplit(b" ", 1)[1] for answer in answers}
        assert workers and str(server.pid).encode() not in workers
        assert all(b"\r\n\r\n200 " in answer for answer in answers)
    with BareClient(origin.port, origin.cafile) as bare:  # the origin has come to no harm
        assert bare.get("/ok").status == 200
