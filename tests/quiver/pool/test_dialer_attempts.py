"""Dialer: its addresses side by side, until one of them has shaken hands; without a socket."""

from __future__ import annotations

import errno
import itertools
import socket
import time
from typing import Any

import pytest

from quiver.config import PoolConfig
from quiver.errors import (
    CertificateInvalid,
    ConnectionLost,
    ConnectionRefused,
    ConnectTimeout,
    HandshakeFailed,
    NameResolutionFailed,
    ProtocolViolation,
    QuiverError,
    ResourceExhausted,
)
from quiver.h3 import events
from quiver.origin import Origin
from quiver.pool.address_attempts import DELAY, MOST, Address
from quiver.pool.dial_progress import Progress
from quiver.pool.dialer import Connected, Dialer
from quiver.pool.socket_errors import SocketError
from quiver.pool.target import PoolTarget

ORIGIN = Origin.parse("https://a.example")
REFUSED = SocketError(errno.ECONNREFUSED, local=False)


def addresses(count: int = 3) -> list[Address]:
    return [(socket.AF_INET, (f"192.0.2.{n}", 443)) for n in range(1, count + 1)]


class FakeConnection:
    early_streams = 0

    def __init__(self) -> None:
        self.closed = self.answered = False
        self.due: float | None = None
        self.shortened = 0
        self.ticked: list[float] = []
        self.happened: list[events.Event] = []

    def events(self) -> list[events.Event]:
        happened, self.happened = self.happened, []
        return happened

    def end(self, error: Exception) -> None:
        self.closed = True
        self.happened.append(events.ConnectionEnded(error))  # type: ignore[arg-type]

    def timer(self) -> float | None:
        return self.due

    def tick(self, now: float) -> None:
        self.ticked.append(now)

    def shorten(self) -> None:
        self.shortened += 1


class FakeTransport:
    """Opens what it is not told to fail for."""

    fails: dict[str, int]  # errno by host
    made: list[FakeTransport]

    def __init__(self, tell: object, lane: str, *, early: bool = False) -> None:
        self.early = early
        self.http = FakeConnection()
        self.errors: list[SocketError] = []
        self.host = ""
        self.more = False
        self.socket = self  # with the name that our end of it has
        self.name = ("192.0.2.77", 50_000)
        self.received = self.flushed = 0
        self.ready_after: list[int] = []  # so many flushes, of all attempts
        self.ended: str | None = None
        self.moved: bool | None = False  # None where there is no way
        self.ticket = self.no_way = False
        self.begun_at: list[float] = []

    def has_moved(self) -> bool:
        if self.moved is None:
            raise OSError(errno.ENETUNREACH, "no way")
        return self.moved

    def begin_anew(self, now: float) -> None:
        self.begun_at.append(now)
        self.moved, self.http = False, FakeConnection()

    def begin_without_ticket(self, now: float) -> bool:
        if self.no_way:
            raise OSError(errno.ENETUNREACH, "no way")
        if self.ticket:
            self.ticket, self.http = False, FakeConnection()
            return True
        return False

    def open(self, address: Address, now: float) -> None:
        self.host = address[1][0]
        if self.host in self.fails:
            raise OSError(self.fails[self.host], "it fails")
        self.made.append(self)

    def receive(self, now: float) -> None:
        self.received += 1

    def may_go_on(self, seconds: float) -> bool:
        return False

    def flush(self) -> None:
        self.flushed += 1

    def get_ready(self) -> None:
        self.ready_after.append(sum(each.flushed for each in self.made))

    def take_error(self) -> SocketError | None:
        return self.errors.pop() if self.errors and self.ended is None else None

    def hang_up(self) -> None:
        self.ended = self.ended or "hung up"

    def close(self) -> None:
        self.ended = self.ended or "closed"


class Dialling:
    def __init__(self, **options: Any) -> None:
        self.attempts: list[str] = []
        self.told: list[Progress] = []
        self.offered: list[Any] = []  # connections that requests may go along on
        self.target = PoolTarget(ORIGIN, PoolConfig.build(ORIGIN, **options))
        to: Any = self.target
        to.transport = FakeTransport
        self.dialer = Dialer(
            self.target,
            lambda _: None,
            lambda address, _: self.attempts.append(address[0]),
            self.told.append,
            lambda http, _: self.offered.append(http),
        )

    @property
    def transports(self) -> list[FakeTransport]:
        return FakeTransport.made

    def refuse(self, number: int, now: float) -> Any:
        self.transports[number].errors.append(REFUSED)
        return self.dialer.judge_socket_errors(now)


@pytest.fixture(autouse=True)
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeTransport.fails, FakeTransport.made = {}, []
    monkeypatch.setattr(Dialer, "_resolve", lambda _: None)


@pytest.fixture
def dialling() -> Dialling:
    return Dialling()


def test_they_are_tried_side_by_side_and_the_first_handshake_wins(dialling: Dialling) -> None:
    dialer = dialling.dialer
    assert dialer.resolved(addresses(), 0.0) is None
    assert dialer.due() == DELAY
    assert dialer.look(DELAY) is None
    dialer.flush()
    first, second = dialling.transports
    assert (first.flushed, second.flushed) == (1, 1)
    assert first.ready_after == second.ready_after == [2], "all that asks a server is sent by then"
    ready = events.Ready(100, False)
    second.http.happened = [ready]
    outcome = dialer.receive(0.3)
    assert isinstance(outcome, Connected)
    assert outcome.transport is second and outcome.events == [ready]  # type: ignore[comparison-overlap]
    assert (first.ended, second.ended) == ("hung up", None)
    assert dialling.attempts == ["192.0.2.1", "192.0.2.2"]
    assert dialling.told == [
        Progress((host, 443), n, 3) for n, host in enumerate(dialling.attempts, 1)
    ]


def test_the_first_attempt_alone_may_take_requests_along(dialling: Dialling) -> None:
    dialling.dialer.resolved(addresses(), 0.0)
    dialling.dialer.look(DELAY)
    assert [each.early for each in dialling.transports] == [True, False]
    assert dialling.offered == [], "it had no ticket for that"


def test_an_address_without_a_way_takes_the_early_data_of_none(
    dialling: Dialling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network without IPv6, say, where it is tried first."""
    monkeypatch.setattr(FakeConnection, "early_streams", 5)
    FakeTransport.fails = {"192.0.2.1": errno.ENETUNREACH}
    assert dialling.dialer.resolved(addresses(2), 0.0) is None
    [second] = dialling.transports
    assert (second.host, second.early) == ("192.0.2.2", True)
    assert dialling.offered == [second.http]


@pytest.mark.parametrize(
    ("local", "first"),
    [("192.0.2.77", "192.0.2.2"), ("198.51.100.1", "192.0.2.1"), (None, "192.0.2.1")],
    ids=["same-network", "another", "none"],
)
def test_what_has_worked_is_tried_first(
    dialling: Dialling, monkeypatch: pytest.MonkeyPatch, local: str | None, first: str
) -> None:
    """In another network nothing is known of it (RFC 8305 4)."""

    def local_host_to(address: Address) -> str:
        assert address == addresses()[1]
        if local is None:
            raise OSError(errno.ENETUNREACH, "no way")
        return local

    monkeypatch.setattr("quiver.pool.target.local_host_to", local_host_to)
    dialling.dialer.resolved(addresses(), time.monotonic())
    dialling.refuse(0, time.monotonic())
    dialling.transports[1].http.happened = [events.Ready(100, False)]
    assert isinstance(dialling.dialer.receive(time.monotonic()), Connected)
    again = Dialer(dialling.target, lambda _: None, lambda *_: None, lambda _: None)
    again.resolved(addresses(), time.monotonic())
    assert dialling.transports[2].host == first


def test_one_that_was_ready_for_a_moment_has_failed(dialling: Dialling) -> None:
    dialling.dialer.resolved(addresses(2), 0.0)
    first = dialling.transports[0].http
    first.happened = [events.Ready(100, False)]
    first.end(ConnectionLost("closed"))
    assert dialling.dialer.receive(0.1) is None
    assert dialling.attempts == ["192.0.2.1", "192.0.2.2"]


def with_a_ticket(dialling: Dialling, error: Exception) -> FakeTransport:
    dialling.dialer.resolved(addresses(1), 0.0)
    [tried] = dialling.transports
    tried.ticket = True
    tried.http.end(error)
    return tried


@pytest.mark.parametrize("error", [HandshakeFailed("alert"), ProtocolViolation("lowered")])
def test_one_that_has_offered_a_ticket_begins_in_full(
    dialling: Dialling, error: QuiverError
) -> None:
    tried = with_a_ticket(dialling, error)
    assert dialling.dialer.receive(0.1) is None
    assert dialling.attempts == ["192.0.2.1"] * 2 and tried.ended is None
    tried.http.end(error)
    assert dialling.dialer.receive(0.2) is error, "which was not the ticket's fault"


@pytest.mark.parametrize("error", [CertificateInvalid("expired"), ConnectionRefused("busy")])
def test_a_ticket_is_not_to_blame_for_all(dialling: Dialling, error: QuiverError) -> None:
    tried = with_a_ticket(dialling, error)
    assert dialling.dialer.receive(0.1) is error
    assert tried.ticket and dialling.attempts == ["192.0.2.1"]


def test_one_that_cannot_begin_in_full_has_failed(dialling: Dialling) -> None:
    error = HandshakeFailed("alert")
    with_a_ticket(dialling, error).no_way = True
    assert dialling.dialer.receive(0.1) is error


def test_a_refused_certificate_is_of_that_address(dialling: Dialling) -> None:
    error = CertificateInvalid("expired")
    dialling.dialer.resolved(addresses(2), 0.0)
    dialling.transports[0].http.end(error)
    assert dialling.dialer.receive(0.1) is None
    assert dialling.transports[0].ended == "hung up", "the server hears of it"
    assert dialling.refuse(1, 0.2) is error, "which tells more than the refusal"


def test_an_answer_is_told(dialling: Dialling) -> None:
    dialling.dialer.resolved(addresses(), 0.0)
    dialling.transports[0].http.answered = True
    for _ in range(2):
        dialling.dialer.receive(0.1)
    assert dialling.told[1:] == [Progress(("192.0.2.1", 443), 1, 3, answered=True)]


def test_an_address_without_a_way_is_passed_over(dialling: Dialling) -> None:
    FakeTransport.fails = {"192.0.2.1": errno.ENETUNREACH, "192.0.2.2": errno.EHOSTUNREACH}
    assert dialling.dialer.resolved(addresses(), 0.0) is None
    assert [each.host for each in dialling.transports] == ["192.0.2.3"]
    assert dialling.attempts == ["192.0.2.1", "192.0.2.2", "192.0.2.3"], "each was told of"


@pytest.mark.parametrize("count", [1, 600])
def test_when_none_has_a_way_the_last_error_is_told(dialling: Dialling, count: int) -> None:
    found = addresses(count)
    FakeTransport.fails = {host: errno.ENETUNREACH for _, (host, _) in found}
    error = dialling.dialer.resolved(found, 0.0)
    assert isinstance(error, ConnectionLost) and "ENETUNREACH" in error.message
    assert len(dialling.attempts) == count


def test_without_an_address_it_is_told(dialling: Dialling) -> None:
    error = dialling.dialer.resolved([], 0.0)
    assert isinstance(error, NameResolutionFailed)
    assert str(error) == "https://a.example: host 'a.example' has no address"


def test_without_a_descriptor_no_other_address_is_tried(dialling: Dialling) -> None:
    FakeTransport.fails = {"192.0.2.1": errno.EMFILE}
    assert isinstance(dialling.dialer.resolved(addresses(), 0.0), ResourceExhausted)
    assert dialling.attempts == ["192.0.2.1"]


def test_what_the_socket_meets(dialling: Dialling) -> None:
    dialling.dialer.resolved(addresses(1), 0.0)
    only = dialling.transports[0]
    for number in (errno.ENOBUFS, errno.EMSGSIZE):
        only.errors.append(SocketError(number, local=True))
    assert dialling.dialer.judge_socket_errors(0.1) is None
    assert only.http.shortened == 1 and only.ended is None
    assert isinstance(dialling.refuse(0, 0.2), ConnectionRefused)
    assert only.ended == "closed", "there is nobody to tell"


AWAY = SocketError(errno.ENETUNREACH, local=True)


def test_an_attempt_begins_anew_where_our_address_has_changed(dialling: Dialling) -> None:
    dialling.dialer.resolved(addresses(1), 0.0)
    [only] = dialling.transports
    for now in (0.1, 0.2, 0.3):
        only.moved = True
        only.errors.append(AWAY)
        assert dialling.dialer.judge_socket_errors(now) is None
    assert only.begun_at == [0.1, 0.2, 0.3] and only.ended is None
    assert dialling.attempts == ["192.0.2.1"] * 4
    only.moved = True
    only.errors.append(AWAY)
    assert isinstance(dialling.dialer.judge_socket_errors(0.4), ConnectionLost), "not for ever"


def test_it_is_seen_without_an_error_too(dialling: Dialling) -> None:
    dialling.dialer.resolved(addresses(1), 0.0)
    [only] = dialling.transports
    only.moved, only.http.due = True, 0.2
    assert dialling.dialer.tick(0.2) is None
    assert only.begun_at == [0.2]


def test_what_a_stranger_says_begins_nothing_anew(dialling: Dialling) -> None:
    dialling.dialer.resolved(addresses(1), 0.0)
    [only] = dialling.transports
    only.moved = True
    only.errors.append(SocketError(errno.EHOSTUNREACH, local=False))
    assert isinstance(dialling.dialer.judge_socket_errors(0.1), ConnectionLost)
    assert only.begun_at == []


def test_a_network_that_is_gone_may_be_another_one_soon(dialling: Dialling) -> None:
    dialling.dialer.resolved(addresses(1), 0.0)
    [only] = dialling.transports
    only.moved = None
    for now in (0.1, 1.0, 2.0):
        only.errors.append(AWAY)
        assert dialling.dialer.judge_socket_errors(now) is None
    only.errors.append(AWAY)
    assert isinstance(dialling.dialer.judge_socket_errors(2.2), ConnectionLost)


def test_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    dialling = Dialling(connect_timeout=9.0)
    dialling.dialer.start()
    assert dialling.dialer.due() == 109.0
    assert dialling.dialer.look(108.0) is None
    error = dialling.dialer.look(109.0)
    assert isinstance(error, ConnectTimeout) and isinstance(error, NameResolutionFailed)
    dialling.dialer.resolved(addresses(2), 108.0)
    dialling.dialer.excuse(2.0)
    for now in (109.0, 110.9):
        assert dialling.dialer.look(now) is None
    error = dialling.dialer.look(111.0)
    assert isinstance(error, ConnectTimeout)
    assert "2 of 2 addresses tried, 192.0.2.2:443 answered nothing" in error.message
    assert [each.ended for each in dialling.transports] == ["hung up", "hung up"]


def test_without_a_limit_it_is_never_late() -> None:
    dialling = Dialling(connect_timeout=None)
    dialling.dialer.resolved(addresses(1), 0.0)
    assert dialling.dialer.due() is None
    assert dialling.dialer.look(1e9) is None


def test_those_whose_time_it_is_are_ticked(dialling: Dialling) -> None:
    dialling.dialer.resolved(addresses(2), 0.0)
    dialling.dialer.look(DELAY)
    assert dialling.dialer.timer() is None
    first, second = (each.http for each in dialling.transports)
    first.due, second.due = 5.0, 4.0
    assert dialling.dialer.timer() == 4.0
    dialling.dialer.tick(4.5)
    assert (first.ticked, second.ticked) == ([], [4.5])


def test_an_idle_timeout_is_silence(dialling: Dialling) -> None:
    dialling.dialer.resolved(addresses(1), 0.0)
    h3 = dialling.transports[0].http
    h3.due = 0.1
    h3.end(ConnectTimeout("the idle timeout of 0.1 seconds"))
    error = dialling.dialer.tick(0.1)
    assert isinstance(error, ConnectTimeout)
    assert "the idle timeout: 192.0.2.1:443 answered nothing" in error.message


def test_there_may_be_more_in_any_of_them(dialling: Dialling) -> None:
    dialling.dialer.resolved(addresses(2), 0.0)
    dialling.dialer.look(DELAY)
    assert not dialling.dialer.more
    dialling.transports[1].more = True
    assert dialling.dialer.more


@pytest.mark.parametrize("ended", ["hung up", "closed"])
def test_all_of_them_are_freed(dialling: Dialling, ended: str) -> None:
    dialling.dialer.resolved(addresses(20), 0.0)
    for step in itertools.islice(itertools.count(1), MOST + 3):
        dialling.dialer.look(step * DELAY)
    (dialling.dialer.hang_up if ended == "hung up" else dialling.dialer.close)()
    made = [each.ended for each in dialling.transports]
    assert made == ["hung up"] * 4 + [ended] * MOST, "the oldest had to make room"
