"""Whatever dies, every reader, uploader and channel hears of it at once, and nothing stays open."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pykka
import pytest

import quiver
from quiver.testing import Origin
from tests.support.stream_account import client_of
from tests.support.waiting import until

AT_ONCE = 3.0  # seconds; every time limit in these tests is longer by far
PIECE = b"x" * 65_536


class Unheard:
    """A message that no actor knows: it ends whoever gets it."""


def crash_connection(client: quiver.Client, origin: Origin) -> None:
    for ref in pykka.ActorRegistry.get_by_class_name("Connection"):
        ref.tell(Unheard())


def stop_pool(client: quiver.Client, origin: Origin) -> None:
    client.close()  # shutdown_timeout is 0.2


def kill_server(client: quiver.Client, origin: Origin) -> None:
    origin.kill()  # nothing is said; a PING finds the port closed


def disconnect(client: quiver.Client, origin: Origin) -> None:
    origin.disconnect(0x102, "fault")


def goaway(client: quiver.Client, origin: Origin) -> None:
    """Refuses every stream there is."""
    client.pool(origin.url).tell(quiver.Request("GET", "/goaway/0"))


FAULTS: dict[Callable[[quiver.Client, Origin], None], type[quiver.QuiverError]] = {
    crash_connection: quiver.ConnectionLost,
    stop_pool: quiver.PoolStopped,
    kill_server: quiver.ConnectionLost,
    disconnect: quiver.ConnectionLost,
    goaway: quiver.GoAway,
}


@pytest.fixture
def client(origin: Origin) -> Iterator[quiver.Client]:
    limits: dict[str, Any] = {"shutdown_timeout": 0.2, "keep_alive": 0.2, "receive_timeout": 30.0}
    with client_of(origin, **limits) as made:
        yield made


class Caller:
    """One who is in the middle of something in a thread of its own."""

    def __init__(self, use: Callable[[Caller], object]) -> None:
        self.busy = threading.Event()
        self.error: Any = None
        self._use = use
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.busy.wait(10)

    def _run(self) -> None:
        try:
            self._use(self)
        except BaseException as error:  # noqa: BLE001 - for the test to judge
            self.error = error

    def ended(self, within: float) -> bool:
        self._thread.join(within)
        return not self._thread.is_alive()


Use = Callable[[quiver.Client, str, Caller], object]


def read_what_does_not_come(client: quiver.Client, url: str, caller: Caller) -> None:
    with client.stream("GET", url + "/stall-after/5") as response:
        response.read(5)
        caller.busy.set()
        response.read()


def iterate(client: quiver.Client, url: str, caller: Caller) -> None:
    with client.stream("GET", url + "/drip/10000/0.01") as response:
        for _ in response:
            caller.busy.set()


def read_while_uploading(client: quiver.Client, url: str, caller: Caller) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"12345"
        stuck.wait(20)

    stuck = threading.Event()
    try:
        with client.stream("POST", url + "/echo-stream", body=pieces()) as response:
            response.read(5)
            caller.busy.set()
            response.read()
    finally:
        stuck.set()


def upload_slowly(client: quiver.Client, url: str, caller: Caller) -> None:
    def pieces() -> Iterator[bytes]:
        while True:
            yield b"piece"
            caller.busy.set()
            threading.Event().wait(0.05)

    client.post(url + "/digest", body=pieces())


def upload_to_one_who_does_not_read(client: quiver.Client, url: str, caller: Caller) -> None:
    """/hang takes 1 MiB in, then the iterator is not asked any more."""

    def pieces() -> Iterator[bytes]:
        for number in range(1000):
            if number == 10:
                caller.busy.set()
            yield PIECE

    client.post(url + "/hang", body=pieces())


def wait_for_an_event(client: quiver.Client, url: str, caller: Caller) -> None:
    with client.open_channel(url + "/session", protocol="webtransport") as channel:
        for event in channel:
            caller.busy.set()
            if isinstance(event, quiver.Closed):
                assert event.reason in ("lost", "goaway"), event
                assert event.error is not None
                raise event.error


def write_without_end(client: quiver.Client, url: str, caller: Caller) -> None:
    with client.open_channel(url + "/session", protocol="webtransport") as channel:
        while True:
            channel.write(PIECE)
            caller.busy.set()


USES: list[Use] = [
    read_what_does_not_come,
    iterate,
    read_while_uploading,
    upload_slowly,
    upload_to_one_who_does_not_read,
    wait_for_an_event,
    write_without_end,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_everyone_hears_of_it(
    client: quiver.Client, origin: Origin, fault: Callable[[quiver.Client, Origin], None]
) -> None:
    def use_of(use: Use) -> Callable[[Caller], object]:
        return lambda caller: use(client, origin.url, caller)

    callers = {use.__name__: Caller(use_of(use)) for use in USES}
    assert client.stats(origin.url).active == len(USES)
    fault(client, origin)
    due = time.monotonic() + AT_ONCE
    late = [
        name
        for name, caller in callers.items()
        if not caller.ended(max(0.01, due - time.monotonic()))
    ]
    assert late == []
    errors = {name: caller.error for name, caller in callers.items()}
    assert all(isinstance(error, FAULTS[fault]) for error in errors.values()), errors
    until(lambda: client.stats(origin.url).active == 0)
    until(lambda: not caller_threads(), what="its threads end")


def caller_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "quiver-caller-thread"]
