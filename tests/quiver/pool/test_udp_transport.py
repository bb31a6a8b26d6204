"""UdpTransport: what goes from the socket to HTTP/3 and back, and what its owner is told."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from quiver.actors.hub import Hub
from quiver.pool import udp, udp_transport
from quiver.pool.messages import SocketEvent
from quiver.pool.receive_turns import CHUNK, FIRST, SLICE
from quiver.pool.socket_errors import SocketError
from quiver.pool.udp_transport import UdpTransport
from quiver.quic.engine import Obstacle
from tests.support.network.faulty_socket import FaultySocket, fail
from tests.support.waiting import until


class FakeConnection:
    def __init__(self) -> None:
        self.came: list[bytes] = []
        self.unsent: list[bytes] = []
        self.heard = -1.0
        self.connected: float | None = None
        self.raises: BaseException | None = None
        self.obstacle: Obstacle | None = None
        self.next_stream_id = 0
        self.costs = 0.0  # seconds for each datagram

    def migrate(self, now: float) -> Obstacle | None:
        return self.obstacle

    def connect(self, now: float, address: tuple[str, int]) -> None:
        self.connected = now

    def receive_all(self, datagrams: Iterable[bytes], now: float) -> None:
        came = []
        for each in datagrams:
            came.append(each)
            begun = time.monotonic()
            while time.monotonic() < begun + self.costs:
                pass
        self.came += came
        if b"forged" not in came and came:
            self.heard = now

    def datagrams(self, now: float) -> list[bytes]:
        unsent, self.unsent = self.unsent, []
        return unsent

    def close(self, code: int, reason: str) -> None:
        if self.raises is not None:
            raise self.raises
        self.unsent.append(b"close %d" % code)


class FakeTarget:
    def __init__(self) -> None:
        self.tickets: list[Any] = []
        self.offered: list[Any] = []

    def take_ticket(self) -> Any:
        return self.tickets.pop() if self.tickets else None

    def forget_tickets(self) -> None:
        self.tickets.clear()

    def client_connection(self, ticket: Any, *, early: bool) -> FakeConnection:
        self.offered.append(ticket)
        return FakeConnection()


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5.0)
        yield made


class Stand:
    def __init__(self, server: socket.socket, *tickets: str) -> None:
        self.server, self.told = server, list[object]()
        self.target = FakeTarget()
        self.target.tickets += tickets
        target: Any = self.target
        self.transport = UdpTransport(target, self.told.append)
        in_loop(self.transport.open, (socket.AF_INET, server.getsockname()), 1.0)
        made: Any = self.transport.http
        self.http: FakeConnection = made
        assert self.transport.socket is not None
        self.here = self.transport.socket.local


def in_loop(step: Callable[..., Any], *args: Any) -> Any:
    return Hub.current().run(lambda: step(*args))


@pytest.fixture
def stand(server: socket.socket) -> Iterator[Stand]:
    made = Stand(server)
    yield made
    in_loop(made.transport.close)


def test_what_comes_is_told_once_until_it_is_received(stand: Stand) -> None:
    assert stand.http.connected == 1.0
    assert stand.transport.socket is not None
    assert stand.transport.socket.address == stand.server.getsockname()
    for datagram in (b"one", b"two"):
        stand.server.sendto(datagram, stand.here)
    until(lambda: stand.told, what="it is readable")
    time.sleep(0.05)  # the loop has its turn again
    assert stand.told == [SocketEvent.READABLE]
    assert in_loop(stand.transport.receive, 2.0), "the server was heard"
    assert stand.http.came == [b"one", b"two"]
    stand.server.sendto(b"three", stand.here)
    until(lambda: len(stand.told) == 2, what="it is told again")


def test_a_stranger_s_datagram_is_no_sign_of_life(stand: Stand) -> None:
    stand.server.sendto(b"forged", stand.here)
    until(lambda: stand.told, what="it is readable")
    assert not in_loop(stand.transport.receive, 2.0)
    assert not in_loop(stand.transport.receive, 3.0), "nor is nothing"
    assert not stand.transport.more


# its share of a turn --------------------------------------------------------------------------


@pytest.fixture
def timeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No chunk ends for its time: a machine may be as slow as it likes."""
    monkeypatch.setattr(udp_transport, "SLICE", 1e9)


def turn(stand: Stand, seconds: float) -> int:
    """Take one, in which each chunk is said to have cost so much: how many datagrams came."""
    taken: int = in_loop(turn_of, stand, seconds)
    return taken


def turn_of(stand: Stand, seconds: float) -> int:
    """The same, from within the loop."""
    before = len(stand.http.came)
    stand.transport.receive(2.0)
    while stand.transport.may_go_on(seconds):
        stand.transport.receive(2.0)
    return len(stand.http.came) - before


def sent(stand: Stand, count: int) -> list[bytes]:
    """As many datagrams, which are all there; the loop is not to take any by itself."""
    each = [b"%d" % number for number in range(count)]
    for datagram in each:
        stand.server.sendto(datagram, stand.here)
    return each


@pytest.mark.usefixtures("timeless")
def test_a_turn_takes_some_and_the_next_ones_what_is_left_in_order(stand: Stand) -> None:
    each = sent(stand, 6 * FIRST)
    assert turn(stand, 0.0) == FIRST
    assert stand.transport.more
    assert turn(stand, 0.0) == 2 * FIRST, "while there are more, twice as many"
    assert turn(stand, 0.0) == 3 * FIRST, "all that were left"
    assert not stand.transport.more
    assert stand.http.came == each
    sent(stand, 2 * FIRST)
    assert turn(stand, 0.0) == FIRST, "a new row begins with a few"


@pytest.mark.usefixtures("timeless")
def test_what_was_dear_is_a_whole_turn_and_it_rests_after_the_second(stand: Stand) -> None:
    socket, each = stand.transport.socket, sent(stand, 3 * CHUNK)
    assert socket is not None
    assert turn(stand, 2 * SLICE) == CHUNK
    assert not socket.rests, "a handshake may be as dear"
    rests = [in_loop(lambda: (turn_of(stand, 2 * SLICE), socket.rests)) for _ in range(2)]
    assert rests == [(CHUNK // 2, True), (0, True)], "as much as goes into a slice"
    assert stand.transport.more
    until(lambda: not socket.rests, what="the end of its rest")
    while stand.transport.more:
        assert turn(stand, 2 * SLICE) <= CHUNK // 2
        until(lambda: not socket.rests, what="the end of its rest")
    assert stand.http.came == each


def test_no_chunk_goes_on_after_its_slice(stand: Stand) -> None:
    """However many it may have: the time is looked at after each datagram."""
    each = sent(stand, 5)
    stand.http.costs = 1.5 * SLICE
    for count in range(1, 6):
        in_loop(stand.transport.receive, 2.0)
        assert len(stand.http.came) == count
        assert stand.transport.more, "that nothing is left is not known before it is asked"
    in_loop(stand.transport.receive, 3.0)
    assert not stand.transport.more
    assert stand.http.came == each


@pytest.mark.usefixtures("timeless")
def test_what_is_left_is_told_again(stand: Stand) -> None:
    """By the loop, so that all others who can be heard have their turns before."""
    each = sent(stand, 2 * CHUNK)
    for taken in (0, CHUNK):
        until(lambda: stand.told, what="it is readable")
        stand.told.clear()
        in_loop(stand.transport.receive, 2.0)
        assert stand.http.came == each[: taken + CHUNK]


@pytest.mark.usefixtures("timeless")
def test_a_migration_leaves_both_sockets_their_share(stand: Stand) -> None:
    former = sent(stand, 2 * CHUNK)
    assert in_loop(stand.transport.migrate, 2.0) is None
    assert stand.transport.socket is not None
    stand.here = stand.transport.socket.local
    fresh = sent(stand, 2 * CHUNK)
    for begin in (0, CHUNK):
        del stand.http.came[:]
        in_loop(stand.transport.receive, 2.0)
        assert stand.transport.more
        assert stand.http.came == former[begin:][:CHUNK] + fresh[begin:][:CHUNK]
    in_loop(stand.transport.receive, 3.0)
    assert not stand.transport.more


# what goes out --------------------------------------------------------------------------------


def test_what_it_has_to_send_is_sent(stand: Stand) -> None:
    stand.http.unsent = [b"a", b"b"]
    in_loop(stand.transport.flush)
    assert [stand.server.recv(100) for _ in range(2)] == [b"a", b"b"]
    assert stand.told == []


def test_errors_are_told_after_a_flush_and_taken_one_by_one(stand: Stand) -> None:
    assert stand.transport.socket is not None
    met = {SocketError(errno.EHOSTUNREACH, local=False), SocketError(errno.EMSGSIZE, local=True)}
    stand.transport.socket.errors |= met
    in_loop(stand.transport.flush)
    assert stand.told == [SocketEvent.FAILED]
    assert {stand.transport.take_error(), stand.transport.take_error()} == met
    assert stand.transport.take_error() is None


def test_what_another_has_opened_is_adopted(stand: Stand) -> None:
    told: list[object] = []
    target: Any = FakeTarget()
    winner = UdpTransport(target, told.append)
    in_loop(winner.adopt, stand.transport)
    assert winner.http is stand.transport.http
    stand.server.sendto(b"one", stand.here)
    until(lambda: told, what="its new owner is told")
    assert stand.told == []
    assert in_loop(winner.receive, 2.0) and stand.http.came == [b"one"]
    in_loop(stand.transport.hang_up)  # it has nothing any more
    stand.server.sendto(b"two", stand.here)
    until(lambda: len(told) == 2, what="it is told again")
    in_loop(winner.close)


def test_who_hangs_up_says_so(stand: Stand) -> None:
    in_loop(stand.transport.hang_up)
    assert stand.server.recv(100) == b"close 256"
    assert stand.transport.socket is None
    assert not in_loop(stand.transport.receive, 2.0), "what is told late finds nothing"
    assert stand.transport.take_error() is None
    in_loop(stand.transport.hang_up)  # again: there is nobody to tell


def test_the_socket_is_freed_whatever_it_raises(stand: Stand) -> None:
    stand.http.raises = LookupError("broken")
    with pytest.raises(LookupError):
        in_loop(stand.transport.hang_up)
    assert stand.transport.socket is None


def test_it_goes_on_by_another_socket_and_hears_the_former_one_for_a_while(stand: Stand) -> None:
    former, here = stand.transport.socket, stand.here
    assert in_loop(stand.transport.migrate, 2.0) is None
    fresh = stand.transport.socket
    assert fresh is not None and fresh is not former
    assert fresh.address == stand.server.getsockname() and fresh.local != here
    stand.http.unsent = [b"from there"]
    in_loop(stand.transport.flush)
    assert stand.server.recvfrom(100) == (b"from there", fresh.local)
    for place in (here, fresh.local):
        stand.server.sendto(b"%d" % place[1], place)
        until(lambda: stand.told, what="it is readable")
        stand.told.clear()  # first: what is told after it is told no more until it is received
        in_loop(stand.transport.receive, 3.0)
    assert stand.http.came == [b"%d" % here[1], b"%d" % fresh.local[1]]
    in_loop(stand.transport.forget_former)
    stand.server.sendto(b"late", here)
    stand.server.sendto(b"in time", fresh.local)
    until(lambda: stand.told, what="it is readable")
    in_loop(stand.transport.receive, 4.0)
    assert stand.http.came[2:] == [b"in time"]


def test_what_the_kernel_has_not_taken_has_never_left(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(udp, "_Socket", FaultySocket)
    in_loop(stand.transport.migrate, 2.0)
    stand.http.unsent, stand.http.next_stream_id = [b"a", b"b"], 8
    in_loop(stand.transport.flush)
    assert stand.transport.left == 8
    stand.http.next_stream_id = 12
    in_loop(stand.transport.flush)
    assert stand.transport.left == 8, "there was nothing to send"
    try:
        fail("send", errno.ENETUNREACH, 1_000)
        for unsent in ([b"c"], [b"d", b"d", b"d"]):
            stand.http.unsent = unsent
            in_loop(stand.transport.flush)
        assert stand.transport.left == 8
        fail("send", errno.EINVAL, 3)  # together, again, and once of the first alone
        stand.http.unsent = [b"e", b"e"]
        in_loop(stand.transport.flush)
        assert stand.transport.left == 12, "one has left"
    finally:
        fail("none", 0, 0)


def test_what_cannot_migrate_keeps_its_socket(stand: Stand) -> None:
    socket = stand.transport.socket
    stand.http.obstacle = Obstacle.FORBIDDEN
    assert in_loop(stand.transport.migrate, 2.0) is Obstacle.FORBIDDEN
    assert stand.transport.socket is socket


def test_both_sockets_are_freed(stand: Stand) -> None:
    before = len(os.listdir("/dev/fd"))
    in_loop(stand.transport.migrate, 2.0)
    in_loop(stand.transport.migrate, 3.0)
    assert len(os.listdir("/dev/fd")) == before + 1
    in_loop(stand.transport.close)
    assert len(os.listdir("/dev/fd")) == before - 1


def test_a_handshake_begins_anew_by_another_socket(stand: Stand) -> None:
    former, before = stand.transport.socket, stand.transport.http
    in_loop(stand.transport.begin_anew, 7.0)
    fresh, after = stand.transport.socket, stand.transport.http
    assert fresh is not None and fresh is not former and after is not before
    assert fresh.address == stand.server.getsockname()
    again: Any = after
    assert again.connected == 7.0


def test_it_begins_in_full_when_a_ticket_came_to_nothing(server: socket.socket) -> None:
    stand = Stand(server, "older", "newer")
    try:
        assert stand.target.offered == ["newer"]
        stand.http.unsent = [b"the reason"]
        assert in_loop(stand.transport.begin_without_ticket, 7.0)
        assert stand.target.offered == ["newer", None] and stand.target.tickets == []
        assert server.recv(100) == b"the reason", "by the former socket"
        again: Any = stand.transport.http
        assert again is not stand.http and again.connected == 7.0
        assert not in_loop(stand.transport.begin_without_ticket, 8.0), "it had none"
        assert stand.transport.http is again
    finally:
        in_loop(stand.transport.close)
