"""More callers than slots: served in their order, refused by name, in time; then all is well."""

from __future__ import annotations

import gc
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
from quiver.pool.http_pool import HTTPPool
from quiver.pool.routing import RoutingTable
from quiver.testing import Origin
from tests.support.chaos.background_load import CallerKind, run_callers
from tests.support.memory import MIB, bounded
from tests.support.run_queue_delay import run_queue_delay
from tests.support.waiting import until

SLOTS = 100
ON_TIME = 0.1  # seconds after a deadline, of those in which the machine let us run
WAIT = 2.0  # seconds that a crowd waits in vain
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
    assert client.get(origin.url + "/ok", timeout=PATIENCE / 2).status == 200
    until(lambda: _rests(client.stats(origin.url)), what=f"at rest: {client.stats(origin.url)}")


def _rests(stats: Stats) -> bool:
    # Idle is what the server's credit allows now; it grants more as streams are used.
    return (stats.active, stats.queued, stats.connections) == (0, 0, 1) and stats.idle > 0


class Decisions:
    """What the coordinator did for whom and when, by its own clock."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.forwarded: list[str] = []
        self.decided: list[float] = []  # seconds from a deadline to the sweep that saw it
        self.answered: list[float] = []  # and to the moment in which the Reply was answered
        self.thread = 0  # in which it decides
        self._patch = patch
        self._now = 0.0
        self._wrap(RoutingTable, "sweep", self._swept)
        self._wrap(HTTPPool, "_reject", self._rejected)
        self._wrap(HTTPPool, "_forward", self._forwarded)

    def _wrap(self, owner: type, name: str, look: Callable[..., Callable[[], None] | None]) -> None:
        plain = getattr(owner, name)

        def wrapped(it: Any, *args: Any) -> Any:
            afterwards = look(it, *args)
            done = plain(it, *args)
            if afterwards is not None:
                afterwards()
            return done

        self._patch.setattr(owner, name, wrapped)

    def _swept(self, _: RoutingTable, now: float) -> None:
        self._now = now

    def _rejected(self, pool: HTTPPool, rejected: Reject) -> Callable[[], None]:
        ask = pool._asks[rejected.ticket]
        due = ask.limits(pool._config).until(connected=True)
        assert due is not None
        decided = self._now - due

        def answered() -> None:
            if ask.reply.done:  # else the loop was kept from its turn, and it waits on for as long
                self.decided.append(decided)
                self.answered.append(time.monotonic() - due)

        return answered

    def _forwarded(self, pool: HTTPPool, ticket: int, _: int) -> None:
        self.thread = threading.get_native_id()
        self.forwarded.append(pool._asks[ticket].request.target)


@pytest.mark.long
@pytest.mark.one_in(2)
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
        until(lambda: sum(reply.done for reply in replies) == 1500, what="1500 are refused")
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


@pytest.fixture
def fresh() -> Iterator[None]:
    """What other tests have left is not to be looked through whenever garbage is collected."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.one_in(2)
@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("kind", CROWDS)
def test_a_crowd_that_waits_in_vain_is_told_in_time(
    kind: CallerKind, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the sweep decides, when it answers, and when the caller is awake, by his own clock."""
    decisions = Decisions(monkeypatch)
    callers = CROWDS[kind]
    with client_of(origin, checkout_timeout=WAIT, max_waiting=callers) as client:
        warm(client, origin)
        held = occupy(client, origin)
        told: Counter[str] = Counter()
        awake: list[float] = []
        paused: list[float] = []

        def call(number: int) -> None:
            watched = kind == "threads" or number % 100 == 0  # greenlets share one thread
            before = run_queue_delay() if watched else 0.0
            due = time.monotonic() + WAIT
            try:
                client.get(origin.url + "/ok")
            except quiver.CheckoutTimeout as error:
                awake.append(time.monotonic() - due)
                told[str(error)] += 1
            if watched:
                paused.append(run_queue_delay() - before)

        before = run_queue_delay(decisions.thread)
        run_callers(kind, callers, call)
        machine = max(paused) + run_queue_delay(decisions.thread) - before
        assert len(decisions.decided) == len(decisions.answered) == len(awake) == callers
        [said] = told
        assert f"checkout_timeout={WAIT}" in said
        moments = {"decided": decisions.decided, "answered": decisions.answered, "awake": awake}
        late = {moment: round(max(seconds), 3) for moment, seconds in moments.items()}
        print(f"{callers} {kind} at most late: {late}; kept from running for {machine:.3f} s")
        assert max(late.values()) < ON_TIME + machine
        assert origin.requests_served("/ok") == 1, "nothing was sent for them"
        for reply in held:
            reply.cancel()
        at_rest(client, origin)


def test_a_moderate_load_hears_of_its_timeouts_in_time(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    decisions = Decisions(monkeypatch)
    with client_of(origin, checkout_timeout=0.5) as client:
        warm(client, origin)
        held = occupy(client, origin)
        seconds: list[float] = []
        paused: list[float] = []

        def call(number: int) -> None:
            time.sleep(number * 0.01)
            before, started = run_queue_delay(), time.monotonic()
            with pytest.raises(quiver.CheckoutTimeout):
                client.get(origin.url + "/ok")
            seconds.append(time.monotonic() - started)
            paused.append(run_queue_delay() - before)

        before = run_queue_delay(decisions.thread)
        run_callers("threads", 50, call)
        machine = max(paused) + run_queue_delay(decisions.thread) - before
        assert len(seconds) == 50 and min(seconds) >= 0.5 - 0.001
        assert max(seconds) < 0.5 + ON_TIME + machine, sorted(seconds)[-5:]
        for reply in held:
            reply.cancel()
        at_rest(client, origin)


def test_all_at_once_is_well_when_the_load_falls(client: quiver.Client, origin: Origin) -> None:
    """Callers that give up together leave nothing behind."""
    warm(client, origin)
    greenlets = [
        gevent.spawn(client.get, origin.url + "/hang", timeout=PATIENCE) for _ in range(2000)
    ]
    until(lambda: _yielding(client.stats(origin.url).queued == 2000 - SLOTS), what="all wait")
    gevent.killall(greenlets)
    at_rest(client, origin)


def _yielding(met: bool) -> bool:
    gevent.sleep(0)
    return met


def occupy(client: quiver.Client, origin: Origin) -> list[Any]:
    """Have all slots taken by requests that the server holds."""
    pool = client.pool(origin.url)
    held = [pool.ask(quiver.Request("GET", "/hang"), block=False) for _ in range(SLOTS)]
    until(lambda: origin.requests_served("/hang") == SLOTS, what="all slots are taken")
    return held
