"""The connected UDP socket: what is read in one go, what is refused, and what is freed."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.event
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quiver.errors import NameResolutionFailed
from quiver.pool.udp import MAX_BATCH, Address, UdpSocket, resolve, runs
from tests.support.names import Names

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
    assert list(udp.receive()) == []  # nothing there, and no wait
    peer.sendto(b"answer", address)
    assert readable.wait(LIMIT)
    assert list(udp.receive()) == [b"answer"]


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
    udp = UdpSocket(resolve(host, 9)[0], lambda: None)
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


def test_a_batch_has_an_end(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event]
) -> None:
    udp, readable = ours
    udp.send([b"hello"])
    _, address = peer.recvfrom(100)
    sent = [number.to_bytes(2) for number in range(32 + 64 + 128 + 2 * MAX_BATCH + 10)]
    for each in sent:
        peer.sendto(each, address)
    assert readable.wait(LIMIT)
    batches = [list(udp.receive()) for _ in range(6)]
    assert [each for batch in batches for each in batch] == sent
    assert [len(batch) for batch in batches] == [32, 64, 128, 256, 256, 10]
    peer.sendto(b"later", address)
    assert list(udp.receive()) == [b"later"]
    for each in sent[:40]:
        peer.sendto(each, address)
    assert len(list(udp.receive())) == 32, "a new row begins with a small batch"


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
    assert list(udp.receive()) == [b"true"]


def test_a_closed_port_refuses(peer: socket.socket) -> None:
    readable = gevent.event.Event()
    udp = UdpSocket(address_of(peer), readable.set)
    peer.close()
    udp.send([b"anybody?"] * 2)
    assert readable.wait(LIMIT)
    with pytest.raises(ConnectionRefusedError):
        list(udp.receive())
    udp.close()


def test_an_address_that_cannot_be_reached() -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match=r"Permission denied|unreachable"):
        UdpSocket((socket.AF_INET, ("255.255.255.255", 9)), lambda: None)
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_is_heard_after_close(peer: socket.socket) -> None:
    heard: list[None] = []
    udp = UdpSocket(address_of(peer), lambda: heard.append(None))
    udp.send([b"hello"])
    _, address = peer.recvfrom(100)
    before = len(os.listdir("/proc/self/fd"))
    udp.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1
    peer.sendto(b"late", address)
    gevent.sleep(0)
    gevent.idle()
    assert heard == []


def test_addresses_of_a_name() -> None:
    found = resolve("127.0.0.1", 4433)
    assert found == [(socket.AF_INET, ("127.0.0.1", 4433))]
    assert resolve("::1", 4433) == [(socket.AF_INET6, ("::1", 4433, 0, 0))]
    assert (socket.AF_INET, ("127.0.0.1", 1)) in resolve("localhost", 1)


def test_only_names_are_looked_up(names: Names) -> None:
    names["somewhere.test"] = "127.0.0.9"
    assert resolve("somewhere.test", 1)[0] == (socket.AF_INET, ("127.0.0.9", 1))
    resolve("127.0.0.1", 1)
    resolve("::1", 1)
    assert names.asked == ["somewhere.test"]


@pytest.mark.parametrize("host", ["absent.invalid", "a" * 300, "a..b"])
def test_a_name_without_addresses(host: str) -> None:
    with pytest.raises(NameResolutionFailed, match=host[:20]):
        resolve(host, 443)
