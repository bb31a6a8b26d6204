"""The file of the roots goes away while it is in use: nobody notices."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import quiver
from quiver.testing import Authority, Origin
from tests.support.chaos.background_load import recovers, run_callers


@pytest.fixture
def roots(origin: Origin, tmp_path: Path) -> Path:
    return Path(shutil.copy(origin.cafile, tmp_path / "ca.pem"))


@pytest.fixture
def client(roots: Path) -> Iterator[quiver.Client]:
    with quiver.Client(pools={"default": {"cafile": str(roots), "max_connections": 20}}) as made:
        yield made


def test_while_it_is_away_connections_are_dialled(
    client: quiver.Client, origin: Origin, roots: Path
) -> None:
    pool = client.pool(origin.url)
    roots.unlink()

    def ask(_: int) -> None:
        for _ in range(3):
            assert client.get(origin.url + "/delay/0.01", timeout=10.0).status == 200

    run_callers("threads", 15, ask)
    assert pool.ask(quiver.GetStats()).connections > 1


def test_while_it_is_away_a_pool_starts_again(
    client: quiver.Client, origin: Origin, roots: Path
) -> None:
    assert client.get(origin.url + "/ok").body == b"ok"
    roots.unlink()
    client.pool(origin.url).stop()
    assert client.get(origin.url + "/ok").body == b"ok"


def test_one_that_took_its_place_is_trusted_by_the_next_connection(
    client: quiver.Client, origin: Origin, authority: Authority, roots: Path
) -> None:
    assert client.get(origin.url + "/ok").body == b"ok"
    with Authority() as successor, Origin(authority=successor) as renewed:
        with pytest.raises(quiver.CertificateInvalid):
            client.get(renewed.url + "/ok")
        roots.write_bytes(successor.cadata + authority.cadata)
        recovers(client, renewed.url + "/ok")  # the next dial may be held back a moment
