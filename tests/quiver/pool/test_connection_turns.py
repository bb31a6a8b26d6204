"""Connections beside each other in one loop: none takes more of a turn than its slice.

What comes of one origin is made dear here, so that it is a matter of turns and not of the machine's
speed who is served when: each of its datagrams costs more than a slice, and is a turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import quiver
from quiver.pool.connection import Connection
from quiver.pool.exchange_runner import ExchangeRunner
from quiver.pool.receive_turns import SLICE
from quiver.pool.reports import ConnectionReport
from quiver.pool.udp_transport import UdpTransport
from quiver.testing import Authority, Origin, pattern
from tests.support.loop_turns import LoopTurns
from tests.support.servers.over_tcp import serving_over_tcp
from tests.support.waiting import until

DEAR = 1.5 * SLICE  # seconds that each datagram costs
BODY = 40_000  # bytes; at least as many turns as there are datagrams
LIMIT = 30.0  # seconds for anything to come about


@pytest.fixture(scope="module")
def dear(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture(scope="module")
def other(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture
def client(authority: Authority) -> Iterator[quiver.Client]:
    rule = {"cafile": authority.cafile, "max_connections": 1, "shutdown_timeout": 0.1}
    with quiver.Client(pools={"default": rule}) as made:
        yield made


@pytest.fixture
def turns() -> Iterator[LoopTurns]:
    with LoopTurns() as seen:
        yield seen


def ask(client: quiver.Client, origin: Origin, path: str, **options: Any) -> Any:
    request = quiver.Request("GET", path, **{"timeout": LIMIT, **options})
    return client.pool(origin.url).ask(request, block=False)


def test_what_waits_goes_along_with_the_end_of_the_handshake(
    client: quiver.Client, other: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []

    def noted(owner: type, name: str) -> None:
        plain = getattr(owner, name)

        def also(*given: Any, **named: Any) -> Any:
            happened.append(name)
            return plain(*given, **named)

        monkeypatch.setattr(owner, name, also)

    noted(ConnectionReport, "ready")
    noted(ExchangeRunner, "start")
    noted(UdpTransport, "flush")
    assert ask(client, other, "/ok").get(timeout=LIMIT).status == 200
    ready = happened.index("ready")
    assert happened[ready : ready + 3] == ["ready", "start", "flush"]


def test_more_work_than_a_slice_goes_on_in_the_next_turns_and_nothing_is_lost(
    client: quiver.Client, dear: Origin, turns: LoopTurns
) -> None:
    client.get(dear.url + "/ok")
    turns.slow = {dear.port: DEAR}
    turns.taken.clear()
    assert ask(client, dear, f"/bytes/{BODY}").get(timeout=LIMIT).body == pattern(BODY)
    each = turns.taken[dear.port]
    assert len(each) > 20
    # Once by the loop, and once by a timer that takes what has come before it judges.
    assert max(map(each.count, each)) <= 2


def test_what_is_dear_takes_half_of_the_time(
    client: quiver.Client, dear: Origin, turns: LoopTurns
) -> None:
    """A slow machine makes it less."""
    client.get(dear.url + "/ok")
    turns.slow = {dear.port: DEAR}
    turns.taken.clear()
    begun = time.monotonic()
    client.get(dear.url + f"/bytes/{BODY}", timeout=LIMIT)
    spent = len(turns.taken[dear.port]) * DEAR
    assert spent < 0.6 * (time.monotonic() - begun) + 4 * SLICE


def gets(client: quiver.Client, other: Origin) -> None:
    assert client.get(other.url + "/ok", timeout=LIMIT).body == b"ok"


def uploads(client: quiver.Client, other: Origin) -> None:
    sent = client.post(other.url + "/echo", body=pattern(BODY), timeout=LIMIT)
    assert sent.body == pattern(BODY)


def dials(client: quiver.Client, other: Origin) -> None:
    with quiver.Client(pools={"default": {"cafile": other.cafile}}) as fresh:
        gets(fresh, other)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("does", [gets, uploads, dials])
@pytest.mark.parametrize("from_the_first", [False, True], ids=["answers", "handshakes"])
def test_others_are_served_in_the_same_turns(
    client: quiver.Client,
    dear: Origin,
    other: Origin,
    turns: LoopTurns,
    does: Callable[[quiver.Client, Origin], None],
    from_the_first: bool,
) -> None:
    if not from_the_first:
        client.get(dear.url + "/ok")
    turns.slow = {dear.port: DEAR}
    body = ask(client, dear, f"/bytes/{BODY}")
    until(lambda: turns.taken[dear.port], what="it comes")
    while not body.done:
        does(client, other)
    assert body.get(timeout=LIMIT).body == pattern(BODY)
    assert turns.taken[other.port]
    assert turns.left.get(other.port, 0) <= 1


def test_a_timer_is_heeded_however_much_there_is_to_take(
    client: quiver.Client, dear: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get(dear.url + "/ok")
    monkeypatch.setattr(UdpTransport, "more", True)  # so fast it sends
    with pytest.raises(quiver.RequestTimeout, match=r"timeout=0\.05 "):
        ask(client, dear, "/hang", timeout=0.05).get(timeout=LIMIT)
    assert ask(client, dear, "/ok").get(timeout=LIMIT).body == b"ok"


def test_one_that_ends_while_the_rest_of_it_is_sent_leaves_an_idle_connection(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers nothing then: no more comes of it that would have the timer set."""
    fired, fire = threading.Event(), Connection._timer_fired

    def noted(connection: Connection, key: object) -> None:
        fire(connection, key)
        if key == "idle":
            fired.set()

    def body() -> Iterator[bytes]:
        yield b"x"
        assert fired.wait(10.0)

    monkeypatch.setattr(Connection, "_timer_fired", noted)
    large: Any = {f"x-{number}": "y" * 1000 for number in range(100)}
    with serving_over_tcp("h2", authority) as served:
        pools = {"default": {"cafile": served.cafile, "idle_timeout": 0.2}}
        with quiver.Client(pools=pools, protocols=("h2",)) as client:
            assert client.get(served.url + "/ok").body == b"ok"
            with pytest.raises(quiver.InvalidRequest, match="trailers"):
                client.post(served.url + "/echo", body=body(), trailers=lambda: large, timeout=20.0)
            until(lambda: client.stats(served.url).connections == 0, what="it was idle")
