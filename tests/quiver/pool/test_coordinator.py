"""HTTP3Pool over real sockets: each ask has one answer, in its turn and in its time."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pykka
import pytest

import quiver
from quiver.actors import log
from quiver.actors.actor import GeventActorRef
from quiver.actors.hub import Hub
from quiver.errors import (
    CheckoutTimeout,
    ConnectionRefused,
    InternalError,
    InvalidRequest,
    PoolStopped,
    QueueFull,
    RequestCancelled,
    RequestTimeout,
)
from quiver.models import GetConnections
from quiver.pool.connection import Connection
from quiver.pool.coordinator import OriginPool
from quiver.pool.messages import Returned, StartExchange
from quiver.testing import Origin
from tests.support.chaos.background_load import run_callers
from tests.support.waiting import until

PoolRef = GeventActorRef[OriginPool]
SINGLE = {"max_connections": 1, "max_streams_per_connection": 1}
MOST_INLINE = 29  # attributes of an object that CPython keeps without a dict, and finds at once
LATE = 3.0  # seconds that a loaded machine may add; what would end it otherwise comes later


@contextmanager
def running(origin: Origin, **options: Any) -> Iterator[PoolRef]:
    pool = quiver.HTTP3Pool.start(origin.url, cafile=origin.cafile, **options)
    try:
        yield pool
    finally:
        pool.stop()


@pytest.fixture
def single(origin: Origin) -> Iterator[PoolRef]:
    """A pool with one slot."""
    with running(origin, **SINGLE) as pool:
        yield pool


def get(pool: PoolRef, target: str, **limits: float) -> Any:
    return pool.ask(quiver.Request("GET", target, **limits), block=False)  # type: ignore[arg-type]


def occupy(pool: PoolRef, origin: Origin, seconds: float | None = None) -> Any:
    """Have the one slot taken by a request that the server holds."""
    target = "/hang" if seconds is None else f"/delay/{seconds}"
    reply = get(pool, target)
    until(lambda: origin.requests_served(target) == 1, what="the slot is taken")
    return reply


# one pool per origin ------------------------------------------------------------------------


def test_a_second_start_finds_the_first(origin: Origin) -> None:
    with running(origin) as pool:
        assert quiver.HTTP3Pool.start(origin.url) is pool
    with running(origin) as other:
        assert other is not pool


def test_stats_count_what_is_there(single: PoolRef, origin: Origin) -> None:
    assert single.ask(quiver.GetStats()) == quiver.Stats(0, 0, 0, 0)
    held = occupy(single, origin)
    waiting = get(single, "/ok")
    assert single.ask(quiver.GetStats()) == quiver.Stats(0, 1, 1, 1)
    held.cancel()
    assert waiting.get(timeout=5.0).status == 200
    idle = quiver.Stats(1, 0, 0, 1)
    until(lambda: single.ask(quiver.GetStats()) == idle, what="its slot is free")


# waiting ------------------------------------------------------------------------------------


def test_those_who_wait_go_in_their_order(single: PoolRef, origin: Origin) -> None:
    held = occupy(single, origin)
    replies = [get(single, f"/items/{number}") for number in range(20)]
    done: list[int] = []
    for number, reply in enumerate(replies):
        reply.when_done(lambda number=number: done.append(number))
    held.cancel()
    assert [reply.get(timeout=5.0).json()["id"] for reply in replies] == list(range(20))
    assert done == list(range(20)), "one slot: the server saw one after the other"


def test_a_full_queue_names_the_origin_and_the_limit(origin: Origin) -> None:
    with running(origin, **SINGLE, max_waiting=2) as pool:
        held = occupy(pool, origin)
        waiting = [get(pool, "/ok") for _ in range(2)]
        with pytest.raises(QueueFull, match=f"{origin.url}.*max_waiting=2"):
            pool.ask(quiver.Request("GET", "/ok"))
        held.cancel()
        assert [reply.get(timeout=5.0).status for reply in waiting] == [200, 200]


def test_asks_that_nobody_reads_are_bounded_too(single: PoolRef, origin: Origin) -> None:
    single.actor_inbox.limit = 0
    with pytest.raises(QueueFull, match=f"{origin.url}.*0 asks lie in the pool's inbox"):
        single.ask(quiver.Request("GET", "/ok"))


def test_a_checkout_timeout_is_in_time(origin: Origin) -> None:
    with running(origin, **SINGLE, checkout_timeout=0.3) as pool:
        held = occupy(pool, origin)
        started = time.monotonic()
        with pytest.raises(CheckoutTimeout, match=f"{origin.url}.*checkout_timeout=0.3"):
            pool.ask(quiver.Request("GET", "/ok"))
        assert 0.3 - 0.001 <= time.monotonic() - started < 0.3 + LATE
        assert not held.done, "it bounds the waiting, not the exchange"
        held.cancel()


def test_who_came_back_has_waited_before(origin: Origin) -> None:
    """The time between, on the connection that gave it back, is not counted."""
    with running(origin, **SINGLE, checkout_timeout=20.0) as pool:
        held = occupy(pool, origin)
        exchange = StartExchange(0, quiver.Request("GET", "/ok"), None, waited=19.7)
        started = time.monotonic()
        with pytest.raises(CheckoutTimeout):
            pool.ask(Returned(0, exchange, unused=False), timeout=10.0)
        assert time.monotonic() - started >= 0.3 - 0.001
        held.cancel()


@pytest.mark.long
def test_a_slot_is_free_before_its_caller_hears_of_it(origin: Origin) -> None:
    """So who asks again at once, through the only slot and without a queue, is never refused."""
    with running(origin, **SINGLE, max_waiting=0) as pool:
        for number in range(300):
            assert pool.ask(quiver.Request("GET", f"/items/{number}")).status == 200
            assert pool.ask(quiver.GetStats()).active == 0


def test_nobody_may_wait_but_for_the_dial(origin: Origin) -> None:
    with running(origin, **SINGLE, max_waiting=0) as pool:
        assert get(pool, "/ok").get(timeout=5.0).status == 200
        held = occupy(pool, origin)
        with pytest.raises(QueueFull, match="max_waiting=0"):
            pool.ask(quiver.Request("GET", "/ok"))
        held.cancel()


def test_the_requests_own_timeout_holds_in_the_queue(single: PoolRef, origin: Origin) -> None:
    held = occupy(single, origin)
    with pytest.raises(RequestTimeout, match=f"{origin.url}.*timeout=0.2 seconds"):
        get(single, "/ok", timeout=0.2).get(timeout=5.0)
    held.cancel()


# the future ---------------------------------------------------------------------------------


def test_time_in_the_inbox_counts(single: PoolRef) -> None:
    """A request's own time begins when it is asked for, also when the loop is busy just then: it is
    over when the loop comes to it, though there is room."""
    assert get(single, "/ok").get(timeout=20.0).status == 200  # else a handshake ends meanwhile
    busy = threading.Event()

    def block() -> None:
        busy.set()
        time.sleep(1.5)

    Hub.current().wakeup.call_soon(block)
    assert busy.wait(10.0)  # else a turn that goes on may take it before
    with pytest.raises(RequestTimeout):
        single.ask(quiver.Request("GET", "/ok", timeout=0.5))


def test_get_with_a_timeout_leaves_the_ask_open(single: PoolRef) -> None:
    reply = get(single, "/delay/2")  # who is stopped as its time is up is given half a second more
    with pytest.raises(pykka.Timeout):
        reply.get(timeout=0.01)
    assert reply.get(timeout=20.0).status == 200


class Moody(quiver.Request):
    """Nobody can tell whether it goes early, nor how long it waits."""

    def goes_early(self, pools: bool) -> bool:
        raise LookupError(pools)


def test_one_that_cannot_wait_is_refused_alone(single: PoolRef, origin: Origin) -> None:
    held, waiting = occupy(single, origin), get(single, "/ok")
    with pytest.raises(InternalError, match="LookupError"):
        single.ask(Moody("GET", "/ok"), timeout=10.0)
    assert single.ask(quiver.GetStats()) == quiver.Stats(0, 1, 1, 1)
    held.cancel()
    assert waiting.get(timeout=10.0).status == 200


def test_a_blocking_ask_that_times_out_gives_its_slot_back(single: PoolRef, origin: Origin) -> None:
    with pytest.raises(RequestTimeout, match=r"timeout=0\.3 seconds") as caught:
        single.ask(quiver.Request("GET", "/hang"), timeout=0.3)
    assert isinstance(caught.value, pykka.Timeout)
    assert single.ask(quiver.Request("GET", "/ok"), timeout=5.0).status == 200


def test_cancel_while_waiting_and_while_open(single: PoolRef, origin: Origin) -> None:
    held = occupy(single, origin)
    waiting, last = get(single, "/items/1"), get(single, "/items/2")
    assert waiting.cancel() and not waiting.cancel()
    assert held.cancel()
    for reply in (held, waiting):
        with pytest.raises(RequestCancelled):
            reply.get(timeout=5.0)
    assert last.get(timeout=5.0).status == 200
    assert origin.requests_served("/items/1") == 0, "it never left"


def test_await_and_its_cancellation(single: PoolRef, origin: Origin) -> None:
    async def ask() -> tuple[int, bool]:
        first = await get(single, "/ok")
        hanging = get(single, "/hang")

        async def wait() -> None:
            await hanging

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return first.status, hanging.cancelled

    assert asyncio.run(ask()) == (200, True)
    assert single.ask(quiver.Request("GET", "/ok"), timeout=5.0).status == 200


# what it is told ----------------------------------------------------------------------------


def test_a_request_may_be_told(single: PoolRef, origin: Origin) -> None:
    single.tell(quiver.Request("GET", "/ok?id=told"))
    until(lambda: origin.seen("told") == 1, what="it was sent")
    assert single.ask(quiver.Request("GET", "/ok"), timeout=5.0).status == 200


def test_a_wrong_message_is_the_askers_fault(
    single: PoolRef, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidRequest, match=r"a str is neither a quiver\.Request"):
        single.ask("nonsense")
    with caplog.at_level(logging.WARNING, logger="quiver.pool"):
        single.tell("nonsense")
        assert single.ask(quiver.Request("GET", "/ok"), timeout=5.0).status == 200
    log.flush(10.0)
    assert "a str is neither" in caplog.text


def test_an_absolute_url_must_be_of_its_origin(single: PoolRef, origin: Origin) -> None:
    request = quiver.Request("GET", f"{origin.url}/items/7")
    assert single.ask(request, timeout=5.0).json() == {"id": 7}
    with pytest.raises(InvalidRequest, match=r"https://other\.example is not the origin"):
        single.ask(quiver.Request("GET", "https://other.example/ok"))


# connections --------------------------------------------------------------------------------


def test_who_waits_gets_the_error_of_the_attempts_at_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    pool = quiver.HTTP3Pool.start(f"https://127.0.0.1:{port}", verify=False)
    started = time.monotonic()
    replies = [get(pool, "/ok") for _ in range(50)]
    for reply in replies:
        with pytest.raises(ConnectionRefused, match=f"https://127.0.0.1:{port}"):
            reply.get(timeout=5.0)
    assert time.monotonic() - started < LATE
    pool.stop()


def test_it_finds_a_server_that_comes_late(origin: Origin) -> None:
    origin.suspend()
    with running(origin) as pool:
        reply = get(pool, "/ok")
        with pytest.raises(pykka.Timeout):
            reply.get(timeout=0.3)
        origin.resume()
        assert reply.get(timeout=5.0).status == 200


# its end ------------------------------------------------------------------------------------


def test_stop_answers_who_waits_and_lets_the_open_ones_finish(origin: Origin) -> None:
    with running(origin, **SINGLE) as pool:
        held = occupy(pool, origin, 0.5)
        waiting = [get(pool, "/ok") for _ in range(5)]
        pool.stop()
        assert held.get(timeout=0.1).status == 200
        for reply in waiting:
            with pytest.raises(PoolStopped, match=origin.url):
                reply.get(timeout=0.1)
    with pytest.raises(PoolStopped, match=f"{origin.url}.*start another") as caught:
        pool.ask(quiver.Request("GET", "/ok"))
    assert isinstance(caught.value, pykka.ActorDeadError)


def test_what_does_not_finish_is_ended(origin: Origin) -> None:
    with running(origin, **SINGLE, shutdown_timeout=0.2) as pool:
        held = occupy(pool, origin)
        started = time.monotonic()
        pool.stop()
        assert time.monotonic() - started < LATE
        with pytest.raises(PoolStopped, match=origin.url):
            held.get(timeout=0.1)
    until(lambda: origin.connections_open() == 0, what="the server was told")


def test_a_pool_stopped_while_it_shakes_hands(origin: Origin) -> None:
    origin.suspend()
    with running(origin) as pool:
        replies = [get(pool, "/ok") for _ in range(5)]
        stats = pool.ask(quiver.GetStats())
        assert (stats.queued, stats.connections) == (5, 2)
        started = time.monotonic()
        pool.stop()
        assert time.monotonic() - started < LATE
        for reply in replies:
            with pytest.raises(PoolStopped):
                reply.get(timeout=0.1)
    assert not pool.is_alive()


# all together -------------------------------------------------------------------------------


@pytest.mark.long
def test_whatever_callers_do_every_slot_comes_back(origin: Origin) -> None:
    with running(origin, max_connections=2, max_streams_per_connection=3) as pool:
        outcomes: list[str] = []

        def caller(number: int) -> None:
            chance = random.Random(number)
            for turn in range(30):
                target = chance.choice(["/ok", "/delay/0.01", "/hang"])
                reply = get(pool, f"{target}?id={number}-{turn}", timeout=0.3)
                if chance.random() < 0.4:
                    reply.cancel()
                try:
                    outcomes.append(str(reply.get(timeout=10.0).status))
                except quiver.QuiverError as error:
                    outcomes.append(type(error).__name__)

        run_callers("threads", 20, caller)
        assert len(outcomes) == 600
        assert set(outcomes) == {"200", "RequestCancelled", "RequestTimeout"}
        assert set(origin.seen_ids().values()) == {1}
        until(lambda: pool.ask(quiver.GetStats()).active == 0, what="nothing is lent")
        assert pool.ask(quiver.GetStats()).queued == 0
        listed = pool.ask(GetConnections())
        assert [each.active for each in listed] == [0] * len(listed) != []


def test_the_actors_of_each_request_have_no_dict(single: PoolRef) -> None:
    get(single, "/ok").get(timeout=LATE)
    actors = Hub.current()._dispatcher.residents()
    [pool] = [each for each in actors if isinstance(each, OriginPool) and each.actor_ref == single]
    connections = [each for each in actors if isinstance(each, Connection)]
    [connection] = [each for each in connections if each.actor_ref in pool._connections.values()]
    for each in (pool, connection):  # others may live: those of the default client do
        assert len(vars(each)) <= MOST_INLINE, each
