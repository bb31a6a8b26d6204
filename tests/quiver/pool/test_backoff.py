"""Backoff by example."""

from __future__ import annotations

import math

from quiver.errors import HandshakeFailed
from quiver.pool.actions import Redial
from quiver.pool.backoff import Backoff

REFUSAL = HandshakeFailed("no", origin="https://a")


def pauses(count: int, jitter: float = 1.0) -> list[float]:
    """The first `count` pauses when each attempt fails as soon as it may be made."""
    backoff, now, found = Backoff(lambda: jitter), 100.0, []
    for _ in range(count):
        backoff.failed(now)
        (redial,) = backoff.arrange()
        found.append(round(redial.at - now, 6))
        now = redial.at
        backoff.called()
    return found


def test_it_doubles_up_to_ten_seconds() -> None:
    assert pauses(9) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]
    assert pauses(100)[-1] == 10.0


def test_jitter_shortens_each_pause() -> None:
    assert pauses(3, 0.5) == [0.05, 0.1, 0.2]


def test_attempts_that_fail_side_by_side_count_once() -> None:
    backoff = Backoff(lambda: 1.0)
    for _ in range(10):
        backoff.failed(1.0)
    assert backoff.holds(1.09) and not backoff.holds(1.1)
    backoff.failed(1.1)
    assert backoff.holds(1.29) and not backoff.holds(1.31)


def test_a_waiver_does_not_shorten_the_next_pause() -> None:
    backoff = Backoff(lambda: 1.0)
    backoff.failed(1.0)
    backoff.waive()
    assert not backoff.holds(1.0)
    backoff.failed(1.0)
    assert backoff.holds(1.19)


def test_success_begins_anew() -> None:
    backoff = Backoff(lambda: 1.0)
    backoff.failed(1.0)
    backoff.succeeded(1.0)
    assert not backoff.holds(1.0)
    backoff.failed(1.0)
    assert not backoff.holds(1.15)


def test_after_a_refusal_a_success_counts_when_it_has_lasted() -> None:
    backoff = Backoff(lambda: 1.0)
    backoff.failed(1.0, REFUSAL)
    backoff.succeeded(1.05)
    assert backoff.holds(1.09), "attempts side by side are all refused"
    backoff.failed(1.1, REFUSAL)
    assert backoff.holds(1.29)
    backoff.succeeded(2.0)
    backoff.failed(12.1, REFUSAL)
    assert backoff.holds(12.19) and not backoff.holds(12.21)


def test_after_another_failure_it_counts_at_once_again() -> None:
    backoff = Backoff(lambda: 1.0)
    backoff.failed(1.0, REFUSAL)
    backoff.failed(1.1)
    backoff.succeeded(1.1)
    assert not backoff.holds(1.1)
    backoff.failed(1.1)
    assert not backoff.holds(1.21)


def test_a_refusal_is_known_during_its_pause() -> None:
    backoff = Backoff(lambda: 1.0)
    backoff.failed(1.0, REFUSAL)
    backoff.failed(1.05)
    assert backoff.refusal(1.09) is REFUSAL, (
        "another attempt of the round may have failed otherwise"
    )
    assert backoff.refusal(1.1) is None
    backoff.failed(1.1)
    assert backoff.refusal(1.1) is None, "this pause began with something else"
    backoff.failed(1.15, REFUSAL)
    assert backoff.refusal(1.29) is REFUSAL
    backoff.waive()
    assert backoff.refusal(1.16) is None


def test_one_call_is_arranged_at_a_time() -> None:
    backoff = Backoff(lambda: 1.0)
    backoff.failed(1.0)
    assert backoff.arrange() == (Redial(1.1),)
    assert backoff.arrange() == ()
    backoff.called()
    backoff.failed(1.1)
    (later,) = backoff.arrange()
    assert later.at > 1.2


def test_until_when_a_refusal_is_told() -> None:
    backoff = Backoff(lambda: 1.0)
    assert backoff.refused_until == -math.inf
    backoff.failed(1.0)
    assert backoff.refused_until == -math.inf, "what is no refusal is tried again at once"
    backoff.failed(2.0, REFUSAL)
    assert backoff.refused_until == 2.2
