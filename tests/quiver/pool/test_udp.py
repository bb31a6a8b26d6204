"""The connected UDP socket: what is read in one go, what is refused, and what is freed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import gevent
import gevent.event
import pytest

from quiver.errors import NameResolutionFailed
from quiver.pool.udp import MAX_BATCH, Address, UdpSocket, resolve

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


def test_a_batch_has_an_end(
    peer: socket.socket, ours: tuple[UdpSocket, gevent.event.Event]
) -> None:
    udp, readable = ours
    udp.send([b"hello"])
    _, address = peer.recvfrom(100)
    for number in range(MAX_BATCH + 10):
        peer.sendto(number.to_bytes(2), address)
    assert readable.wait(LIMIT)
    first = list(udp.receive())
    assert first == [number.to_bytes(2) for number in range(MAX_BATCH)]
    assert len(list(udp.receive())) == 10


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
    udp.send([b"anybody?"])
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
    assert resolve("::1", 4433)[0][0] == socket.AF_INET6
    assert (socket.AF_INET, ("127.0.0.1", 1)) in resolve("localhost", 1)


@pytest.mark.parametrize("host", ["absent.invalid", "a" * 300, "a..b"])
def test_a_name_without_addresses(host: str) -> None:
    with pytest.raises(NameResolutionFailed, match=host[:20]):
        resolve(host, 443)
