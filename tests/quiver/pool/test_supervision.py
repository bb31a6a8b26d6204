"""The tree: a pool that crashes is replaced, until it does so too often."""

from __future__ import annotations

from collections.abc import Iterator

import pykka
import pytest

import quiver
from quiver.actors.actor import GeventActorRef
from quiver.errors import ConnectionLost, PoolStopped
from quiver.pool import supervision
from quiver.pool.coordinator import MAX_CRASHES
from quiver.testing import Origin
from tests.support.actors import crash, eventually


@pytest.fixture
def client(origin: Origin) -> Iterator[quiver.Client]:
    with quiver.Client(pools={"default": {"cafile": origin.cafile}}) as made:
        yield made


def successor(client: quiver.Client, url: str, first: object) -> object:
    """Who is registered in place of `first`, without a request that would start one."""
    registry, name = client._manager._registry, quiver.Origin.parse(url)
    eventually(lambda: registry.find(name) not in (None, first), "the pool is replaced")
    return registry.find(name)


def test_a_pool_that_crashed_is_replaced(client: quiver.Client, origin: Origin) -> None:
    first = client.pool(origin.url)
    crash(first)
    second = successor(client, origin.url, first)
    assert client.pool(origin.url) is second
    assert client.get(origin.url + "/ok", timeout=5.0).status == 200


def test_who_waits_is_answered_when_the_pool_crashes(origin: Origin) -> None:
    options = {"cafile": origin.cafile, "max_connections": 1, "max_streams_per_connection": 1}
    with quiver.Client(pools={"default": options}) as client:
        pool = client.pool(origin.url)
        open_one = pool.ask(quiver.Request("GET", "/delay/0.5"), block=False)
        eventually(lambda: origin.requests_served() == 1, "it is open")
        waiting = [pool.ask(quiver.Request("GET", "/ok"), block=False) for _ in range(5)]
        eventually(lambda: pool.ask(quiver.GetStats()).queued == 5, "five wait")
        crash(pool)
        for reply in waiting:
            with pytest.raises(PoolStopped, match=f"{origin.url}.*RuntimeError"):
                reply.get(timeout=1.0)
        assert open_one.get(timeout=5.0).status == 200, "what is open outlives the coordinator"
        assert client.get(origin.url + "/ok", timeout=5.0).status == 200


def test_too_many_crashes_end_the_tree_and_the_next_request_begins_anew(
    client: quiver.Client, origin: Origin
) -> None:
    for _ in range(supervision.MAX_RESTARTS + 1):
        crash(client.pool(origin.url))
    assert client.get(origin.url + "/ok", timeout=5.0).status == 200


def test_supervised_restarts_end_with_the_intensity(client: quiver.Client, origin: Origin) -> None:
    pool: object = client.pool(origin.url)
    for _ in range(supervision.MAX_RESTARTS):
        crash(pool)  # type: ignore[arg-type]
        pool = successor(client, origin.url, pool)
    with pytest.raises(PoolStopped, match=origin.url):
        crash(pool)  # type: ignore[arg-type]
        pool.ask(quiver.Request("GET", "/ok"), timeout=5.0)  # type: ignore[attr-defined]
    assert client._manager._registry.find(quiver.Origin.parse(origin.url)) is None
    assert client.get(origin.url + "/ok", timeout=5.0).status == 200


def test_connections_that_crash_too_often_fail_their_pool(origin: Origin) -> None:
    options = {"cafile": origin.cafile, "max_connections": MAX_CRASHES + 1}
    with quiver.Client(pools={"default": options}) as client:
        first = client.pool(origin.url)
        hang = quiver.Request("GET", "/hang")
        replies = [first.ask(hang, block=False) for _ in range(MAX_CRASHES + 1)]  # one each
        eventually(lambda: origin.connections_accepted() == MAX_CRASHES + 1, "all are there")
        eventually(lambda: origin.requests_served() == len(replies), "all are open")
        for ref in pykka.ActorRegistry.get_by_class_name("Connection"):
            assert isinstance(ref, GeventActorRef)
            ref.kill()
        assert successor(client, origin.url, first) is client.pool(origin.url)
        assert client.get(origin.url + "/ok", timeout=5.0).status == 200
        for reply in replies:
            with pytest.raises(ConnectionLost, match=f"{origin.url}.*its actor was killed"):
                reply.get(timeout=1.0)


def test_one_origin_that_crashes_leaves_the_others_alone(
    client: quiver.Client, origin: Origin
) -> None:
    other = client.pool("https://127.0.0.1:9")
    for _ in range(supervision.MAX_RESTARTS + 1):
        crash(client.pool(origin.url))
    assert other.is_alive()
    assert client.pool("https://127.0.0.1:9") is other
