"""A client that is dropped without close(): what it holds ends, and a ResourceWarning says so."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest

import quiver
from quiver.actors.registry import Registry
from quiver.pool.ref import PoolRef
from quiver.testing import Authority, Origin
from tests.support.actors import Newcomers
from tests.support.memory import MIB, resident
from tests.support.waiting import until


@pytest.fixture(scope="module")
def origin(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority) as started:
        yield started


def made(origin: Origin, **options: object) -> quiver.Client:
    rule = {"cafile": origin.cafile, "max_connections": 1, **options}
    return quiver.Client(pools={"default": rule}, name="forgotten")


def dropped(drop: Callable[[], Any]) -> list[str]:
    """What `drop` warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drop()
        gc.collect()
    return [str(each.message) for each in caught if each.category is ResourceWarning]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


# what ends --------------------------------------------------------------------------------------


def test_a_dropped_client_is_finalised(origin: Origin) -> None:
    new = Newcomers()

    def drop() -> None:
        client = made(origin)
        assert client.get(origin.url + "/ok").status == 200
        assert new.count() == 4

    told = dropped(drop)
    assert told == [
        "forgotten was dropped without close(): its pools end when what is open has ended"
    ]
    until(lambda: not new)
    until(lambda: origin.streams_open() == 0)


def test_nothing_is_said_of_one_that_holds_nothing(origin: Origin) -> None:
    def use_and_close() -> None:
        with made(origin) as client:
            client.get(origin.url + "/ok")
        other = made(origin)
        other.get(origin.url + "/ok")
        other.close()
        made(origin).stats(origin.url)

    assert dropped(use_and_close) == []


def test_one_whose_close_was_interrupted_is_finalised(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by Ctrl-C in the line before its pools are told."""
    new = Newcomers()

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    def drop() -> None:
        client = made(origin)
        assert client.get(origin.url + "/ok").status == 200
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(pykka.ActorRef, "stop", interrupted)
            client.close()

    assert len(dropped(drop)) == 1
    until(lambda: not new)


def test_what_did_not_start_is_left_nowhere(origin: Origin) -> None:
    """A start that fails leaves no supervisor behind it."""
    new = Newcomers()

    def drop() -> None:
        client = quiver.Client(pools={"default": {"cadata": b"-----BEGIN CERTIFICATE-----"}})
        with pytest.raises(quiver.InvalidOptions):
            client.get(origin.url + "/ok")

    assert dropped(drop) == []
    until(lambda: not new)


@pytest.mark.long
def test_hundreds_leave_nothing_behind(origin: Origin) -> None:
    """Each of 600 would keep four actors and some 130 KiB."""

    def drop(times: int) -> None:
        for _ in range(times):
            made(origin).get(origin.url + "/ok")

    new = Newcomers()
    dropped(lambda: drop(100))
    until(lambda: not new)
    held, threads, opened = resident(), threading.active_count(), descriptors()
    assert len(dropped(lambda: drop(500))) == 500
    until(lambda: not new)
    assert threading.active_count() <= threads
    assert descriptors() <= opened
    assert resident() - held < 16 * MIB


# what keeps it ----------------------------------------------------------------------------------


def stream(client: quiver.Client, origin: Origin) -> Any:
    return client.stream("GET", origin.url + "/drip/20/0.02?size=1000")


def read_stream(response: Any) -> int:
    return len(response.read())


def future(client: quiver.Client, origin: Origin) -> Any:
    return client.pool(origin.url).ask(quiver.Request("GET", "/delay/0.5"), block=False)


def wait_for_future(reply: Any) -> int:
    return int(reply.get(timeout=10.0).status)


def waiting(client: quiver.Client, origin: Origin) -> Any:
    """Two that share one slot: the second waits in the queue."""
    pool = client.pool(origin.url)
    return [pool.ask(quiver.Request("GET", "/delay/0.3"), block=False) for _ in range(2)]


def wait_for_both(replies: Any) -> list[int]:
    return [reply.get(timeout=10.0).status for reply in replies]


def ref(client: quiver.Client, origin: Origin) -> Any:
    return client.pool(origin.url)


def ask_ref(pool: Any) -> int:
    threading.Event().wait(0.3)  # longer than an end would take
    return int(pool.ask(quiver.Request("GET", "/ok")).status)


KEPT: dict[str, tuple[Callable[..., Any], Callable[[Any], Any], Any]] = {
    "unread response": (stream, read_stream, 20_000),
    "future": (future, wait_for_future, 200),
    "futures that wait": (waiting, wait_for_both, [200, 200]),
    "ref of a pool": (ref, ask_ref, 200),
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", KEPT)
def test_what_is_open_keeps_the_pool_until_it_is_done(origin: Origin, name: str) -> None:
    take, use, outcome = KEPT[name]
    new, kept = Newcomers(), list[Any]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        kept.append(take(made(origin, max_streams_per_connection=1), origin))
        gc.collect()
        assert use(kept[0]) == outcome
        assert new or name != "ref of a pool"
        kept.clear()
        gc.collect()
        until(lambda: not new)


def test_a_channel_keeps_the_pool_until_it_is_closed(origin: Origin) -> None:
    new = Newcomers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        channel = made(origin).open_channel(origin.url + "/session", protocol="webtransport")
        gc.collect()
        events = iter(channel)
        assert getattr(next(events), "status", None) == 200
        channel.write(b"still there")
        assert getattr(next(events), "content", None) == b"still there"
        assert new
        channel.close()
        until(lambda: not new)


def test_a_pool_that_crashes_in_between_is_replaced_and_ends(origin: Origin) -> None:
    new = Newcomers()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        response = made(origin).stream("GET", origin.url + "/drip/20/0.02?size=1000")
        for pool in pykka.ActorRegistry.get_by_class_name("HTTPPool"):
            if isinstance(pool, PoolRef) and pool.origin == origin.url:
                pool.kill()
        assert len(response.read()) == 20_000
        until(lambda: not new)


# who is never finalised -------------------------------------------------------------------------


def test_a_registry_that_was_given_is_its_owners(origin: Origin) -> None:
    """Others may share it, as `quiver.shared` shares that of `HTTP3Pool.start`."""
    registry = Registry()
    rule = {"cafile": origin.cafile}
    first, second = [quiver.Client(pools={"default": rule}, registry=registry) for _ in range(2)]
    first.get(origin.url + "/ok")

    def drop() -> None:
        nonlocal first
        del first

    assert dropped(drop) == []
    assert second.stats(origin.url).connections == 1
    second.close()


PROGRAM = """
import gc, os, sys, warnings
import quiver
warnings.simplefilter("always")
def made():
    return quiver.Client(pools={{"default": {{"cafile": {cafile!r}, "idle_timeout": 5.0}}}})
client = made()
assert client.get("{url}/ok").status == 200
{more}
print("done", flush=True)
"""

AT_THE_END = {
    "exit": "",
    "exit, in a cycle": "client.itself = client",
    "exit while it is asked": """
import threading
def ask():
    try:
        client.get("{url}/hang?id=asked")
    except quiver.PoolStopped:
        pass
threading.Thread(target=ask, daemon=True).start()
while not client.stats("{url}").active:
    pass
""",
    "fork": """
child = os.fork()
if not child:
    del client
    gc.collect()
    other = made()
    assert other.get("{url}/ok").status == 200
    other.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert client.stats("{url}").connections
assert client.get("{url}/ok").status == 200
""",
}


@pytest.mark.one_in(2)
@pytest.mark.parametrize("name", AT_THE_END)
def test_the_end_of_a_program_is_silent(origin: Origin, name: str) -> None:
    more = AT_THE_END[name].format(url=origin.url)
    program = PROGRAM.format(cafile=origin.cafile, url=origin.url, more=more)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
