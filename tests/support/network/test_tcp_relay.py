"""The relay breaks connections where it was told, and nothing else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from tests.support.network.conditions import Direction
from tests.support.network.tcp_relay import Fault, TcpRelay, Way
from tests.support.waiting import until

UP, DOWN = Direction.UP, Direction.DOWN
CONTENT = bytes(range(200)) * 20


@pytest.fixture
def relay() -> Iterator[TcpRelay]:
    """Before a server that says what it hears."""
    listener = socket.create_server(("127.0.0.1", 0))

    def echo(sock: socket.socket) -> None:
        with sock:
            try:
                while chunk := sock.recv(65_536):
                    sock.sendall(chunk)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=echo, args=(sock,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    with TcpRelay(listener.getsockname()[1]) as made:
        yield made
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5.0)


def said(relay: TcpRelay, size: int) -> bytes:
    """What comes back of the content, at most so much. Raises ConnectionResetError."""
    with socket.create_connection(("127.0.0.1", relay.port)) as client:
        client.settimeout(10.0)
        client.sendall(CONTENT)
        heard = b""
        while len(heard) < size and (chunk := client.recv(65_536)):
            heard += chunk
    until(lambda: not relay.open, what="it is over")
    return heard


def test_what_meets_no_fault_passes_as_it_is(relay: TcpRelay) -> None:
    relay.next(Fault("close", UP, 5))
    relay.forget()
    assert said(relay, len(CONTENT)) == CONTENT


@pytest.mark.parametrize("after", [0, 1, 1_000, len(CONTENT)])
@pytest.mark.parametrize("direction", [UP, DOWN])
def test_a_cut(relay: TcpRelay, direction: Direction, after: int) -> None:
    relay.next(Fault("close", direction, after))
    heard = said(relay, len(CONTENT) + 1)
    assert heard == CONTENT[: len(heard)] and len(heard) <= after
    assert direction is UP or len(heard) == after
    assert said(relay, len(CONTENT)) == CONTENT, "the next one meets none"


def test_a_reset(relay: TcpRelay) -> None:
    relay.next(Fault("reset", DOWN, 100))
    with pytest.raises(ConnectionResetError):
        said(relay, len(CONTENT))


@pytest.mark.parametrize("way", ["stall", "drip"])
def test_what_is_slow(relay: TcpRelay, way: Way) -> None:
    relay.next(Fault(way, DOWN, 100, pause=0.005))
    assert len(said(relay, 100 if way == "stall" else 120)) in range(100, 200)


def test_what_nobody_has_said(relay: TcpRelay) -> None:
    relay.next(Fault("insert", DOWN, 7, b"other"))
    assert said(relay, len(CONTENT) + 5) == CONTENT[:7] + b"other" + CONTENT[7:]


def test_all_at_once(relay: TcpRelay) -> None:
    """They are kept waiting, refused, and cut, and what comes then meets none of it."""
    with socket.create_connection(("127.0.0.1", relay.port)) as client:
        client.settimeout(10.0)
        client.sendall(b"there")
        assert client.recv(100) == b"there"
        relay.pause()
        client.sendall(b"and")
        client.settimeout(0.1)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(10.0)
        relay.resume()
        assert client.recv(100) == b"and"
        relay.close_port()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", relay.port))
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", relay.port))
        client.sendall(b"back")
        assert client.recv(100) == b"back", "that goes on"
        relay.open_port()
        relay.cut("reset")
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    assert said(relay, len(CONTENT)) == CONTENT
