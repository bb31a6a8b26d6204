"""The table of exchanges and its clock: silence, deadlines, and content that nobody reads."""

from __future__ import annotations

import math

import pytest

from quiver.errors import ReceiveTimeout, RequestTimeout, SendTimeout, StreamIdleTimeout
from quiver.pool.actions import Answer
from quiver.pool.exchanges import Mode
from tests.support.exchange_table import TICKET, Table, every_mode, failure, table


@every_mode
def test_silence_ends_it(mode: Mode) -> None:
    exchanges = table(mode, receive_timeout=5.0)
    assert exchanges.due == 5.0
    exchanges.informational(0, 100, [], 3.0)
    assert exchanges.sweep(7.9) == ()
    assert exchanges.due == 8.0
    failure(exchanges.sweep(8.0), ReceiveTimeout, "receive_timeout=5.0", 0x10C)
    assert exchanges.due == math.inf


@every_mode
def test_the_deadline_ends_it_whatever_comes(mode: Mode) -> None:
    exchanges = table(mode, receive_timeout=5.0, deadline=6.0, timeout=2.5)
    exchanges.headers(0, 200, [], False, 4.0)
    exchanges.body(0, b"x", False, 5.9)
    assert exchanges.sweep(5.9) == ()
    failure(exchanges.sweep(6.0), RequestTimeout, "timeout=2.5", 0x10C)


def test_a_channel_must_be_open_by_a_deadline_of_its_own() -> None:
    exchanges = table(Mode.CHANNEL, deadline=3.0, open_timeout=2.0)
    failure(exchanges.sweep(3.0), ReceiveTimeout, "no response within open_timeout=2.0", 0x10C)


def test_a_channel_that_is_open_lasts_as_long_as_it_may() -> None:
    exchanges = table(Mode.CHANNEL, deadline=3.0, open_timeout=2.0, timeout=7.0)
    exchanges.headers(0, 200, [], False, 2.9)
    assert exchanges.sweep(7.9) == ()
    assert exchanges.due == 8.0
    failure(exchanges.sweep(8.0), RequestTimeout, "timeout=7.0", 0x10C)


def test_a_channel_that_is_open_may_last_for_ever() -> None:
    exchanges = table(Mode.CHANNEL, deadline=3.0, open_timeout=2.0)
    exchanges.headers(0, 200, [], False, 2.9)
    assert exchanges.sweep(1e6) == ()
    assert exchanges.due == math.inf


def test_the_request_that_goes_on_is_a_sign_of_life() -> None:
    exchanges = table(receive_timeout=5.0)
    exchanges.is_sent(TICKET, 4.0)
    assert exchanges.sweep(5.0) == ()
    assert exchanges.due == 9.0
    failure(exchanges.sweep(9.0), ReceiveTimeout, "silent", 0x10C)


def test_a_body_that_nobody_takes() -> None:
    exchanges = table(receive_timeout=5.0, send_timeout=2.0)
    exchanges.is_stuck(TICKET)
    assert exchanges.due == 2.0
    exchanges.is_sent(TICKET, 1.0)
    assert exchanges.sweep(5.9) == (), "it is the server's silence again"
    exchanges.is_stuck(TICKET)
    failure(exchanges.sweep(5.9), SendTimeout, "send_timeout=2.0", 0x10C)


def test_a_body_that_may_wait_for_longer_than_a_response() -> None:
    exchanges = table(receive_timeout=5.0, send_timeout=60.0)
    exchanges.is_stuck(TICKET)
    assert exchanges.sweep(5.0) == ()
    exchanges.is_sent(TICKET, 10.0)
    failure(exchanges.sweep(15.0), ReceiveTimeout, "receive_timeout=5.0", 0x10C)


@pytest.mark.parametrize("mode", [Mode.STREAMED, Mode.CHANNEL])
def test_unread_content_stops_the_receive_timeout_and_starts_the_idle_one(mode: Mode) -> None:
    exchanges = table(mode, receive_timeout=5.0, idle_timeout=30.0)
    exchanges.headers(0, 200, [], False, 1.0)
    exchanges.body(0, b"hello", False, 2.0)
    assert exchanges.sweep(31.9) == ()
    failure(exchanges.sweep(32.0), StreamIdleTimeout, "stream_idle_timeout=30.0", 0x10C)


def test_reading_some_starts_the_idle_timeout_anew() -> None:
    exchanges = table(Mode.STREAMED, receive_timeout=5.0, idle_timeout=30.0)
    exchanges.headers(0, 200, [], False, 1.0)
    exchanges.body(0, b"hello", False, 2.0)
    exchanges.is_read(TICKET, 3, 20.0)
    assert exchanges.sweep(49.9) == ()
    failure(exchanges.sweep(50.0), StreamIdleTimeout, "nobody read it", 0x10C)


def test_reading_all_starts_the_receive_timeout_again() -> None:
    exchanges = table(Mode.STREAMED, receive_timeout=5.0, idle_timeout=30.0)
    exchanges.headers(0, 200, [], False, 1.0)
    exchanges.body(0, b"hello", False, 2.0)
    exchanges.is_read(TICKET, 0, 20.0)
    assert exchanges.due == 5.0  # early, and put right by the sweep
    assert exchanges.sweep(24.9) == ()
    assert exchanges.due == 25.0
    failure(exchanges.sweep(25.0), ReceiveTimeout, "silent", 0x10C)


def test_a_report_that_is_older_does_not_turn_time_back() -> None:
    exchanges = table(Mode.STREAMED, idle_timeout=30.0)
    exchanges.headers(0, 200, [], False, 1.0)
    exchanges.body(0, b"hello", False, 10.0)
    exchanges.is_read(TICKET, 4, 9.0)
    assert exchanges.sweep(39.9) == ()
    failure(exchanges.sweep(40.0), StreamIdleTimeout, "nobody", 0x10C)


def test_the_first_of_many_is_due_first() -> None:
    exchanges = Table()
    for number in range(4):
        exchanges.begin(4 * number, number, receive_timeout=10.0 - number)
    assert exchanges.due == 7.0
    exchanges.cancel(3)
    assert exchanges.sweep(7.0) == ()
    assert exchanges.due == 8.0
    ended = [action.ticket for action in exchanges.sweep(9.0) if isinstance(action, Answer)]
    assert ended == [2, 1]
    assert exchanges.tickets() == [0]


def test_a_long_exchange_does_not_fill_the_heap() -> None:
    """Each time the reader catches up and falls behind, an entry is replaced by an earlier one."""
    exchanges = table(Mode.STREAMED, receive_timeout=1000.0, idle_timeout=1.0)
    exchanges.headers(0, 200, [], False, 0.0)
    for second in range(900):
        now = float(second)
        exchanges.body(0, b"x", False, now)
        exchanges.is_read(TICKET, 0, now)
        assert exchanges.sweep(now) == ()
    assert len(exchanges._due) < 70


@every_mode
def test_time_in_which_nothing_could_be_heard_is_no_silence(mode: Mode) -> None:
    exchanges = table(mode, receive_timeout=5.0)
    exchanges.excuse(60.0, 61.0)
    assert exchanges.sweep(61.0) == ()
    assert exchanges.due == 65.0, "a second of it had passed before"
    exchanges.excuse(2.0, 64.0)
    assert exchanges.sweep(65.0) == ()
    failure(exchanges.sweep(67.0), ReceiveTimeout, "receive_timeout=5.0", 0x10C)


def test_a_sign_of_life_after_it_is_not_put_into_the_future() -> None:
    exchanges = table(receive_timeout=5.0)
    exchanges.informational(0, 100, [], 61.0)
    exchanges.excuse(60.0, 61.5)
    assert exchanges.sweep(66.4) == ()
    failure(exchanges.sweep(66.5), ReceiveTimeout, "silent", 0x10C)


def test_nobody_could_read_either() -> None:
    exchanges = table(Mode.STREAMED, idle_timeout=30.0)
    exchanges.headers(0, 200, [], False, 1.0)
    exchanges.body(0, b"hello", False, 2.0)
    exchanges.excuse(60.0, 70.0)
    assert exchanges.sweep(91.9) == ()
    failure(exchanges.sweep(92.0), StreamIdleTimeout, "nobody read it", 0x10C)


def test_nor_could_the_body_be_taken() -> None:
    exchanges = table(send_timeout=2.0)
    exchanges.is_stuck(TICKET)
    exchanges.excuse(10.0, 11.0)
    assert exchanges.sweep(11.9) == ()
    failure(exchanges.sweep(12.0), SendTimeout, "send_timeout=2.0", 0x10C)


def test_the_whole_request_has_no_more_time_for_it() -> None:
    exchanges = table(receive_timeout=5.0, deadline=6.0, timeout=6.0)
    exchanges.excuse(60.0, 61.0)
    failure(exchanges.sweep(61.0), RequestTimeout, "timeout=6.0", 0x10C)
