"""The functions of the module take options of a pool; calls with the same share connections."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver import client, option_checks, shared_clients
from quiver.chain_verifier import ChainVerifier
from quiver.testing import Authority, Origin
from tests.support.servers.connect_proxy import ConnectProxy
from tests.support.servers.http2_origin import Http2Origin


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clients that no other test has made, and no other one finds."""
    kept: Any = type(shared_clients._kept)()
    monkeypatch.setattr(shared_clients, "_kept", kept)
    yield
    for each in kept.values():
        each.close()


def test_options_of_a_pool_and_of_the_request(origin: Origin) -> None:
    before = origin.connections_accepted()
    options: Any = {"cafile": origin.cafile, "max_connections": 1}
    for _ in range(3):
        response = quiver.get(origin.url + "/items/42", timeout=5.0, **options)
        assert response.json() == {"id": 42}
    posted = quiver.post(origin.url + "/echo", json={"a": 1}, params={"b": 2}, **options)
    assert posted.body == b'{"a":1}'
    assert origin.connections_accepted() == before + 1


def test_streams_and_channels(origin: Origin) -> None:
    with quiver.stream("GET", origin.url + "/items/42", cafile=origin.cafile) as response:
        assert response.read() == b'{"id": 42}'
    url = origin.url + "/session"
    with quiver.open_channel(url, protocol="echo", cafile=origin.cafile) as channel:
        channel.write(b"data")
        assert isinstance(next(iter(channel)), quiver.Response)


def test_without_options_of_a_pool_it_is_the_one_that_all_share() -> None:
    options: dict[str, Any] = {"timeout": 1.0}
    assert shared_clients.client_for(options) is client.shared
    assert options == {"timeout": 1.0}


def test_the_same_options_find_the_same_client() -> None:
    first = shared_clients.client_for({"verify": False, "timeout": 1.0})
    assert shared_clients.client_for({"verify": False}) is first
    assert shared_clients.client_for({"verify": False, "max_connections": 1}) is not first


def test_options_are_judged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A context is asked to verify for that, which takes a while."""
    judged: list[ssl.SSLContext] = []

    class Noted(ChainVerifier):
        def __init__(self, context: ssl.SSLContext, *others: Any, **options: Any) -> None:
            judged.append(context)
            super().__init__(context, *others, **options)

    monkeypatch.setattr(option_checks, "ChainVerifier", Noted)
    context = ssl.create_default_context()
    clients = [shared_clients.client_for({"verify": context}) for _ in range(3)]
    assert clients[0] is clients[1] is clients[2]
    assert len(judged) == 2, "once here, and once by the client"


def test_options_without_a_hash() -> None:
    resolve = {"api.example:443": ["127.0.0.1"]}
    first = shared_clients.client_for({"resolve": resolve})
    assert shared_clients.client_for({"resolve": dict(resolve)}) is first


def test_few_are_kept() -> None:
    clients = [
        shared_clients.client_for({"max_connections": number})
        for number in range(1, shared_clients.MOST + 3)
    ]
    assert len(shared_clients._kept) == shared_clients.MOST
    assert shared_clients.client_for({"max_connections": shared_clients.MOST}) in clients
    assert shared_clients.client_for({"max_connections": 1}) not in clients


def test_what_is_no_option() -> None:
    get: Any = quiver.get
    with pytest.raises(TypeError, match="cafil is no keyword: did you mean cafile"):
        get("https://localhost", cafil="x")
    with pytest.raises(TypeError, match="data is no keyword: did you mean body"):
        get("https://localhost", data=b"x")
    with pytest.raises(quiver.InvalidOptions, match="cafile='/absent'"):
        get("https://localhost", cafile="/absent")


def test_what_is_spoken_and_by_which_proxy(authority: Authority) -> None:
    with Http2Origin(authority) as server, ConnectProxy() as proxy:
        options: Any = {"cafile": authority.cafile, "protocols": ["h2"], "max_connections": 1}
        assert quiver.get(server.url + "/ok", **options).http_version == "HTTP/2"
        assert quiver.get(server.url + "/ok", **options).http_version == "HTTP/2"
        assert (len(server.peers), proxy.heads) == (1, []), "they share a client"
        through = {**options, "proxy": f"http://127.0.0.1:{proxy.port}"}
        assert quiver.get(server.url + "/ok", **through).body == b"ok"
        assert (len(server.peers), len(proxy.heads)) == (2, 1)
    for wrong in ({"protocols": ("h4",)}, {"proxy": "socks5://h:1"}, {"proxy": ["h"]}):
        with pytest.raises(quiver.InvalidOptions):
            quiver.get("https://localhost/", **wrong)
