"""The log of the soak's Caddy tells what it has carried out, and its turns come and go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import quiver
from quiver.testing import Authority
from tests.soak.account import Account
from tests.soak.over_all import VERSIONS, SoakedCaddy, TurnsOfAll
from tests.support.network.relay_process import RelayProcess


@pytest.fixture
def caddy(authority: Authority, tmp_path: Path) -> Iterator[SoakedCaddy]:
    with SoakedCaddy(authority, tmp_path) as started:
        yield started


def ask(caddy: SoakedCaddy, protocol: str, url: str, number: int) -> None:
    with quiver.Client(cafile=caddy.cafile, protocols=(protocol,)) as client:
        body = b"x" * 10
        assert client.get(f"{url}/own?id={number}").body == b"own %d" % number
        assert client.post(f"{url}/echo?id={number + 1}", body=body).body == body


def test_what_is_carried_out_is_in_its_log_by_id_and_version(caddy: SoakedCaddy) -> None:
    for number, protocol in enumerate(("h3", "h2", "http/1.1")):
        ask(caddy, protocol, caddy.url, number * 10)
    ask(caddy, "h2", caddy.url, 10)
    caddy.stop()
    ids, versions = caddy.take_log()
    assert ids == {"0": 1, "1": 1, "10": 2, "11": 2, "20": 1, "21": 1}
    assert versions == dict(zip(VERSIONS, (2, 4, 2), strict=True))
    caddy.start()
    caddy.kill()
    assert caddy.take_log()[0] == {}, "that was told"


def test_what_its_turns_bring_is_cleared_up(caddy: SoakedCaddy) -> None:
    """UDP is blocked and goes on; a server that is killed or stopped is there again."""
    account = Account(10)
    with RelayProcess(caddy.port, seed=1, tcp=True) as relay:
        turns = TurnsOfAll(relay, caddy, account, period=0.1)
        ask(caddy, "h3", relay.url, 0)
        for block in ("silent", "refused cut"):
            turns.bring(block)
            with pytest.raises((quiver.ConnectTimeout, quiver.ConnectionRefused)):
                ask_in_vain(caddy, relay.url)
            ask(caddy, "h2", relay.url, 2)
            turns.clear_up()
        for end in ("killed", "stopped"):
            turns.bring(end)
            turns.clear_up()
            ask(caddy, "h3", relay.url, 4)
            ask(caddy, "h2", relay.url, 6)
        turns.settle()
    assert account.versions == {"HTTP/3.0": 6, "HTTP/2.0": 8}


def ask_in_vain(caddy: SoakedCaddy, url: str) -> None:
    cafile, alone = caddy.cafile, ("h3",)
    with quiver.Client(cafile=cafile, protocols=alone, connect_timeout=0.5) as client:
        client.get(f"{url}/own?id=9")
