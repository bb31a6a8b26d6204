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
from quiver.testing import Authority, pattern
from tests.support.chaos.background_load import CallerKind, run_callers
from tests.support.servers.independent import LARGE, SERVERS, Gtls, StaticServer
from tests.support.servers.packaged import PACKAGED
from tests.support.short_form import cases

REQUESTS = 1000
CALLERS = 20
# Of every twenty: one large, two missing, four HEAD, five POST, eight GET.
MIX = ["large", *["missing"] * 2, *["head"] * 4, *["post"] * 5, *["get"] * 8]


MORE = [pytest.param(kind, marks=pytest.mark.long) for kind in PACKAGED]


@pytest.fixture(scope="module", params=[*SERVERS, *MORE], ids=lambda kind: str(kind.__name__))
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[StaticServer]:
    with request.param(authority) as started:
        yield started


@pytest.fixture
def client(server: StaticServer) -> Iterator[quiver.Client]:
    with quiver.Client(pools={"default": {"cafile": server.cafile}}) as made:
        yield made


def ask(client: quiver.Client, server: StaticServer, kind: str, number: int) -> str | None:
    """Make one request of the mix; return what was wrong with the answer."""
    method, path, body, status, expected = "GET", "/small", None, 200, b"ok"
    match kind:
        case "large":
            path, expected = "/large", LARGE
        case "missing":
            path, status = f"/missing-{number}", 404
        case "head":
            method, path, expected = "HEAD", "/large", b""
        case "post" if server.can_echo:
            method, path, body = "POST", "/echo", pattern(number * 7 % 5000).replace(b"\0", b"0")
            expected = body
        case "post":
            method, body = "POST", pattern(number)  # taken, and answered with the file
    response = client.request(method, server.url + path, body=body, timeout=30.0)
    if response.status != status:
        return f"{number} {method} {path}: {response.status}, not {status}"
    if status != 404 and response.body != expected:
        return f"{number} {method} {path}: {len(response.body)} bytes, not {len(expected)}"
    return None


@pytest.mark.one_in(4)
@pytest.mark.parametrize("kind", cases(("threads",), long=(("greenlets",),)))
def test_a_thousand_mixed_requests(
    client: quiver.Client, server: StaticServer, kind: CallerKind
) -> None:
    answered: list[int] = []
    wrong: list[str] = []

    def caller(first: int) -> None:
        for number in range(first, REQUESTS, CALLERS):
            turn = (number + number // CALLERS) % len(MIX)
            fault = ask(client, server, MIX[turn], number)
            answered.append(number)
            if fault is not None:
                wrong.append(fault)

    run_callers(kind, CALLERS, caller)
    assert wrong == []
    assert sorted(answered) == list(range(REQUESTS))


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
            assert ask(client, server, "large" if number % 50 == 0 else "get", number) is None
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
