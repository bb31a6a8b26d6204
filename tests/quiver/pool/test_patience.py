"""Patience: the earliest limit holds, and a missing connection has one of its own."""

from __future__ import annotations

import math

import pytest

from quiver import Request
from quiver.config import PoolConfig
from quiver.pool.patience import Patience

CONFIG = PoolConfig(checkout_timeout=5.0)


def test_the_pools_limit_unless_the_request_brings_one() -> None:
    mine = Request("GET", "/", checkout_timeout=2.0, connect_timeout=1.0)
    assert Patience.of(Request("GET", "/"), CONFIG, None, 10.0) == Patience(math.inf, 15, math.inf)
    assert Patience.of(mine, CONFIG, 30.0, 10.0) == Patience(30.0, 12.0, 11.0)


@pytest.mark.parametrize(
    ("patience", "connected", "until"),
    [
        (Patience(3.0, 2.0, 1.0), False, 1.0),
        (Patience(3.0, 2.0, 1.0), True, 2.0),
        (Patience(3.0, 4.0, math.inf), False, 3.0),
        (Patience(math.inf, math.inf, 1.0), True, None),
    ],
)
def test_until(patience: Patience, connected: bool, until: float | None) -> None:
    assert patience.until(connected=connected) == until


def test_one_that_missed_a_connection_waits_on_once_there_is_one() -> None:
    patience = Patience(math.inf, 2.0, 1.0)
    assert patience.left(1.0, connected=True)
    assert not patience.left(1.0, connected=False)
    assert not patience.left(2.0, connected=True)


def test_which_limit_was_met() -> None:
    patience = Patience(math.inf, 2.0, 1.0)
    assert patience.lacked_connection(1.0)
    assert not patience.lacked_connection(2.0), "the slot's limit has passed too"
