"""Connections beside each other in one loop: none takes more of a turn than its slice.

What comes of one origin is made dear here, so that it is a matter of turns and not of the machine's
speed who is served when: each of its datagrams costs more than a slice, and is a turn.
"""

from __future__ import annotations

import select
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
import pytest

import quiver
from quiver.actors.hub import Hub
from quiver.pool import transport
from quiver.pool.receive_turns import SLICE
from quiver.pool.transport import Transport
from quiver.pool.udp import UdpSocket
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.testing import Authority, Origin, pattern
from tests.support.waiting import until

BODY = 40_000  # bytes; at least as many turns as there are datagrams
LIMIT = 30.0  # seconds for anything to come about


@pytest.fixture(scope="module")
def dear(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture(scope="module")
def other(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture
def client(authority: Authority) -> Iterator[quiver.Client]:
    rule = {"cafile": authority.cafile, "max_connections": 1, "shutdown_timeout": 0.1}
    with quiver.Client(pools={"default": rule}) as made:
        yield made


class Turns:
    """Which turns of the loop took datagrams, and in which there were some to take.

    Attributes:
        dear: the port of the origin whose datagrams are; 0 for none.
        number: of the present turn.
        taken: for each port the turns in which a datagram was taken, as often as that was.
        left: for each port how many turns a datagram there was left for, at the most.
    """

    def __init__(self) -> None:
        self.dear = self.number = 0
        self.taken: dict[int, list[int]] = defaultdict(list)
        self.left: dict[int, int] = {}
        self.sockets: list[UdpSocket] = []
        self._ready: dict[UdpSocket, int] = {}  # since which turn there has been one

    def begin(self) -> None:
        """Count turns, from the loop."""
        self._watcher = gevent.get_hub().loop.prepare()  # called in each one before it polls
        self._watcher.start(self._next)

    def end(self) -> None:
        self._watcher.stop()
        self._watcher.close()

    def _next(self) -> None:
        self.number += 1
        for each in self.sockets:
            descriptor, port = each._socket.fileno(), each.address[1]
            if descriptor >= 0 and select.select([descriptor], [], [], 0.0)[0]:
                left = self.number - self._ready.setdefault(each, self.number)
                self.left[port] = max(left, self.left.get(port, 0))
            else:
                self._ready.pop(each, None)

    def take(self, port: int, datagrams: Iterable[bytes]) -> Iterator[bytes]:
        for datagram in datagrams:
            self.taken[port].append(self.number)
            self._ready = {each: n for each, n in self._ready.items() if each.address[1] != port}
            yield datagram
            if port == self.dear:
                _spend(1.5 * SLICE)


def _spend(seconds: float) -> None:
    """Of both clocks."""
    ended, spent = time.monotonic() + seconds, time.thread_time() + seconds
    while time.monotonic() < ended or time.thread_time() < spent:
        pass


@pytest.fixture
def turns(monkeypatch: pytest.MonkeyPatch) -> Iterator[Turns]:
    seen, receive = Turns(), AioquicEngine.receive

    def open_socket(*args: Any) -> UdpSocket:
        seen.sockets.append(UdpSocket(*args))
        return seen.sockets[-1]

    def take(engine: AioquicEngine, datagrams: Iterable[bytes], now: float) -> None:
        receive(engine, seen.take(engine.connection.peer_address[1], datagrams), now)

    monkeypatch.setattr(AioquicEngine, "receive", take)
    monkeypatch.setattr(transport, "UdpSocket", open_socket)
    Hub.current().run(seen.begin)
    yield seen
    Hub.current().run(seen.end)


def ask(client: quiver.Client, origin: Origin, path: str, **options: Any) -> Any:
    request = quiver.Request("GET", path, **{"timeout": LIMIT, **options})
    return client.pool(origin.url).ask(request, block=False)


def test_more_work_than_a_slice_goes_on_in_the_next_turns_and_nothing_is_lost(
    client: quiver.Client, dear: Origin, turns: Turns
) -> None:
    client.get(dear.url + "/ok")
    turns.dear = dear.port
    turns.taken.clear()
    assert ask(client, dear, f"/bytes/{BODY}").get(timeout=LIMIT).body == pattern(BODY)
    each = turns.taken[dear.port]
    assert len(each) > 20
    # Once by the loop, and once by a timer that takes what has come before it judges.
    assert max(map(each.count, each)) <= 2


def gets(client: quiver.Client, other: Origin) -> None:
    assert client.get(other.url + "/ok", timeout=LIMIT).body == b"ok"


def uploads(client: quiver.Client, other: Origin) -> None:
    sent = client.post(other.url + "/echo", body=pattern(BODY), timeout=LIMIT)
    assert sent.body == pattern(BODY)


def dials(client: quiver.Client, other: Origin) -> None:
    with quiver.Client(pools={"default": {"cafile": other.cafile}}) as fresh:
        gets(fresh, other)


@pytest.mark.parametrize("does", [gets, uploads, dials])
@pytest.mark.parametrize("from_the_first", [False, True], ids=["answers", "handshakes"])
def test_others_are_served_in_the_same_turns(
    client: quiver.Client,
    dear: Origin,
    other: Origin,
    turns: Turns,
    does: Callable[[quiver.Client, Origin], None],
    from_the_first: bool,
) -> None:
    if not from_the_first:
        client.get(dear.url + "/ok")
    turns.dear = dear.port
    body = ask(client, dear, f"/bytes/{BODY}")
    until(lambda: turns.taken[dear.port], what="it comes")
    while not body.done:
        does(client, other)
    assert body.get(timeout=LIMIT).body == pattern(BODY)
    assert turns.left[other.port] <= 1


def test_a_timer_is_heeded_however_much_there_is_to_take(
    client: quiver.Client, dear: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get(dear.url + "/ok")
    monkeypatch.setattr(Transport, "more", True)  # so fast it sends
    with pytest.raises(quiver.RequestTimeout, match=r"timeout=0\.05 "):
        ask(client, dear, "/hang", timeout=0.05).get(timeout=LIMIT)
    assert ask(client, dear, "/ok").get(timeout=LIMIT).body == b"ok"
