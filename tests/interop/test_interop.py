"""Quiver against real servers: mixed requests from threads and greenlets, none lost."""

from __future__ import annotations

import contextlib
import functools
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver.quic.aioquic import certificates, configuration, connection
from quiver.quic.aioquic.packet_keys import PacketKeys
from quiver.testing import Authority
from tests.support.cases.mixed_requests import Ask, ask_mixed, wrong_with
from tests.support.chaos.background_load import CallerKind
from tests.support.servers.independent import LARGE, SERVERS, Gtls, StaticServer
from tests.support.servers.packaged import PACKAGED
from tests.support.short_form import cases

MORE = [pytest.param(kind, marks=pytest.mark.long) for kind in PACKAGED]


@pytest.fixture(scope="module", params=[*SERVERS, *MORE], ids=lambda kind: str(kind.__name__))
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[StaticServer]:
    with request.param(authority) as started:
        yield started


@pytest.fixture
def client(server: StaticServer) -> Iterator[quiver.Client]:
    with quiver.Client(pools={"default": {"cafile": server.cafile}}) as made:
        yield made


def asking(client: quiver.Client, server: StaticServer) -> Ask:
    return lambda method, path, body: client.request(
        method, server.url + path, body=body, timeout=30.0
    )


@pytest.mark.one_in(4)
@pytest.mark.parametrize("kind", cases(("threads",), long=(("greenlets",),)))
def test_a_thousand_mixed_requests(
    client: quiver.Client, server: StaticServer, kind: CallerKind
) -> None:
    ask_mixed(asking(client, server), server, kind, 1000)


def test_head_tells_the_length(client: quiver.Client, server: StaticServer) -> None:
    response = client.head(server.url + "/large", timeout=10.0)
    assert response.header("content-length") == str(len(LARGE))
    assert response.body == b""


def test_by_address(client: quiver.Client, server: StaticServer) -> None:
    response = client.get(f"https://127.0.0.1:{server.port}/small", timeout=10.0)
    assert response.body == b"ok"


def test_keys_are_updated_again_and_again(
    server: StaticServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After 50 packets instead of four million, under a download and a row of requests."""
    made: list[PacketKeys] = []

    class Observed(PacketKeys):
        def __init__(self, pair: Any) -> None:
            super().__init__(pair)
            made.append(self)
            self.updates = 0

        def update_key(self) -> None:
            was = self.key_phase
            super().update_key()
            self.updates += self.key_phase != was

    often = functools.partial(certificates.Configuration, update_keys_after=50)
    monkeypatch.setattr(configuration, "Configuration", often)
    monkeypatch.setattr(connection, "PacketKeys", Observed)
    rules = {"default": {"cafile": server.cafile, "max_connections": 1}}
    with quiver.Client(pools=rules) as client:
        for number in range(300):
            kind = "large" if number % 50 == 0 else "get"
            assert wrong_with(asking(client, server), server, kind, number) is None
    (keys,) = made
    assert isinstance(keys, Observed)
    assert keys.updates >= 4
    assert keys.forged == 0


def test_certificate_of_another_authority(server: StaticServer) -> None:
    with (
        Authority("somebody else") as other,
        quiver.Client(pools={"default": {"cafile": other.cafile}}) as client,
        pytest.raises(quiver.CertificateInvalid),
    ):
        client.get(server.url + "/small", timeout=10.0)


def test_a_preferred_address_is_declined(authority: Authority) -> None:
    """The server asks us to move; all goes on where it began, on one connection."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        preferred = free.getsockname()[1]
    heard: list[Any] = []
    quiver.telemetry.attach("preferred", ["connection.start"], lambda *event: heard.append(event))
    try:
        with (
            Gtls(authority, f"--preferred-ipv4-addr=127.0.0.1:{preferred}") as server,
            quiver.Client(
                pools={"default": {"cafile": server.cafile, "max_connections": 1}}
            ) as client,
        ):
            for _ in range(30):
                assert client.get(f"{server.url}/small", timeout=30.0).body == b"ok"
            assert len(client.get(f"{server.url}/large", timeout=30.0).body) == len(LARGE)
            assert preferred not in ends_of_our_sockets()
    finally:
        quiver.telemetry.detach("preferred")
    assert len(heard) == 1


def ends_of_our_sockets() -> set[int]:
    """Ports that UDP sockets of this machine are connected to, as far as it tells."""
    with contextlib.suppress(OSError), open("/proc/self/net/udp") as table:
        return {int(line.split()[2].rpartition(":")[2], 16) for line in table.readlines()[1:]}
    return set()
