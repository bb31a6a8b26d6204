"""Streamed responses over real sockets: how they are read, and that the server is held back."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import gevent
import pytest

import quiver
from quiver.actors.actor import GeventActor, GeventActorRef
from quiver.testing import Origin, pattern
from tests.support.stream_account import client_of
from tests.support.waiting import until

KIB = 1024
POURED = 384 * KIB  # what the origin hands to QUIC beyond what the client lets it send


# what a reader gets -----------------------------------------------------------------------------


def test_head_comes_before_the_body(client: quiver.Client, origin: Origin) -> None:
    with client.stream("GET", origin.url + "/stall-after/10") as response:
        assert response.status == 200
        assert response.header("Content-Length") == "1010"
        assert response.read(10) == pattern(10)
        assert not response.ended
        assert client.stats(origin.url).active == 1


def test_read_takes_it_all(client: quiver.Client, origin: Origin) -> None:
    with client.stream("GET", origin.url + "/bytes/700000") as response:
        assert response.read() == pattern(700_000)
        assert response.read() == response.read(5) == b""
        assert response.ended


def test_read_in_sizes(client: quiver.Client, origin: Origin) -> None:
    body = pattern(300_000)
    with client.stream("GET", origin.url + "/bytes/300000") as response:
        assert response.read(0) == b""
        assert response.read(1) == body[:1]
        assert response.read(200_000) == body[1:200_001]
        assert response.read(200_000) == body[200_001:]
        assert response.read(1) == b""


def test_iteration_and_read_take_turns(client: quiver.Client, origin: Origin) -> None:
    with client.stream("GET", origin.url + "/bytes/300000") as response:
        pieces = [response.read(10), next(iter(response)), response.read(10), *response]
    assert all(pieces)
    assert b"".join(pieces) == pattern(300_000)


def test_pieces_come_when_they_are_sent(client: quiver.Client, origin: Origin) -> None:
    with client.stream("GET", origin.url + "/drip/3/0.1?size=50") as response:
        assert list(response) == [pattern(50)] * 3


def test_iter_bytes(client: quiver.Client, origin: Origin) -> None:
    with client.stream("GET", origin.url + "/bytes/250000") as response:
        pieces = list(response.iter_bytes(100_000))
    assert [len(piece) for piece in pieces] == [100_000, 100_000, 50_000]
    assert b"".join(pieces) == pattern(250_000)
    with client.stream("GET", origin.url + "/ok") as response:
        with pytest.raises(ValueError, match="size=0"):
            next(response.iter_bytes(0))
        assert list(response.iter_bytes()) == [b"ok"]


def test_iter_lines(client: quiver.Client, origin: Origin) -> None:
    body = "eins\r\nzw\u00f6lf\n\nlast".encode()
    with client.stream("POST", origin.url + "/echo", body=body) as response:
        assert list(response.iter_lines()) == ["eins", "zw\u00f6lf", "", "last"]


def test_trailers_after_the_end(client: quiver.Client, origin: Origin) -> None:
    with client.stream("GET", origin.url + "/trailers") as response:
        assert response.trailers == []
        assert response.read() == b"ok"
        assert response.trailers == [("x-checksum", "abc"), ("x-count", "2")]


def test_duplicate_fields_keep_their_order(client: quiver.Client, origin: Origin) -> None:
    with client.stream("GET", origin.url + "/duplicates") as response:
        cookies = [value for name, value in response.headers if name == "set-cookie"]
    whole = client.get(origin.url + "/duplicates").headers
    assert response.headers == whole
    assert [cookie[0] for cookie in cookies] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/bytes/500000", 200),
        ("GET", "/status/204", 204),
        ("GET", "/status/304", 304),
        ("GET", "/bytes/0", 200),
    ],
)
def test_no_body(
    client: quiver.Client, origin: Origin, method: str, path: str, status: int
) -> None:
    with client.stream(method, origin.url + path) as response:
        assert (response.status, response.read()) == (status, b"")
        assert response.ended
    until(lambda: client.stats(origin.url).active == 0)
    assert client.request(method, origin.url + path).body == b""


@pytest.mark.parametrize("ask", ["request", "stream"])
def test_informational_responses(client: quiver.Client, origin: Origin, ask: str) -> None:
    """Each is told, in the caller's own thread, before the response; none is the response."""
    told: list[tuple[int, list[tuple[str, str]], int]] = []

    def tell(status: int, headers: list[tuple[str, str]]) -> None:
        told.append((status, headers, threading.get_ident()))

    response = getattr(client, ask)("GET", origin.url + "/informational/3", on_informational=tell)
    assert response.status == 200
    assert [status for status, _, _ in told] == [103] * 3
    links = [dict(headers)["link"] for _, headers, _ in told]
    assert len(set(links)) == 3
    assert {thread for _, _, thread in told} == {threading.get_ident()}


def test_informational_callback_that_raises(client: quiver.Client, origin: Origin) -> None:
    def refuse(status: int, headers: list[tuple[str, str]]) -> None:
        raise LookupError(status)

    with pytest.raises(LookupError):
        client.get(origin.url + "/informational", on_informational=refuse)
    until(lambda: client.stats(origin.url).active == 0)
    assert client.get(origin.url + "/ok").status == 200


def test_an_error_status_is_a_response(client: quiver.Client, origin: Origin) -> None:
    with client.stream("GET", origin.url + "/no-such-path") as response:
        assert (response.status, response.read()) == (404, b"no such path\n")


# who may ask ------------------------------------------------------------------------------------


def test_many_threads_at_once(client: quiver.Client, origin: Origin) -> None:
    read: list[bool] = []

    def download(number: int) -> None:
        size = 100_000 + number
        with client.stream("GET", f"{origin.url}/bytes/{size}") as response:
            read.append(b"".join(response) == pattern(size))

    threads = [threading.Thread(target=download, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert read == [True] * 16


def test_greenlets(client: quiver.Client, origin: Origin) -> None:
    def download() -> bytes:
        with client.stream("GET", origin.url + "/bytes/100000") as response:
            return response.read()

    jobs = [gevent.spawn(download) for _ in range(8)]
    gevent.joinall(jobs, timeout=30, raise_error=True)
    assert [job.value for job in jobs] == [pattern(100_000)] * 8


def test_an_asyncio_task(client: quiver.Client, origin: Origin) -> None:
    async def download() -> bytes:
        future = client.pool(origin.url).ask(
            quiver.StreamRequest("GET", "/bytes/9000"), block=False
        )
        response = await future
        with response:
            return bytes(await asyncio.to_thread(response.read))

    assert asyncio.run(download()) == pattern(9000)


class Relay(GeventActor):
    """Has the pool answer whoever asked."""

    def __init__(self, pool: GeventActorRef[Any]) -> None:
        super().__init__()
        self._pool = pool

    def on_receive(self, message: Any) -> Any:
        self.forward(self._pool, message)


class Reader(GeventActor):
    """Reads a body itself, in its own greenlet."""

    def __init__(self, pool: GeventActorRef[Any]) -> None:
        super().__init__()
        self._pool = pool

    def on_receive(self, message: Any) -> Any:
        response: quiver.StreamedResponse = self._pool.ask(message)
        with response:
            return response.read()


def test_forwarded_by_an_actor(client: quiver.Client, origin: Origin) -> None:
    relay = Relay.start(client.pool(origin.url))
    response: Any = relay.ask(quiver.StreamRequest("GET", "/bytes/9000"), timeout=10.0)
    with response:
        assert response.read() == pattern(9000)
    relay.stop()


def test_read_by_an_actor(client: quiver.Client, origin: Origin) -> None:
    """In the hub itself: the reader waits, and the connection in the same hub goes on."""
    reader = Reader.start(client.pool(origin.url))
    body = reader.ask(quiver.StreamRequest("GET", "/bytes/3000000"), timeout=30.0)
    assert body == pattern(3_000_000)
    reader.stop()


# the server is held back ------------------------------------------------------------------------


def steady(measure: Callable[[], int]) -> int:
    """What is measured once it has not changed for a quarter of a second."""
    value, since = measure(), time.monotonic()
    while time.monotonic() - since < 0.25:
        threading.Event().wait(0.02)
        if (now := measure()) != value:
            value, since = now, time.monotonic()
    return value


@pytest.mark.parametrize("window", [64 * KIB, 1024 * KIB, 4096 * KIB])
def test_backpressure_reaches_the_server(origin: Origin, window: int) -> None:
    size = 30_000_000 + window  # a path of its own
    path = f"/bytes/{size}"
    with (
        client_of(origin, receive_window=window) as client,
        client.stream("GET", origin.url + path) as response,
    ):
        until(lambda: origin.bytes_sent(path) >= window, within=20.0)
        assert steady(lambda: origin.bytes_sent(path)) <= window + POURED
        taken = len(response.read(4 * window))
        until(lambda: origin.bytes_sent(path) >= taken + window // 2, within=20.0)
        assert steady(lambda: origin.bytes_sent(path)) <= taken + window + POURED


def test_the_largest_number_stands_for_no_limit(origin: Origin) -> None:
    most: dict[str, Any] = dict.fromkeys(("receive_window", "max_header_size"), sys.maxsize)
    with client_of(origin, **most) as client:
        for _ in range(2):
            with client.stream("GET", origin.url + "/bytes/3000000", timeout=20) as response:
                assert response.read() == pattern(3_000_000)


@pytest.mark.long
def test_a_reader_that_sleeps_stalls_nobody(origin: Origin) -> None:
    """Their windows together are more than a connection grants without them."""
    with client_of(origin) as client:
        sleepers = [client.stream("GET", f"{origin.url}/bytes/1500000") for _ in range(10)]
        steady(lambda: origin.bytes_sent("/bytes/1500000"))
        body = client.get(origin.url + "/bytes/9000000", timeout=20.0).body
        assert body == pattern(9_000_000)
        with client.stream("GET", origin.url + "/bytes/2000000") as response:
            assert response.read() == body[:2_000_000]
        assert [sleeper.read() == body[:1_500_000] for sleeper in sleepers] == [True] * 10


@pytest.mark.parametrize("error", [LookupError(), SystemExit(3), KeyboardInterrupt()], ids=repr)
def test_what_is_raised_when_a_dropped_one_is_over_ends_nothing(
    client: quiver.Client, origin: Origin, error: BaseException
) -> None:
    """Nobody's thread is there for it but the loop's."""
    told = threading.Event()

    def fail(_: BaseException | None) -> None:
        raise error

    beside = client.pool(origin.url).ask(quiver.Request("GET", "/delay/0.3"), block=False)
    dropped = client.stream("GET", origin.url + "/bytes/3000000")
    dropped.when_over(lambda _: told.set())
    dropped.when_over(fail)  # which is called first
    del dropped
    gc.collect()
    assert told.wait(5)
    assert beside.get(timeout=5.0).status == 200
    until(lambda: client.stats(origin.url).active == 0)
