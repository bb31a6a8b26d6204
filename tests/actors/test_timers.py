"""Timers: once per arrangement, never stale, none left over."""

from __future__ import annotations

import time
from typing import Any

import gevent
import pytest
from gevent.event import Event
from hypothesis import given
from hypothesis import strategies as st

from quiver.actors.system_messages import TimerFired
from quiver.actors.timers import Timers, in_step


class Clockwork:
    """Timers with an inbox that is read when the test says so."""

    def __init__(self) -> None:
        self.inbox: list[TimerFired] = []
        self._came = Event()
        self.timers = Timers(self._deliver)

    def _deliver(self, firing: TimerFired) -> None:
        self.inbox.append(firing)
        self._came.set()

    def wait(self) -> TimerFired:
        if not self.inbox:
            self._came.clear()
            assert self._came.wait(5)
        return self.inbox.pop(0)


@pytest.fixture
def clockwork() -> Clockwork:
    gevent.get_hub().loop.update_now()
    return Clockwork()


def test_fires_once_in_time(clockwork: Clockwork) -> None:
    started = time.monotonic()
    clockwork.timers.start("a", 0.02)
    clockwork.timers.start("b", 0.01)
    assert [clockwork.wait().key, clockwork.wait().key] == ["b", "a"]
    assert time.monotonic() - started >= 0.019
    assert not clockwork.inbox


def test_accepted_once(clockwork: Clockwork) -> None:
    clockwork.timers.start("a", 0.0)
    firing = clockwork.wait()
    assert clockwork.timers.accepts(firing)
    assert not clockwork.timers.accepts(firing)


def test_a_cancelled_firing_is_stale(clockwork: Clockwork) -> None:
    clockwork.timers.start("a", 0.0)
    firing = clockwork.wait()
    clockwork.timers.cancel("a")
    assert not clockwork.timers.accepts(firing)
    clockwork.timers.start("a", 0.0)
    clockwork.timers.at("a", None)
    clockwork.timers.start("b", 0.01)
    assert clockwork.wait().key == "b"


def test_a_firing_that_was_moved_on_is_stale(clockwork: Clockwork) -> None:
    clockwork.timers.start("a", 0.0)
    firing = clockwork.wait()
    clockwork.timers.start("a", 0.02)
    assert not clockwork.timers.accepts(firing)
    assert clockwork.timers.accepts(clockwork.wait())


def test_moved_later_and_earlier(clockwork: Clockwork) -> None:
    started = time.monotonic()
    clockwork.timers.start("a", 0.01)
    clockwork.timers.start("a", 0.04)
    assert clockwork.timers.accepts(clockwork.wait())
    assert time.monotonic() - started >= 0.039
    clockwork.timers.start("a", 60.0)
    clockwork.timers.start("a", 0.0)
    assert clockwork.timers.accepts(clockwork.wait())


def test_one_that_rests_wakes_the_loop_at_its_time_alone(
    clockwork: Clockwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken: list[object] = []
    fire = Timers._fire

    def count(timers: Timers, key: Any, entry: Any) -> None:
        woken.append(key)
        fire(timers, key, entry)

    monkeypatch.setattr(Timers, "_fire", count)
    clockwork.timers.start("a", 0.01)
    clockwork.timers.at("a", time.monotonic() + 0.02, rests=True)
    assert clockwork.timers.accepts(clockwork.wait())
    assert woken == ["a"]
    clockwork.timers.start("a", 0.02)
    clockwork.timers.at("a", time.monotonic() + 0.01, rests=True)
    assert clockwork.timers.accepts(clockwork.wait())
    clockwork.timers.start("b", 0.03)
    assert clockwork.wait().key == "b"
    assert woken == ["a", "a", "b"]


def test_one_set_anew_with_every_batch_still_fires(clockwork: Clockwork) -> None:
    """An actor that is always behind reads the firing long after; it is due all the same."""
    due = time.monotonic()
    clockwork.timers.at("sweep", due)
    firing = clockwork.wait()
    for later in range(3):
        clockwork.timers.at("sweep", due + later * 1e-6)
    assert clockwork.timers.accepts(firing)
    clockwork.timers.start("b", 0.01)
    assert clockwork.wait().key == "b"  # and the other does not fire again


def test_no_entry_is_kept_of_what_is_over(clockwork: Clockwork) -> None:
    for number in range(10):
        clockwork.timers.start(number, 0.001)
        if number % 2:
            clockwork.timers.cancel(number)
    accepted = [clockwork.timers.accepts(clockwork.wait()) for _ in range(5)]
    assert all(accepted)
    gevent.sleep(0.002)
    assert not clockwork.timers._entries


def test_close(clockwork: Clockwork) -> None:
    clockwork.timers.start("a", 0.001)
    clockwork.timers.close()
    clockwork.timers.start("b", 0.005)
    assert clockwork.wait().key == "b"


@given(st.floats(0, 1e8), st.floats(0.1, 3600))
def test_in_step_means_in_time_and_then_as_often(now: float, seconds: float) -> None:
    first = in_step(now, seconds)
    assert seconds * 15 / 16 - 1e-6 <= first - now <= seconds + 0.0011
    due = first
    for _ in range(5):
        due = in_step(due - 0.0005, seconds)  # a timer may fire that early
    assert due - first == pytest.approx(5 * seconds, abs=1e-6)


@given(st.floats(0, 1e8), st.floats(0.1, 3600), st.lists(st.floats(0, 1), min_size=40))
def test_all_of_one_length_share_few_moments(
    now: float, seconds: float, shares: list[float]
) -> None:
    """Whenever within one length they begin, there are seventeen moments, not forty."""
    assert len({in_step(now + share * seconds, seconds) for share in shares}) <= 17


def test_started_in_step_it_fires_no_more_than_a_sixteenth_sooner(clockwork: Clockwork) -> None:
    started = time.monotonic()
    clockwork.timers.start_in_step("a", 0.16)
    assert clockwork.timers.accepts(clockwork.wait())
    assert time.monotonic() - started >= 0.149
