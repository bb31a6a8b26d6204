"""The path carries for many clients, by its conditions, and keeps up."""

from __future__ import annotations

import math
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.support.network.link import HEADERS, Link, LinkConditions
from tests.support.network.long_path import LongPath

LIMIT = 10.0  # seconds
CLEAR = LinkConditions()


def bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(LIMIT)
    made.bind(("127.0.0.1", 0))
    return made


def port_of(end: socket.socket) -> int:
    return int(end.getsockname()[1])


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with closing(bound()) as made:
        yield made


def client_of(path: LongPath) -> socket.socket:
    made = bound()
    made.connect(("127.0.0.1", path.port))
    return made


def pour(client: socket.socket, server: socket.socket, count: int, row: int) -> list[int]:
    """Send numbered datagrams, no more than a row ahead of what arrives; list what arrives.

    The last of each row is repeated until it is there, or one that was lost would be waited for.
    """
    arrived: list[int] = []
    for first in range(0, count, row):
        last = min(first + row, count) - 1
        send_in_row(client, [numbered(number) for number in range(first, last + 1)])
        while not arrived or arrived[-1] < last:
            try:
                arrived.append(int.from_bytes(server.recv(2_000)[:4], "big"))
            except TimeoutError:
                client.send(numbered(last))
    return arrived


def numbered(number: int) -> bytes:
    return number.to_bytes(4, "big") + bytes(1_196)


def send_in_row(client: socket.socket, row: list[bytes]) -> None:
    """In one call, where the kernel cuts them apart."""
    if sys.platform == "linux":
        segments = [(17, 103, len(row[0]).to_bytes(2, sys.byteorder))]  # UDP_SEGMENT
        client.sendmsg(row, segments)
    else:
        for each in row:
            client.send(each)


def test_each_client_is_answered_by_itself(server: socket.socket) -> None:
    with ExitStack() as stack:
        path = stack.enter_context(LongPath(port_of(server), CLEAR))
        clients = [stack.enter_context(closing(client_of(path))) for _ in range(20)]
        for number, client in enumerate(clients):
            client.send(b"%d" % number)
        seen = {}
        for _ in clients:
            words, sender = server.recvfrom(100)
            seen[sender] = words
        assert len(seen) == len(clients)
        for sender, words in seen.items():
            server.sendto(words * 2, sender)
        for number, client in enumerate(clients):
            assert client.recv(100) == b"%d" % number * 2
    assert path.report.carried == (20, 20)


def test_it_delays_both_ways(server: socket.socket) -> None:
    with LongPath(port_of(server), LinkConditions(delay=0.2), LinkConditions(delay=0.3)) as path:
        client = client_of(path)
        began = time.monotonic()
        client.send(b"there")
        _, sender = server.recvfrom(100)
        there = time.monotonic()
        server.sendto(b"back", sender)
        assert client.recv(100) == b"back"
        back = time.monotonic()
        client.close()
    assert there - began >= 0.2
    assert back - there >= 0.3


def test_it_keeps_the_rate(server: socket.socket) -> None:
    """Never more than it, nor, where nothing else is to do, much less."""
    rate, count = 2e5, 60
    with LongPath(port_of(server), LinkConditions(rate=rate)) as path:
        client = client_of(path)
        for _ in range(count):
            client.send(bytes(1_000))
        server.recv(2_000)
        began = time.monotonic()
        for _ in range(count - 1):
            server.recv(2_000)
        took = time.monotonic() - began
        client.close()
    wanted = (count - 1) * (1_000 + HEADERS) / rate
    # What was late is made up for: a machine that stops for a moment has only so much to gain.
    assert wanted * 0.5 <= took <= wanted * 4
    assert path.report.dropped == (0, 0)


def test_what_the_queue_does_not_hold_is_dropped(server: socket.socket) -> None:
    with LongPath(port_of(server), LinkConditions(rate=1e5, queue=10_000)) as path:
        client = client_of(path)
        for _ in range(100):
            client.send(bytes(1_000 - HEADERS))
        for _ in range(10):
            server.recv(2_000)
        client.close()
    assert path.report.carried[0] + path.report.dropped[0] == 100
    assert path.report.dropped[0] > 50


@pytest.mark.parametrize(("share", "row"), [(0.0, 1), (0.0, 50), (0.02, 50)])
def test_rows_arrive_in_order_but_for_the_share_that_is_lost(
    server: socket.socket, share: float, row: int
) -> None:
    server.settimeout(0.3)  # then the last one was lost
    count = 200 * row
    with LongPath(port_of(server), LinkConditions(loss=share), CLEAR, seed=3) as path:
        client = client_of(path)
        arrived = pour(client, server, count, row)
        client.close()
    assert arrived == sorted(arrived)
    report = path.report
    assert report.overflowed == 0
    assert report.carried[0] + report.lost[0] >= count
    if not share:
        assert arrived == list(range(count))
    else:
        sent = report.carried[0] + report.lost[0]
        assert abs(report.lost[0] - share * sent) <= 5 * math.sqrt(share * sent)


@pytest.mark.parametrize("seed", [7, 8])
def test_a_seed_loses_what_its_link_does(server: socket.socket, seed: int) -> None:
    conditions = LinkConditions(loss=0.1)
    link = Link(conditions, f"{seed} up")
    wanted = [number for number in range(100) if link.carry(4, 0.0) is not None]
    with LongPath(port_of(server), conditions, CLEAR, seed=seed) as path:
        client = client_of(path)
        for number in range(100):
            client.send(number.to_bytes(4, "big"))
        assert [int.from_bytes(server.recv(100), "big") for _ in wanted] == wanted
        client.close()
    assert path.report.lost == (100 - len(wanted), 0)


def test_a_server_that_refuses_does_not_end_it() -> None:
    with closing(bound()) as gone:
        port = port_of(gone)
    with LongPath(port, CLEAR) as path:
        client = client_of(path)
        client.send(b"anybody?")
        client.send(b"nobody")
        with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as back:
            back.settimeout(0.2)
            back.bind(("127.0.0.1", port))
            for _ in range(50):
                client.send(b"again")
                try:
                    assert back.recv(100)
                    break
                except TimeoutError:
                    continue
            else:
                pytest.fail("nothing arrives any more")
        client.close()
