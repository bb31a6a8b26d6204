"""An exception at every place of the transport over TCP in turn, under HTTP/2.

What `test_crashes` walks through is the same whatever a pool speaks. Here is what is not.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import attrs
import pykka
import pytest

import quiver
from quiver.actors.actor import GeventActor
from quiver.pool.connection import Connection
from quiver.pool.http2_pool import HTTP2Pool
from quiver.pool.liveness import LOOK
from quiver.pool.ref import PoolRef
from quiver.pool.tcp_transport import TcpTransport
from quiver.testing import Authority
from tests.support.chaos.crash_points import FAULTS, CrashInjector, Point, points, role_of
from tests.support.chaos.environment import LIMIT, AskLog
from tests.support.held_resources import Held, settles_within
from tests.support.servers.http2_origin import Http2Origin
from tests.support.waiting import until

CONNECTION = "Connection"
NEVER = {"has_moved", "begin_anew", "begin_without_ticket", "migrate", "forget_former"}
"""What there is for the seam alone: TCP does not move, and has no tickets."""

ELSEWHERE = {"_on_ready"}  # the loop calls it
PLACES = [
    point
    for point in points(Connection)
    if point.owner is TcpTransport and point.method not in NEVER | ELSEWHERE
]
OPTIONS: dict[str, Any] = {"max_connections": 1, "connect_timeout": 1.0}


@attrs.frozen
class Walk:
    """Where it goes.

    `reached`: the places that the scenario has passed.
    """

    server: Http2Origin
    injector: CrashInjector
    reached: set[str]


@pytest.fixture(scope="module")
def walk(authority: Authority) -> Iterator[Walk]:
    injector = CrashInjector()
    with Http2Origin(authority) as server, injector.installed():
        made = Walk(server, injector, set())
        for _ in range(3):  # what hangs on the moment may want a second look, or a third
            play(made, AskLog())
            made.reached.update(place for role, place in injector.hits if role == CONNECTION)
        injector.arm(PLACES[0], RuntimeError("the first to be logged"), of_a_connection)
        play(made, AskLog())  # records of the loop have a thread of their own from now on
        yield made


def of_a_connection(actor: GeventActor) -> bool:
    return role_of(actor) == CONNECTION


def play(walk: Walk, asks: AskLog) -> None:
    """All kinds of exchanges, a connection that is cut, and a server that is not there."""
    others = set(pykka.ActorRegistry.get_all())
    pool = HTTP2Pool.start(walk.server.url, cafile=walk.server.cafile, **OPTIONS)
    try:
        for _ in range(2):
            exchange(pool, asks)
            asks.wait()
            threading.Event().wait(LOOK + 0.05)  # then it is looked at before it is lent
        hold(walk.server, pool, asks)
        asks.ask(lambda _: refused(walk.server.cafile))
        asks.wait()
        until(lambda: answers(pool), what="it goes on")
    finally:
        pool.stop(timeout=LIMIT)
    walk.injector.disarm()
    until(lambda: others.issuperset(pykka.ActorRegistry.get_all()), what="all actors have ended")


def exchange(pool: PoolRef, asks: AskLog) -> None:
    large = b"0123456789" * 30_000

    def plain(number: int) -> None:
        request = quiver.Request("GET", f"/ok?id={number}", timeout=LIMIT)
        assert pool.ask(request).body == b"ok"

    def uploaded(number: int) -> None:
        request = quiver.Request("POST", f"/echo?id={number}", body=large, timeout=LIMIT)
        assert pool.ask(request).body == large

    def streamed(number: int) -> None:
        request = quiver.StreamRequest("GET", f"/bytes/300000?id={number}", timeout=LIMIT)
        with pool.ask(request) as response:
            assert len(response.read()) == 300_000

    for job in (plain, uploaded, streamed, plain):
        asks.ask(job)


def hold(server: Http2Origin, pool: PoolRef, asks: AskLog) -> None:
    """Requests whose connection is cut."""

    def held(number: int) -> None:
        pool.ask(quiver.Request("GET", f"/held?id={number}", timeout=LIMIT))

    before = server.held
    asks.ask(held)
    until(lambda: server.held > before or len(asks.outcomes) == asks.asked, what="it is there")
    for peer in server.peers:
        peer.cut()
    asks.wait()


def refused(cafile: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pool = HTTP2Pool.start(f"https://localhost:{port}", cafile=cafile, **OPTIONS)
    try:
        pool.ask(quiver.Request("GET", "/ok", timeout=LIMIT))
    finally:
        pool.stop(timeout=LIMIT)


def answers(pool: PoolRef) -> bool:
    try:
        return pool.ask(quiver.Request("GET", "/ok", timeout=LIMIT)).body == b"ok"
    except quiver.QuiverError:
        return False


@pytest.mark.long
def test_every_place_is_reached(walk: Walk) -> None:
    assert [str(point) for point in PLACES if str(point) not in walk.reached] == []


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("point", PLACES, ids=str)
def test_crash(walk: Walk, point: Point, fault: str) -> None:
    """One outcome for each ask, an answer or a named error, in time; nothing done twice."""
    before = Held.now()
    error, persistent = FAULTS[fault]
    for _ in range(3):
        asks = AskLog()
        walk.server.seen.clear()
        walk.injector.arm(point, error, of_a_connection, persistent=persistent)
        play(walk, asks)
        assert len(asks.outcomes) == asks.asked
        for outcome in asks.outcomes:
            assert outcome.error is None or isinstance(outcome.error, quiver.QuiverError), outcome
            assert outcome.seconds <= LIMIT + 1.0, outcome
        assert {n for path, n in walk.server.seen.items() if "id=" in path} <= {1}
        if walk.injector.fired.is_set():
            break
    assert walk.injector.fired.is_set(), "it was to fail, and did not"
    walk.server.reap()
    after = settles_within(before)
    assert after.within(before), f"{before} became {after}"
