"""HTTP2Pool against Caddy (Go's net/http), from threads, greenlets, a patched program and forks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

import quiver
from quiver.pool.ref import PoolRef
from quiver.testing import Authority
from tests.support.cases.mixed_requests import ask_mixed
from tests.support.chaos.background_load import CallerKind
from tests.support.programs.runner import run_script
from tests.support.servers.independent import LARGE, Caddy


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Caddy]:
    with Caddy(authority) as started:
        yield started


@contextlib.contextmanager
def running(server: Caddy) -> Iterator[PoolRef]:
    pool = quiver.HTTP2Pool.start(server.url, cafile=server.cafile)
    try:
        yield pool
    finally:
        pool.stop()


@pytest.mark.parametrize("kind", ["threads", "greenlets"])
def test_mixed_requests(server: Caddy, kind: CallerKind) -> None:
    with running(server) as pool:

        def ask(method: str, path: str, body: bytes | None) -> quiver.Response:
            return pool.ask(quiver.Request(method, path, body=body, timeout=30.0))

        ask_mixed(ask, server, kind, 600)


def test_large_bodies_both_ways(server: Caddy) -> None:
    with running(server) as pool:
        body = b"0123456789abcdef" * 200_000
        pieces = (body[at : at + 9_999] for at in range(0, len(body), 9_999))
        echoed = pool.ask(quiver.Request("POST", "/echo", body=pieces, timeout=60.0))
        assert echoed.body == body
        with pool.ask(quiver.StreamRequest("GET", "/large")) as streamed:
            assert b"".join(streamed) == LARGE
            assert streamed.http_version == "HTTP/2"


def test_cancels_by_the_hundred_end_nothing(server: Caddy) -> None:
    """Of one connection, whose neighbours go on."""
    pool = quiver.HTTP2Pool.start(server.url, cafile=server.cafile, max_connections=1)
    try:
        for _ in range(5):
            for _ in range(80):
                pool.ask(quiver.Request("GET", "/large"), block=False).cancel()
            assert pool.ask(quiver.Request("GET", "/small"), timeout=30.0).body == b"ok"
        (connection,) = pool.ask(quiver.GetConnections())
        assert connection.number == 1
    finally:
        pool.stop()


def test_caddy_that_is_killed_and_comes_again(authority: Authority) -> None:
    with Caddy(authority) as server, running(server) as pool:
        assert pool.ask(quiver.Request("GET", "/small")).body == b"ok"
        server.kill()
        with pytest.raises(quiver.TransientError):
            for _ in range(3):
                pool.ask(quiver.Request("GET", "/small"), timeout=5.0)
        server.start()
        assert pool.ask(quiver.Request("GET", "/small"), timeout=20.0).body == b"ok"


PROGRAM = """
import os, sys
import quiver
url, cafile = sys.argv[1:]
pool = quiver.HTTP2Pool.start(url, cafile=cafile, max_connections=1)
def works(pool):
    return pool.ask(quiver.Request("GET", "/small"), timeout=10.0).http_version == "HTTP/2"
assert works(pool)
"""


def test_in_a_patched_program(server: Caddy) -> None:
    patched = "from gevent import monkey\nmonkey.patch_all()\n"
    asks = """
import gevent
jobs = [gevent.spawn(works, pool) for _ in range(50)]
assert all(job.get(timeout=20.0) for job in jobs)
pool.stop()
"""
    run_script(patched + PROGRAM + asks, server.url, server.cafile)


@pytest.mark.long
def test_a_forked_child_has_pools_of_its_own(server: Caddy) -> None:
    forks = """
child = os.fork()
if child == 0:
    status = 1
    try:
        mine = quiver.HTTP2Pool.start(url, cafile=cafile, max_connections=1)
        status = 0 if mine is not pool and works(mine) else 2
    finally:
        os._exit(status)
assert works(pool)
assert os.waitpid(child, 0)[1] == 0
assert works(pool)
pool.stop()
"""
    run_script(PROGRAM + forks, server.url, server.cafile)


@pytest.mark.long
def test_a_file_of_a_hundred_mebibytes(server: Caddy) -> None:
    import hashlib

    digest = server.add_file("huge", 100 * 1024 * 1024)
    with running(server) as pool, pool.ask(quiver.StreamRequest("GET", "/huge")) as streamed:
        seen = hashlib.sha256()
        for piece in streamed:
            seen.update(piece)
        assert seen.hexdigest() == digest
