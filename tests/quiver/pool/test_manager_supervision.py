"""The tree: a pool that crashes is replaced, until it does so too often."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pykka
import pytest

import quiver
from quiver.actors.actor import GeventActorRef
from quiver.actors.supervisor import StartChild
from quiver.errors import ConnectionLost, InternalError
from quiver.pool import manager
from quiver.pool.coordinator import MAX_CRASHES
from quiver.testing import Origin
from tests.support.actors import crash
from tests.support.waiting import until


@pytest.fixture
def client(origin: Origin) -> Iterator[quiver.Client]:
    with quiver.Client(pools={"default": {"cafile": origin.cafile}}) as made:
        yield made


def successor(client: quiver.Client, url: str, first: object) -> GeventActorRef[Any]:
    """Who is registered in place of `first`, without a request that would start one."""
    registry, name = client._manager._registry, quiver.Origin.parse(url)
    until(lambda: registry.find(name) not in (None, first), what="the pool is replaced")
    found = registry.find(name)
    assert found is not None
    return found


def test_a_pool_that_crashed_is_replaced(client: quiver.Client, origin: Origin) -> None:
    first = client.pool(origin.url)
    crash(first)
    second = successor(client, origin.url, first)
    assert client.pool(origin.url) == second
    assert client.get(origin.url + "/ok", timeout=5.0).status == 200


def test_one_that_is_replaced_reads_no_file_again(origin: Origin, tmp_path: Path) -> None:
    folder = tmp_path / "qlog"
    folder.mkdir()
    options = {"cafile": origin.cafile, "qlog_dir": str(folder)}
    with quiver.Client(pools={"default": options}) as client:
        first = client.pool(origin.url)
        folder.rmdir()
        crash(first)
        assert successor(client, origin.url, first).is_alive()
        assert client.get(origin.url + "/ok", timeout=5.0).status == 200


def test_who_waits_is_answered_when_the_pool_crashes(origin: Origin) -> None:
    options = {"cafile": origin.cafile, "max_connections": 1, "max_streams_per_connection": 1}
    with quiver.Client(pools={"default": options}) as client:
        pool = client.pool(origin.url)
        open_one = pool.ask(quiver.Request("GET", "/delay/3"), block=False)
        until(lambda: origin.requests_served() == 1, what="it is open")
        waiting = [pool.ask(quiver.Request("GET", "/ok"), block=False) for _ in range(5)]
        until(lambda: pool.ask(quiver.GetStats()).queued == 5, what="five wait")
        crash(pool)
        for reply in waiting:
            with pytest.raises(InternalError, match=f"{origin.url}.*RuntimeError") as caught:
                reply.get(timeout=30.0)
            assert isinstance(caught.value.__cause__, RuntimeError)
        assert open_one.get(timeout=30.0).status == 200, "what is open outlives the coordinator"
        assert client.get(origin.url + "/ok", timeout=5.0).status == 200


def test_who_waits_is_told_when_a_supervisor_crashes_and_nobody_stopped_it(origin: Origin) -> None:
    options = {"cafile": origin.cafile, "max_connections": 1, "max_streams_per_connection": 1}
    with quiver.Client(pools={"default": options}) as client:
        pool = client.pool(origin.url)
        open_one = pool.ask(quiver.Request("GET", "/delay/3"), block=False)
        waiting = pool.ask(quiver.Request("GET", "/ok"), block=False)
        until(lambda: pool.ask(quiver.GetStats()).queued == 1, what="it waits")
        root = client._manager._registry.find("root")
        assert root is not None
        root.tell(StartChild(None))  # type: ignore[arg-type]
        with pytest.raises(InternalError, match=r"its supervisor failed.*AttributeError"):
            waiting.get(timeout=30.0)
        assert open_one.get(timeout=30.0).status == 200, "what is open outlives the tree"
        assert client.get(origin.url + "/ok", timeout=5.0).status == 200


def test_too_many_crashes_end_the_tree_and_the_next_request_begins_anew(
    client: quiver.Client, origin: Origin
) -> None:
    for _ in range(manager.MAX_RESTARTS + 1):
        crash(client.pool(origin.url))
    assert client.get(origin.url + "/ok", timeout=5.0).status == 200


def test_supervised_restarts_end_with_the_intensity(client: quiver.Client, origin: Origin) -> None:
    pool: object = client.pool(origin.url)
    for _ in range(manager.MAX_RESTARTS):
        crash(pool)  # type: ignore[arg-type]
        pool = successor(client, origin.url, pool)
    with pytest.raises(InternalError, match=f"{origin.url}.*RuntimeError"):
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
        until(lambda: origin.connections_accepted() == MAX_CRASHES + 1, what="all are there")
        until(lambda: origin.requests_served() == len(replies), what="all are open")
        for ref in pykka.ActorRegistry.get_by_class_name("Connection"):
            assert isinstance(ref, GeventActorRef)
            ref.kill()
        assert successor(client, origin.url, first) == client.pool(origin.url)
        assert client.get(origin.url + "/ok", timeout=5.0).status == 200
        for reply in replies:
            with pytest.raises(ConnectionLost, match=f"{origin.url}.*its actor was killed"):
                reply.get(timeout=30.0)


def test_one_origin_that_crashes_leaves_the_others_alone(
    client: quiver.Client, origin: Origin
) -> None:
    other = client.pool("https://127.0.0.1:9")
    for _ in range(manager.MAX_RESTARTS + 1):
        crash(client.pool(origin.url))
    assert other.is_alive()
    assert client.pool("https://127.0.0.1:9") is other
