"""What a pool at work tells to telemetry: every start has its end."""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

import quiver
from quiver import telemetry
from quiver.actors.reply import Reply
from quiver.errors import CheckoutTimeout
from quiver.models import Stats
from quiver.pool.reports import QueueReport, observe_request
from quiver.testing import Origin
from tests.support.memory import uncollected
from tests.support.waiting import until

Event = tuple[str, dict[str, Any], dict[str, Any]]


@pytest.fixture
def heard() -> Iterator[list[Event]]:
    events: list[Event] = []
    telemetry.attach("test", telemetry.EVENTS, lambda *event: events.append(event))
    yield events
    telemetry.detach("test")


def test_a_pool_from_start_to_stop(origin: Origin, heard: list[Event]) -> None:
    pool = quiver.HTTP3Pool.start(
        origin.url,
        cafile=origin.cafile,
        max_connections=1,
        max_streams_per_connection=1,
        checkout_timeout=0.2,
    )
    slow = pool.ask(quiver.Request("GET", "/delay/3", checkout_timeout=30.0), block=False)
    until(lambda: origin.requests_served() == 1, what="it is open")
    with pytest.raises(CheckoutTimeout):
        pool.ask(quiver.Request("GET", "/ok"))
    assert slow.get(timeout=30.0).status == 200
    pool.tell(quiver.Request("GET", "/items/3"))
    until(lambda: origin.requests_served() == 2, what="the told one is there")
    pool.stop()

    def found(name: str) -> list[Event]:
        return [event for event in heard if event[0] == name]

    until(lambda: found("connection.stop"), what="the connection is down")
    assert Counter(name for name, _, _ in heard if name != "queue.depth") == {
        "request.start": 3,
        "request.stop": 2,
        "request.exception": 1,
        "connection.start": 1,
        "connection.attempt": 1,
        "connection.ready": 1,
        "connection.settings": 1,
        "connection.draining": 1,
        "connection.stop": 1,
    }
    stopped = {metadata["target"]: (m, metadata) for _, m, metadata in found("request.stop")}
    measured, metadata = stopped["/delay/3"]
    assert 3.0 <= measured["duration"] < 60.0
    assert metadata == {
        "origin": origin.url,
        "method": "GET",
        "target": "/delay/3",
        "status": 200,
    }
    ((_, _, failed),) = found("request.exception")
    assert failed["kind"] == "transient" and isinstance(failed["error"], CheckoutTimeout)
    ((_, ready, _),) = found("connection.ready")
    assert ready["max_streams"] == origin.options.max_streams
    ((_, whole, _),) = found("connection.stop")
    assert whole["requests"] == 2
    depths = [measured["queued"] for _, measured, _ in found("queue.depth")]
    assert depths[0] == 1 and depths[-1] == 0


def test_the_depth_is_told_when_it_has_changed(heard: list[Event]) -> None:
    report = QueueReport("https://a.example")
    for queued in (0, 2, 2, 0, 0):
        report.update(Stats(idle=1, active=3, queued=queued, connections=1))
    told = [(measurements, metadata) for _, measurements, metadata in heard]
    assert told == [
        ({"queued": queued, "active": 3, "idle": 1}, {"origin": "https://a.example"})
        for queued in (2, 0)
    ]


@pytest.mark.usefixtures("heard")
def test_a_reply_that_was_told_of_is_freed_when_nobody_holds_it() -> None:
    with uncollected():
        reply: Reply[Any] = Reply()
        observe_request("https://a.example", quiver.Request("GET", "/"), reply, 0.0)
        reply.fail(CheckoutTimeout("too late", origin="https://a.example"))
        memory = weakref.ref(reply)
        del reply
        assert memory() is None


def test_a_listener_that_fails_harms_no_request(origin: Origin) -> None:
    called = threading.Event()

    def fail(*event: object) -> None:
        called.set()
        raise RuntimeError("the listener's own fault")

    telemetry.attach("bad", telemetry.EVENTS, fail)
    pool = quiver.HTTP3Pool.start(origin.url, cafile=origin.cafile)
    assert pool.ask(quiver.Request("GET", "/ok"), timeout=5.0).status == 200
    assert called.is_set()
    pool.stop()
