"""Forked children start a hub of their own, and their client works; the parent's goes on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from quiver.testing import Origin
from tests.support.bare import BareClient
from tests.support.eventually import eventually
from tests.support.scripts import ROOT, run_script

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


@pytest.mark.parametrize("worker", ["sync", "gevent"])
def test_gunicorn(worker: str, origin: Origin, tmp_path: Path) -> None:
    (tmp_path / "service.py").write_text(APP.format(cafile=origin.cafile, url=origin.url))
    place = tmp_path / "socket"
    # One worker: a second that still boots may miss the SIGTERM at the end.
    command = ["-m", "gunicorn", "--preload", "-w", "1", "-k", worker, "-b", f"unix:{place}"]
    command += ["--no-control-socket"] if _has_control_socket() else []
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, *command, "service:app"],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "HOME": str(tmp_path)},
            stdout=log,
            stderr=log,
        )
    try:
        eventually(lambda: place.exists() or server.poll() is not None, 20.0)
        answers = [_ask(place) for _ in range(10)]
        assert all(b"200 OK" in answer for answer in answers), (tmp_path / "log").read_text()
        workers = {answer.rsplit(b" ", 1)[1] for answer in answers}
        assert workers and str(server.pid).encode() not in workers
        assert all(b"\r\n\r\n200 " in answer for answer in answers)
    finally:
        server.terminate()
        try:
            server.wait(10.0)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
            raise
    with BareClient(origin.port, origin.cafile) as bare:  # the origin has come to no harm
        assert bare.get("/ok").status == 200


def _has_control_socket() -> bool:
    command = [sys.executable, "-m", "gunicorn", "--help"]
    return "--no-control-socket" in subprocess.run(command, capture_output=True, text=True).stdout


def _ask(place: Path) -> bytes:
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20.0)
        connection.connect(str(place))
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while chunk := connection.recv(4096):
            answer += chunk
        return answer
