"""The connected UDP socket: what is read in one go, what is refused, and what is freed."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.event
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.pool.resolver_answer import spelled_out
from quiver.pool.socket_errors import SocketError
from quiver.pool.udp import Address, UdpSocket, runs

LIMIT = 5.0  # seconds


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    """The other end."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.settimeout(LIMIT)
        yield bound


def address_of(peer: socket.socket) -> Address:
    return socket.AF_INET, peer.getsockname()


@pytest.fixture
def ours(peer: socket.socket) -> Iterator[tuple[UdpSocket, gevent.event.Event]]:
    """Our end, with an event of its hub that is set when there is something to read."""
    readable = gevent.event.Event()
    made = UdpSocket(address_of(peer), readable.set)
    yield made, readable
    made.close()


def test_datagrams_go_both_ways_whole(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event]
) -> None:
    udp, readable = ours
    sent = [b"one", b"", bytes(1400)]
    udp.send(sent)
    address: Any = None
    for datagram in sent:
        got, address = peer.recvfrom(65_536)
        assert got == datagram
    assert list(udp.receive(32)) == []  # nothing there, and no wait
    peer.sendto(b"answer", address)
    assert readable.wait(LIMIT)
    assert list(udp.receive(32)) == [b"answer"]


SIZES = [
    [1200] * 200 + [300],  # more than fit in one call
    [1200, 1200, 40, 1200, 1250, 1250, 0, 0, 7, 7],
    [1] * 150,
]


def content(sizes: list[int]) -> list[bytes]:
    """Datagrams of those sizes, which tell each other apart."""
    return [(number.to_bytes(2) * size)[:size] for number, size in enumerate(sizes)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("refused", [False, True])
def test_many_datagrams_arrive_whole_and_in_order(
    peer: socket.socket,
    ours: tuple[UdpSocket, gevent.event.Event],
    sizes: list[int],
    refused: bool,
) -> None:
    """Also where the kernel refuses to cut them: it cannot without checksums, as some cards."""
    udp, _ = ours
    if refused:
        udp._socket.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
    sent = content(sizes)
    udp.send(sent)
    assert [peer.recv(65_536) for _ in sent] == sent
    assert udp._segmented is (sys.platform == "linux" and not refused)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's options")
@pytest.mark.parametrize(
    ("host", "level", "option"),
    [("127.0.0.1", socket.IPPROTO_IP, 10), ("::1", socket.IPPROTO_IPV6, 23)],
)
def test_no_datagram_goes_in_fragments(host: str, level: int, option: int) -> None:
    address = spelled_out(host, 9)
    assert address is not None
    udp = UdpSocket(address, lambda: None)
    assert udp._socket.getsockopt(level, option) == 3  # IP_PMTUDISC_PROBE
    udp.close()


@given(st.lists(st.integers(0, 1500), max_size=200))
def test_runs_can_be_cut_apart_again(sizes: list[int]) -> None:
    datagrams = content(sizes)
    found = list(runs(datagrams))
    assert [each for run in found for each in run] == datagrams
    for run in found:
        size = len(run[0])
        assert all(len(each) == size for each in run[:-1])
        assert len(run[-1]) <= size
        assert len(run) == 1 or (size * len(run) <= 65_000 and len(run) <= 64 and run[-1])


def test_datagrams_of_one_size_go_together() -> None:
    assert [len(run) for run in runs([b"x" * 1200] * 100 + [b"last"])] == [54, 47]


def arrived(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event], sent: list[bytes]
) -> UdpSocket:
    """The socket, when these have come."""
    udp, readable = ours
    udp.send([b"hello"])
    _, address = peer.recvfrom(100)
    for each in sent:
        peer.sendto(each, address)
    assert readable.wait(LIMIT)
    return udp


def test_no_more_are_taken_than_wanted(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event]
) -> None:
    sent = [number.to_bytes(2) for number in range(42)]
    udp = arrived(peer, ours, sent)
    batches, told = [], []
    for _ in range(4):
        batches.append(list(udp.receive(14)))
        told.append((udp.taken, udp.more))
    assert [each for batch in batches for each in batch] == sent
    assert told == [(14, True), (14, True), (14, True), (0, False)]


def test_of_long_ones_fewer_are_taken(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event]
) -> None:
    udp = arrived(peer, ours, [bytes(4_000)] * 5)
    assert len(list(udp.receive(5))) == 2
    assert len(list(udp.receive(8))) == 3


def test_when_its_time_is_over_one_is_taken_still(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event]
) -> None:
    udp = arrived(peer, ours, [b"1", b"2", b"3"])
    for left in (b"1", b"2", b"3"):
        assert list(udp.receive(32, time.monotonic() - 1.0)) == [left]
        assert udp.more
    assert list(udp.receive(32, time.monotonic() - 1.0)) == []
    assert not udp.more


def test_what_nobody_takes_is_told_of_by_the_next_look_only(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event]
) -> None:
    udp = arrived(peer, ours, [b"1", b"2"])
    assert list(udp.receive(1)) == [b"1"]
    udp.receive(1)  # by one who has ended and takes nothing
    assert (udp.taken, udp.more) == (0, False)


def test_who_rests_takes_nothing_and_is_told_of_it_afterwards(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event]
) -> None:
    udp, readable = arrived(peer, ours, [b"1", b"2"]), ours[1]
    assert list(udp.receive(1)) == [b"1"]
    udp.rest(0.05)
    heir = gevent.event.Event()
    udp.listen(heir.set)  # also who adopts it in the meantime
    readable.clear()
    assert udp.rests
    assert list(udp.receive(32)) == []
    assert (udp.taken, udp.more) == (0, True)
    assert heir.wait(LIMIT)
    assert not udp.rests
    assert not readable.is_set()
    assert list(udp.receive(32)) == [b"2"]


def test_strangers_are_not_heard(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event]
) -> None:
    udp, readable = ours
    udp.send([b"hello"])
    _, address = peer.recvfrom(100)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"forged", address)
    peer.sendto(b"true", address)
    assert readable.wait(LIMIT)
    assert list(udp.receive(32)) == [b"true"]


def test_a_closed_port_refuses(peer: socket.socket) -> None:
    readable = gevent.event.Event()
    udp = UdpSocket(address_of(peer), readable.set)
    peer.close()
    udp.send([b"anybody?"] * 2)
    assert readable.wait(LIMIT)
    assert list(udp.receive(32)) == []
    assert udp.errors == {SocketError(errno.ECONNREFUSED, local=False)}
    udp.close()


def reopened(address: Any) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(address)
    bound.settimeout(LIMIT)
    return bound


def test_what_lies_behind_an_error_is_read(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event]
) -> None:
    udp, _ = ours
    there, here = peer.getsockname(), udp.local
    peer.close()
    udp.send([b"refused"])
    with reopened(there) as bound:
        bound.sendto(b"one", here)
        bound.sendto(b"two", here)
        assert list(udp.receive(32)) == [b"one", b"two"]
    assert udp.errors == {SocketError(errno.ECONNREFUSED, local=False)}


@pytest.mark.parametrize("sent", [[b"one"], [b"one", b"two"], [b"a" * 1200] * 90])
def test_an_error_of_before_costs_no_datagram(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event], sent: list[bytes]
) -> None:
    """The kernel tells it in place of sending: it is sent all the same."""
    udp, _ = ours
    there = peer.getsockname()
    peer.close()
    udp.send([b"refused"])
    with reopened(there) as bound:
        udp.send(sent)
        assert [bound.recv(65_536) for _ in sent] == sent
    assert udp.errors == {SocketError(errno.ECONNREFUSED, local=False)}
    assert udp._segmented is (sys.platform == "linux")


def test_what_the_link_does_not_take_costs_nothing_beside_it(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event]
) -> None:
    udp, _ = ours
    udp.send([b"before", bytes(65_508), b"after"])
    assert [peer.recv(65_536) for _ in range(2)] == [b"before", b"after"]
    assert udp.errors == {SocketError(errno.EMSGSIZE, local=True)}


def test_a_full_buffer_is_no_trouble(ours: tuple[UdpSocket, gevent.event.Event]) -> None:
    udp, _ = ours
    for number in (errno.EAGAIN, errno.EINTR):
        udp._note(number, local=True)
    assert udp.errors == set()


def test_an_address_that_cannot_be_reached() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"Permission denied|unreachable"):
        UdpSocket((socket.AF_INET, ("255.255.255.255", 9)), lambda: None)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("rests", [False, True])
def test_nothing_is_heard_after_close(peer: socket.socket, rests: bool) -> None:
    heard: list[None] = []
    udp = UdpSocket(address_of(peer), lambda: heard.append(None))
    udp.send([b"hello"])
    _, address = peer.recvfrom(100)
    if rests:
        udp.rest(1e-6)
    before = len(os.listdir("/proc/self/fd"))
    udp.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1
    peer.sendto(b"late", address)
    gevent.sleep(0)
    gevent.idle()
    assert heard == []
