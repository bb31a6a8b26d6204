"""Refusals: each names the origin, and the limit that was hit."""

from __future__ import annotations

import math

import pytest

import quiver
from quiver.actors.signals import ForkedAway
from quiver.config import PoolConfig
from quiver.errors import (
    CheckoutTimeout,
    ConnectionRefused,
    ConnectTimeout,
    PoolStopped,
    QueueFull,
    QuiverError,
    RequestTimeout,
)
from quiver.origin import Origin
from quiver.pool.actions import Reject, Rejection
from quiver.pool.endpoint import Endpoint
from quiver.pool.patience import Patience
from quiver.pool.refusals import Refusals

NAME = "https://a.example"
GET = quiver.Request("GET", "/")
ENDLESS = Patience(math.inf, math.inf, math.inf)
REFUSED = ConnectionRefused("refused", origin=NAME)


@pytest.fixture
def refusals() -> Refusals:
    config = PoolConfig(
        max_waiting=7, checkout_timeout=1.5, max_connections=3, max_streams_per_connection=4
    )
    return Refusals(Endpoint(Origin.parse(NAME), config))


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
    error = refusals.of(Reject(1, reason), GET, Patience(math.inf, 1.5, math.inf), 2.0)
    assert type(error) is kind and error.unprocessed
    assert error.origin == NAME
    assert all(part in str(error) for part in [NAME, *said]), error


def test_a_request_out_of_time_is_told_so(refusals: Refusals) -> None:
    rejected = Reject(1, Rejection.CHECKOUT_TIMEOUT)
    request = quiver.Request("GET", "/", timeout=0.25)
    error = refusals.of(rejected, request, Patience(1.0, 0.5, 0.5), 1.0)
    assert type(error) is RequestTimeout
    assert NAME in str(error) and "timeout=0.25 seconds" in str(error)


def test_each_caller_gets_its_own_copy_of_what_an_attempt_died_of(refusals: Refusals) -> None:
    rejected = Reject(1, Rejection.CONNECT_FAILED, REFUSED)
    first, second = (refusals.of(rejected, GET, ENDLESS, 1.0) for _ in range(2))
    assert first is not second and first is not REFUSED
    assert type(first) is ConnectionRefused and str(first) == str(REFUSED)


@pytest.mark.parametrize(
    ("patience", "kind", "said"),
    [
        (Patience(math.inf, 9.0, 0.5), ConnectTimeout, "connect_timeout=0.5 seconds"),
        (Patience(math.inf, 0.25, 0.5), CheckoutTimeout, "checkout_timeout=0.25 seconds"),
    ],
)
def test_the_limits_of_the_request_itself(
    refusals: Refusals, patience: Patience, kind: type[QuiverError], said: str
) -> None:
    request = quiver.Request("GET", "/", checkout_timeout=0.25, connect_timeout=0.5)
    error = refusals.of(Reject(1, Rejection.CHECKOUT_TIMEOUT), request, patience, 0.5)
    assert type(error) is kind and said in str(error)


def test_what_became_of_the_pool(refusals: Refusals) -> None:
    assert "KeyError(3)" in str(refusals.gone(KeyError(3)))
    assert "parent process" in str(refusals.gone(ForkedAway("fork")))
    assert type(refusals.gone(None)) is PoolStopped
