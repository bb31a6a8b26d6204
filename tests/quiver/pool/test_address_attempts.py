"""AddressAttempts: Happy Eyeballs as a table, by examples and over every sequence of events."""

from __future__ import annotations

import math
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.errors import (
    CertificateInvalid,
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    HandshakeFailed,
    ProtocolViolation,
    QuiverError,
    ResourceExhausted,
)
from quiver.pool.address_attempts import (
    DELAY,
    MOST,
    SHORTEST,
    Abandon,
    Address,
    AddressAttempts,
    AttemptAction,
    GiveUp,
    Try,
    interleaved,
)
from quiver.pool.dial_progress import Progress

REFUSED = ConnectionRefused("refused")
UNREACHED = ConnectionLost("no way")
IDLE = ConnectTimeout("nothing came")
CERTIFICATE = CertificateInvalid("expired")
BROKEN_OFF = HandshakeFailed("broken off", lasting=False)
NO_PROTOCOL = HandshakeFailed("no common protocol")
VIOLATION = ProtocolViolation("bad")
NO_DESCRIPTOR = ResourceExhausted("no descriptor")


def v4(number: int) -> Address:
    return socket.AF_INET, (f"192.0.2.{number}", 443)


def v6(number: int) -> Address:
    return socket.AF_INET6, (f"2001:db8::{number}", 443, 0, 0)


@pytest.mark.parametrize(
    ("addresses", "first", "order"),
    [
        ([], None, []),
        ([v6(1), v6(2), v4(1), v4(2)], None, [v6(1), v4(1), v6(2), v4(2)]),
        ([v4(1), v6(1), v6(2), v6(3)], None, [v4(1), v6(1), v6(2), v6(3)]),
        ([v6(1), v6(1), v4(1)], None, [v6(1), v4(1)]),
        ([v6(1), v6(2), v4(1), v4(2)], v4(2), [v4(2), v6(1), v4(1), v6(2)]),
        ([v6(1), v6(2), v4(1)], v6(2), [v6(2), v4(1), v6(1)]),
        ([v6(1), v4(1)], v4(9), [v6(1), v4(1)]),
        ([v4(1)], v4(1), [v4(1)]),
    ],
    ids=["none", "both", "uneven", "twice", "worked", "worked-same-family", "gone", "one"],
)
def test_families_take_turns(
    addresses: list[Address], first: Address | None, order: list[Address]
) -> None:
    assert interleaved(addresses, first) == order


def test_the_next_begins_when_the_last_is_a_delay_old() -> None:
    table = AddressAttempts([v6(1), v4(1), v6(2)], 105.0)
    assert table.tick(100.0) == (Try(1, v6(1)),)
    assert table.due() == 100.0 + DELAY
    assert table.tick(100.0 + DELAY / 2) == ()
    assert table.tick(100.0 + DELAY) == (Try(2, v4(1)),)
    assert table.tick(100.0 + 2 * DELAY) == (Try(3, v6(2)),)
    assert table.due() == 105.0, "there is no other"
    assert table.tick(104.9) == ()
    assert table.tick(105.0) == (Abandon(1), Abandon(2), Abandon(3), GiveUp(None))


def test_it_begins_at_once_when_one_fails() -> None:
    table = AddressAttempts([v6(1), v4(1), v6(2)])
    table.tick(0.0)
    assert table.failed(1, REFUSED, 0.01) == (Try(2, v4(1)),)
    assert table.due() == 0.01 + DELAY, "and that one has its whole delay"
    assert table.failed(1, REFUSED, 0.02) == (), "it is over"
    assert table.failed(2, REFUSED, 0.02) == (Try(3, v6(2)),)
    assert table.failed(3, REFUSED, 0.03) == (GiveUp(REFUSED),)


def test_one_that_fails_ends_nothing_while_another_is_alive() -> None:
    table = AddressAttempts([v6(1), v4(1)])
    table.tick(0.0)
    table.tick(DELAY)
    assert table.failed(1, CERTIFICATE, 1.0) == ()
    assert table.won(2) == ()
    assert table.failed(2, REFUSED, 1.0) == ()


def test_the_first_that_is_connected_ends_the_others() -> None:
    table = AddressAttempts([v6(1), v4(1), v6(2), v4(2)])
    for at in range(3):
        table.tick(at * DELAY)
    assert table.won(2) == (Abandon(1), Abandon(3))
    assert table.tick(9.0) == () and table.due() is None


def test_with_little_time_each_has_its_turn() -> None:
    table = AddressAttempts([v4(1), v4(2), v4(3)], 0.45)
    table.tick(0.0)
    assert table.due() == pytest.approx(0.15)
    table.tick(0.15)
    assert table.due() == pytest.approx(0.30)
    table = AddressAttempts(list(map(v4, range(100))), 1.0)
    table.tick(0.0)
    assert table.due() == SHORTEST


def test_time_for_which_nothing_could_be_heard_is_given_back() -> None:
    table = AddressAttempts([v4(1), v4(2)], 5.0)
    table.tick(0.0)
    table.excuse(10.0)
    assert table.tick(10.0) == ()
    assert table.tick(10.0 + DELAY) == (Try(2, v4(2)),)
    assert table.due() == 15.0


def test_only_so_many_are_alive() -> None:
    table = AddressAttempts(map(v4, range(20)))
    for at in range(MOST):
        assert len(table.tick(at * DELAY)) == 1
    table.answered(1)
    assert table.tick(10.0) == (Abandon(2), Try(MOST + 1, v4(MOST))), "it has answered nothing"
    for each in (*range(3, MOST + 2),):
        table.answered(each)
    assert table.tick(20.0) == (), "all of them shake hands"
    assert table.due() == 20.0 + DELAY
    assert table.failed(1, REFUSED, 20.1) == (Try(MOST + 2, v4(MOST + 1)),)


def test_six_hundred_that_refuse_at_once() -> None:
    table = AddressAttempts(map(v4, range(600)))
    actions, tried = table.tick(0.0), 0
    while isinstance(actions[0], Try):
        tried += 1
        actions = table.failed(actions[0].attempt, REFUSED, 0.0)
    assert tried == 600 and actions == (GiveUp(REFUSED),)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (CERTIFICATE, REFUSED, CERTIFICATE),
        (REFUSED, CERTIFICATE, CERTIFICATE),
        (CERTIFICATE, NO_PROTOCOL, CERTIFICATE),
        (BROKEN_OFF, NO_PROTOCOL, NO_PROTOCOL),
        (BROKEN_OFF, IDLE, BROKEN_OFF),
        (IDLE, VIOLATION, VIOLATION),
        (REFUSED, UNREACHED, REFUSED),
        (UNREACHED, REFUSED, REFUSED),
        (IDLE, REFUSED, IDLE),
    ],
)
def test_the_error_that_tells_most_is_told(
    first: QuiverError, second: QuiverError, told: QuiverError
) -> None:
    table = AddressAttempts([v4(1), v4(2)])
    table.tick(0.0)
    table.failed(1, first, 0.0)
    assert table.failed(2, second, 0.0) == (GiveUp(told),)


def test_of_errors_alike_it_is_the_last() -> None:
    table, last = AddressAttempts([v4(1), v4(2)]), ConnectionRefused("the last")
    table.tick(0.0)
    table.failed(1, REFUSED, 0.0)
    assert table.failed(2, last, 0.0) == (GiveUp(last),)


@pytest.mark.parametrize(
    ("met", "told"),
    [(CERTIFICATE, CERTIFICATE), (BROKEN_OFF, BROKEN_OFF), (REFUSED, None), (UNREACHED, None)],
)
def test_when_time_is_up_a_servers_word_is_told_and_else_the_silence(
    met: QuiverError, told: QuiverError | None
) -> None:
    table = AddressAttempts([v4(1), v4(2)], 5.0)
    table.tick(0.0)
    table.failed(1, met, 0.0)
    assert table.tick(5.0) == (Abandon(2), GiveUp(told))
    expected = f"2 of 2 addresses tried, 192.0.2.2:443 answered nothing; another one: {met.message}"
    assert str(table.progress) == expected


def test_without_a_descriptor_no_other_is_begun() -> None:
    table = AddressAttempts([v4(1), v4(2), v4(3)])
    table.tick(0.0)
    table.tick(DELAY)
    assert table.failed(2, NO_DESCRIPTOR, 1.0) == ()
    assert table.due() is None, "the first goes on"
    assert table.failed(1, CERTIFICATE, 1.0) == (GiveUp(NO_DESCRIPTOR),)


def test_progress_tells_why_what_was_sent_has_not_left() -> None:
    table = AddressAttempts([v6(1), v4(1)])
    table.tick(0.0)
    table.unsent(1, "too long")
    table.unsent(9, "of one that is over")
    assert table.progress == Progress(("2001:db8::1", 443), 1, 2, unsent="too long")
    table.tick(1.0)
    assert table.progress.unsent == "", "of another one"


def test_progress_tells_of_one_that_has_answered() -> None:
    table = AddressAttempts([v6(1), v4(1), v6(2)])
    assert table.progress == Progress(addresses=3)
    table.tick(0.0)
    assert table.progress == Progress(("2001:db8::1", 443), 1, 3)
    table.tick(DELAY)
    table.answered(1)
    table.answered(7)
    assert table.progress == Progress(("2001:db8::1", 443), 2, 3, answered=True)
    table.failed(1, CERTIFICATE, 1.0)
    assert table.progress == Progress(("2001:db8::2", 443), 3, 3, failed="expired")


class Model:
    """Does what the table asks for, and sees that it may."""

    def __init__(self, count: int, until: float) -> None:
        self.table = AddressAttempts(map(v4, range(count)), until)
        self.count, self.now = count, 0.0
        self.alive: set[int] = set()
        self.tried: list[int] = []
        self.over = False
        self.do(self.table.tick(0.0))

    def do(self, actions: tuple[AttemptAction, ...]) -> None:
        for action in actions:
            assert not self.over
            match action:
                case Try(attempt, address):
                    assert address == v4(attempt - 1), "in their order, each once"
                    self.tried.append(attempt)
                    self.alive.add(attempt)
                case Abandon(attempt):
                    self.alive.remove(attempt)
                case GiveUp():
                    self.over = True
        assert len(self.alive) <= MOST
        assert self.tried == list(range(1, len(self.tried) + 1))

    def pick(self, choice: int) -> int:
        return choice % (len(self.tried) + 2)  # also one that was never begun, or is over

    def fail(self, choice: int) -> None:
        attempt = self.pick(choice)
        self.alive.discard(attempt)
        self.do(self.table.failed(attempt, REFUSED, self.now))

    def wait(self, choice: int) -> None:
        self.now += choice * DELAY / 3
        self.do(self.table.tick(self.now))

    def answer(self, choice: int) -> None:
        self.table.answered(self.pick(choice))


STEPS: list[Callable[[Model, int], Any]] = [Model.fail, Model.wait, Model.answer]


@given(
    st.integers(1, 12),
    st.sampled_from([math.inf, 3.0, 0.4]),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 15)), max_size=60),
)
def test_every_sequence_of_events(
    count: int, until: float, steps: list[tuple[Callable[[Model, int], Any], int]]
) -> None:
    model = Model(count, until)
    for step, choice in steps:
        if model.over:
            break
        step(model, choice)
        assert model.over or model.alive, "something goes on, or it is over"
        due = model.table.due()
        assert model.over or due is None or due > model.now, "no turn without an end"
    while model.alive:  # and what was still to be tried
        model.fail(min(model.alive))
    assert model.over
    assert model.now >= until or len(model.tried) == count, "each had its turn, or time was up"
