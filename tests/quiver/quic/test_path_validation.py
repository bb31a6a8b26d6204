"""Path validation, as a table."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.quic.engine import PathFailed, PathValidated
from quiver.quic.path_validation import PathValidation


def take(made: PathValidation) -> PathValidated | PathFailed | None:
    outcome, made.outcome = made.outcome, None
    return outcome


def begun(now: float = 10.0, probe_timeout: float = 0.1) -> PathValidation:
    made = PathValidation()
    made.begin(probe_timeout, now)
    return made


def test_nothing_is_due_before_it_begins() -> None:
    made = PathValidation()
    assert made.due() is None and not made.wants_challenge(1e9)
    made.answered(b"", 1e9)
    made.tick(1e9)
    assert take(made) is None


def test_an_answer_to_any_challenge_validates() -> None:
    made = begun()
    for number in range(3):
        now = made.due()
        assert now is not None and made.wants_challenge(now)
        made.challenged(bytes([number]) * 8, now)
    made.answered(b"of nobody", 11.0)
    assert made.active and take(made) is None
    made.answered(bytes([1]) * 8, 11.0)
    assert take(made) == PathValidated(1.0)
    assert take(made) is None and made.due() is None
    made.answered(bytes([2]) * 8, 11.5)
    assert take(made) is None


@pytest.mark.parametrize(("probe_timeout", "limit"), [(0.1, 3 * 0.999), (2.0, 6.0)])
def test_challenges_are_ever_rarer_until_it_fails(probe_timeout: float, limit: float) -> None:
    made, times = begun(0.0, probe_timeout), []
    while made.active:
        now = made.due()
        assert now is not None
        if made.wants_challenge(now):
            times.append(now)
            made.challenged(bytes(8), now)
        made.tick(now)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert all(math.isclose(b, 2 * a) for a, b in itertools.pairwise(pauses))
    outcome = take(made)
    assert isinstance(outcome, PathFailed) and math.isclose(outcome.seconds, limit)


def test_whoever_acknowledges_has_another_limit_each_time() -> None:
    made, now, acknowledged = begun(0.0), 0.0, 3
    while made.active:
        due = made.due()
        assert due is not None and due - now <= 2.0, "it is asked again and again"
        now = due
        if made.wants_challenge(now):
            payload = now.hex().encode()
            made.challenged(payload, now)
            made.acknowledged(b"of nobody")
            if acknowledged and now > 2.9 * (4 - acknowledged) - 2.9:
                acknowledged -= 1
                made.acknowledged(payload)
        made.tick(now)
    outcome = take(made)
    assert isinstance(outcome, PathFailed) and math.isclose(outcome.seconds, 4 * 3 * 0.999)


def test_a_new_path_forgets_the_one_before() -> None:
    made = begun(0.0)
    made.challenged(b"former", 0.0)
    made.begin(0.1, 1.0)
    made.answered(b"former", 1.1)
    assert made.active and take(made) is None
    made.challenged(b"latter", 1.1)
    made.answered(b"latter", 1.2)
    assert isinstance(take(made), PathValidated)


@given(st.lists(st.sampled_from(["begin", "challenge", "tick", "answer"]), max_size=60))
def test_one_outcome_for_each_path_at_the_most(steps: list[str]) -> None:
    made, now, begins, outcomes = PathValidation(), 0.0, 0, 0
    for step in steps:
        now += 0.3
        match step:
            case "begin":
                begins += 1
                made.begin(0.1, now)
            case "challenge" if made.wants_challenge(now):
                made.challenged(b"12345678", now)
            case "answer":
                made.answered(b"12345678", now)
            case "tick":
                made.tick(now)
        outcomes += take(made) is not None
        assert (made.due() is not None) == made.active
    assert outcomes <= begins
