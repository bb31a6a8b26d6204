"""Errors of the socket, each errno there is: none ends a connection, and none is a crash.

What a router says is in test_routers.py, over real ones; here are those that no test can bring
about, by a socket whose calls fail.
"""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver.testing import Authority, Origin
from tests.support.network.faulty_socket import FaultySocket, fail
from tests.support.network.host_names import Names
from tests.support.waiting import until

ERRNOS = (
    "EMSGSIZE",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "EACCES",
    "EPERM",
    "ENOBUFS",
    "ENOMEM",
    "EIO",
    "EADDRNOTAVAIL",
    "EINVAL",
    "ENETDOWN",
    "ENOTCONN",
    "ECONNREFUSED",
    "EPROTO",
    "EAGAIN",
    "EPIPE",
)
UNREACHABLE = ("EHOSTUNREACH", "ENETUNREACH", "EACCES", "EPERM", "EADDRNOTAVAIL", "ENETDOWN")
LOST = ("EMSGSIZE", "ENOBUFS", "ENOMEM", "EIO", "EAGAIN", "EPROTO", "EPIPE")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Iterator[Origin]:
    """One origin for all errnos."""
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture(autouse=True)
def faulty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("quiver.pool.udp._Socket", FaultySocket)
    yield
    fail("none", 0, 0)


@pytest.fixture
def told() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What telemetry has told of connections."""
    events: list[tuple[str, dict[str, Any]]] = []
    quiver.telemetry.attach(
        "errnos",
        [name for name in quiver.telemetry.EVENTS if name.startswith("connection.")],
        lambda name, _, about: events.append((name, about)),
    )
    yield events
    quiver.telemetry.detach("errnos")


def client_of(origin: Origin, **options: Any) -> quiver.Client:
    rule = {"cafile": origin.cafile, "max_connections": 1, **options}
    return quiver.Client(pools={"default": rule}, protocols=("h3",))  # it is UDP's errors


def asked(client: quiver.Client, origin: Origin) -> int:
    stats = client.stats(origin.url)
    return stats.active + stats.queued


@pytest.mark.one_in(3)
@pytest.mark.parametrize("call", ["send", "recv"])
@pytest.mark.parametrize("name", ERRNOS)
def test_on_a_connection_it_is_a_lost_datagram_at_most(
    server: Origin, told: list[tuple[str, dict[str, Any]]], name: str, call: str
) -> None:
    with client_of(server) as client:
        client.get(server.url + "/ok", timeout=20.0)
        for times in (1, 2, 3):
            fail(call, getattr(errno, name), times)
            assert client.get(server.url + "/ok", timeout=20.0).status == 200
            body = bytes(100_000)
            assert client.request("POST", server.url + "/echo", body=body).body == body
        names = [each for each, _ in told]
    assert names.count("connection.start") == 1 and "connection.exception" not in names


@pytest.mark.parametrize("call", ["send", "recv"])
@pytest.mark.parametrize("name", LOST)
def test_while_it_is_dialled_a_lost_datagram_is_repeated(
    server: Origin, name: str, call: str
) -> None:
    fail(call, getattr(errno, name), 3)
    with client_of(server) as client:
        assert client.get(server.url + "/ok", timeout=20.0).status == 200


@pytest.mark.parametrize("call", ["connect", "send", "recv"])
@pytest.mark.parametrize("name", UNREACHABLE)
def test_while_it_is_dialled_it_is_told_by_its_name(server: Origin, name: str, call: str) -> None:
    with client_of(server) as client:
        fail(call, getattr(errno, name), 1_000)
        started = time.monotonic()
        with pytest.raises(
            quiver.ConnectionLost, match=rf"no way to it from here: .*\({name}\)"
        ) as got:
            client.get(server.url + "/ok", timeout=20.0)
        assert time.monotonic() - started < 10.0
        assert got.value.unprocessed and got.value.kind == "transient"
        fail(call, 0, 0)
        assert client.get(server.url + "/ok", timeout=20.0).status == 200


@pytest.mark.parametrize("call", ["connect", "send"])
@pytest.mark.parametrize("name", UNREACHABLE)
def test_the_next_address_is_tried(
    server: Origin,
    told: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    call: str,
) -> None:
    """Of the first one nothing would be heard for thirty seconds."""
    Names(monkeypatch)["localhost"] = "127.0.0.3 127.0.0.1"
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent,
        client_of(server, connect_timeout=60.0) as client,
    ):
        silent.bind(("127.0.0.3", server.port))
        fail(call, getattr(errno, name), 2 if call == "send" else 1)  # it sends once more
        assert client.get(server.url + "/ok", timeout=20.0).status == 200
    attempts = [about["address"][0] for each, about in told if each == "connection.attempt"]
    assert attempts == ["127.0.0.3", "127.0.0.1"]


@pytest.mark.parametrize("name", ["EMSGSIZE", "ENOBUFS"])
def test_while_it_is_dialled_what_never_left_is_told_of(server: Origin, name: str) -> None:
    fail("send", getattr(errno, name), 10**9)
    said = rf"127\.0\.0\.1:\d+ answered nothing, and datagrams to it were lost here: .*\({name}\)"
    with client_of(server, connect_timeout=0.5) as client:
        with pytest.raises(quiver.ConnectTimeout, match=said) as got:
            client.get(f"https://127.0.0.1:{server.port}/ok", timeout=20.0)
        assert got.value.unprocessed


@pytest.mark.parametrize("name", ["ENOPROTOOPT", "ENOBUFS", "EPERM"])
def test_an_option_that_is_refused_costs_no_connection(server: Origin, name: str) -> None:
    """As by a sandbox, or a kernel that gives no buffer as large as that."""
    fail("setsockopt", getattr(errno, name), 10**9)
    with client_of(server) as client:
        assert client.get(server.url + "/ok", timeout=20.0).status == 200


def test_many_failed_dials_stop_no_pool(server: Origin) -> None:
    """They are no crashes: the pool's restart intensity has nothing to do with them."""
    with client_of(server) as client:
        for call in ("connect", "send"):
            fail(call, errno.ENETUNREACH, 10**9)
            for _ in range(30):
                with pytest.raises(quiver.ConnectionLost):
                    client.get(server.url + "/ok", timeout=20.0)
        fail("none", 0, 0)
        assert client.get(server.url + "/ok", timeout=20.0).status == 200


@pytest.mark.parametrize("name", ["EHOSTUNREACH", "ECONNREFUSED", "EINVAL"])
def test_what_goes_on_ends_the_connection_by_its_name(server: Origin, name: str) -> None:
    with client_of(server) as client:
        client.get(server.url + "/ok", timeout=20.0)
        fail("send", getattr(errno, name), 10**9)
        started = time.monotonic()
        said = "the port is closed now" if name == "ECONNREFUSED" else rf"\({name}\)"
        with pytest.raises(quiver.ConnectionLost, match=said + ".*; silent for .* also to PINGs"):
            client.get(server.url + "/ok", timeout=20.0)
        assert 0.3 <= time.monotonic() - started < 10.0


def test_a_suspended_connection_is_lent_to_nobody(
    origin: Origin,
    told: list[tuple[str, dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And who asks meanwhile is served when it is resumed."""
    monkeypatch.setattr("quiver.pool.liveness.LEAST", 10.0)  # this machine may be slow
    with client_of(origin) as client:
        client.get(origin.url + "/ok", timeout=20.0)
        origin.suspend()  # or it might say something by itself
        fail("send", errno.EHOSTUNREACH, 10**9)
        answers: list[int] = []
        threads = [
            threading.Thread(
                target=lambda: answers.append(client.get(origin.url + "/ok", timeout=20.0).status)
            )
            for _ in range(5)
        ]
        threads[0].start()
        until(lambda: told[-1][0] == "connection.suspended")
        for thread in threads[1:]:
            thread.start()
        # The first went out, unless an acknowledgement met the error before it.
        until(lambda: asked(client, origin) == 5)
        stats = client.stats(origin.url)
        assert stats.queued >= 4
        assert (stats.idle, stats.connections) == (0, 1)
        pool = client.pool(origin.url)
        assert [each.state for each in pool.ask(quiver.models.GetConnections())] == ["suspended"]
        origin.resume()
        fail("none", 0, 0)
        for thread in threads:
            thread.join(20.0)
        assert answers == [200] * 5
    names = [name for name, _ in told]
    assert names.count("connection.resumed") == names.count("connection.suspended") >= 1
    assert names.count("connection.start") == 1
