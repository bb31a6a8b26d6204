"""One exchange: what it is due for, and what it makes of a declared length."""

from __future__ import annotations

import math
from typing import Any

import pytest

from quiver.pool.exchanges import Exchange, Mode
from quiver.pool.time_limits import Limits


def made(mode: Mode = Mode.STREAMED, bodiless: bool = False, **limits: float) -> Exchange:
    return Exchange(0, 7, mode, bodiless, Limits(**limits), heard=10.0)


def test_without_limits_it_is_never_due() -> None:
    exchange = made()
    assert exchange.due() == math.inf
    exchange.respond(200, [], 11.0)
    exchange.receive(5, 12.0)
    assert exchange.due() == math.inf


def test_silence_counts_from_the_last_sign_of_life() -> None:
    exchange = made(receive_timeout=5.0)
    assert exchange.due() == 15.0
    exchange.respond(200, [], 12.0)
    assert exchange.due() == 17.0


def test_a_deadline_does_not_move() -> None:
    exchange = made(receive_timeout=5.0, deadline=16.0)
    assert exchange.due() == 15.0
    exchange.respond(200, [], 12.0)
    exchange.receive(5, 13.0)
    assert exchange.due() == 16.0


def test_content_that_waits_for_its_reader_stops_one_clock_and_starts_the_other() -> None:
    exchange = made(receive_timeout=5.0, idle_timeout=30.0)
    exchange.respond(200, [], 12.0)
    exchange.receive(5, 13.0)
    assert (exchange.unread > 0, exchange.due()) == (True, 43.0)
    exchange.receive(5, 20.0)  # more of it is no reading
    assert (exchange.unread, exchange.due()) == (10, 43.0)
    exchange.unread, exchange.read = 0, 21.0
    assert (exchange.unread > 0, exchange.due()) == (False, 26.0)


def test_a_buffered_body_waits_for_nobody() -> None:
    exchange = made(Mode.BUFFERED, receive_timeout=5.0, idle_timeout=1.0)
    exchange.respond(200, [], 12.0)
    exchange.receive(5, 13.0)
    assert (exchange.unread > 0, exchange.due()) == (False, 18.0)


def test_a_channel_may_be_silent_once_it_is_answered() -> None:
    exchange = made(Mode.CHANNEL, receive_timeout=5.0, idle_timeout=30.0)
    assert exchange.due() == 15.0
    exchange.respond(200, [("content-length", "nonsense")], 12.0)
    assert (exchange.due(), exchange.expected) == (math.inf, None)
    exchange.receive(1, 13.0)
    assert exchange.due() == 43.0


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], None),
        ([("content-length", "5")], 5),
        ([("content-length", "5"), ("content-length", "5")], 5),
        ([("content-length", "005")], 5),
    ],
)
def test_the_declared_length(headers: Any, expected: int | None) -> None:
    exchange = made()
    exchange.respond(200, headers, 11.0)
    assert exchange.expected == expected


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.5", "1 ", "5, 5", "٥", "0x5", "9" * 5000])
def test_what_is_no_length(value: str) -> None:
    with pytest.raises(ValueError):
        made().respond(200, [("content-length", value)], 11.0)


def test_two_lengths_are_none() -> None:
    with pytest.raises(ValueError, match="several"):
        made().respond(200, [("content-length", "5"), ("content-length", "6")], 11.0)


@pytest.mark.parametrize(("status", "bodiless"), [(204, False), (304, False), (200, True)])
def test_where_no_content_may_come_the_length_means_nothing(status: int, bodiless: bool) -> None:
    exchange = made(bodiless=bodiless)
    exchange.respond(status, [("content-length", "many")], 11.0)
    assert exchange.bodiless
    assert exchange.expected is None
    assert not exchange.receive(9, 12.0)


def test_more_than_was_declared() -> None:
    exchange = made(Mode.BUFFERED)
    exchange.respond(200, [("content-length", "2")], 11.0)
    assert [exchange.receive(1, 12.0) for _ in range(4)] == [False, False, True, True]
    assert exchange.size == 4
