"""The relay carries datagrams both ways, and does to them what the conditions say."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.network.conditions import Conditions, Direction
from tests.support.network.relay import Relay

UP, DOWN = Direction.UP, Direction.DOWN
LIMIT = 5.0  # seconds


class End:
    """A plain UDP socket that may be waited upon."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(LIMIT)
        self.socket.bind(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]

    def take(self) -> tuple[bytes, tuple[str, int]]:
        """One datagram, and where it came from."""
        datagram, sender = self.socket.recvfrom(65_536)
        return datagram, sender


@pytest.fixture
def server() -> Iterator[End]:
    made = End()
    yield made
    made.socket.close()


@pytest.fixture
def relay(server: End) -> Iterator[Relay]:
    with Relay(server.port) as made:
        yield made


@pytest.fixture
def client(relay: Relay) -> Iterator[End]:
    made = End()
    made.socket.connect(("127.0.0.1", relay.port))
    yield made
    made.socket.close()


def until(met: Callable[[], bool]) -> None:
    due = time.monotonic() + LIMIT
    while not met():
        assert time.monotonic() < due
        time.sleep(0.001)


def exchange(client: End, server: End, words: bytes = b"hello") -> tuple[str, int]:
    """Send there and back; return whom the server saw."""
    client.socket.send(words)
    there, seen = server.take()
    assert there == words
    server.socket.sendto(words[::-1], seen)
    assert client.take()[0] == words[::-1]
    return seen


def test_it_carries_both_ways_and_counts(relay: Relay, client: End, server: End) -> None:
    exchange(client, server)
    assert relay.carried == {UP: 1, DOWN: 1}
    assert relay.largest == {UP: 5, DOWN: 5}
    assert not relay.lost.total()


def test_each_client_has_its_own_port(relay: Relay, client: End, server: End) -> None:
    other = End()
    other.socket.connect(("127.0.0.1", relay.port))
    assert exchange(client, server) != exchange(other, server)
    other.socket.close()


def test_rebinding_changes_the_port_and_the_way_back_follows(
    relay: Relay, client: End, server: End
) -> None:
    before = exchange(client, server)
    relay.rebind()
    after = exchange(client, server)
    assert before[1] != after[1]
    relay.rebind("127.0.0.2")
    assert exchange(client, server)[0] == "127.0.0.2"


def test_it_leads_to_another_server(relay: Relay, client: End, server: End) -> None:
    exchange(client, server)
    other = End()
    relay.lead_to(other.port)
    exchange(client, other)
    other.socket.close()


def test_a_closed_port_refuses_and_an_open_one_serves_again(
    relay: Relay, client: End, server: End
) -> None:
    exchange(client, server)
    port = relay.port
    relay.close_port()
    client.socket.send(b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        client.take()
    relay.open_port()
    assert relay.port == port
    exchange(client, server)


def test_nobody_else_gets_the_port_while_it_is_closed(relay: Relay) -> None:
    relay.close_port()
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", relay.port))


def test_a_server_that_refuses_does_not_harm_the_relay(relay: Relay, client: End) -> None:
    gone = End()
    relay.lead_to(gone.port)
    gone.socket.close()
    client.socket.send(b"one")
    client.socket.send(b"two")
    until(lambda: relay.carried[UP] == 2)
    back = End()
    relay.lead_to(back.port)
    exchange(client, back)
    back.socket.close()


def test_a_blackhole_of_one_direction(relay: Relay, client: End, server: End) -> None:
    seen = exchange(client, server)
    relay.blackhole(DOWN)
    server.socket.sendto(b"lost", seen)
    client.socket.send(b"there")
    assert server.take()[0] == b"there"
    relay.become()
    server.socket.sendto(b"back", seen)
    assert client.take()[0] == b"back"
    assert relay.lost == {DOWN: 1, UP: 0}


def test_a_blackhole_ends_by_itself(relay: Relay, client: End, server: End) -> None:
    started = time.monotonic()
    relay.blackhole(seconds=0.2)
    server.socket.settimeout(0.02)
    while True:
        client.socket.send(b"anybody?")
        try:
            server.take()
            break
        except TimeoutError:
            assert time.monotonic() - started < LIMIT
    assert time.monotonic() - started >= 0.2


def test_it_delays(relay: Relay, client: End, server: End) -> None:
    relay.become(Conditions(delay=0.1), Conditions(delay=0.1))
    started = time.monotonic()
    exchange(client, server)
    assert time.monotonic() - started >= 0.2


def test_later_ones_overtake(relay: Relay, client: End, server: End) -> None:
    relay.change((UP,), reorder=1.0, reorder_delay=0.3)
    client.socket.send(b"first")
    until(lambda: relay.largest[UP] > 0)  # it has been decided upon
    relay.become()
    client.socket.send(b"second")
    assert [server.take()[0] for _ in range(2)] == [b"second", b"first"]


def test_chosen_datagrams_are_lost(relay: Relay, client: End, server: End) -> None:
    relay.become(up=Conditions(lose={0, 2}))
    for number in range(4):
        client.socket.send(b"%d" % number)
    assert [server.take()[0] for _ in range(2)] == [b"1", b"3"]


def test_the_end_closes_everything(server: End) -> None:
    with Relay(server.port) as relay:
        client = End()
        client.socket.connect(("127.0.0.1", relay.port))
        exchange(client, server)
        port = relay.port
    client.socket.send(b"anybody?")
    with pytest.raises(ConnectionRefusedError):
        client.take()
    client.socket.close()
    assert port == relay.port
