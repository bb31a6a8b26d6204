"""Start, ask, stop, twenty times over: nothing stays behind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

import pytest

import quiver
from quiver.testing import Authority, Origin
from tests.support.chaos.background_load import run_callers
from tests.support.held_resources import Held, settles_within
from tests.support.servers.http2_origin import Http2Origin

ROUNDS = 20
CALLERS = 10
REQUESTS = 20  # by each caller


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


@pytest.mark.long
def test_nothing_grows_over_http_2(authority: Authority) -> None:
    with Http2Origin(authority) as server:
        _test_nothing_grows(partial(round_of_http_2, server))


@pytest.mark.long
@pytest.mark.parametrize("one_round", [round_of_client, round_of_pool])
def test_nothing_grows(origin: Origin, one_round: Callable[[Origin], None]) -> None:
    _test_nothing_grows(partial(one_round, origin))


def _test_nothing_grows(one_round: Callable[[], None]) -> None:
    one_round()  # the first starts what stays: the hub's thread, its wake-up descriptors
    before = settles_within(Held(0, 0, 0), seconds=0.5)
    for _ in range(ROUNDS):
        one_round()
    after = settles_within(before)
    assert after.within(before), f"{before} became {after}"
