"""HTTP/2 and HTTP/1.1 against Caddy (Go's net/http), Debian's and a current one.

From threads, greenlets, a patched program and forks.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import quiver
from quiver.pool.http1_pool import HTTP1Pool
from quiver.pool.http2_pool import HTTP2Pool
from quiver.pool.ref import PoolRef
from quiver.testing import Authority
from tests.support.cases.mixed_requests import ask_mixed
from tests.support.chaos.background_load import CallerKind
from tests.support.programs.runner import run_script
from tests.support.servers.independent import LARGE, Caddy
from tests.support.servers.packaged import CurrentCaddy
from tests.support.waiting import until


@pytest.fixture(scope="module", params=[Caddy, CurrentCaddy], ids=lambda kind: kind.__name__)
def server(authority: Authority, request: pytest.FixtureRequest) -> Iterator[Caddy]:
    with request.param(authority) as started:
        yield started


POOLS = {"HTTP/2": HTTP2Pool.start, "HTTP/1.1": HTTP1Pool.start}
each_version = pytest.mark.parametrize("version", POOLS)


@contextlib.contextmanager
def running(server: Caddy, version: str = "HTTP/2") -> Iterator[PoolRef]:
    pool = POOLS[version](server.url, cafile=server.cafile)
    try:
        yield pool
    finally:
        pool.stop()


@each_version
@pytest.mark.parametrize("kind", ["threads", "greenlets"])
def test_mixed_requests(server: Caddy, kind: CallerKind, version: str) -> None:
    with running(server, version) as pool:

        def ask(method: str, path: str, body: bytes | None) -> quiver.Response:
            return pool.ask(quiver.Request(method, path, body=body, timeout=30.0))

        ask_mixed(ask, server, kind, 600)


@each_version
def test_large_bodies_both_ways(server: Caddy, version: str) -> None:
    with running(server, version) as pool:
        body = b"0123456789abcdef" * 200_000
        pieces = (body[at : at + 9_999] for at in range(0, len(body), 9_999))
        echoed = pool.ask(quiver.Request("POST", "/echo", body=pieces, timeout=60.0))
        assert echoed.body == body
        with pool.ask(quiver.StreamRequest("GET", "/large")) as streamed:
            assert b"".join(streamed) == LARGE
            assert streamed.http_version == version


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


@each_version
def test_caddy_that_is_killed_and_comes_again(authority: Authority, version: str) -> None:
    with Caddy(authority) as server, running(server, version) as pool:
        assert pool.ask(quiver.Request("GET", "/small")).body == b"ok"
        server.kill()
        with pytest.raises(quiver.TransientError):
            for _ in range(3):
                pool.ask(quiver.Request("GET", "/small"), timeout=1.0)
        server.start()
        assert pool.ask(quiver.Request("GET", "/small"), timeout=20.0).body == b"ok"


@each_version
def test_caddy_that_says_goodbye_lets_what_is_open_finish(
    authority: Authority, version: str
) -> None:
    """GOAWAY, or `Connection: close`: what comes then is dialled anew."""
    with Caddy(authority, options="grace_period 20s") as server, running(server, version) as pool:
        server.add_file("huge", 20_000_000)
        with (
            pool.ask(quiver.StreamRequest("GET", "/huge", timeout=60.0)) as streamed,
            ThreadPoolExecutor(1) as threads,
        ):
            size = len(streamed.read(1_000))
            stopping = threads.submit(server.stop)
            until(lambda: _refuses(server.port), what="it takes no connection any more")
            with pytest.raises(quiver.TransientError):
                for _ in range(3):  # one that is kept may have one more
                    pool.ask(quiver.Request("GET", "/small"), timeout=1.0)
            assert size + sum(map(len, streamed)) == 20_000_000
            stopping.result(20.0)
        server.start()
        assert pool.ask(quiver.Request("GET", "/small"), timeout=20.0).body == b"ok"


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it has stopped to listen in this moment
        pass
    return False


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
