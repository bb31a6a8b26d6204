"""More callers than slots: served in their order, refused by name, in time; then all is well."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

import quiver
from quiver.models import Stats
from quiver.pool.actions import Reject
from quiver.pool.coordinator import HTTP3Pool
from quiver.pool.routing import RoutingTable
from quiver.testing import Origin
from tests.support.actors import eventually
from tests.support.load import CallerKind, run_callers
from tests.support.memory import MIB, bounded
from tests.support.stalls import Stalls

SLOTS = 100
ON_TIME = 0.1  # seconds after a deadline
TURNS = 3  # a caller's ask, the sweep and the wake-up: each may meet a stall of the machine
PATIENCE = 40.0  # seconds that every caller of a crowd gets: the server has only so many hands
CROWDS: dict[CallerKind, int] = {"greenlets": 5000, "threads": 500}


def client_of(origin: Origin, **options: Any) -> quiver.Client:
    sizes = {"max_connections": 1, "max_streams_per_connection": SLOTS}
    limits = {"checkout_timeout": PATIENCE, "receive_timeout": PATIENCE, **options}
    return quiver.Client(pools={"default": {"cafile": origin.cafile, **sizes, **limits}})


@pytest.fixture
def client(origin: Origin) -> Iterator[quiver.Client]:
    with client_of(origin) as made:
        yield made


def warm(client: quiver.Client, origin: Origin) -> None:
    assert client.get(origin.url + "/ok", timeout=10.0).status == 200


def at_rest(client: quiver.Client, origin: Origin) -> None:
    """Nothing is left of the crowd, and the next is answered at once."""
    started = time.monotonic()
    assert client.get(origin.url + "/ok", timeout=10.0).status == 200
    assert time.monotonic() - started < 1.0
    eventually(lambda: _rests(client.stats(origin.url)), f"at rest: {client.stats(origin.url)}")


def _rests(stats: Stats) -> bool:
    # Idle is what the server's credit allows now; it grants more as streams are used.
    return (stats.active, stats.queued, stats.connections) == (0, 0, 1) and stats.idle > 0


class Decisions:
    """What the coordinator did for whom and when, by its own clock."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.forwarded: list[str] = []
        self.lateness: list[float] = []  # seconds between a deadline and the sweep that saw it
        self._patch = patch
        self._now = 0.0
        self._wrap(RoutingTable, "sweep", self._swept)
        self._wrap(HTTP3Pool, "_reject", self._rejected)
        self._wrap(HTTP3Pool, "_forward", self._forwarded)

    def _wrap(self, owner: type, name: str, look: Callable[..., None]) -> None:
        plain = getattr(owner, name)

        def wrapped(it: Any, *args: Any) -> Any:
            look(it, *args)
            return plain(it, *args)

        self._patch.setattr(owner, name, wrapped)

    def _swept(self, _: RoutingTable, now: float) -> None:
        self._now = now

    def _rejected(self, pool: HTTP3Pool, rejected: Reject) -> None:
        ask = pool._asks[rejected.ticket]
        due = ask.patience.until(connected=True)
        assert due is not None
        self.lateness.append(self._now - due)

    def _forwarded(self, pool: HTTP3Pool, ticket: int, _: int) -> None:
        self.forwarded.append(pool._asks[ticket].request.target)


@pytest.mark.parametrize("kind", CROWDS)
def test_a_crowd_is_served_in_its_order(
    kind: CallerKind, client: quiver.Client, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody starves: whoever came first is served first."""
    warm(client, origin)
    decisions = Decisions(monkeypatch)
    callers = CROWDS[kind]
    pool = client.pool(origin.url)
    order: list[str] = []  # in which the asks reached the pool's inbox
    lock = threading.Lock()

    def call(number: int) -> None:
        request = quiver.Request("GET", f"/ok?id={number}", timeout=PATIENCE)
        with lock:
            order.append(request.target)
            reply = pool.ask(request, block=False)
        assert reply.get().status == 200

    with bounded(150 * MIB):
        run_callers(kind, callers, call)
    assert decisions.forwarded == order
    seen = [f"/ok?id={number}" for number in origin.seen_ids()]  # as they arrived
    assert sorted(seen) == sorted(order)
    rank = {target: place for place, target in enumerate(order)}
    overtaken = [abs(rank[target] - place) for place, target in enumerate(seen)]
    # One whose header section is split between two packets is overtaken by others of its batch.
    assert max(overtaken) < SLOTS and statistics.mean(overtaken) < 2.0
    at_rest(client, origin)


def test_no_more_wait_than_may(origin: Origin) -> None:
    with client_of(origin, max_waiting=1000) as client:
        warm(client, origin)
        held = occupy(client, origin)
        request = quiver.Request("GET", "/ok", timeout=PATIENCE)
        replies = [client.pool(origin.url).ask(request, block=False) for _ in range(2500)]
        eventually(lambda: sum(reply.done for reply in replies) == 1500, "1500 are refused")
        assert client.stats(origin.url) == Stats(idle=0, active=SLOTS, queued=1000, connections=1)
        refused = [reply for reply in replies if reply.done]
        assert refused == replies[1000:]
        for reply in refused:
            with pytest.raises(quiver.QueueFull, match=rf"{origin.url}: max_waiting=1000 callers"):
                reply.get()
        for reply in held:
            reply.cancel()
        assert {reply.get(timeout=PATIENCE).status for reply in replies[:1000]} == {200}
        assert origin.requests_served("/ok") == 1001
        at_rest(client, origin)


@pytest.mark.parametrize("kind", CROWDS)
def test_a_crowd_that_waits_in_vain_is_told_in_time(
    kind: CallerKind, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the coordinator's clock; at the callers it takes as long as they need to wake up."""
    decisions = Decisions(monkeypatch)
    callers = CROWDS[kind]
    with client_of(origin, checkout_timeout=2.0, max_waiting=callers) as client:
        warm(client, origin)
        held = occupy(client, origin)
        outcomes: Counter[str] = Counter()

        def call(_: int) -> None:
            with pytest.raises(quiver.CheckoutTimeout, match=r"checkout_timeout=2\.0"):
                client.get(origin.url + "/ok")
            outcomes["told"] += 1

        with Stalls() as machine:
            run_callers(kind, callers, call)
        assert outcomes["told"] == len(decisions.lateness) == callers
        print(
            f"{callers} {kind}: decided at most {max(decisions.lateness) * 1000:.0f} ms late, "
            f"stalls of {machine.longest * 1000:.0f} ms"
        )
        assert max(decisions.lateness) < ON_TIME + TURNS * machine.longest
        assert origin.requests_served("/ok") == 1, "nothing was sent for them"
        for reply in held:
            reply.cancel()
        at_rest(client, origin)


def test_a_moderate_load_hears_of_its_timeouts_in_time(origin: Origin) -> None:
    with client_of(origin, checkout_timeout=0.5) as client:
        warm(client, origin)
        held = occupy(client, origin)
        seconds: list[float] = []

        def call(number: int) -> None:
            time.sleep(number * 0.01)
            started = time.monotonic()
            with pytest.raises(quiver.CheckoutTimeout):
                client.get(origin.url + "/ok")
            seconds.append(time.monotonic() - started)

        with Stalls() as machine:
            run_callers("threads", 50, call)
        assert len(seconds) == 50 and min(seconds) >= 0.5 - 0.001
        assert max(seconds) < 0.5 + ON_TIME + TURNS * machine.longest, sorted(seconds)[-5:]
        for reply in held:
            reply.cancel()
        at_rest(client, origin)


def test_all_at_once_is_well_when_the_load_falls(client: quiver.Client, origin: Origin) -> None:
    """Callers that give up together leave nothing behind."""
    warm(client, origin)
    greenlets = [
        gevent.spawn(client.get, origin.url + "/hang", timeout=PATIENCE) for _ in range(2000)
    ]
    eventually(lambda: _yielding(client.stats(origin.url).queued == 2000 - SLOTS), "all wait")
    gevent.killall(greenlets)
    at_rest(client, origin)


def _yielding(met: bool) -> bool:
    gevent.sleep(0)
    return met


def occupy(client: quiver.Client, origin: Origin) -> list[Any]:
    """Have all slots taken by requests that the server holds."""
    pool = client.pool(origin.url)
    held = [pool.ask(quiver.Request("GET", "/hang"), block=False) for _ in range(SLOTS)]
    eventually(lambda: origin.requests_served("/hang") == SLOTS, "all slots are taken")
    return held
