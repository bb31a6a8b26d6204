"""Quiver against Caddy and gtlsserver: mixed requests from threads and greenlets, none lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import quiver
from quiver.testing import Authority, pattern
from tests.support.load import CallerKind, run_callers
from tests.support.servers import LARGE, SERVERS, StaticServer

REQUESTS = 1000
CALLERS = 20
# Of every twenty: one large, two missing, four HEAD, five POST, eight GET.
MIX = ["large", *["missing"] * 2, *["head"] * 4, *["post"] * 5, *["get"] * 8]


@pytest.fixture(scope="module", params=SERVERS, ids=lambda kind: str(kind.binary))
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


@pytest.mark.timeout(120)
@pytest.mark.parametrize("kind", ["threads", "greenlets"])
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


def test_certificate_of_another_authority(server: StaticServer) -> None:
    with (
        Authority("somebody else") as other,
        quiver.Client(pools={"default": {"cafile": other.cafile}}) as client,
        pytest.raises(quiver.CertificateInvalid),
    ):
        client.get(server.url + "/small", timeout=10.0)
