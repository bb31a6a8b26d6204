"""A connection's life against a live origin, and what a server may not do to it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pykka
import pytest

import quiver
from quiver.actors.actor import GeventActor
from quiver.models import GetConnections, GetStats
from quiver.pool.connection import Connection
from quiver.pool.coordinator import OriginPool
from quiver.pool.routing import RoutingTable
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.testing import Authority, Origin, pattern
from tests.support.waiting import until

H3_NO_ERROR = 0x100


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Origin]:
    """An origin for tests that ask nothing of its counts."""
    with Origin(authority=authority) as started:
        yield started


def client_of(origin: Origin, **options: Any) -> quiver.Client:
    rule = {"cafile": origin.cafile, "max_connections": 1, **options}
    return quiver.Client(pools={"default": rule})


def pool_of(origin: Origin, **options: Any) -> Any:
    return quiver.HTTP3Pool.start(origin.url, **{"cafile": origin.cafile, **options})


def ask(pool: Any, target: str, **options: Any) -> Any:
    """Begin a GET; its future."""
    return pool.ask(quiver.Request("GET", target, **options), block=False)


# limits: each fault stays with its own stream -------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("/bytes/1001", quiver.ResponseTooLarge, "the body exceeds max_body_size=1000 bytes"),
        ("/lie?declared=1001", quiver.ResponseTooLarge, "max_body_size=1000 bytes"),
        ("/lie?declared=9999999999", quiver.ResponseTooLarge, "max_body_size=1000 bytes"),
        ("/bigheaders/3000", quiver.ResponseTooLarge, "exceeds max_header_size=2000 bytes"),
        ("/bigheaders/90000", quiver.ResponseTooLarge, "exceeds max_header_size=2000 bytes"),
        ("/lie", quiver.ProtocolViolation, "content-length is 10, but 5 bytes came"),
        ("/lie?declared=4&actual=5", quiver.ProtocolViolation, "content-length is 4, but 5 bytes"),
        ("/lie?declared=-5", quiver.ProtocolViolation, "content-length is '-5'"),
        ("/lie?declared=5x", quiver.ProtocolViolation, "content-length is '5x'"),
        ("/malformed/upper", quiver.ProtocolViolation, "malformed response: .*X-Upper"),
        ("/malformed/status", quiver.ProtocolViolation, "malformed response: .*:status"),
        ("/malformed/twice", quiver.ProtocolViolation, "malformed response: .*:status"),
        ("/malformed/pseudo", quiver.ProtocolViolation, "malformed response: .*:path"),
        ("/malformed/order", quiver.ProtocolViolation, "malformed response: .*:status"),
        ("/malformed/connection", quiver.ProtocolViolation, "malformed response: .*connection"),
        ("/malformed/value", quiver.ProtocolViolation, "malformed response: .*x-split"),
        ("/reset/0x102", quiver.StreamReset, "0x102"),
    ],
)
def test_a_fault_of_one_stream_harms_no_other(
    server: Origin, path: str, kind: type[quiver.QuiverError], said: str
) -> None:
    pool = pool_of(server, max_connections=1, max_header_size=2000, max_body_size=1000)
    before = [ask(pool, "/delay/0.3") for _ in range(5)]
    with pytest.raises(kind, match=said) as caught:
        ask(pool, path).get(timeout=5.0)
    assert str(caught.value).startswith(server.url + ": ")
    assert [future.get(timeout=5.0).body for future in before] == [b"ok"] * 5
    assert ask(pool, "/bytes/1000").get(timeout=5.0).body == pattern(1000)
    until(lambda: pool.ask(quiver.GetStats()).active == 0)
    (connection,) = pool.ask(GetConnections())
    assert (connection.state, connection.opened) == ("connected", 7)
    pool.stop()


def test_the_size_of_a_body_may_reach_its_limit(server: Origin) -> None:
    with client_of(server, max_body_size=0) as client:
        assert client.get(server.url + "/bytes/0").body == b""
        assert client.head(server.url + "/bytes/5").header("content-length") == "5"
        with pytest.raises(quiver.ResponseTooLarge):
            client.get(server.url + "/bytes/1")


def test_the_size_of_a_body_may_have_no_limit(server: Origin) -> None:
    with client_of(server, max_body_size=None) as client:
        assert client.get(server.url + "/bytes/2000").body == pattern(2000)


def test_a_reset_carries_its_code(server: Origin) -> None:
    with client_of(server) as client, pytest.raises(quiver.StreamReset) as caught:
        client.get(server.url + "/reset/0x1234")
    assert caught.value.code == 0x1234
    assert isinstance(caught.value, ConnectionResetError)


def test_a_rejected_request_is_sent_once_more(origin: Origin) -> None:
    with client_of(origin) as client:
        response = client.request("POST", origin.url + "/reject?id=a", body=b"kept")
        assert response.status == 200
    assert origin.seen("a") == 1
    assert origin.requests_refused() == 1


def test_a_request_that_is_always_rejected_fails(server: Origin) -> None:
    with client_of(server) as client, pytest.raises(quiver.StreamReset) as caught:
        client.get(server.url + "/reset/0x10b")
    assert caught.value.code == 0x10B


# how it ends ----------------------------------------------------------------------------------


def test_connection_lost_has_code_and_reason(origin: Origin) -> None:
    pool = pool_of(origin, max_connections=1)
    open_ones = [ask(pool, f"/hang?id={n}") for n in range(3)]
    until(lambda: len(origin.seen_ids()) == 3)
    origin.disconnect(0x102, "maintenance")
    for future in open_ones:
        with pytest.raises(quiver.ConnectionLost, match="maintenance") as caught:
            future.get(timeout=5.0)
        assert (caught.value.code, caught.value.reason) == (0x102, "maintenance")
        assert isinstance(caught.value, ConnectionError)
    assert ask(pool, "/ok").get(timeout=5.0).status == 200
    assert origin.connections_accepted() == 2
    pool.stop()


def test_an_idle_connection_is_closed_and_the_server_told(origin: Origin) -> None:
    with client_of(origin, idle_timeout=0.3) as client:
        assert client.get(origin.url + "/ok").status == 200
        until(lambda: origin.connections_open() == 0)  # its own limit is a minute
        until(lambda: client.stats(origin.url).connections == 0)
        assert client.get(origin.url + "/ok").status == 200
    assert origin.connections_accepted() == 2


def test_a_connection_with_an_open_exchange_is_not_idle(origin: Origin) -> None:
    with client_of(origin, idle_timeout=0.2) as client:
        assert client.get(origin.url + "/delay/0.8").status == 200
    assert origin.connections_accepted() == 1


def test_a_connection_whose_exchange_has_just_ended_is_not_idle_yet(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The timer may be of an earlier rest, and whoever was answered asks again in this batch."""
    check_idle = Connection.check_idle

    def fire_just_then(connection: Connection) -> None:
        check_idle(connection)
        connection._timer_fired("idle")

    monkeypatch.setattr(Connection, "check_idle", fire_just_then)
    with client_of(origin) as client:
        for _ in range(3):
            assert client.get(origin.url + "/ok").status == 200
    assert origin.connections_accepted() == 1


def test_stop_tells_the_server(origin: Origin) -> None:
    """Long before the server's own idle timeout of a minute."""
    pool = pool_of(origin)
    assert ask(pool, "/ok").get(timeout=5.0).status == 200
    pool.stop()
    until(lambda: origin.connections_open() == 0, within=30.0)


def test_keep_alive_holds_a_connection_that_the_server_would_drop(authority: Authority) -> None:
    with Origin(authority=authority, idle_timeout=3.0) as origin:
        with client_of(origin, keep_alive=0.3, idle_timeout=30.0) as client:
            assert client.get(origin.url + "/ok").status == 200
            held_until = time.monotonic() + 4.0
            until(lambda: time.monotonic() > held_until or not origin.connections_open())
            assert origin.connections_open() == 1
            assert client.get(origin.url + "/ok").status == 200
        assert origin.connections_accepted() == 1


def test_an_idle_connection_sends_no_more_pings_than_it_was_told(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not every third of the server's limit, as with requests open: an idle pool should sleep."""
    sent: list[float] = []

    def ping(engine: AioquicEngine, uid: int) -> None:
        sent.append(time.monotonic())
        send(engine, uid)

    send = AioquicEngine.ping
    monkeypatch.setattr(AioquicEngine, "ping", ping)
    with (
        Origin(authority=authority, idle_timeout=4.0) as origin,
        client_of(origin, keep_alive=1.6, idle_timeout=30.0, max_connections=1) as client,
    ):
        assert client.get(origin.url + "/ok").status == 200
        until(lambda: len(sent) == 3)
        assert origin.connections_open() == 1
    assert min(sent[1] - sent[0], sent[2] - sent[1]) > 1.5


def test_goaway_lets_finish_what_it_took_and_the_rest_goes_elsewhere(origin: Origin) -> None:
    pool = pool_of(origin, max_connections=1)
    below = [ask(pool, f"/delay/0.5?id=below{n}") for n in range(3)]
    until(lambda: len(origin.seen_ids()) == 3)
    assert origin.goaway() == 1
    after = [ask(pool, f"/ok?id=after{n}") for n in range(20)]
    assert [future.get(timeout=5.0).status for future in below + after] == [200] * 23
    assert set(origin.seen_ids().values()) == {1}
    assert len(origin.seen_ids()) == 23
    assert origin.connections_accepted() == 2
    pool.stop()


class Asker(GeventActor):
    """Asks one request after the other, from the loop."""

    def on_receive(self, asks: tuple[Any, int]) -> list[int]:
        pool, count = asks
        return [self.ask(pool, quiver.Request("GET", "/ok")).status for _ in range(count)]


def test_the_coordinator_hears_of_an_end_and_of_what_is_asked_then_in_one_batch(
    server: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, asker = pool_of(server, max_connections=1), Asker.start()
    assert asker.ask((pool, 1)) == [200]
    batches: list[None] = []
    after_batch = OriginPool.after_batch

    def count(coordinator: OriginPool) -> None:
        if coordinator.actor_ref == pool:
            batches.append(None)
        after_batch(coordinator)

    monkeypatch.setattr(OriginPool, "after_batch", count)
    assert asker.ask((pool, 40)) == [200] * 40
    assert len(batches) < 60  # and not two for each; more streams are allowed now and then
    assert pool.ask(GetStats()).active == 0  # the last one's end is heard of, too
    asker.stop()
    pool.stop()


def test_a_server_may_say_goaway_again(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The coordinator hears of the first one only."""
    heard: list[int] = []
    draining = RoutingTable.draining

    def hear(table: RoutingTable, connection: int, now: float) -> Any:
        heard.append(connection)
        return draining(table, connection, now)

    monkeypatch.setattr(RoutingTable, "draining", hear)
    pool = pool_of(origin, max_connections=1)
    slow = ask(pool, "/delay/0.5?id=slow")
    until(lambda: origin.seen("slow"))
    for limit in (400, 200, 100):
        origin.goaway(limit)
    assert slow.get(timeout=5.0).status == 200
    until(lambda: pool.ask(GetConnections()) == [])
    assert heard == [1]
    pool.stop()


def test_goaway_for_ids_that_are_open(origin: Origin) -> None:
    """Stream 4 on were not acted upon, the server says: they are sent again, and 0 goes on."""
    pool = pool_of(origin, max_connections=1)
    first = ask(pool, "/delay/2?id=first")
    until(lambda: origin.seen("first"))
    second = ask(pool, "/delay/2?id=second")
    until(lambda: origin.seen("second"))
    refused = ask(pool, "/goaway/4")  # with this itself: it is tried elsewhere, and refused again
    with pytest.raises(quiver.GoAway, match="refused by GOAWAY with id 4"):
        refused.get(timeout=5.0)
    assert (first.get(timeout=30.0).status, second.get(timeout=30.0).status) == (200, 200)
    assert (origin.seen("first"), origin.seen("second")) == (1, 2)
    pool.stop()


@pytest.mark.parametrize("options", [{"max_requests_per_connection": 10}, {"max_age": 0.1}])
def test_rotation_is_not_noticed(origin: Origin, options: dict[str, Any]) -> None:
    with client_of(origin, **options) as client, ThreadPoolExecutor(4) as executor:
        urls = [f"{origin.url}/delay/0.01?id={number}" for number in range(100)]
        assert [response.status for response in executor.map(client.get, urls)] == [200] * 100
        until(lambda: client.stats(origin.url).connections == 1)
        until(lambda: origin.connections_open() <= 1)
    assert origin.seen_ids() == {str(number): 1 for number in range(100)}
    assert origin.connections_accepted() >= 3


def test_an_idle_pool_does_not_rotate_for_ever(origin: Origin) -> None:
    """A connection that nobody has used has no successor."""
    with client_of(origin, max_age=0.2, idle_timeout=60.0) as client:
        assert client.get(origin.url + "/ok").status == 200
        until(lambda: origin.connections_open() == 0, within=30.0)
        assert origin.connections_accepted() == 2
        assert client.get(origin.url + "/ok").status == 200


def test_an_orphan_answers_whom_it_holds(origin: Origin) -> None:
    """Without its coordinator a connection drains; stopped then, it ends at once."""
    pool = pool_of(origin)
    assert ask(pool, "/ok").get(timeout=5.0).status == 200
    hangs = ask(pool, "/hang?id=1")
    until(lambda: origin.seen(1))
    pool.kill()
    until(lambda: not pool.is_alive())
    for ref in pykka.ActorRegistry.get_by_class_name("Connection"):
        ref.stop(block=False)
    with pytest.raises(quiver.PoolStopped):
        hangs.get(timeout=5.0)
    until(lambda: origin.connections_open() == 0)


def test_an_ipv6_origin(authority: Authority) -> None:
    with Origin(authority=authority, listen=("::1",)) as origin, client_of(origin) as client:
        response = client.get(f"https://[::1]:{origin.port}/headers")
        assert [":authority", f"[::1]:{origin.port}"] in response.json()
