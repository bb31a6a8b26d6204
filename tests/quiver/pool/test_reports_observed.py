"""An observer of requests: what it is told, in which thread, and that it harms nobody."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import attrs
import pytest

import quiver
from quiver import telemetry
from quiver.actors.reply import Reply
from quiver.errors import CheckoutTimeout
from quiver.pool.reports import ask_observed
from quiver.testing import Authority, Origin
from tests.support.memory import uncollected
from tests.support.waiting import until


@attrs.define
class Seen:
    """An observation that notes what it is told, and by which thread."""

    origin: str
    request: quiver.Request
    told: list[tuple[str, Any, int]] = attrs.field(factory=list)

    def answered(self, answer: Any) -> None:
        self.told.append(("answered", type(answer).__name__, threading.get_ident()))

    def ended(self, error: BaseException | None) -> None:
        self.told.append(("ended", error, threading.get_ident()))

    @property
    def steps(self) -> list[tuple[str, Any]]:
        return [(step, what) for step, what, _ in self.told]


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture
def observed() -> Iterator[list[Seen]]:
    seen: list[Seen] = []

    def begin(origin: str, request: quiver.Request) -> Seen:
        seen.append(Seen(origin, request))
        return seen[-1]

    telemetry.observe(begin)
    yield seen
    assert telemetry.unobserve(begin)


def test_in_the_callers_thread(observed: list[Seen], client: quiver.Client, origin: Origin) -> None:
    client.get(origin.url + "/ok")
    (seen,) = observed
    assert (seen.origin, seen.request.target) == (origin.url, "/ok")
    assert seen.steps == [("answered", "Response"), ("ended", None)]
    assert {thread for *_, thread in seen.told} == {threading.get_ident()}


def test_an_error(observed: list[Seen], client: quiver.Client, origin: Origin) -> None:
    with pytest.raises(quiver.StreamReset) as caught:
        client.get(origin.url + "/reset/0x102")
    assert observed[0].steps == [("ended", caught.value)]


def test_an_ask_of_a_pool_that_is_stopped(
    observed: list[Seen], client: quiver.Client, origin: Origin
) -> None:
    pool: Any = client.pool(origin.url)
    client.close()
    reply = pool.ask(quiver.Request("GET", "/ok"), block=False)
    with pytest.raises(quiver.PoolStopped) as caught:
        reply.get(timeout=5.0)
    assert observed[0].steps == [("ended", caught.value)]


def test_an_observer_may_leave_a_request_alone(client: quiver.Client, origin: Origin) -> None:
    begun: list[str] = []

    def begin(_: str, request: quiver.Request) -> None:
        begun.append(request.target)

    telemetry.observe(begin)
    try:
        assert client.get(origin.url + "/ok").status == 200
        assert len(client.stream("GET", origin.url + "/bytes/10").read()) == 10
    finally:
        assert telemetry.unobserve(begin)
    assert begun == ["/ok", "/bytes/10"]


def test_other_messages_are_not_observed(
    observed: list[Seen], client: quiver.Client, origin: Origin
) -> None:
    assert client.pool(origin.url).ask(quiver.GetStats()).queued == 0
    assert observed == []


def test_a_stream_ends_once_however_often_it_is_closed(
    observed: list[Seen], client: quiver.Client, origin: Origin
) -> None:
    with client.stream("GET", origin.url + "/bytes/10") as response:
        assert len(response.read()) == 10
        response.close()
    del response
    assert observed[0].steps == [("answered", "StreamedResponse"), ("ended", None)]
    assert observed[0].told[-1][-1] == threading.get_ident()


def test_what_nobody_holds_ends_in_the_loop(
    observed: list[Seen], client: quiver.Client, origin: Origin
) -> None:
    """The collector may come while its thread holds a lock that the observer wants."""
    channel = client.open_channel(origin.url + "/hang", method="GET")
    assert isinstance(channel, quiver.Channel)
    del channel
    until(lambda: len(observed[0].told) == 2)
    assert observed[0].steps == [("answered", "Channel"), ("ended", None)]
    assert observed[0].told[-1][-1] != threading.get_ident()


def test_one_that_fails_to_begin(
    client: quiver.Client, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(origin: str, request: quiver.Request) -> Any:
        raise RuntimeError("its own fault")

    telemetry.observe(fails)
    try:
        assert client.get(origin.url + "/ok").status == 200
    finally:
        assert telemetry.unobserve(fails)
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == [
        "its own fault"
    ]


def test_one_that_fails_later(
    client: quiver.Client, origin: Origin, caplog: pytest.LogCaptureFixture
) -> None:
    class Fails(Seen):
        def answered(self, answer: Any) -> None:
            raise RuntimeError("at the answer")

        def ended(self, error: BaseException | None) -> None:
            raise RuntimeError("at the end")

    telemetry.observe(Fails)
    try:
        assert client.get(origin.url + "/ok").status == 200
        assert client.stream("GET", origin.url + "/ok").read() == b"ok"
        reply: Any = client.pool(origin.url).ask(quiver.Request("GET", "/ok"), block=False)
        assert reply.get(timeout=5.0).status == 200
        until(lambda: len(caplog.records) == 6)
    finally:
        assert telemetry.unobserve(Fails)
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
    said = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert said == ["at the answer", "at the end"] * 3


def test_a_reply_that_was_observed_is_freed_when_nobody_holds_it() -> None:
    with uncollected():
        request = quiver.Request("GET", "/")
        reply = ask_observed(Seen, "https://a.example", request, lambda _: Reply[None]())
        reply.fail(CheckoutTimeout("too late", origin="https://a.example"))
        memory = weakref.ref(reply)
        del reply
        assert memory() is None


def test_there_is_one_observer(observed: list[Seen]) -> None:
    with pytest.raises(ValueError, match="observes already"):
        telemetry.observe(Seen)
    assert not telemetry.unobserve(Seen)
