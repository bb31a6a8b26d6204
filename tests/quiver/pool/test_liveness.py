"""Liveness: when a connection is suspected, asked, trusted again and given up; PINGs in silence."""

from __future__ import annotations

import errno
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.pool.liveness import (
    LEAST,
    LOOK,
    REST,
    SILENCE,
    Liveness,
    Step,
    Suspicion,
    idle_limit,
    keep_alive_interval,
)
from quiver.pool.socket_errors import SocketError

REFUSED = SocketError(errno.ECONNREFUSED, local=False)
AWAY = SocketError(errno.EHOSTUNREACH, local=False)


def test_one_who_says_nothing_is_asked_four_times_and_given_up() -> None:
    suspicion = Suspicion()
    assert suspicion.due() is None and not suspicion.raised
    assert suspicion.hint(REFUSED, 0.4, 10.0) is Step.SUSPEND
    assert suspicion.raised and suspicion.cause is REFUSED
    steps: list[tuple[float, Step]] = []
    while not steps or steps[-1][1] is Step.ASK:
        due = suspicion.due()
        assert due is not None
        assert suspicion.tick(due - 0.01) is Step.NONE
        steps.append((due, suspicion.tick(due)))
    assert [step for _, step in steps] == [Step.ASK] * 3 + [Step.LOSE]
    assert [at for at, _ in steps] == pytest.approx([10.1, 10.2, 10.3, 10.4])


def test_one_who_says_something_is_trusted_again() -> None:
    suspicion = Suspicion()
    suspicion.hint(AWAY, 0.4, 10.0)
    assert suspicion.heard(10.3) is Step.RESUME
    assert not suspicion.raised and suspicion.due() is None
    assert suspicion.tick(10.4) is Step.NONE
    assert suspicion.heard(10.5) is Step.NONE


def test_more_hints_change_nothing() -> None:
    suspicion = Suspicion()
    suspicion.hint(AWAY, 0.4, 10.0)
    due = suspicion.due()
    assert suspicion.hint(REFUSED, 9.0, 10.05) is Step.NONE
    assert (suspicion.due(), suspicion.cause) == (due, AWAY)


def test_after_an_acquittal_a_hint_waits_and_a_packet_settles_it() -> None:
    suspicion = Suspicion()
    suspicion.hint(AWAY, 0.4, 10.0)
    suspicion.heard(10.1)
    assert suspicion.hint(REFUSED, 0.4, 10.2) is Step.NONE
    assert suspicion.open and not suspicion.raised
    assert suspicion.due() == 10.1 + REST
    assert suspicion.heard(10.3) is Step.NONE
    assert not suspicion.open and suspicion.due() is None


def test_after_an_acquittal_a_hint_is_heeded_when_nothing_comes() -> None:
    suspicion = Suspicion()
    suspicion.hint(AWAY, 0.4, 10.0)
    suspicion.heard(10.1)
    suspicion.hint(REFUSED, 0.4, 10.2)
    assert suspicion.tick(10.1 + REST) is Step.SUSPEND
    assert suspicion.cause is REFUSED


def test_who_slept_gives_the_peer_time_all_the_same() -> None:
    """The clock ran on while this program was stopped: that was no silence."""
    suspicion = Suspicion()
    suspicion.hint(AWAY, 0.4, 10.0)
    assert [suspicion.tick(100.0) for _ in range(3)] == [Step.ASK, Step.NONE, Step.NONE]


@given(st.lists(st.tuples(st.sampled_from(["hint", "heard", "tick"]), st.floats(0.001, 0.3))))
def test_however_many_hints_there_are_few_pings(story: list[tuple[str, float]]) -> None:
    """At most four for each second that a flood of forged messages takes, and four at once."""
    suspicion, now, pings, raised = Suspicion(), 0.0, 0, False
    for what, later in story:
        now += later
        step = (
            suspicion.hint(AWAY, 0.3, now)
            if what == "hint"
            else suspicion.heard(now)
            if what == "heard"
            else suspicion.tick(now)
        )
        pings += step in (Step.SUSPEND, Step.ASK)
        assert (step is Step.SUSPEND) <= (not raised), "suspended once before it is resumed"
        assert (step is Step.RESUME) <= raised, "resumed when it was suspended"
        raised = suspicion.raised
        assert raised <= (suspicion.due() is not None), "nobody is suspected for ever"
        if step is Step.LOSE:
            break
    assert pings <= 4 * (1 + now / REST)


def test_time_in_which_nothing_could_be_heard_is_not_counted() -> None:
    suspicion = Suspicion()
    suspicion.hint(None, 0.4, 10.0)
    suspicion.excuse(60.0, 70.05)
    assert suspicion.tick(70.05) is Step.NONE
    assert suspicion.tick(70.1) is Step.ASK


# PINGs in silence, and against it


def test_a_ping_is_due_after_silence_with_backoff() -> None:
    liveness = Liveness()
    liveness.heard(10.0)
    liveness.began_at = 12.0
    assert liveness.ping_due() == 12.0 + SILENCE
    assert not liveness.wants_ping(12.5)
    due = []
    for _ in range(3):
        due.append(liveness.ping_due())
        assert liveness.wants_ping(due[-1])
    assert due == [13.0, 14.0, 16.0]
    liveness.heard(20.0)
    assert liveness.ping_due() == 20.0 + 8 * SILENCE, "a packet alone is no answer"
    liveness.awaits_ping = True
    liveness.answered()
    assert liveness.ping_due() == 20.0 + SILENCE
    assert not liveness.awaits_ping, "what was arranged would be too late"


def test_silence_is_told_from_a_server_that_is_there() -> None:
    liveness = Liveness()
    liveness.heard(10.0)
    assert not liveness.is_silent(10.0 + SILENCE)
    assert liveness.is_silent(10.1 + SILENCE)
    liveness.excuse(0.5, 10.6)
    assert not liveness.is_silent(10.1 + SILENCE), "nothing could be heard for half a second"


def test_a_packet_is_news_only_for_one_that_is_suspected() -> None:
    liveness = Liveness()
    assert liveness.heard(1.0) is None
    assert liveness.suspect(None, 0.1, 2.0) is Step.SUSPEND
    assert liveness.heard(2.5) is Step.RESUME
    assert liveness.heard_at == 2.5


@pytest.mark.parametrize(
    ("cause", "probe_timeout", "seconds"),
    [
        (None, 0.1, SILENCE),
        (None, 1.0, 3.0),
        (REFUSED, 0.01, LEAST),
        (REFUSED, 0.2, pytest.approx(0.6)),
    ],
)
def test_a_suspected_server_has_time_to_answer(
    cause: SocketError | None, probe_timeout: float, seconds: float
) -> None:
    liveness = Liveness()
    liveness.suspect(cause, probe_timeout, 10.0)
    now = 10.0
    while (step := liveness.suspicion.tick(now)) is not Step.LOSE:
        assert step in (Step.NONE, Step.ASK)
        now = liveness.suspicion.due() or math.inf
    assert now - 10.0 == seconds or now - 10.0 == pytest.approx(seconds)


def test_pings_come_often_enough_for_neither_side_to_time_out() -> None:
    assert keep_alive_interval(None, 30.0, busy=True) == 10.0
    assert keep_alive_interval(None, 30.0, busy=False) == 20.0
    assert keep_alive_interval(5.0, 30.0, busy=False) == 5.0
    assert keep_alive_interval(25.0, 30.0, busy=True) == 10.0


def test_an_idle_connection_leaves_before_the_server_may_forget_it() -> None:
    assert idle_limit(30.0, None, 60.0) == 30.0
    assert idle_limit(30.0, None, 20.0) == 19.0
    assert idle_limit(None, None, 2.0) == 1.5
    assert idle_limit(None, 5.0, 20.0) is None


def test_one_that_cannot_be_heard_is_asked_anew_and_more_slowly() -> None:
    suspicion = Suspicion()
    suspicion.hold(9.0)
    assert suspicion.due() is None, "it is trusted"
    suspicion.hint(AWAY, 0.4, 10.0)
    for now in (10.1, 10.2, 10.3):
        assert suspicion.tick(now) is Step.ASK
    assert suspicion.tick(10.4) is Step.LOSE
    suspicion.hold(10.4)
    assert suspicion.raised and suspicion.due() == pytest.approx(10.6)
    for _ in range(5):
        suspicion.hold(20.0)
    assert suspicion.due() == pytest.approx(20.0 + REST / 4)
    assert suspicion.heard(20.1) is Step.RESUME


def test_after_a_moment_of_silence_a_look_is_wanted_once() -> None:
    liveness = Liveness()
    liveness.heard(10.0)
    assert not liveness.wants_look(10.0 + LOOK / 2)
    liveness.excuse(0.5, 11.0)
    assert liveness.wants_look(10.01 + LOOK), "we may have been moved while we stood still"
    assert not liveness.wants_look(10.02 + LOOK)
    liveness.heard(20.0)
    assert not liveness.wants_look(20.0 + LOOK / 2)
