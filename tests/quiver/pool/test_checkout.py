"""Refusals: each names the origin, and the limit that was hit."""

from __future__ import annotations

import math

import pytest
from greenlet import GreenletExit

import quiver
from quiver.actors.hub import HubStopped
from quiver.actors.system_messages import ForkedAway
from quiver.config import PoolConfig
from quiver.errors import (
    CheckoutTimeout,
    ConnectionRefused,
    ConnectTimeout,
    InternalError,
    NameResolutionFailed,
    PoolStopped,
    QueueFull,
    QuiverError,
    RequestTimeout,
)
from quiver.origin import Origin
from quiver.pool.actions import Reject, Rejection
from quiver.pool.checkout import CheckoutDeadline, Refusals
from quiver.pool.dial_progress import Dials, Progress
from quiver.pool.target import PoolTarget

NAME = "https://a.example"
GET = quiver.Request("GET", "/")
ENDLESS = CheckoutDeadline(math.inf, math.inf, math.inf)
OUT_OF_TIME = Reject(1, Rejection.CHECKOUT_TIMEOUT)
REFUSED = ConnectionRefused("refused", origin=NAME)


@pytest.fixture
def refusals() -> Refusals:
    config = PoolConfig(
        max_waiting=7, checkout_timeout=1.5, max_connections=3, max_streams_per_connection=4
    )
    return Refusals(PoolTarget(Origin.parse(NAME), config))


@pytest.fixture
def silent() -> Dials:
    """One dial, to a server that has answered nothing."""
    dials = Dials()
    dials.came(1, Progress(("127.0.0.1", 443), 1, 1))
    return dials


@pytest.mark.parametrize(
    ("reason", "kind", "said"),
    [
        (Rejection.QUEUE_FULL, QueueFull, ["max_waiting=7"]),
        (Rejection.STOPPED, PoolStopped, ["stopped"]),
        (
            Rejection.CHECKOUT_TIMEOUT,
            CheckoutTimeout,
            ["checkout_timeout=1.5", "max_connections=3", "max_streams_per_connection=4"],
        ),
    ],
)
def test_each_names_its_limit(
    refusals: Refusals, reason: Rejection, kind: type[QuiverError], said: list[str]
) -> None:
    error = refusals.of(Reject(1, reason), GET, CheckoutDeadline(math.inf, 1.5, math.inf), 2.0)
    assert type(error) is kind and error.unprocessed
    assert error.origin == NAME
    assert all(part in str(error) for part in [NAME, *said]), error


def test_a_request_out_of_time_is_told_so(refusals: Refusals) -> None:
    request = quiver.Request("GET", "/", timeout=0.25)
    error = refusals.of(OUT_OF_TIME, request, CheckoutDeadline(1.0, 0.5, 0.5), 1.0)
    assert type(error) is RequestTimeout
    assert NAME in str(error) and "timeout=0.25 seconds" in str(error)
    assert "no stream slot" in str(error) and error.__cause__ is None


def test_each_caller_gets_its_own_copy_of_what_an_attempt_died_of(refusals: Refusals) -> None:
    rejected = Reject(1, Rejection.CONNECT_FAILED, REFUSED)
    first, second = (refusals.of(rejected, GET, ENDLESS, 1.0) for _ in range(2))
    assert first is not second and first is not REFUSED
    assert type(first) is ConnectionRefused and str(first) == str(REFUSED)


@pytest.mark.parametrize(
    ("deadline", "limit"),
    [
        (CheckoutDeadline(math.inf, 9.0, 0.5), "the request's connect_timeout=0.5 seconds"),
        (CheckoutDeadline(math.inf, 0.25, 9.0), "checkout_timeout=0.25 seconds"),
        (CheckoutDeadline(math.inf, 0.25, 0.5), "the request's connect_timeout=0.5 seconds"),
    ],
)
def test_without_a_connection_its_lack_is_the_cause_whichever_limit_it_was(
    refusals: Refusals, silent: Dials, deadline: CheckoutDeadline, limit: str
) -> None:
    request = quiver.Request("GET", "/", checkout_timeout=0.25, connect_timeout=0.5)
    error = refusals.of(OUT_OF_TIME, request, deadline, 0.5, silent)
    assert type(error) is ConnectTimeout and error.unprocessed
    assert error.message == f"no connection within {limit}: 127.0.0.1:443 answered nothing"


def test_with_one_the_requests_own_limit_for_a_slot_is_named(refusals: Refusals) -> None:
    request = quiver.Request("GET", "/", checkout_timeout=0.25)
    error = refusals.of(OUT_OF_TIME, request, CheckoutDeadline(math.inf, 0.25, math.inf), 0.5)
    assert type(error) is CheckoutTimeout and "checkout_timeout=0.25 seconds" in str(error)


def test_equal_limits_are_told_as_that_of_the_dial(silent: Dials) -> None:
    """With all defaults it is the wait for a slot that ends first, by a hair."""
    refusals = Refusals(PoolTarget(Origin.parse(NAME), PoolConfig()))
    error = refusals.of(OUT_OF_TIME, GET, CheckoutDeadline(math.inf, 5.0, math.inf), 5.0, silent)
    assert type(error) is ConnectTimeout and "within connect_timeout=5.0 seconds: " in str(error)


def test_a_request_out_of_time_without_a_connection(refusals: Refusals, silent: Dials) -> None:
    request = quiver.Request("GET", "/", timeout=0.25)
    error = refusals.of(OUT_OF_TIME, request, CheckoutDeadline(1.0, 9.0, 9.0), 1.0, silent)
    assert type(error) is RequestTimeout and isinstance(error.__cause__, ConnectTimeout)
    said = "no connection within the request's timeout=0.25 seconds: 127.0.0.1:443 answered nothing"
    assert error.message == said


def test_a_name_that_is_still_resolved(refusals: Refusals) -> None:
    dials = Dials()
    dials.came(1, Progress())
    error = refusals.of(OUT_OF_TIME, GET, CheckoutDeadline(math.inf, 1.5, math.inf), 1.5, dials)
    assert isinstance(error, NameResolutionFailed) and isinstance(error, TimeoutError)
    assert "checkout_timeout=1.5 seconds: the name was still being resolved" in str(error)


def test_what_became_of_the_pool(refusals: Refusals) -> None:
    cause = KeyError(3)
    failed = refusals.gone(cause)
    assert type(failed) is InternalError and failed.__cause__ is cause
    assert "KeyError(3); the next ask starts another" in str(failed)
    for end in (HubStopped("over"), GreenletExit()):
        assert type(refusals.gone(end)) is PoolStopped
    assert "parent process" in str(refusals.gone(ForkedAway("fork")))
    assert type(refusals.gone(None)) is PoolStopped
