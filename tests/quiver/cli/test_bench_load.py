"""The load that `quiver bench` makes: how many, how fast, how many at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver.cli.bench_load import Load, Plan
from quiver.testing import Asked, Authority, LocalOrigin, Reset
from tests.support.waiting import until


@pytest.fixture
def local(authority: Authority) -> Iterator[LocalOrigin]:
    with LocalOrigin(authority=authority) as started:
        yield started


@pytest.fixture
def client(local: LocalOrigin) -> Iterator[quiver.Client]:
    with quiver.Client(pools={"default": {"cafile": local.cafile, "max_connections": 1}}) as made:
        yield made


def plan(url: str, **options: Any) -> Plan:
    given = {"concurrency": 4, "requests": 20, "threads": 2, "rate": None, **options}
    return Plan("GET", url, [("x-tag", "t")], None, **given)


@pytest.mark.parametrize(("concurrency", "threads"), [(1, 1), (5, 1), (5, 3), (8, 8)])
def test_each_request_is_made_once(
    local: LocalOrigin, client: quiver.Client, concurrency: int, threads: int
) -> None:
    asked = plan(local.url + "/ok", concurrency=concurrency, threads=threads, requests=57)
    with Load(client, asked) as load:
        load.wait(20)
        assert not load.running
    assert load.asked == load.answered == local.requests_served("/ok") == 57
    assert load.statuses == {200: 57}
    assert load.size == 57 * 2
    assert len(load.corrected) == 57
    assert list(load.corrected) == list(load.service)  # no rate: due when sent
    assert load.rate == pytest.approx(57 / load.seconds)


def test_never_more_in_flight_than_told(local: LocalOrigin, client: quiver.Client) -> None:
    here, most = [], []
    gate = threading.Barrier(3, timeout=10)

    @local.route("/counted")
    def counted(asked: Asked) -> str | None:
        here.append(asked)
        gate.wait()  # until three are here
        most.append(len(here))
        gate.wait()
        here.pop()
        gate.wait()
        return asked.header("x-tag")

    with Load(client, plan(local.url + "/counted", concurrency=3, requests=12)) as load:
        load.wait(20)
    assert most == [3] * 12
    assert load.answered == 12


def test_errors_are_counted_and_the_others_answered(
    local: LocalOrigin, client: quiver.Client
) -> None:
    turns = iter(range(20))
    local.route("/some")(lambda asked: Reset(0x102) if next(turns) % 4 == 0 else (404, {}, b"no"))
    with Load(client, plan(local.url + "/some", concurrency=1, threads=1)) as load:
        load.wait(20)
    assert load.errors == {quiver.StreamReset: 5}
    assert load.statuses == {404: 15}
    assert (load.asked, load.answered) == (20, 15)


def test_a_rate_is_kept(local: LocalOrigin, client: quiver.Client) -> None:
    started = time.perf_counter()
    with Load(client, plan(local.url + "/ok", requests=50, rate=100.0, concurrency=20)) as load:
        load.wait(20)
    assert time.perf_counter() - started >= 0.49  # the last is due after 0.49 seconds
    assert load.answered == 50


def test_a_stall_shows_in_all_that_were_due(local: LocalOrigin, client: quiver.Client) -> None:
    """One caller, 100 a second, the fifth answer takes half a second."""
    turns = iter(range(60))

    @local.route("/stalls")
    def stalls(asked: Asked) -> bytes:
        if next(turns) == 5:
            time.sleep(0.5)
        return b""

    asked = plan(local.url + "/stalls", requests=60, rate=100.0, concurrency=1, threads=1)
    with Load(client, asked) as load:
        load.wait(20)
    assert max(load.service) >= 0.5
    late = sum(latency > 0.2 for latency in load.corrected)
    assert late >= 29  # as many were due in the stall's first 0.3 seconds
    pairs = zip(load.corrected, load.service, strict=True)
    assert all(corrected >= service for corrected, service in pairs)


def test_an_interrupted_load_asks_no_more(local: LocalOrigin, client: quiver.Client) -> None:
    asked = plan(local.url + "/ok", requests=1_000_000)
    with pytest.raises(KeyboardInterrupt), Load(client, asked) as load:
        until(lambda: load.answered > 10)
        raise KeyboardInterrupt
    assert not load.running
    assert load.asked == load.answered < 1_000_000


def test_a_wait_that_is_interrupted_loses_no_answer(
    local: LocalOrigin, client: quiver.Client
) -> None:
    waiting, interrupted = threading.Event(), threading.Event()
    here = threading.get_ident()

    @local.route("/interrupts")
    def interrupts(asked: Asked) -> bytes:
        waiting.wait(10)
        signal.pthread_kill(here, signal.SIGINT)
        interrupted.wait(10)
        return b""

    asked = plan(local.url + "/interrupts", requests=1, concurrency=1, threads=1)
    with Load(client, asked) as load:
        with pytest.raises(KeyboardInterrupt):
            waiting.set()
            load.wait(20)
        assert load.running
        interrupted.set()
    assert (load.asked, load.answered) == (1, 1)


def test_a_second_interrupt_leaves_what_is_open(local: LocalOrigin, client: quiver.Client) -> None:
    held, released = threading.Event(), threading.Event()
    here = threading.get_ident()

    @local.route("/held")
    def hold(asked: Asked) -> bytes:
        held.set()
        released.wait(10)
        return b""

    def interrupt() -> None:
        until(lambda: load._stopped)
        signal.pthread_kill(here, signal.SIGINT)

    asked = plan(local.url + "/held", requests=1, concurrency=1, threads=1)
    with pytest.raises(KeyboardInterrupt), Load(client, asked) as load:
        until(held.is_set)
        threading.Thread(target=interrupt).start()
    assert (load.asked, load.answered) == (1, 0)
    released.set()
    until(lambda: not load.running)


def test_an_interrupt_does_not_wait_for_what_is_due_later(
    local: LocalOrigin, client: quiver.Client
) -> None:
    asked = plan(local.url + "/ok", requests=1000, rate=0.01)
    started = time.perf_counter()
    with Load(client, asked) as load:
        until(lambda: load.answered == 1)
    assert time.perf_counter() - started < 50  # the next is due after 100
    assert not load.running
