"""WaitingChannels: what a channel needs is known before it is opened, or it goes back."""

from __future__ import annotations

import time
from typing import Any

import pytest

from quiver.actors.reply import Reply
from quiver.config import PoolConfig
from quiver.errors import ConnectDisabled, DatagramsDisabled, PoolStopped, ReceiveTimeout
from quiver.h3 import events
from quiver.origin import Origin
from quiver.pool.messages import StartExchange
from quiver.pool.target import PoolTarget
from quiver.pool.waiting_channels import WaitingChannels
from quiver.request import OpenChannel

ORIGIN = Origin.parse("https://a.example")
LATE = ReceiveTimeout("late", origin="https://a.example")


class FakeTimers:
    def __init__(self) -> None:
        self.set: dict[object, float] = {}

    def start(self, key: object, seconds: float) -> None:
        self.set[key] = seconds

    def cancel(self, key: object) -> None:
        self.set.pop(key, None)


class Stand:
    def __init__(self, **options: Any) -> None:
        self.timers, self.returned = FakeTimers(), list[int]()
        timers: Any = self.timers
        target = PoolTarget(ORIGIN, PoolConfig.build(ORIGIN, **options))
        self.waiting = WaitingChannels(target, timers, self.take_back)

    def take_back(self, exchange: StartExchange, _: object, *, unused: bool) -> None:
        assert unused
        self.returned.append(exchange.ticket)

    def add(self, ticket: int, deadline: float | None = None, **options: Any) -> Reply[Any]:
        reply: Reply[Any] = Reply()
        request = OpenChannel("CONNECT", "/", protocol="echo", **options)
        self.waiting.add(StartExchange(ticket, request, deadline), reply)
        return reply


@pytest.fixture
def stand() -> Stand:
    return Stand(receive_timeout=15.0)


def test_none_waits_beyond_its_deadline(stand: Stand) -> None:
    stand.add(1, deadline=time.monotonic() + 10.0)
    stand.add(2, receive_timeout=3.0, deadline=time.monotonic() + 10.0)
    assert 9.0 < stand.timers.set["settings", 1] <= 10.0
    assert stand.timers.set["settings", 2] == 3.0


def test_each_waits_for_its_receive_timeout_or_the_pools(stand: Stand) -> None:
    stand.add(1)
    stand.add(2, receive_timeout=3.0)
    assert stand.timers.set == {("settings", 1): 15.0, ("settings", 2): 3.0}
    endless = Stand(receive_timeout=None)
    endless.add(1)
    assert endless.timers.set == {}


def test_they_are_opened_in_order_when_settings_come(stand: Stand) -> None:
    assert stand.waiting.needed
    replies = [stand.add(ticket) for ticket in (5, 3)]
    opened = list(stand.waiting.settle(events.Settings(connect=True, datagrams=True)))
    assert [(exchange.ticket, reply) for exchange, reply in opened] == [
        (5, replies[0]),
        (3, replies[1]),
    ]
    assert not stand.waiting.needed
    assert not (stand.waiting.channels or stand.timers.set or stand.returned)


def test_who_is_turned_away_is_told_only_of_an_error(stand: Stand) -> None:
    late, other = stand.add(1), stand.add(2)
    stand.waiting.turn_away(1, LATE)
    stand.waiting.turn_away(1, LATE)  # it waits no more
    stand.waiting.turn_away_all()
    assert late.outcome is LATE
    assert not other.done
    assert stand.returned == [1, 2]
    assert not (stand.waiting.channels or stand.timers.set)


class Broken(Stand):
    def take_back(self, exchange: StartExchange, _: object, *, unused: bool) -> None:
        raise LookupError("broken")


def test_nobody_is_lost_when_one_cannot_be_given_back() -> None:
    stand = Broken()
    reply = stand.add(1)
    with pytest.raises(LookupError):
        stand.waiting.turn_away_all()
    stopped = PoolStopped("it was stopped", origin="https://a.example")
    stand.waiting.fail_all(stopped)
    assert reply.outcome is stopped


@pytest.mark.parametrize(
    ("settings", "options", "error"),
    [
        (events.Settings(connect=True, datagrams=True), {}, None),
        (events.Settings(connect=False, datagrams=True), {}, ConnectDisabled),
        (events.Settings(connect=True, datagrams=False), {}, None),
        (
            events.Settings(connect=True, datagrams=False),
            {"require_datagrams": True},
            DatagramsDisabled,
        ),
    ],
)
def test_what_the_server_does_not_take(
    stand: Stand, settings: events.Settings, options: Any, error: type[Exception] | None
) -> None:
    list(stand.waiting.settle(settings))
    fault = stand.waiting.fault(OpenChannel("CONNECT", "/", protocol="echo", **options), "http/3")
    assert fault is None if error is None else isinstance(fault, error)


@pytest.mark.parametrize("spoken", ["http/2", "http/1.1"])
def test_none_goes_over_tcp_whatever_is_spoken_beside(stand: Stand, spoken: str) -> None:
    """A pool that speaks HTTP/3 may have a connection over TCP beside it."""
    list(stand.waiting.settle(events.Settings(connect=True, datagrams=True)))
    fault = stand.waiting.fault(OpenChannel("GET", "/"), spoken)
    assert isinstance(fault, ConnectDisabled) and spoken.upper() in str(fault)
    assert stand.waiting.fault(OpenChannel("GET", "/"), "http/3") is None
