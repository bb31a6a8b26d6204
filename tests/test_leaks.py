"""Start, ask, stop, twenty times over: nothing stays behind."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from functools import partial

import pytest

import quiver
from quiver.pool import choice, fallback_table
from quiver.pool.protocols import ALL
from quiver.testing import Authority, Origin
from tests.support.chaos.background_load import run_callers
from tests.support.held_resources import Held, settles_within
from tests.support.network.relay import Relay
from tests.support.servers.http2_origin import Http2Origin
from tests.support.servers.over_tcp import Served, serving_over_tcp
from tests.support.waiting import until

ROUNDS = 20
CALLERS = 10
REQUESTS = 20  # by each caller
WARM = 3  # rounds, by which caches have what they hold
MOST_BLOCKS = ROUNDS * CALLERS * REQUESTS  # of memory; Python itself keeps some 1,000 to use again


def round_of_client(origin: Origin) -> None:
    with quiver.Client(pools={"default": {"cafile": origin.cafile}}) as client:

        def caller(_: int) -> None:
            for _ in range(REQUESTS):
                assert client.get(origin.url + "/ok", timeout=10.0).status == 200

        run_callers("threads", CALLERS, caller)


def round_of_pool(origin: Origin) -> None:
    pool = quiver.HTTP3Pool.start(origin.url, cafile=origin.cafile)

    def caller(_: int) -> None:
        for _ in range(REQUESTS):
            assert pool.ask(quiver.Request("GET", "/ok"), timeout=10.0).status == 200

    run_callers("threads", CALLERS, caller)
    pool.stop()


def round_of_http_2(server: Http2Origin) -> None:
    """Half of the asks end well, one in eight is given up, and each round one connection is cut."""
    pool = quiver.HTTP2Pool.start(server.url, cafile=server.cafile)

    def caller(number: int) -> None:
        for turn in range(REQUESTS):
            if (number + turn) % 8 == 0:
                pool.ask(quiver.Request("GET", "/held"), block=False).cancel()
            elif turn == REQUESTS // 2 and number == 0:
                server.peers[-1].cut()
            else:
                with contextlib.suppress(quiver.ConnectionLost, quiver.HandshakeFailed):
                    pool.ask(quiver.Request("GET", "/ok"), timeout=10.0)

    run_callers("threads", CALLERS, caller)
    pool.stop()
    for peer in server.peers:
        assert peer.over.wait(10.0)
    del server.peers[:]
    server.reap()


def round_of_http_1(server: Served) -> None:
    """One ask in sixteen is given up, which costs its connection."""
    pool = quiver.HTTP1Pool.start(server.url, cafile=server.cafile, max_connections_http1=5)

    def caller(number: int) -> None:
        for turn in range(REQUESTS):
            if (number + turn) % 16 == 0:
                pool.ask(quiver.Request("GET", "/bytes/300000"), block=False).cancel()
            else:
                assert pool.ask(quiver.Request("GET", "/ok"), timeout=10.0).status == 200

    run_callers("threads", CALLERS, caller)
    pool.stop()
    until(lambda: server.open == 0, what="all connections are closed")
    server.seen.clear()


def round_of_a_race(server: Http2Origin, relay: Relay, silent: bool) -> None:
    """Both lanes are dialled, and either wins: QUIC is silent, or comes in beside the requests."""
    if silent:
        relay.blackhole()
    with quiver.Client(cafile=server.cafile, protocols=ALL) as client:
        said: set[str | None] = set()

        def caller(number: int) -> None:
            for turn in range(REQUESTS):
                if silent and number == 0 and turn == REQUESTS // 2:
                    relay.become()
                answer = client.get(server.url + "/ok", timeout=10.0)
                said.add(answer.http_version)

        run_callers("threads", CALLERS, caller)
        relay.become()
        until(lambda: _version(client, server) == "HTTP/3", within=30.0, what="HTTP/3 is found")
        assert "HTTP/2" in said or not silent
    relay.close_port()  # it forgets its clients
    relay.open_port()
    server.seen.clear()
    for peer in server.peers:
        assert peer.over.wait(10.0)
    del server.peers[:]
    server.reap()


def _version(client: quiver.Client, server: Http2Origin) -> str | None:
    return client.get(server.url + "/ok", timeout=10.0).http_version


@pytest.mark.long
def test_nothing_grows_over_http_2(authority: Authority) -> None:
    with Http2Origin(authority) as server:
        _test_nothing_grows(partial(round_of_http_2, server))


@pytest.mark.long
def test_nothing_grows_over_http_1(authority: Authority) -> None:
    with serving_over_tcp("http/1.1", authority) as server:
        _test_nothing_grows(partial(round_of_http_1, server))


@pytest.mark.long
@pytest.mark.parametrize("silent", [True, False], ids=["UDP is silent", "both are there"])
def test_nothing_grows_where_two_lanes_race(
    silent: bool, authority: Authority, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "HEAD_START", 0.0)
    for pause in ("FIRST_PAUSE", "LONGEST_PAUSE"):
        monkeypatch.setattr(fallback_table, pause, 1e-3)
    with Http2Origin(authority) as server, Relay(origin.port, server.port) as relay:
        _test_nothing_grows(partial(round_of_a_race, server, relay, silent))


@pytest.mark.long
@pytest.mark.parametrize("one_round", [round_of_client, round_of_pool])
def test_nothing_grows(origin: Origin, one_round: Callable[[Origin], None]) -> None:
    _test_nothing_grows(partial(one_round, origin))


def _test_nothing_grows(one_round: Callable[[], None]) -> None:
    for _ in range(WARM):  # the first start what stays: the hub's thread, its wake-up descriptors
        one_round()
    before, blocks = settles_within(Held(0, 0, 0), seconds=0.5), sys.getallocatedblocks()
    for _ in range(ROUNDS):
        one_round()
    after = settles_within(before)
    assert after.within(before), f"{before} became {after}"
    grown = sys.getallocatedblocks() - blocks
    print(f"{grown} blocks more after {ROUNDS} rounds")
    assert grown < MOST_BLOCKS, f"{blocks} blocks of memory became {blocks + grown}"
