"""A client's pools end when nobody uses them, and start again when they are needed."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver.actors.registry import Registry
from quiver.pool import idle_policy, messages
from quiver.pool.coordinator import OriginPool
from quiver.testing import Authority, Origin
from tests.support.actors import Newcomers
from tests.support.chaos.background_load import run_callers
from tests.support.waiting import until

SHORT: dict[str, Any] = {"idle_timeout": 0.05, "pool_idle_timeout": 0.2}


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


def client_of(origin: Origin, **options: object) -> quiver.Client:
    return quiver.Client(pools={"default": {"cafile": origin.cafile, **options}})


def test_a_pool_that_nobody_uses_ends_with_its_supervisors(origin: Origin) -> None:
    new = Newcomers()
    with client_of(origin, **SHORT) as client:
        for _ in range(3):
            assert client.get(origin.url + "/ok").status == 200
            assert (new.count("HTTPPool"), new.count("Supervisor")) == (1, 2)
            until(lambda: not new)
            assert client.stats(origin.url) == quiver.Stats(0, 0, 0, 0)


def test_one_that_has_a_connection_stays(origin: Origin) -> None:
    with client_of(origin, idle_timeout=None, pool_idle_timeout=0.05) as client:
        client.get(origin.url + "/ok")
        threading.Event().wait(0.3)
        assert client.stats(origin.url).connections > 0


def test_one_that_is_used_stays(origin: Origin) -> None:
    with client_of(origin, **SHORT) as client:
        with client.stream("GET", origin.url + "/drip/30/0.02?size=10") as response:
            first = client.pool(origin.url)
            del first
            assert len(response.read()) == 300
        assert client.stats(origin.url).connections > 0


def test_without_a_limit_it_stays(origin: Origin) -> None:
    with client_of(origin, idle_timeout=0.02, pool_idle_timeout=None) as client:
        client.get(origin.url + "/ok")
        until(lambda: client.stats(origin.url).connections == 0)
        threading.Event().wait(0.1)
        assert client._manager._registry.find(quiver.Origin.parse(origin.url)) is not None


def test_a_ref_keeps_its_pool_while_somebody_holds_it(origin: Origin) -> None:
    new = Newcomers()
    with client_of(origin, **SHORT) as client:
        pool = client.pool(origin.url)
        assert client.pool(origin.url) is pool  # one for all while it is held
        until(lambda: client.stats(origin.url).connections == 0)
        threading.Event().wait(0.5)
        assert pool.is_alive()
        assert pool.ask(quiver.Request("GET", "/ok")).status == 200
        del pool
        gc.collect()
        until(lambda: not new)


def test_a_pool_that_the_program_started_itself_stays(origin: Origin) -> None:
    pool: Any = quiver.HTTP3Pool.start(
        origin.url, registry=Registry(), cafile=origin.cafile, **SHORT
    )
    assert pool.ask(quiver.Request("GET", "/ok")).status == 200
    until(lambda: pool.ask(quiver.GetStats()).connections == 0)
    threading.Event().wait(0.4)
    assert pool.is_alive()
    pool.stop()


def test_one_that_the_program_has_found_stays(origin: Origin) -> None:
    registry = Registry()
    rule = {"cafile": origin.cafile, **SHORT}
    own = ("h3",)
    with quiver.Client(pools={"default": rule}, registry=registry, protocols=own) as client:
        client.get(origin.url + "/ok")
        pool: Any = quiver.HTTP3Pool.start(origin.url, registry=registry)
        until(lambda: client.stats(origin.url).connections == 0)
        threading.Event().wait(0.4)
        assert pool.ask(quiver.Request("GET", "/ok")).status == 200


def test_an_origin_that_refuses_leaves_nothing() -> None:
    new = Newcomers()
    with quiver.Client() as client:
        for number in range(1, 31):
            with pytest.raises(quiver.ConnectionRefused):
                client.get(f"https://127.0.1.{number}:9/")
        until(lambda: not new)
        until(lambda: not client._manager._registry._refs)


def test_more_than_may_be_idle_end_at_once(origin: Origin) -> None:
    new = Newcomers()
    with client_of(origin) as client:
        client._manager._client_pools._most = 3
        client.get(origin.url + "/ok")
        with client.stream("GET", f"https://127.0.0.1:{origin.port}/drip/20/0.02") as response:
            for number in range(1, 21):
                with pytest.raises(quiver.ConnectionRefused):
                    client.get(f"https://127.0.2.{number}:9/")
            until(lambda: new.count("HTTP3Pool") <= 4)  # three are idle, one is in use
            assert client.stats(origin.url).connections == 0  # it was the least recently used
            assert response.read()
        assert client.get(origin.url + "/ok").status == 200


def test_who_asks_in_the_moment_of_the_end_is_answered_once(origin: Origin) -> None:
    """Pools come and go all the time here; nobody hears of it."""
    answered: list[int] = []
    quick = {"idle_timeout": 0.001, "pool_idle_timeout": 0.001}
    with client_of(origin, **quick) as client:

        def ask(number: int) -> None:
            for turn in range(20):
                threading.Event().wait(0.001 * (number % 5))
                path = f"/ok?id=moment-{number}-{turn}"
                if number % 2:
                    answer = client.get(origin.url + path)
                else:
                    pool = client.pool(origin.url)
                    answer = pool.ask(quiver.Request("GET", path))
                answered.append(answer.status)

        run_callers("threads", 10, ask)
    assert answered == [200] * 200
    names = [f"moment-{number}-{turn}" for number in range(10) for turn in range(20)]
    assert {origin.seen(name) for name in names} == {1}


def test_who_asks_one_that_lets_go_of_its_connections_is_answered(origin: Origin) -> None:
    with client_of(origin) as client:
        for _ in range(20):
            pool = client._manager.pool(quiver.Origin.parse(origin.url))
            pool.tell(messages.Unneeded(for_good=False))
            assert client.get(origin.url + "/ok").status == 200


@pytest.mark.filterwarnings("ignore:.*dropped without close:ResourceWarning")
def test_one_that_is_kept_though_its_client_is_gone_rests(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can ask any more, and it may not end: it is not to look for that without a pause."""
    monkeypatch.setattr(idle_policy, "HELD", 0.2)
    after_batch, looked = OriginPool.after_batch, list[float]()

    def note(coordinator: OriginPool) -> None:
        if coordinator.actor_ref == pool:
            looked.append(time.monotonic())
        after_batch(coordinator)

    client = client_of(origin, **SHORT)
    assert client.get(origin.url + "/ok").status == 200
    pool: Any = client._manager.pool(quiver.Origin.parse(origin.url))
    pool.lifetime.kept = True  # as by a program that has found it by its origin
    monkeypatch.setattr(OriginPool, "after_batch", note)
    del client
    gc.collect()
    until(lambda: len(looked) > 12, what="it looks now and then")
    assert looked[12] - looked[0] > 0.4
    pool.lifetime.kept = False
    until(lambda: not pool.is_alive(), what="then it ends")
