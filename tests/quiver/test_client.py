"""The client against a live origin: each method, each part of an answer, each time limit."""

from __future__ import annotations

import copy
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pykka
import pytest
from cryptography import x509

import quiver
from quiver.actors.supervisor import Supervisor
from quiver.pool import manager
from quiver.testing import Authority, Origin
from tests.support.network.host_names import Names
from tests.support.waiting import until

OURS = f"python-quiver/{quiver.__version__}"
METHODS = ["get", "head", "post", "put", "patch", "delete", "options"]


def client_of(origin: Origin, **options: Any) -> quiver.Client:
    return quiver.Client(pools={"default": {"cafile": origin.cafile, **options}})


def received(response: quiver.Response) -> list[tuple[str, str]]:
    """The fields that the route /headers saw, but the one that goes with all."""
    return [(name, value) for name, value in response.json() if value != OURS]


@pytest.fixture(scope="module")
def narrow(authority: Authority) -> Iterator[Origin]:
    """An origin that lets a client open one stream at a time."""
    with Origin(authority=authority, max_streams=1) as started:
        yield started


# what is sent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_sent(client: quiver.Client, origin: Origin, method: str) -> None:
    response = getattr(client, method)(origin.url + "/headers?x=1")
    assert response.status == 200
    if method == "head":
        assert response.body == b""
        assert int(response.header("content-length") or 0) > 0
    else:
        sent = dict(received(response))
        assert sent[":method"] == method.upper()
        assert sent[":path"] == "/headers?x=1"
        assert sent[":authority"] == f"localhost:{origin.port}"
        assert sent[":scheme"] == "https"


def test_options_for_all_origins(origin: Origin) -> None:
    """A rule's own goes before them."""
    rules: Any = {origin.url: {"max_body_size": 4}, "https://other.test": {}}
    with quiver.Client(cafile=origin.cafile, max_body_size=5, pools=rules) as client:
        assert client.get(origin.url + "/bytes/4").status == 200
        with pytest.raises(quiver.ResponseTooLarge):
            client.get(origin.url + "/bytes/5")
    with quiver.Client(cafile=origin.cafile) as client:
        assert client.get(origin.url + "/bytes/5").status == 200


def test_a_user_agent(client: quiver.Client, origin: Origin) -> None:
    assert ["user-agent", OURS] in client.get(origin.url + "/headers").json()
    response = client.get(origin.url + "/headers", headers={"user-agent": "theirs"})
    assert [value for name, value in response.json() if name == "user-agent"] == ["theirs"]
    for agent in ("ours/2", None):
        with client_of(origin, user_agent=agent) as other:
            sent = dict(other.get(origin.url + "/headers").json())
            assert sent.get("user-agent") == agent
    with pytest.raises(quiver.InvalidOptions, match=r"user_agent=.*a str that a field may hold"):
        quiver.Client(user_agent="a\r\nb: c")


def test_raise_for_status(client: quiver.Client, origin: Origin) -> None:
    response = client.get(origin.url + "/ok")
    assert response.raise_for_status() is response
    for status, kind in ((404, quiver.UnrecoverableStatus), (503, quiver.TransientStatus)):
        failed = client.get(f"{origin.url}/status/{status}")
        with pytest.raises(kind, match=f"the server answered {status} ") as caught:
            failed.raise_for_status()
        assert isinstance(caught.value, quiver.StatusError)
        assert (caught.value.status, caught.value.response) == (status, failed)
        with client.stream("GET", f"{origin.url}/status/{status}") as streamed:
            with pytest.raises(quiver.StatusError) as streams:
                streamed.raise_for_status()
            assert streams.value.response is None
    until(lambda: client.stats(origin.url).active == 0)


def test_what_a_response_came_by(client: quiver.Client, origin: Origin) -> None:
    response = client.get(origin.url + "/ok")
    by = response.connection
    assert by is not None
    assert by.address[1] == origin.port
    assert by.local[0] in {"127.0.0.1", "::1"}
    assert (by.protocol, by.resumed) == ("h3", False)
    assert "AES" in by.cipher or "CHACHA" in by.cipher
    assert x509.load_der_x509_certificate(by.certificate or b"").subject
    assert 0.0 < by.seconds < 30.0
    numbers = [each.number for each in client.pool(origin.url).ask(quiver.GetConnections())]
    assert by.number in numbers
    with client.stream("GET", origin.url + "/ok") as streamed:
        assert streamed.connection is not None
        assert streamed.connection.address[1] == origin.port
    with client.open_channel(origin.url + "/session", protocol="echo") as channel:
        head = next(iter(channel))
        assert isinstance(head, quiver.Response)
        assert head.connection is not None


def test_a_ref_tells_its_origin_and_options(client: quiver.Client, origin: Origin) -> None:
    pool = client.pool(origin.url)
    assert pool.origin == origin.url
    assert pool.config.cafile == origin.cafile
    assert pool.config.max_waiting == 10_000


def test_params_and_json(client: quiver.Client, origin: Origin) -> None:
    sent = dict(received(client.get(origin.url + "/headers?x=1", params={"q": "a b", "n": [1, 2]})))
    assert sent[":path"] == "/headers?x=1&q=a%20b&n=1&n=2"
    response = client.post(origin.url + "/echo", json={"né": None})
    assert response.json() == {"né": None}
    assert response.header("content-type") == "application/json"


def test_any_other_method_is_sent_as_it_is_written(client: quiver.Client, origin: Origin) -> None:
    response = client.request("Propfind", origin.url + "/headers")
    assert (":method", "Propfind") in received(response)


@pytest.mark.parametrize("method", ["post", "put", "patch"])
@pytest.mark.parametrize("body", [b"", b"x", bytes(range(256)) * 2000, bytearray(b"array")])
def test_bodies_arrive(client: quiver.Client, origin: Origin, method: str, body: bytes) -> None:
    response = getattr(client, method)(
        origin.url + "/echo", body=body, headers={"content-type": "application/x-ours"}
    )
    assert response.body == body
    assert response.header("content-type") == "application/x-ours"


def test_headers_as_a_mapping(client: quiver.Client, origin: Origin) -> None:
    response = client.get(origin.url + "/headers", headers={"Accept": "text/plain", "x-a": "1"})
    assert received(response)[4:] == [("accept", "text/plain"), ("x-a", "1")]


def test_headers_as_pairs_may_repeat_and_be_bytes(client: quiver.Client, origin: Origin) -> None:
    pairs: list[tuple[str | bytes, str | bytes]] = [
        ("x-twice", "1"),
        ("X-Twice", "2"),
        (b"x-bytes", b"\xfc"),
    ]
    response = client.get(origin.url + "/headers", headers=pairs)
    assert received(response)[4:] == [("x-twice", "1"), ("x-twice", "2"), ("x-bytes", "\xfc")]


def test_a_fragment_stays_here(client: quiver.Client, origin: Origin) -> None:
    response = client.get(origin.url + "/headers?a=b#part")
    assert (":path", "/headers?a=b") in received(response)


# what comes back ------------------------------------------------------------------------------


def test_the_parts_of_a_response(client: quiver.Client, origin: Origin) -> None:
    response = client.get(origin.url + "/items/42")
    assert (response.status, response.body, response.trailers) == (200, b'{"id": 42}', [])
    assert response.headers == [("content-type", "application/json"), ("content-length", "10")]
    assert response.header("Content-Type") == "application/json"
    assert response.header("x-absent") is None
    assert response.header("x-absent", "none") == "none"
    assert response.text == '{"id": 42}'
    assert response.json() == {"id": 42}


def test_trailers(client: quiver.Client, origin: Origin) -> None:
    response = client.get(origin.url + "/trailers")
    assert response.trailers == [("x-checksum", "abc"), ("x-count", "2")]
    assert response.body == b"ok"


@pytest.mark.parametrize("status", [200, 204, 304, 404, 500, 599])
def test_a_status_is_an_answer_and_no_error(
    client: quiver.Client, origin: Origin, status: int
) -> None:
    assert client.get(f"{origin.url}/status/{status}").status == status


def test_an_interim_response_is_passed_over(client: quiver.Client, origin: Origin) -> None:
    response = client.get(origin.url + "/informational")
    assert (response.status, response.body) == (200, b"ok")


# time limits ----------------------------------------------------------------------------------


def test_request_timeout(client: quiver.Client, origin: Origin) -> None:
    assert client.get(origin.url + "/ok").status == 200  # else the time may be up before it is out
    started = time.monotonic()
    with pytest.raises(quiver.RequestTimeout) as caught:
        client.get(origin.url + "/hang", timeout=0.2)
    assert 0.2 <= time.monotonic() - started < 10.0  # the server is silent: receive_timeout is 15
    assert isinstance(caught.value, TimeoutError)
    assert str(caught.value) == f"{origin.url}: no whole response within timeout=0.2 seconds"
    assert client.get(origin.url + "/ok").status == 200


@pytest.mark.parametrize("path", ["/hang", "/stall"])
def test_receive_timeout_of_a_request(client: quiver.Client, origin: Origin, path: str) -> None:
    with pytest.raises(quiver.ReceiveTimeout) as caught:
        client.get(origin.url + path, receive_timeout=0.2)
    expected = f"{origin.url}: the server was silent for receive_timeout=0.2 seconds"
    assert str(caught.value) == expected
    assert isinstance(caught.value, TimeoutError)


def test_time_limits_of_the_pool_hold_where_a_request_has_none(origin: Origin) -> None:
    with client_of(origin, timeout=0.2, receive_timeout=5.0) as client:
        with pytest.raises(quiver.RequestTimeout, match=r"timeout=0\.2"):
            client.get(origin.url + "/hang")
        with pytest.raises(quiver.ReceiveTimeout, match=r"receive_timeout=0\.1"):
            client.get(origin.url + "/hang", timeout=5.0, receive_timeout=0.1)
        assert client.get(origin.url + "/delay/0.4", timeout=5.0).status == 200


def is_connected(client: quiver.Client, url: str) -> bool:
    """Whether a connection is there; a handshake may take longer than `checkout_timeout`."""
    try:
        return client.get(url + "/ok").status == 200
    except quiver.ConnectTimeout:
        return False


def test_checkout_timeout(narrow: Origin) -> None:
    options = {"checkout_timeout": 0.2, "max_connections": 1}
    with client_of(narrow, **options) as client, ThreadPoolExecutor(1) as executor:
        until(lambda: is_connected(client, narrow.url))
        slow = executor.submit(client.get, narrow.url + "/delay/2?id=slow", timeout=20.0)
        until(lambda: narrow.seen("slow"))
        with pytest.raises(quiver.CheckoutTimeout) as caught:
            client.get(narrow.url + "/ok?id=waits")
        assert str(caught.value) == (
            f"{narrow.url}: no stream slot became free within checkout_timeout=0.2 seconds "
            "(max_connections=1, max_streams_per_connection=100)"
        )
        assert isinstance(caught.value, TimeoutError)
        # It bounds the waiting only, not the exchange of the one that has its slot.
        assert slow.result().status == 200
    assert narrow.seen("waits") == 0


def test_the_queue_has_an_end(narrow: Origin) -> None:
    options = {"max_waiting": 1, "max_connections": 1}
    with client_of(narrow, **options) as client, ThreadPoolExecutor(2) as executor:
        slow = executor.submit(client.get, narrow.url + "/delay/1?id=first")
        until(lambda: narrow.seen("first"))
        waits = executor.submit(client.get, narrow.url + "/ok")
        until(lambda: client.stats(narrow.url).queued == 1)
        with pytest.raises(quiver.QueueFull, match="max_waiting=1") as caught:
            client.get(narrow.url + "/ok")
        assert caught.value.origin == narrow.url
        assert (slow.result().status, waits.result().status) == (200, 200)


# rules, pools, stats --------------------------------------------------------------------------


def test_the_most_specific_rule_holds_alone(origin: Origin) -> None:
    """Each rule has a body limit of its own, which the error tells."""
    rule = {"cafile": origin.cafile}
    port = origin.port
    rules = {
        f"https://localhost:{port}": {**rule, "max_body_size": 1},
        f"https://*.localhost:{port}": {**rule, "max_body_size": 2},
        "default": {**rule, "max_body_size": 3, "verify": True},
    }
    with quiver.Client(pools=rules) as client:
        for host, limit in (("localhost", 1), ("127.0.0.1", 3)):
            with pytest.raises(quiver.ResponseTooLarge, match=f"max_body_size={limit} bytes"):
                client.get(f"https://{host}:{port}/bytes/4")


def test_a_wildcard_goes_before_the_default(authority: Authority, names: Names) -> None:
    names["api.example.test"] = names["example.test"] = "127.0.0.1"
    certfile, keyfile = authority.issue(["*.example.test", "example.test"])
    with Origin(authority=authority, certfile=certfile, keyfile=keyfile) as origin:
        rules = {
            f"https://*.example.test:{origin.port}": {"max_body_size": 2},
            "default": {"max_body_size": 3},
        }
        trusting = {key: {"cafile": authority.cafile, **rule} for key, rule in rules.items()}
        with quiver.Client(pools=trusting) as client:
            for host, limit in (("api.example.test", 2), ("example.test", 3)):
                with pytest.raises(quiver.ResponseTooLarge, match=f"max_body_size={limit} "):
                    client.get(f"https://{host}:{origin.port}/bytes/4")


def test_one_origin_has_one_pool(client: quiver.Client, origin: Origin) -> None:
    pool = client.pool(origin.url)
    assert isinstance(pool, pykka.ActorRef)
    assert client.pool(origin.url + "/any/path") is pool
    assert client.pool(f"https://LOCALHOST:{origin.port}") is pool
    assert client.pool(f"https://127.0.0.1:{origin.port}") is not pool
    assert pool.ask(quiver.Request("GET", "/ok")).body == b"ok"
    assert quiver.protocol_of(pool) == "http/3"


def test_stats(origin: Origin) -> None:
    nothing = quiver.Stats(idle=0, active=0, queued=0, connections=0)
    options = {"max_connections": 1, "max_streams_per_connection": 3}
    with client_of(origin, **options) as client, ThreadPoolExecutor(5) as executor:
        assert client.stats(origin.url) == nothing
        assert not client.stats(origin.url).started
        asked = [executor.submit(client.get, origin.url + "/delay/1") for _ in range(5)]
        busy = quiver.Stats(idle=0, active=3, queued=2, connections=1)
        until(lambda: client.stats(origin.url) == busy)
        assert [one.result().status for one in asked] == [200] * 5
        rest = quiver.Stats(idle=3, active=0, queued=0, connections=1)
        until(lambda: client.stats(origin.url) == rest)
    assert client.stats(origin.url) == nothing


def test_clients_have_pools_of_their_own(client: quiver.Client, origin: Origin) -> None:
    with quiver.Client(name=client.name) as namesake, client_of(origin) as other:
        pools = {each.pool(origin.url).actor_urn for each in (client, namesake, other)}
        assert len(pools) == 3
        assert client.name == namesake.name != other.name
    assert client.get(origin.url + "/ok").status == 200


def test_the_shared_client(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", origin.cafile)
    assert quiver.get(origin.url + "/items/1", timeout=5.0).json() == {"id": 1}
    assert quiver.post(origin.url + "/echo", body=b"x").body == b"x"
    assert quiver.request("DELETE", origin.url + "/ok").status == 200
    quiver.client.shared.pool(origin.url).stop()


def test_a_pool_that_the_program_has_started_is_used(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", origin.cafile)
    pool = quiver.HTTP3Pool.start(origin.url)
    assert quiver.client.shared.pool(origin.url) == pool
    assert quiver.get(origin.url + "/items/1", timeout=5.0).json() == {"id": 1}
    assert pool.ask(quiver.GetStats()).connections > 0
    pool.stop()
    assert quiver.get(origin.url + "/ok", timeout=5.0).status == 200, "by a pool of its own"
    later = quiver.HTTP3Pool.start(origin.url)
    assert later.ask(quiver.GetStats()).connections == 0, "that one may speak HTTP/2"
    later.stop()
    quiver.client.shared.pool(origin.url).stop()


# its end --------------------------------------------------------------------------------------


def test_close_lets_open_requests_finish(origin: Origin) -> None:
    client = client_of(origin)
    with ThreadPoolExecutor(4) as executor:
        asked = [executor.submit(client.get, f"{origin.url}/delay/0.5?id={n}") for n in range(4)]
        until(lambda: len(origin.seen_ids()) == 4)
        client.close()
        assert [one.result(timeout=5.0).status for one in asked] == [200] * 4
    until(lambda: origin.connections_open() == 0)


def test_close_ends_what_takes_too_long(origin: Origin) -> None:
    client = client_of(origin, shutdown_timeout=0.3)  # of five by default
    with ThreadPoolExecutor(1) as executor:
        asked = executor.submit(client.get, origin.url + "/hang?id=1")
        until(lambda: origin.seen(1))
        started = time.monotonic()
        client.close()
        assert time.monotonic() - started < 4.0
        with pytest.raises(quiver.PoolStopped, match="the pool was stopped") as caught:
            asked.result(timeout=5.0)
    assert caught.value.origin == origin.url


def test_close_twice_and_a_request_after_it(origin: Origin) -> None:
    client = client_of(origin)
    pool = client.pool(origin.url)
    client.close()
    client.close()
    assert not pool.is_alive()
    with pytest.raises(quiver.PoolStopped, match="the client is closed"):
        client.get(origin.url + "/ok")
    with pytest.raises(quiver.PoolStopped):
        client.pool(origin.url)
    with pytest.raises(quiver.PoolStopped):
        pool.ask(quiver.Request("GET", "/ok"))
    assert origin.requests_served() == 0


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_client_is_of_its_process(client: quiver.Client, way: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="a Client cannot be pickled or copied") as caught:
        way(client)
    assert "make one Client(**options) in each process" in str(caught.value)


def test_close_of_a_client_that_was_never_used() -> None:
    client = quiver.Client()
    client.close()
    client.close()


def test_release_ends_nothing_that_is_open(origin: Origin) -> None:
    """With limits that `close` would have met before; and its pools are gone in the end."""
    client = client_of(origin, shutdown_timeout=0.1)
    streamed = client.stream("GET", origin.url + "/drip/60/0.01?size=1000")
    with ThreadPoolExecutor(1) as executor:
        asked = executor.submit(client.get, origin.url + "/delay/0.5?id=1")
        until(lambda: origin.seen(1))
        client.release()
        client.release()
        with pytest.raises(quiver.PoolStopped, match="the client is closed"):
            client.get(origin.url + "/ok")
        assert asked.result(timeout=5.0).status == 200
    assert len(streamed.read()) == 60_000
    until(lambda: origin.connections_open() == 0)
    until(lambda: pools_of(origin) == [])


def test_release_of_a_client_that_was_never_used() -> None:
    client = quiver.Client()
    client.release()
    client.close()


def test_close_while_threads_ask(origin: Origin) -> None:
    """Whoever comes too late hears PoolStopped, and no pool outlives its client."""
    for turn in range(20):
        client = client_of(origin)
        outcomes = asked_while_it_closes(client, origin.port, after=turn * 0.002)
        assert len(outcomes) == 8
        for outcome in outcomes:
            assert outcome == 200 or isinstance(outcome, quiver.PoolStopped), outcome
    until(lambda: origin.connections_open() == 0)
    assert pools_of(origin) == []


def pools_of(origin: Origin) -> list[object]:
    """Those that live, under either name of this origin."""
    pools = pykka.ActorRegistry.get_by_class_name("HTTPPool")
    return [ref for ref in pools if str(origin.port) in getattr(ref, "origin", "")]


def asked_while_it_closes(client: quiver.Client, port: int, *, after: float) -> list[object]:
    """What eight threads get that ask two origins for the first time, while it is closed."""
    gate = threading.Barrier(9)

    def ask(number: int) -> object:
        gate.wait()
        try:
            return client.get(f"https://{['localhost', '127.0.0.1'][number % 2]}:{port}/ok").status
        except BaseException as error:
            return error

    with ThreadPoolExecutor(8) as executor:
        asked = [executor.submit(ask, number) for number in range(8)]
        gate.wait()
        threading.Event().wait(after)
        client.close()
        return [one.result(timeout=10) for one in asked]


def test_close_in_the_moment_of_the_first_request(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = client_of(origin)
    make = manager.root_of

    def closed_before(name: str) -> Supervisor:
        client.close()  # it finds no tree yet
        return make(name)

    monkeypatch.setattr(manager, "root_of", closed_before)
    with pytest.raises(quiver.PoolStopped, match="the client is closed"):
        client.get(origin.url + "/ok")
    assert pools_of(origin) == []


def test_a_tree_that_is_being_stopped_starts_no_pool(client: quiver.Client, origin: Origin) -> None:
    with ThreadPoolExecutor(1) as executor:
        slow = executor.submit(client.get, origin.url + "/delay/3?id=1")
        until(lambda: origin.seen(1))
        for supervisor in pykka.ActorRegistry.get_by_class(Supervisor):
            supervisor.stop(block=False)
        with pytest.raises(quiver.PoolStopped):
            client.get(f"https://127.0.0.1:{origin.port}/ok")
        assert slow.result().status == 200
