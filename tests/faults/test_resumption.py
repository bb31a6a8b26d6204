"""Connections after the first resume the TLS session, and what goes wrong with that goes unseen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quiver
from quiver import telemetry
from quiver.testing import Authority, Origin
from tests.support.programs.runner import run_script
from tests.support.waiting import until


def client_of(cafile: str | Path) -> quiver.Client:
    """Of one connection at a time, for one request."""
    return quiver.Client(cafile=cafile, max_connections=1, max_requests_per_connection=1)


@pytest.fixture
def giving(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority, session_tickets=True) as started:
        yield started


@pytest.fixture
def tickets() -> Iterator[list[dict[str, Any]]]:
    """What is told of tickets that came."""
    told: list[dict[str, Any]] = []
    telemetry.attach("tickets", ["connection.ticket"], lambda _, *about: told.append(about[0]))
    yield told
    telemetry.detach("tickets")


def resumed(client: quiver.Client, url: str, tickets: list[Any]) -> bool:
    """Whether a new connection's session was resumed. Returns when that has brought a ticket."""
    known = len(tickets)
    response = client.get(url + "/ok", timeout=20.0)
    assert response.body == b"ok" and response.connection is not None
    until(lambda: len(tickets) > known, what="a ticket")
    return response.connection.resumed


def test_connections_after_the_first(giving: Origin, tickets: list[Any]) -> None:
    with client_of(giving.cafile) as client:
        assert [resumed(client, giving.url, tickets) for _ in range(3)] == [False, True, True]
        by = client.get(giving.url + "/ok").connection
        assert by is not None and by.certificate is not None and by.cipher
    assert 0 < tickets[0]["lifetime"] <= 86_400.0


def test_of_another_client_none(giving: Origin, tickets: list[Any]) -> None:
    for _ in range(2):
        with client_of(giving.cafile) as client:
            assert not resumed(client, giving.url, tickets)


def test_they_outlive_the_pool(giving: Origin, tickets: list[Any]) -> None:
    with client_of(giving.cafile) as client:
        assert not resumed(client, giving.url, tickets)
        client.pool(giving.url).stop()
        assert resumed(client, giving.url, tickets)


def test_they_are_those_of_a_pool_by_itself(giving: Origin, tickets: list[Any]) -> None:
    options = {"max_connections": 1, "max_requests_per_connection": 1}
    config = quiver.PoolConfig.build(cafile=giving.cafile, **options)
    pool = quiver.HTTP3Pool.start(giving.url, config=config)
    try:
        first = pool.ask(quiver.Request("GET", "/ok"))
        until(lambda: tickets, what="a ticket")
        second = pool.ask(quiver.Request("GET", "/ok"))
        assert first.connection is not None and not first.connection.resumed
        assert second.connection is not None and second.connection.resumed
    finally:
        pool.stop()


def test_a_server_that_knows_its_tickets_no_more(giving: Origin, tickets: list[Any]) -> None:
    with client_of(giving.cafile) as client:
        assert not resumed(client, giving.url, tickets)
        giving.restart()
        assert not resumed(client, giving.url, tickets)
        assert resumed(client, giving.url, tickets)


def test_the_roots_have_changed(
    giving: Origin, authority: Authority, tickets: list[Any], tmp_path: Path
) -> None:
    """A server whose authority is trusted no more is refused, ticket or not."""
    roots = Path(shutil.copy(authority.cafile, tmp_path / "ca.pem"))
    with Authority() as another, client_of(roots) as client:
        assert not resumed(client, giving.url, tickets)
        roots.write_bytes(another.cadata)
        with pytest.raises(quiver.CertificateInvalid):
            client.get(giving.url + "/ok")


def test_forked_children_share_none(giving: Origin) -> None:
    run_script(
        """
import os, sys, threading
import quiver
from quiver import telemetry
url, cafile = sys.argv[1:]
client = quiver.Client(cafile=cafile, max_connections=1, max_requests_per_connection=1)
came = threading.Event()
telemetry.attach("tickets", ["connection.ticket"], lambda *_: came.set())
def resumed():
    came.clear()
    answer = client.get(url + "/ok", timeout=20.0).connection.resumed
    assert came.wait(20.0)
    return answer
assert [resumed() for _ in range(2)] == [False, True]
child = os.fork()
if child == 0:
    status = 1
    try:
        status = 0 if [resumed(), resumed()] == [False, True] else 2
    finally:
        os._exit(status)
assert os.waitpid(child, 0)[1] == 0
assert resumed()
""",
        giving.url,
        giving.cafile,
    )
