"""More callers than HTTP/2 or HTTP/1.1 has room for: served in order, refused by name, in time.

A client of one protocol, and one that chooses: there HTTP/3 is dialled first, in vain.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

import quiver
from quiver.models import Stats
from quiver.pool.coordinator import OriginPool
from quiver.testing import Authority
from tests.support.chaos.background_load import CallerKind, run_callers
from tests.support.memory import MIB, bounded
from tests.support.servers.over_tcp import Served, each_client, serving_over_tcp
from tests.support.waiting import until

SLOTS = 20
PATIENCE = 60.0  # seconds that every caller of a crowd gets
CROWDS: dict[CallerKind, int] = {"greenlets": 1_000, "threads": 200}
SIZES = {"max_connections": 1, "max_streams_per_connection": SLOTS, "max_connections_http1": SLOTS}
LIMITS: dict[str, Any] = {"checkout_timeout": PATIENCE, "receive_timeout": PATIENCE}


@pytest.fixture
def served(protocol: str, authority: Authority) -> Iterator[Served]:
    with serving_over_tcp(protocol, authority) as made:
        yield made


def client_of(served: Served, knows: tuple[str, ...], **options: Any) -> quiver.Client:
    pool: dict[str, Any] = {"cafile": served.cafile, **SIZES, **LIMITS, **options}
    return quiver.Client(pools={"default": pool}, protocols=knows)


def occupy(client: quiver.Client, served: Served) -> list[Any]:
    """Have all slots taken by requests that the server holds."""
    assert client.get(served.url + "/ok", **LIMITS).body == b"ok"
    pool, request = client.pool(served.url), quiver.Request("GET", "/held", **LIMITS)
    held = [pool.ask(request, block=False) for _ in range(SLOTS)]
    until(lambda: served.held == SLOTS, what="all slots are taken")
    return held


def at_rest(client: quiver.Client, served: Served) -> None:
    """Nothing is left of the crowd, and the next is answered."""
    assert client.get(served.url + "/ok", timeout=10.0).body == b"ok"
    until(lambda: _rests(client.stats(served.url)), what=f"at rest: {client.stats(served.url)}")


def _rests(stats: Stats) -> bool:
    return (stats.active, stats.queued) == (0, 0) and stats.connections <= SLOTS


@pytest.mark.long
@each_client
@pytest.mark.parametrize("kind", CROWDS)
def test_a_crowd_is_served_in_its_order(
    kind: CallerKind, knows: tuple[str, ...], served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody starves: whoever came first is lent a connection first, and each once."""
    forwarded: list[str] = []
    plain = OriginPool._forward

    def forward(pool: OriginPool, ticket: int, connection: int) -> None:
        forwarded.append(pool._asks[ticket].request.target)
        plain(pool, ticket, connection)

    monkeypatch.setattr(OriginPool, "_forward", forward)
    callers = CROWDS[kind]
    order: list[str] = []  # in which the asks reached the pool's inbox
    lock = threading.Lock()
    with client_of(served, knows) as client:
        held = occupy(client, served)
        pool = client.pool(served.url)

        def call(number: int) -> None:
            request = quiver.Request("GET", f"/ok?id={number}", timeout=PATIENCE)
            with lock:
                order.append(request.target)
                reply = pool.ask(request, block=False)
                if len(order) == callers:  # all are there
                    served.release()
            assert reply.get().body == b"ok"

        with bounded(100 * MIB):
            run_callers(kind, callers, call)
        assert {reply.get(timeout=PATIENCE).body for reply in held} == {b"released"}
        assert [target for target in forwarded if "id=" in target] == order
        seen = {target: times for target, times in served.seen.items() if "id=" in target}
        assert seen == dict.fromkeys(order, 1)
        at_rest(client, served)


@each_client
def test_no_more_wait_than_may(knows: tuple[str, ...], served: Served) -> None:
    with client_of(served, knows, max_waiting=50) as client:
        held = occupy(client, served)
        pool, request = client.pool(served.url), quiver.Request("GET", "/ok?late", timeout=PATIENCE)
        replies = [pool.ask(request, block=False) for _ in range(120)]
        until(lambda: sum(reply.done for reply in replies) == 70, what="70 are refused")
        assert [reply for reply in replies if reply.done] == replies[50:]
        for reply in replies[50:]:
            with pytest.raises(quiver.QueueFull, match="max_waiting=50 callers"):
                reply.get()
        assert client.stats(served.url).queued == 50 and served.seen["/ok?late"] == 0
        served.release()
        assert {reply.get(timeout=PATIENCE).body for reply in replies[:50]} == {b"ok"}
        assert {reply.get(timeout=PATIENCE).body for reply in held} == {b"released"}
        assert served.seen["/ok?late"] == 50
        at_rest(client, served)


@each_client
def test_a_crowd_that_waits_in_vain_is_told(knows: tuple[str, ...], served: Served) -> None:
    """By the limit's name, all of them; nothing is sent for them."""
    with client_of(served, knows, checkout_timeout=0.5) as client:
        held = occupy(client, served)
        told: Counter[str] = Counter()

        def call(number: int) -> None:
            with pytest.raises(quiver.CheckoutTimeout) as caught:
                client.get(f"{served.url}/ok?id={number}")
            told[str(caught.value)] += 1

        run_callers("threads", 100, call)
        (said,) = told
        assert "checkout_timeout=0.5" in said and told[said] == 100
        assert not any("id=" in target for target in served.seen)
        served.release()
        assert {reply.get(timeout=PATIENCE).body for reply in held} == {b"released"}
        at_rest(client, served)


@each_client
def test_callers_that_give_up_together_leave_nothing(
    knows: tuple[str, ...], served: Served
) -> None:
    """Those that wait, and those whose requests are out: over HTTP/1.1 that costs connections."""
    with client_of(served, knows) as client:
        held = occupy(client, served)
        url = f"{served.url}/ok?id"
        greenlets = [gevent.spawn(client.get, url, timeout=PATIENCE) for _ in range(300)]
        until(lambda: _yielding(client.stats(served.url).queued == 300), what="all wait")
        gevent.killall(greenlets)
        for reply in held:
            reply.cancel()
        until(lambda: client.stats(served.url).queued == 0, what="nobody waits")
        assert not any("id" in target for target in served.seen)
        served.release()
        at_rest(client, served)
        assert served.open <= 1, "those that were given up are closed"


def _yielding(met: bool) -> bool:
    gevent.sleep(0)
    return met
