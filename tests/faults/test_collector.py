"""The collector runs finalisers anywhere: in any thread, and while a lock of ours is held."""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pykka
import pytest

import quiver
from quiver.actors import ending, hub, monitor, registry, reply
from quiver.actors.hub import Hub
from quiver.actors.native_threads import allocate_lock
from quiver.actors.registry import Registry
from quiver.adapters.policy import Policy
from quiver.adapters.shared import fork_safe_lock
from quiver.streams import receive_buffer, send_buffer, upload
from quiver.testing import Origin
from tests.support.waiting import until

LOCKING: tuple[ModuleType, ...] = (
    *(ending, hub, monitor, registry, reply),
    *(receive_buffer, send_buffer, upload),
)
EACH = 12  # dropped clients, responses and futures


class Litter:
    """Things of ours in cycles, so that nothing but the collector finds them."""

    def __init__(self) -> None:
        self._stock: list[Any] = []
        self.collected = 0
        self.collecting = False

    def keep(self, thing: object) -> None:
        self._stock.append(thing)

    def __len__(self) -> int:
        return len(self._stock)

    def collect(self) -> None:
        """Drop one, and have the collector find it here and now."""
        if not self.collecting or not self._stock:
            return
        try:
            cycle = [self._stock.pop()]
        except IndexError:  # another thread was faster
            return
        cycle.append(cycle)
        del cycle
        gc.collect()
        self.collected += 1


class Collecting:
    """A lock in whose sections the collector runs."""

    def __init__(self, litter: Litter) -> None:
        self._lock = allocate_lock()
        self._litter = litter

    def acquire(self, *arguments: Any) -> bool:
        got = bool(self._lock.acquire(*arguments))
        if got:
            self._litter.collect()
        return got

    def release(self) -> None:
        self._lock.release()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


@pytest.fixture
def litter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Litter]:
    made = Litter()

    def collecting() -> Collecting:
        return Collecting(made)

    for module in LOCKING:
        monkeypatch.setattr(module, "allocate_lock", collecting)
    monkeypatch.setattr(fork_safe_lock, "threading", SimpleNamespace(Lock=collecting))
    monkeypatch.setattr(Hub, "_lock", collecting())
    monkeypatch.setattr(Registry, "_lock", collecting())
    # Looking through all that other tests have left, each time, would keep the loop for seconds.
    gc.collect()
    gc.freeze()
    yield made
    made.collecting = False
    gc.unfreeze()


def client_of(origin: Origin, **options: object) -> quiver.Client:
    return quiver.Client(pools={"default": {"cafile": origin.cafile, **options}})


def pools_of(origin: Origin) -> list[Any]:
    every = pykka.ActorRegistry.get_by_class_name("HTTPPool")
    return [ref for ref in every if getattr(ref, "origin", None) == origin.url]


def fill(litter: Litter, origin: Origin, keeper: quiver.Client) -> None:
    pool = keeper.pool(origin.url)
    for number in range(EACH):
        client = client_of(origin, max_connections=1)
        assert client.get(origin.url + "/ok").status == 200
        litter.keep(client)
        litter.keep(keeper.stream("GET", origin.url + "/bytes/5000000"))
        asked = quiver.Request("GET", f"/hang?id=litter-{number}")
        litter.keep(pool.ask(asked, block=False))


def work(origin: Origin, litter: Litter, done: list[int]) -> None:
    """All that takes a lock, until the last of the litter is gone."""
    policy = Policy()
    while litter:
        policy.route(quiver.Origin.parse(origin.url))
        with client_of(origin) as client:
            pieces = iter([b"x"] * 5)
            done.append(client.post(origin.url + "/echo", body=pieces).status)
            with client.stream("GET", origin.url + "/bytes/100000") as response:
                response.read(10)
            future = client.pool(origin.url).ask(quiver.Request("GET", "/ok"), block=False)
            done.append(future.get(timeout=20.0).status)


@pytest.mark.long
def test_the_collector_in_every_locked_section(origin: Origin, litter: Litter) -> None:
    with warnings.catch_warnings(), client_of(origin) as keeper:
        warnings.simplefilter("ignore", ResourceWarning)
        fill(litter, origin, keeper)
        before, done = len(litter), list[int]()
        litter.collecting = True
        threads = [
            threading.Thread(target=work, args=(origin, litter, done), daemon=True)
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(50)
        assert not any(thread.is_alive() for thread in threads), "somebody waits for a lock"
        assert (litter.collected, set(done)) == (before, {200})
        # What it was, has ended: of all those pools only that of `keeper` is left, with no stream.
        until(lambda: keeper.stats(origin.url).active == 0, what="no stream")
        until(lambda: len(pools_of(origin)) == 1, what="one pool")
