"""CheckoutDeadline: the earliest limit holds, and a missing connection has one of its own."""

from __future__ import annotations

import math

import pytest

from quiver import Request
from quiver.actors.reply import Reply
from quiver.config import PoolConfig
from quiver.pool.checkout import CheckoutDeadline, PendingRequest
from quiver.pool.messages import StartExchange

CONFIG = PoolConfig(checkout_timeout=5.0)


def test_the_pools_limit_unless_the_request_brings_one() -> None:
    mine = Request("GET", "/", checkout_timeout=2.0, connect_timeout=1.0)
    assert CheckoutDeadline.of(Request("GET", "/"), CONFIG, None, 10.0) == CheckoutDeadline(
        math.inf, 15, math.inf
    )
    assert CheckoutDeadline.of(mine, CONFIG, 30.0, 10.0) == CheckoutDeadline(
        30.0, 12.0, 11.0, apart=True
    )


@pytest.mark.parametrize(
    ("deadline", "connected", "until"),
    [
        (CheckoutDeadline(3.0, 2.0, 1.0), False, 1.0),
        (CheckoutDeadline(3.0, 2.0, 1.0), True, 2.0),
        (CheckoutDeadline(3.0, 4.0, math.inf), False, 3.0),
        (CheckoutDeadline(math.inf, math.inf, 1.0), True, None),
        (CheckoutDeadline(9.0, 1.0, 2.0, apart=True), False, 2.0),
        (CheckoutDeadline(9.0, 1.0, 2.0, apart=True), True, 1.0),
        (CheckoutDeadline(1.5, 1.0, 2.0, apart=True), False, 1.5),
    ],
)
def test_until(deadline: CheckoutDeadline, connected: bool, until: float | None) -> None:
    assert deadline.until(connected=connected) == until


def test_one_that_missed_a_connection_waits_on_once_there_is_one() -> None:
    deadline = CheckoutDeadline(math.inf, 2.0, 1.0)
    assert deadline.left(1.0, connected=True)
    assert not deadline.left(1.0, connected=False)
    assert not deadline.left(2.0, connected=True)


def test_time_in_which_nobody_could_be_served_is_given_back_but_for_the_whole_request() -> None:
    request = Request("GET", "/", checkout_timeout=2.0, connect_timeout=1.0)
    ask = PendingRequest(request, Reply(), 9.0, 0.0, unheard=5.0)
    assert ask.limits(CONFIG) == CheckoutDeadline(9.0, 7.0, 6.0, apart=True)
    ask.deadline = 4.0
    assert not ask.limits(CONFIG).left(4.0, connected=True)


def test_what_it_had_waited_before_counts() -> None:
    gave_back = StartExchange(1, Request("GET", "/", checkout_timeout=2.0), None, 1, 1.5)
    ask = PendingRequest.again(gave_back, Reply(), 10.0)
    assert ask.limits(CONFIG) == CheckoutDeadline(math.inf, 10.5, math.inf)
    assert ask.exchange(7, 10.25).waited == 1.75
