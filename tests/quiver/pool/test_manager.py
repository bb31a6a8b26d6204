"""Manager, through the Client it serves: one pool per origin, found or started once."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pykka
import pytest

import quiver
from quiver.actors.hub import Hub
from quiver.actors.supervisor import Supervisor
from quiver.errors import InvalidOptions, PoolStopped
from quiver.origin import Origin as OriginName
from quiver.pool import manager, ref
from quiver.quic import trust_options
from quiver.quic.trust_roots import Roots, roots_by
from quiver.testing import Origin
from tests.support.chaos.background_load import run_callers
from tests.support.waiting import until


@pytest.fixture
def client(origin: Origin) -> Iterator[quiver.Client]:
    with quiver.Client(pools={"default": {"cafile": origin.cafile}}) as made:
        yield made


def pools_of(origin: Origin) -> list[pykka.ActorRef[Any]]:
    everybody = pykka.ActorRegistry.get_by_class_name("HTTPPool")
    return [ref for ref in everybody if getattr(ref, "origin", None) == origin.url]


def test_a_hundred_threads_race_for_one_pool(client: quiver.Client, origin: Origin) -> None:
    together = threading.Barrier(100)
    found = []

    def caller(number: int) -> None:
        together.wait(20)
        assert client.get(f"{origin.url}/ok?id={number}", timeout=10.0).status == 200
        found.append(client.pool(origin.url))

    run_callers("threads", 100, caller)
    assert pools_of(origin) == [found[0]]
    assert set(found) == {found[0]} and len(found) == 100
    assert origin.connections_accepted() <= quiver.PoolConfig().max_connections
    assert origin.seen_ids() == {str(number): 1 for number in range(100)}


def test_named_clients_share_nothing(origin: Origin) -> None:
    pools = {"default": {"cafile": origin.cafile}}
    with quiver.Client(name="a", pools=pools) as a, quiver.Client(name="b", pools=pools) as b:
        first, second = a.pool(origin.url), b.pool(origin.url)
        assert first != second
        a.close()
        assert not first.is_alive() and second.is_alive()
        assert b.get(origin.url + "/ok", timeout=5.0).status == 200


def test_a_pool_that_was_stopped_is_started_anew(client: quiver.Client, origin: Origin) -> None:
    first = client.pool(origin.url)
    assert client.get(origin.url + "/ok", timeout=5.0).status == 200
    first.stop()
    assert client.get(origin.url + "/ok", timeout=5.0).status == 200
    assert client.pool(origin.url) != first


def test_a_supervisor_that_fails_is_replaced_before_anybody_notices(
    client: quiver.Client, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[Supervisor] = []

    def watch(self: Supervisor, ref: pykka.ActorRef[Any]) -> None:
        broken.append(self)
        monkeypatch.undo()
        raise RuntimeError("injected")

    monkeypatch.setattr(Supervisor, "watch", watch)
    assert client.get(origin.url + "/ok", timeout=5.0).status == 200
    (root,) = broken
    assert not root.actor_ref.is_alive()


def test_roots_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    cafile = tmp_path / "roots.pem"
    cafile.write_text("no certificate")
    with quiver.Client(pools={"default": {"cafile": str(cafile)}}) as client:
        for _ in range(2):
            with pytest.raises(InvalidOptions, match="cafile"):
                client.get("https://localhost:1/")


def test_a_context_of_the_program_s_own_is_tried_by_the_pool_alone(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, tried = ssl.create_default_context(cafile=origin.cafile), list[ssl.SSLContext]()

    def tried_by(context: ssl.SSLContext) -> Roots:
        tried.append(context)
        return roots_by(context)

    monkeypatch.setattr(trust_options, "roots_by", tried_by)
    Hub.current().stop()
    with quiver.Client(verify=context) as client:
        assert client.get(origin.url + "/ok").status == 200
    assert tried == [context], "what was made of it is not kept"


def test_stats_start_nothing(client: quiver.Client, origin: Origin) -> None:
    assert client.stats(origin.url) == quiver.Stats(idle=0, active=0, queued=0, connections=0)
    assert pools_of(origin) == []
    client.get(origin.url + "/ok", timeout=5.0)
    assert client.stats(origin.url).connections >= 1


def test_a_closed_client_says_so(client: quiver.Client, origin: Origin) -> None:
    client.get(origin.url + "/ok", timeout=5.0)
    client.close()
    client.close()
    with pytest.raises(PoolStopped, match=f"{origin.url}: the client is closed"):
        client.get(origin.url + "/ok")
    assert client.stats(origin.url).connections == 0


def test_nothing_outlives_a_close_that_races_with_the_first_requests(origin: Origin) -> None:
    for _ in range(10):
        client = quiver.Client(pools={"default": {"cafile": origin.cafile}})
        together = threading.Barrier(5)

        def caller(
            number: int, client: quiver.Client = client, together: threading.Barrier = together
        ) -> None:
            together.wait(10)
            if number == 0:
                client.close()
                return
            try:
                assert client.get(origin.url + "/ok", timeout=5.0).status == 200
            except PoolStopped:
                pass

        run_callers("threads", 5, caller)
        until(lambda: not pools_of(origin), what="no pool is left")


@pytest.mark.long
def test_close_waits_without_limit_when_told_to(origin: Origin) -> None:
    options = {"cafile": origin.cafile, "shutdown_timeout": None}
    client = quiver.Client(pools={"default": options})
    reply = client.pool(origin.url).ask(quiver.Request("GET", "/delay/3"), block=False)
    until(lambda: origin.requests_served("/delay/3") == 1, what="the request is open")
    client.close()
    assert reply.done
    assert reply.get(timeout=0.1).status == 200


def test_protocol_of(client: quiver.Client, origin: Origin) -> None:
    class Other(pykka.ThreadingActor):
        pass

    pool, other = client.pool(origin.url), Other.start()
    assert quiver.protocol_of(pool) is None, "no handshake has said it"
    assert client.get(origin.url + "/ok").http_version == "HTTP/3"
    assert quiver.protocol_of(pool) == "http/3"
    assert quiver.protocol_of(other) is None
    other.stop()
    pool.stop()
    assert quiver.protocol_of(pool) is None
    assert quiver.protocol_of(other) is None


def test_a_root_that_crashed_is_replaced(client: quiver.Client, origin: Origin) -> None:
    client.get(origin.url + "/ok", timeout=5.0)
    first = client.pool(origin.url)
    root = client._manager._root()
    assert root is not None
    root.kill()
    until(lambda: not first.is_alive(), what="its children went with it")
    assert client.get(origin.url + "/ok", timeout=5.0).status == 200
    assert OriginName.parse(origin.url) in client._manager._registry.names()


@pytest.fixture
def blocked() -> Iterator[threading.Event]:
    """The loop is blocked until the event is set."""
    blocked, free = threading.Event(), threading.Event()

    def block() -> None:
        blocked.set()
        free.wait(50)

    Hub.current().wakeup.call_soon(block)
    assert blocked.wait(10)
    yield free
    free.set()


def test_a_loop_that_is_blocked_holds_up_nobody_for_ever(
    client: quiver.Client,
    origin: Origin,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert client.get(origin.url + "/ok").status == 200
    monkeypatch.setattr(Hub.run, "__defaults__", (0.2,))
    monkeypatch.setattr(manager, "ANSWERS_WITHIN", 0.1)
    monkeypatch.setattr(ref, "GRACE", 0.1)
    monkeypatch.setattr(manager, "GRACE", 0.1)
    client._manager._longest = 0.1
    free: threading.Event = request.getfixturevalue("blocked")
    with pytest.raises(quiver.RequestTimeout, match=r"no answer within timeout=0\.2"):
        client.get(origin.url + "/ok", timeout=0.1)
    with pytest.raises(quiver.RequestTimeout, match=r"no answer within timeout=0\.1"):
        client.stats(origin.url)
    with pytest.raises(quiver.RequestTimeout, match=r"not started: .* what runs in it blocks it"):
        client.get("https://another.test/", timeout=0.1)
    with pytest.raises(quiver.RequestTimeout, match=r"not started: .* what runs in it blocks it"):
        quiver.HTTP3Pool.start("https://another.test/")
    pool = client.pool(origin.url)
    client.close()
    assert "did not stop in time" in caplog.text
    free.set()
    until(lambda: not pool.is_alive(), what="the pool ends")
