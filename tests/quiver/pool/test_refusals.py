"""Refusals: each names the origin, and the limit that was hit."""

from __future__ import annotations

import math

import pytest

from quiver.actors.signals import ForkedAway
from quiver.config import PoolConfig
from quiver.errors import (
    CheckoutTimeout,
    ConnectionRefused,
    PoolStopped,
    QueueFull,
    QuiverError,
    RequestTimeout,
)
from quiver.origin import Origin
from quiver.pool.actions import Reject, Rejection
from quiver.pool.endpoint import Endpoint
from quiver.pool.refusals import Refusals

NAME = "https://a.example"
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
    error = refusals.of(Reject(1, reason), math.inf, None)
    assert type(error) is kind
    assert error.origin == NAME
    assert all(part in str(error) for part in [NAME, *said]), error


def test_a_request_out_of_time_is_told_so(refusals: Refusals) -> None:
    error = refusals.of(Reject(1, Rejection.CHECKOUT_TIMEOUT), 0.0, 0.25)
    assert type(error) is RequestTimeout
    assert NAME in str(error) and "timeout=0.25 seconds" in str(error)


def test_each_caller_gets_its_own_copy_of_what_an_attempt_died_of(refusals: Refusals) -> None:
    rejected = Reject(1, Rejection.CONNECT_FAILED, REFUSED)
    first, second = (refusals.of(rejected, None, None) for _ in range(2))
    assert first is not second and first is not REFUSED
    assert type(first) is ConnectionRefused and str(first) == str(REFUSED)


def test_what_became_of_the_pool(refusals: Refusals) -> None:
    assert "KeyError(3)" in str(refusals.gone(KeyError(3)))
    assert "parent process" in str(refusals.gone(ForkedAway("fork")))
    assert type(refusals.gone(None)) is PoolStopped
