"""Large bodies to and from Caddy and gtlsserver: complete, and in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest

import quiver
from quiver.testing import Authority
from tests.support.programs.task_memory import MIB, cost_of, digits
from tests.support.servers.independent import SERVERS, Caddy, StaticServer
from tests.support.waiting import until

BOUND = 16 * MIB
UPLOAD = 20 * MIB

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=SERVERS, ids=lambda kind: str(kind.binary))
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[StaticServer]:
    with request.param(authority) as started:
        yield started


def test_100_mib_down(server: StaticServer) -> None:
    size = 100 * MIB
    digest = server.add_file("huge", size)
    cost = cost_of("download", server.url, server.cafile, "/huge")
    assert cost.value == [size, digest]
    assert cost.growth < BOUND, f"grew by {cost.growth / MIB:.1f} MiB"


def test_20_mib_up_and_echoed(authority: Authority) -> None:
    digest = hashlib.sha256()
    for piece in digits(UPLOAD):
        digest.update(piece)
    with Caddy(authority) as server:
        cost = cost_of("upload", server.url, server.cafile, "/echo", str(UPLOAD))
    assert cost.value == [200, UPLOAD, digest.hexdigest()]
    assert cost.growth < BOUND, f"grew by {cost.growth / MIB:.1f} MiB"


def test_20_mib_up(server: StaticServer) -> None:
    """To a file, which both answer with the file or a status of their own; either is a response."""
    with quiver.Client(pools={"default": {"cafile": server.cafile}}) as client:
        response = client.post(server.url + "/small", body=digits(UPLOAD), timeout=60.0)
        assert response.status in (200, 405)
        assert client.get(server.url + "/small").body == b"ok"
        until(lambda: client.stats(server.url).active == 0)
