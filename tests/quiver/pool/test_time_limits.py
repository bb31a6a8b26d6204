"""Limits: what a request brings, or else its pool; a channel has some of its own."""

from __future__ import annotations

import attrs
import pytest

from quiver.config import PoolConfig
from quiver.pool.callers import limits_of
from quiver.pool.time_limits import Limits
from quiver.request import OpenChannel, Request

POOL = PoolConfig(timeout=60.0, receive_timeout=15.0, stream_idle_timeout=30.0)


def limits(request: Request, deadline: float | None = None) -> tuple[float | None, ...]:
    return attrs.astuple(limits_of(request, POOL, deadline))


def test_of_a_request_or_its_pool() -> None:
    assert limits(Request("GET", "/"), 100.0) == (100.0, 60.0, 15.0, 30.0, None, None)
    own = Request("GET", "/", timeout=5.0, receive_timeout=2.0, send_timeout=1.0)
    assert limits(own, 100.0) == (100.0, 5.0, 2.0, 30.0, 1.0, None)


def test_of_a_channel_the_silence_until_its_response_is_the_pools() -> None:
    assert limits(OpenChannel("GET", "/")) == (None, None, 15.0, 30.0, None, None)
    assert limits(OpenChannel("GET", "/", receive_timeout=1.0))[2] == 15.0


@pytest.mark.parametrize(
    ("timeout", "open_timeout", "named"),
    [
        (None, None, ("timeout", None)),
        (9.0, None, ("timeout", 9.0)),
        (None, 2.0, ("open_timeout", 2.0)),
        (9.0, 2.0, ("open_timeout", 2.0)),
        (2.0, 2.0, ("timeout", 2.0)),
        (1.0, 2.0, ("timeout", 1.0)),
    ],
)
def test_the_nearer_one_bounds_the_wait_for_the_response(
    timeout: float | None, open_timeout: float | None, named: tuple[str, float | None]
) -> None:
    channel = OpenChannel("GET", "/", timeout=timeout, open_timeout=open_timeout)
    assert channel.answered_within(60.0) == named
    found = limits_of(channel, POOL, 100.0)
    assert found.open_timeout == (open_timeout if named[0] == "open_timeout" else None)


@pytest.mark.parametrize(
    ("given", "deadline"),
    [
        (Limits(10.0, 9.0), 10.0),
        (Limits(10.0, 9.0, open_timeout=2.0), 17.0),
        (Limits(10.0, None, open_timeout=2.0), None),
        (Limits(), None),
    ],
)
def test_what_is_answered_goes_on_for_as_long_as_it_may(
    given: Limits, deadline: float | None
) -> None:
    given.answered()
    given.answered()  # once, however often
    assert given.deadline == deadline
