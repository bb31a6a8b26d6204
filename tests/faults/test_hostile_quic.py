"""A server that floods us with QUIC's frames, or TLS's: it costs its own connection only.

Judged by turns of the loop and by CPU beside that of honest uploads, which a busy machine does not
change. How long answers take is measured by `python -m tests.support.programs.attack_table`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import quiver
from quiver.testing import Authority, Origin
from tests.support.loop_turns import LoopTurns
from tests.support.programs.attack_table import ATTACKS, attacked, flooding
from tests.support.short_form import cases

FLOODED = 0.8  # seconds
UPLOAD = bytes(50_000)
HONEST = 20  # uploads before that
LONGEST = 14  # times the CPU of one of these, a turn; the collector may take more
SHORT = [
    "handshake: the same CRYPTO",
    "a byte of a stream, each with a hole",
    "the same CRYPTO",
    "the same ACK",
    "connection ids that are known",
    "PING",
]


@pytest.fixture
def client(authority: Authority) -> Iterator[quiver.Client]:
    rule = {"cafile": authority.cafile, "shutdown_timeout": 0.1, "receive_window": 16 << 20}
    with quiver.Client(pools={"default": rule}) as made:
        yield made


@pytest.fixture(scope="module")
def good(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.mark.one_in(3)
@pytest.mark.parametrize(
    "attack",
    cases(*((each,) for each in SHORT), long=((each,) for each in ATTACKS if each not in SHORT)),
)
def test_another_origin_is_answered_as_ever(
    client: quiver.Client, good: Origin, authority: Authority, attack: str
) -> None:
    with flooding(authority, attack, FLOODED) as url, LoopTurns() as turns:
        for _ in range(HONEST):
            assert client.post(good.url + "/digest", body=UPLOAD).status == 200
        honest = sum(turns.costs) / HONEST
        asking = attacked(client, url, attack, FLOODED)
        until = time.monotonic() + FLOODED
        while time.monotonic() < until:
            assert client.get(good.url + "/ok", timeout=30.0).status == 200
            assert client.post(good.url + "/digest", body=UPLOAD).status == 200
        asking.join()
    assert turns.taken[good.port]
    assert turns.left.get(good.port, 0) <= 1
    assert sum(each > LONGEST * honest for each in turns.costs) <= 2
