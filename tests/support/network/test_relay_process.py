"""The relay in a process of its own carries, and takes orders."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.network.conditions import Conditions, Direction
from tests.support.network.relay_process import RelayProcess

LIMIT = 5.0  # seconds


def bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(LIMIT)
    made.bind(("127.0.0.1", 0))
    return made


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with closing(bound()) as made:
        yield made


@pytest.fixture
def relay(server: socket.socket) -> Iterator[RelayProcess]:
    with RelayProcess(server.getsockname()[1], seed=1) as made:
        yield made


@pytest.fixture
def client(relay: RelayProcess) -> Iterator[socket.socket]:
    with closing(bound()) as made:
        made.connect(("127.0.0.1", int(relay.url.rpartition(":")[2])))
        yield made


def test_it_carries_both_ways(client: socket.socket, server: socket.socket) -> None:
    client.send(b"there")
    words, seen = server.recvfrom(100)
    server.sendto(words[::-1], seen)
    assert client.recv(100) == b"ereht"


def assert_silent(end: socket.socket) -> None:
    end.settimeout(0.2)
    with pytest.raises(TimeoutError):
        end.recv(100)
    end.settimeout(LIMIT)


def test_the_conditions_change(
    relay: RelayProcess, client: socket.socket, server: socket.socket
) -> None:
    relay.become(Conditions(duplicate=1.0))
    client.send(b"twice")
    assert [server.recv(100), server.recv(100)] == [b"twice", b"twice"]
    relay.blackhole(Direction.UP)
    client.send(b"swallowed")
    assert_silent(server)
    relay.become()
    client.send(b"clear")
    assert server.recv(100) == b"clear"


def test_the_port_closes_and_opens(
    relay: RelayProcess, client: socket.socket, server: socket.socket
) -> None:
    relay.close_port()
    client.send(b"refused")
    with pytest.raises(ConnectionRefusedError):
        client.recv(100)
    relay.open_port()
    client.send(b"hello")
    assert server.recv(100) == b"hello"


def test_the_port_towards_the_server_changes(
    relay: RelayProcess, client: socket.socket, server: socket.socket
) -> None:
    client.send(b"one")
    _, before = server.recvfrom(100)
    relay.rebind()
    client.send(b"two")
    _, after = server.recvfrom(100)
    assert before != after


def test_one_for_tcp_is_at_the_same_port() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        RelayProcess(listener.getsockname()[1], seed=1, tcp=True) as both,
    ):
        place = "127.0.0.1", int(both.url.rpartition(":")[2])
        with socket.create_connection(place, LIMIT) as mine, listener.accept()[0] as theirs:
            mine.sendall(b"there")
            assert theirs.recv(100) == b"there"
            both.close_port()
            theirs.sendall(b"back")
            assert mine.recv(100) == b"back", "that was UDP's"
            both.tcp.cut()
            assert mine.recv(100) == b""
