"""ExchangeRunner: begun, fed, ended and contained, without a socket and without an actor."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from quiver.actors.reply import Reply
from quiver.actors.timers import Timers
from quiver.config import PoolConfig
from quiver.errors import (
    ConnectDisabled,
    ConnectionLost,
    GoAway,
    InternalError,
    RequestTimeout,
    StreamReset,
)
from quiver.h3 import events
from quiver.models import Handshake, Response
from quiver.origin import Origin
from quiver.pool.exchange_runner import MAX_FAILURES, ExchangeRunner
from quiver.pool.liveness import Liveness
from quiver.pool.messages import StartExchange
from quiver.pool.reports import ConnectionReport
from quiver.pool.target import PoolTarget
from quiver.request import OpenChannel, Request, StreamRequest

ORIGIN = Origin.parse("https://a.example")
GET = Request("GET", "/")
CHANNEL = OpenChannel("CONNECT", "/", protocol="echo")


class FakeConnection:
    """Takes what it is given; what it is told to do is in `done`."""

    def __init__(self) -> None:
        self.next_stream_id = 0
        self.handshake = Handshake("1", "h3", "", None, 30.0, 100, 0)
        self.done: list[tuple[Any, ...]] = []
        self.broken: BaseException | None = None

    def check_section(self, fields: Any) -> None: ...

    def open_request(self, fields: Any, body: Any, ended: bool, window: Any) -> int:
        if self.broken is not None:
            raise self.broken
        self.next_stream_id += 4
        return self.next_stream_id - 4

    def cancel(self, stream_id: int, code: int) -> None:
        self.done.append(("cancel", stream_id, code))

    def consumed(self, stream_id: int, size: int) -> None:
        self.done.append(("consumed", stream_id, size))

    def max_datagram_size(self, stream_id: int) -> int:
        return 0

    def unacknowledged(self, stream_id: int) -> int:
        return 0

    def send_body(self, stream_id: int, content: bytes, ended: bool) -> None:
        self.done.append(("send_body", stream_id, content, ended))

    def abort_body(self, stream_id: int, code: int) -> None:
        self.done.append(("abort_body", stream_id, code))


class FakeTransport:
    def __init__(self) -> None:
        self.http = FakeConnection()


@attrs.define
class FakeOwner:
    """What it was told, in order."""

    told: list[tuple[Any, ...]] = attrs.Factory(list)

    def occurred(self, event: events.Event) -> None:
        self.told.append(("occurred", event))

    def released(self, tickets: tuple[int, ...]) -> None:
        self.told.append(("released", *tickets))

    def returned(self, exchange: StartExchange, reply: Reply[Any], *, unused: bool) -> None:
        self.told.append(("returned", exchange.ticket, exchange.attempts, unused))

    def check_idle(self) -> None:
        self.told.append(("check_idle",))

    def withdraw(self, reason: str) -> None:
        self.told.append(("withdraw", reason))


class Stand:
    """A runner with its neighbours."""

    def __init__(self, **options: Any) -> None:
        self.owner, transport = FakeOwner(), FakeTransport()
        self.http, self.liveness = transport.http, Liveness()
        target = PoolTarget(ORIGIN, PoolConfig.build(ORIGIN, **options))
        stand: Any = transport
        self.runner = ExchangeRunner(
            self.owner,
            target,
            stand,
            self.liveness,
            Timers(lambda _: None),
            ConnectionReport(target.name, 1),
            lambda _: None,
        )

    def start(self, request: Request = GET, ticket: int = 7, **more: Any) -> Reply[Any]:
        reply: Reply[Any] = Reply()
        self.runner.start(StartExchange(ticket, request, None, **more), reply)
        return reply

    def feed(self, *happened: events.Event) -> None:
        self.runner.feed(happened, 1.0)


@pytest.fixture
def stand() -> Stand:
    return Stand()


def outcome(reply: Reply[Any]) -> Any:
    assert reply.done
    return reply.outcome


def test_a_response_is_answered_after_its_slot_is_released(stand: Stand) -> None:
    reply = stand.start()
    assert stand.runner.busy and not reply.done
    assert stand.liveness.began_at > 0.0
    stand.liveness.pings = 3
    stand.feed(events.Headers(0, 200, [], False), events.Body(0, b"x", True))
    assert outcome(reply) == Response(200, [], b"x", [])
    assert stand.owner.told == [("released", 7), ("check_idle",)]
    assert stand.liveness.pings == 0
    assert not stand.runner.busy


def test_those_that_end_together_are_released_together(stand: Stand) -> None:
    replies = [stand.start(ticket=ticket) for ticket in (1, 2)]
    stand.feed(events.Headers(0, 200, [], True), events.Headers(4, 204, [], True))
    assert [outcome(each).status for each in replies] == [200, 204]
    assert stand.owner.told == [("released", 1, 2), ("check_idle",)]


def test_what_concerns_the_connection_is_passed_on_in_its_turn(stand: Stand) -> None:
    stand.start()
    room, goodbye = events.CapacityChanged(9), events.GoAwayReceived(4)
    stand.feed(events.Headers(0, 200, [], True), room, goodbye)
    passed_on = [("occurred", room), ("occurred", goodbye)]
    assert stand.owner.told == [("released", 7), ("check_idle",), *passed_on]


def test_what_a_request_raises_is_its_own_end(stand: Stand) -> None:
    neighbour = stand.start(ticket=1)
    stand.http.broken = LookupError("odd")
    error = outcome(stand.start(ticket=2))
    assert isinstance(error, InternalError)
    assert isinstance(error.__cause__, LookupError)
    assert ("returned", 2, 0, True) in stand.owner.told, "no stream was opened for it"
    assert not neighbour.done
    stand.feed(events.Headers(0, 200, [], True))
    assert outcome(neighbour).status == 200


def test_failures_in_a_row_raise_doubts_and_an_answer_ends_them(stand: Stand) -> None:
    def fail() -> None:
        stand.http.broken = LookupError("odd")
        stand.start(ticket=9)
        stand.http.broken = None

    for _ in range(MAX_FAILURES - 1):
        fail()
    stand.start(ticket=1)
    stand.feed(events.Headers(0, 200, [], True))
    for _ in range(MAX_FAILURES - 1):
        fail()
    failing = ("withdraw", "it fails its requests")
    assert failing not in stand.owner.told
    fail()
    assert failing in stand.owner.told


def test_a_refused_request_goes_back_once(stand: Stand) -> None:
    first, again = stand.start(ticket=1), stand.start(ticket=2, attempts=1)
    stand.feed(events.StreamResetReceived(0, 0x10B), events.StreamResetReceived(4, 0x10B))
    assert ("returned", 1, 1, False) in stand.owner.told
    assert not first.done
    assert isinstance(outcome(again), StreamReset)


def test_goaway_sends_back_what_was_not_acted_on() -> None:
    stand = Stand(max_connections=2)
    kept, back, over = (stand.start(ticket=each, attempts=each) for each in (0, 1, 2))
    stand.runner.goaway(4)
    assert ("returned", 1, 2, False) in stand.owner.told
    assert not (kept.done or back.done)
    assert isinstance(outcome(over), GoAway)


def test_a_channel_waits_for_settings(stand: Stand) -> None:
    reply = stand.start(CHANNEL)
    assert stand.runner.busy and stand.http.next_stream_id == 0
    stand.runner.settle(events.Settings(connect=True, datagrams=False))
    assert stand.http.next_stream_id == 4
    outcome(reply).close()


def test_one_that_the_server_does_not_take_is_told_and_goes_back(stand: Stand) -> None:
    reply = stand.start(CHANNEL)
    stand.runner.settle(events.Settings(connect=False, datagrams=False))
    assert isinstance(outcome(reply), ConnectDisabled)
    assert stand.owner.told == [("returned", 7, 0, True)]
    assert not stand.runner.busy


def test_one_that_has_waited_too_long_is_told_and_goes_back(stand: Stand) -> None:
    late, back = stand.start(CHANNEL, ticket=1), stand.start(CHANNEL, ticket=2)
    stand.runner.waiting.turn_away(1, ConnectionLost("late", origin="https://a.example"))
    stand.runner.waiting.turn_away_all()
    assert isinstance(outcome(late), ConnectionLost)
    assert not back.done, "the pool carries it on"
    assert stand.owner.told == [("returned", 1, 0, True), ("returned", 2, 0, True)]


def test_a_reader_s_credit_goes_to_the_server(stand: Stand) -> None:
    reply = stand.start(StreamRequest("GET", "/"))
    stand.feed(events.Headers(0, 200, [], False), events.Body(0, b"x" * 10, False))
    response = outcome(reply)
    assert next(iter(response)) == b"x" * 10
    stand.runner.read_on(7)
    assert ("consumed", 0, 10) in stand.http.done
    stand.runner.give_up(7)
    assert ("cancel", 0, 0x10C) in stand.http.done


def test_time_ends_an_exchange_and_says_whether_the_server_may_be_why() -> None:
    stand = Stand(timeout=1.0)
    reply: Reply[Any] = Reply()
    stand.runner.start(StartExchange(7, GET, 5.0), reply)
    assert not stand.runner.sweep(4.9)
    assert stand.runner.sweep(5.1)
    assert isinstance(outcome(reply), RequestTimeout)
    assert ("cancel", 0, 0x10C) in stand.http.done


def test_nobody_is_left_when_the_connection_is_lost_or_the_actor_ends(stand: Stand) -> None:
    lost, waiting = stand.start(ticket=1), stand.start(CHANNEL, ticket=2)
    stand.runner.lost(ConnectionLost("gone", origin="https://a.example"))
    assert isinstance(outcome(lost), ConnectionLost)
    left = stand.start(ticket=3)
    stand.runner.fail_all(ConnectionLost("ended", origin="https://a.example"))
    assert [outcome(each).message for each in (left, waiting)] == ["ended", "ended"]
