"""Sessions with Caddy, gtlsserver and Envoy are resumed, as a bare aioquic's with them are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver import telemetry
from quiver.testing import Authority
from tests.support.servers.independent import SERVERS, StaticServer
from tests.support.servers.packaged import PACKAGED
from tests.support.waiting import until


@pytest.fixture(scope="module", params=(*SERVERS, *PACKAGED), ids=lambda kind: str(kind.__name__))
def server(request: pytest.FixtureRequest, authority: Authority) -> Iterator[StaticServer]:
    with request.param(authority) as started:
        yield started


@pytest.fixture
def tickets() -> Iterator[list[str]]:
    came: list[str] = []
    telemetry.attach("tickets", ["connection.ticket"], lambda name, *_: came.append(name))
    yield came
    telemetry.detach("tickets")


def connections_of(
    client: quiver.Client, server: StaticServer, count: int, tickets: list[str]
) -> list[Any]:
    made = []
    for number in range(count):
        answer = client.get(server.url + "/small", timeout=20.0)
        assert answer.body == b"ok"
        made.append(answer.connection)
        until(lambda wanted=number + 1: len(tickets) >= wanted, what="a ticket")  # type: ignore[misc]
        client.pool(server.url).stop()  # not before: some answer first
    return made


def test_all_but_the_first(server: StaticServer, tickets: list[str]) -> None:
    with quiver.Client(cafile=server.cafile, max_connections=1) as client:
        made = connections_of(client, server, 4, tickets)
    assert [each.resumed for each in made] == [False, True, True, True]
    assert len({each.certificate for each in made}) == 1


def test_early_data(server: StaticServer, tickets: list[str]) -> None:
    with quiver.Client(cafile=server.cafile, max_connections=1, early_data=True) as client:

        def early() -> bool:
            tickets.clear()
            [made] = connections_of(client, server, 1, tickets)
            return bool(made.early)

        assert [early() for _ in range(3)] == [False, True, True]
        server.restart()
        assert [early() for _ in range(2)] == [False, True], "rejected, and answered all the same"


def test_after_a_restart_with_new_keys(server: StaticServer, tickets: list[str]) -> None:
    with quiver.Client(cafile=server.cafile, max_connections=1) as client:
        connections_of(client, server, 1, tickets)
        server.restart()
        tickets.clear()
        after = connections_of(client, server, 2, tickets)
    assert [each.resumed for each in after] == [False, True]
