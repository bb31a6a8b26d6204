"""Start, ask, stop, twenty times over: nothing stays behind."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import quiver
from quiver.testing import Origin
from tests.support.chaos.background_load import run_callers
from tests.support.held_resources import Held, settles_within

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


@pytest.mark.long
@pytest.mark.parametrize("one_round", [round_of_client, round_of_pool])
def test_nothing_grows(origin: Origin, one_round: Callable[[Origin], None]) -> None:
    one_round(origin)  # the first starts what stays: the hub's thread, its wake-up descriptors
    before = settles_within(Held(0, 0, 0), seconds=0.5)
    for _ in range(ROUNDS):
        one_round(origin)
    after = settles_within(before)
    assert after.within(before), f"{before} became {after}"
