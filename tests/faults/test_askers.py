"""Who has asked and is gone: what was asked is cancelled, its stream reset, its slot free."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import quiver
from quiver.actors.actor import GeventActor
from quiver.testing import Authority, Origin
from tests.support.memory import uncollected
from tests.support.stream_account import CANCELLED, Account, client_of
from tests.support.waiting import until

STOPPED = {("stop_sending", CANCELLED)}
BOTH = {*STOPPED, ("reset", CANCELLED)}


class Unending:
    """A body that goes on as long as somebody takes it."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield bytes(10_000)


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


@pytest.fixture
def client(origin: Origin) -> Iterator[quiver.Client]:
    with client_of(origin) as made:
        made.get(origin.url + "/ok")
        yield made


class Asker(GeventActor):
    """Asks without blocking, and keeps what it gets."""

    def __init__(self, pool: Any) -> None:
        super().__init__()
        self.pool = pool
        self.kept: list[Any] = []

    def on_receive(self, message: Any) -> None:
        if isinstance(message, quiver.Request):
            self.kept.append(self.pool.ask(message, block=False))
        else:
            raise message


def hang(number: object) -> quiver.Request:
    return quiver.Request("GET", f"/hang?id={number}")


def stop(asker: Any) -> None:
    asker.stop()


def crash(asker: Any) -> None:
    asker.tell(SystemError("as a bug would"))


def kill(asker: Any) -> None:
    asker.kill()


@pytest.mark.parametrize("end", [stop, crash, kill], ids=lambda end: end.__name__)
def test_an_actor_that_ends_with_asks_out(
    client: quiver.Client, origin: Origin, end: Callable[[Any], None]
) -> None:
    account = Account(origin, client)
    asker = Asker.start(client.pool(origin.url))
    names = [f"{end.__name__}-{number}" for number in range(5)]
    for name in names:
        asker.ask(hang(name))
    asker.ask(quiver.Request("POST", "/hang?id=post", body=Unending()))
    until(lambda: all(origin.seen(name) for name in names))
    end(asker)
    assert account.settled() == BOTH
    assert client.get(origin.url + "/ok").status == 200


def test_an_actor_that_forwards_and_ends(client: quiver.Client, origin: Origin) -> None:
    """What it passed on is answered: that belongs to who asked first."""

    class Forwarder(GeventActor):
        def on_receive(self, message: Any) -> None:
            self.forward(client.pool(origin.url), message)

    forwarder = Forwarder.start()
    reply = forwarder.ask(quiver.Request("GET", "/delay/0.3?id=forwarded"), block=False)
    until(lambda: origin.seen("forwarded") == 1)
    forwarder.stop()
    assert reply.get(timeout=10.0).status == 200


# a future that is dropped -----------------------------------------------------------------------

DROPPED: dict[str, tuple[quiver.Request, set[tuple[str, int]]]] = {
    "buffered": (hang("buffered"), STOPPED),
    "buffered, amid its body": (quiver.Request("GET", "/stall-after/1000?id=amid"), STOPPED),
    "upload": (quiver.Request("POST", "/hang?id=upload", body=Unending()), BOTH),
    "stream before its head": (quiver.StreamRequest("GET", "/hang?id=headless"), STOPPED),
    "stream with its head": (quiver.StreamRequest("GET", "/bytes/50000000?id=head"), STOPPED),
}


def arrived(origin: Origin, request: quiver.Request) -> bool:
    """Whether the origin knows of it: by its id, or when it has no end yet by what has come."""
    path, _, query = request.target.partition("?")
    return bool(origin.seen(query[3:]) or origin.bytes_received(path))


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", DROPPED)
def test_an_ask_whose_future_is_dropped(client: quiver.Client, origin: Origin, name: str) -> None:
    request, told = DROPPED[name]
    account = Account(origin, client)
    with uncollected():
        future = client.pool(origin.url).ask(request, block=False)
        until(lambda: arrived(origin, request))
        # By its answer what came before is acknowledged: no end that is, is reset (RFC 9000 3.1).
        assert client.get(origin.url + "/ok").status == 200
        del future
        assert account.settled() == told
    assert client.get(origin.url + "/ok").status == 200
    assert client.stats(origin.url).connections == 1


def test_futures_dropped_while_they_wait(origin: Origin) -> None:
    """In the queue, and before there is a connection: nobody after them notices."""
    with client_of(origin, max_streams_per_connection=1, checkout_timeout=None) as client:
        pool = client.pool(origin.url)
        futures = [pool.ask(hang(f"queue-{number}"), block=False) for number in range(50)]
        until(lambda: origin.seen("queue-0") == 1)
        assert client.stats(origin.url).queued == 49
        del futures[1:]
        until(lambda: client.stats(origin.url).queued == 0)
        assert client.stats(origin.url).active == 1
        futures.clear()
        assert client.get(origin.url + "/ok", timeout=10.0).status == 200
    assert not any(origin.seen(f"queue-{number}") for number in range(1, 50))


def test_what_is_told_is_sent_though_nobody_waits(client: quiver.Client, origin: Origin) -> None:
    client.pool(origin.url).tell(quiver.Request("POST", "/delay/0.1?id=told", body=b"x"))
    gc.collect()
    until(lambda: origin.seen("told") == 1)
    assert Account(origin, client).settled() == set()
