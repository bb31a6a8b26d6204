"""Leaving a stream early frees it on both sides, whichever way it is left; so do time limits."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import gevent
import pytest

import quiver
from quiver.testing import Origin, pattern
from tests.support.stream_account import CANCELLED, Account, client_of
from tests.support.waiting import until

BIG = "/bytes/50000000"
STOPPED = {("stop_sending", CANCELLED)}


# the caller leaves ------------------------------------------------------------------------------


def leave_with(client: quiver.Client, url: str) -> None:
    with client.stream("GET", url) as response:
        assert response.read(1000) == pattern(1000)


def leave_with_nothing_read(client: quiver.Client, url: str) -> None:
    with client.stream("GET", url):
        pass


def leave_by_an_exception(client: quiver.Client, url: str) -> None:
    with pytest.raises(LookupError), client.stream("GET", url) as response:
        response.read(1)
        raise LookupError


def leave_by_break_and_close(client: quiver.Client, url: str) -> None:
    response = client.stream("GET", url)
    for _ in response:
        break
    response.close()
    response.close()
    with pytest.raises(quiver.StreamClosed):
        response.read()


def leave_to_the_collector(client: quiver.Client, url: str) -> None:
    response = client.stream("GET", url)
    assert response.read(1000) == pattern(1000)
    del response
    gc.collect()


def is_done(future: Any) -> bool:
    return bool(future.done)


def leave_a_future_to_the_collector(client: quiver.Client, url: str) -> None:
    future = client.pool(url).ask(quiver.StreamRequest("GET", url), block=False)
    until(partial(is_done, future))
    del future
    gc.collect()


def leave_from_another_thread(client: quiver.Client, url: str) -> None:
    """The reader waits in `read`, and is woken."""
    response = client.stream("GET", url.replace(BIG, "/stall-after/10"))
    ended: list[BaseException] = []

    def read() -> None:
        try:
            response.read()
        except quiver.StreamClosed as error:
            ended.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    until(lambda: bool(response.receive_buffer.wakes))  # it waits
    response.close()
    reader.join(10)
    assert len(ended) == 1


def leave_by_a_killed_greenlet(client: quiver.Client, url: str) -> None:
    reading = threading.Event()

    def read() -> None:
        with client.stream("GET", url.replace(BIG, "/stall-after/10")) as response:
            response.read(10)
            reading.set()
            response.read()

    greenlet = gevent.spawn(read)
    while not reading.is_set():
        gevent.sleep(0.005)
    greenlet.kill()
    assert greenlet.dead


LEAVING: list[Callable[[quiver.Client, str], None]] = [
    leave_with,
    leave_with_nothing_read,
    leave_by_an_exception,
    leave_by_break_and_close,
    leave_to_the_collector,
    leave_a_future_to_the_collector,
    leave_from_another_thread,
    leave_by_a_killed_greenlet,
]


@pytest.mark.one_in(3)
@pytest.mark.parametrize("leave", LEAVING, ids=lambda leave: leave.__name__[6:])
def test_left_in_the_middle(
    client: quiver.Client,
    origin: Origin,
    account: Account,
    leave: Callable[[quiver.Client, str], None],
) -> None:
    leave(client, origin.url + BIG)
    assert account.settled() == STOPPED
    assert client.get(origin.url + "/ok").status == 200  # on the same connection
    assert client.stats(origin.url).connections == 1


def test_cancelled_before_the_head(client: quiver.Client, origin: Origin, account: Account) -> None:
    path = "/hang?id=cancelled"
    future = client.pool(origin.url).ask(quiver.StreamRequest("GET", path), block=False)
    until(lambda: origin.seen("cancelled") == 1)
    assert future.cancel()
    with pytest.raises(quiver.RequestCancelled):
        future.get()
    assert account.settled() == STOPPED


def test_greenlet_killed_before_the_head(
    client: quiver.Client, origin: Origin, account: Account
) -> None:
    greenlet = gevent.spawn(client.stream, "GET", origin.url + "/hang?id=killed")
    while origin.seen("killed") == 0:
        gevent.sleep(0.005)
    greenlet.kill()
    assert account.settled() == STOPPED


def test_what_is_read_to_its_end_resets_nothing(
    client: quiver.Client, origin: Origin, account: Account
) -> None:
    with client.stream("GET", origin.url + "/bytes/200000") as response:
        response.read()
    client.stream("GET", origin.url + "/ok").read()
    assert account.settled() == set()


def test_closed_with_the_end_unread(
    client: quiver.Client, origin: Origin, account: Account
) -> None:
    """All has come, but the reader has not taken it: it is not read to its end."""
    response = client.stream("GET", origin.url + "/trailers")
    until(lambda: client.stats(origin.url).active == 0)
    response.close()
    assert not response.ended
    assert response.trailers == []
    with pytest.raises(quiver.StreamClosed):
        response.read()
    assert account.settled() == set()


@pytest.mark.long
def test_monkey_patched_program(origin: Origin) -> None:
    """A killed greenlet, and gevent.Timeout in the middle of a body."""
    program = f"""
from gevent import monkey; monkey.patch_all()
import gevent, quiver
pools = {{"default": {{"cafile": {origin.cafile!r}, "max_connections": 1}}}}
def read(client):
    with client.stream("GET", "{origin.url}/stall-after/20") as response:
        assert len(response.read(20)) == 20
        response.read()
def in_time(client):
    with gevent.Timeout(0.3, False):
        read(client)
with quiver.Client(pools=pools) as client:
    victim, late = gevent.spawn(read, client), gevent.spawn(in_time, client)
    late.get(timeout=10)
    victim.kill(timeout=10)
    with gevent.Timeout(10):
        while client.stats("{origin.url}").active:
            gevent.sleep(0.01)
    print(client.get("{origin.url}/ok").status)
"""
    before = len(origin.resets())
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40)
    assert (done.stdout, done.stderr) == ("200\n", "")

    def told() -> list[tuple[str, int]]:
        resets = [each for each in origin.resets()[before:] if each["path"] == "/stall-after/20"]
        return [(each["kind"], each["code"]) for each in resets]

    until(lambda: len(told()) >= 2)  # what the program has sent may still lie in a socket
    assert told() == [("stop_sending", CANCELLED)] * 2


# time is up -------------------------------------------------------------------------------------


def test_timeout_in_the_middle(client: quiver.Client, origin: Origin, account: Account) -> None:
    with client.stream("GET", origin.url + "/stall-after/10", timeout=0.5) as response:
        assert response.read(10) == pattern(10)
        with pytest.raises(quiver.RequestTimeout, match=r"timeout=0\.5"):
            response.read(1)
    assert account.settled() == STOPPED


def test_timeout_while_it_drips(client: quiver.Client, origin: Origin, account: Account) -> None:
    with client.stream("GET", origin.url + "/drip/1000/0.05", timeout=0.5) as response:
        read = b""
        with pytest.raises(quiver.RequestTimeout):
            while True:
                read += response.read(1)
    assert 1 <= len(read) <= 10
    assert account.settled() == STOPPED


def test_receive_timeout_in_the_middle(
    client: quiver.Client, origin: Origin, account: Account
) -> None:
    with client.stream("GET", origin.url + "/stall-after/5000", receive_timeout=0.3) as response:
        assert response.read(5000) == pattern(5000)
        with pytest.raises(quiver.ReceiveTimeout, match=r"receive_timeout=0\.3"):
            response.read()
    assert account.settled() == STOPPED


def test_a_slow_reader_is_not_a_silent_server(origin: Origin) -> None:
    with (
        client_of(origin, receive_timeout=0.3, receive_window=16_384) as client,
        client.stream("GET", origin.url + "/bytes/200000") as response,
    ):
        read = response.read(100)
        threading.Event().wait(0.9)
        assert read + response.read() == pattern(200_000)


def test_stream_that_nobody_reads(origin: Origin) -> None:
    with client_of(origin, stream_idle_timeout=0.3) as client:
        account = Account(origin, client)
        response = client.stream("GET", origin.url + BIG)
        assert account.settled() == STOPPED
        with pytest.raises(quiver.StreamIdleTimeout, match=r"stream_idle_timeout=0\.3"):
            response.read()


def test_stream_that_is_read_now_and_then(origin: Origin) -> None:
    """Slower than the limit in all, but never idle for so long."""
    with (
        client_of(origin, stream_idle_timeout=0.6) as client,
        client.stream("GET", origin.url + "/bytes/3000000") as response,
    ):
        for _ in range(8):
            assert len(response.read(100)) == 100
            threading.Event().wait(0.2)
        assert len(response.read()) == 3_000_000 - 800


def test_reset_in_the_middle(client: quiver.Client, origin: Origin, account: Account) -> None:
    with client.stream("GET", origin.url + "/reset-after/100000/0x102") as response:
        assert response.read(100_000) == pattern(100_000)
        with pytest.raises(quiver.StreamReset) as caught:
            response.read(1)
        assert caught.value.code == 0x102
        assert not response.ended
        with pytest.raises(quiver.StreamReset):
            response.read()
    account.settled()


@pytest.mark.parametrize("ask", ["get", "stream"])
def test_body_shorter_than_declared(client: quiver.Client, origin: Origin, ask: str) -> None:
    with pytest.raises(quiver.ProtocolViolation):
        if ask == "get":
            client.get(origin.url + "/lie")
        else:
            client.stream("GET", origin.url + "/lie").read()
    assert client.get(origin.url + "/ok").status == 200
