"""Mixed loads on one origin, short, each of which reaches other parts of the actors.

Every ask is booked in an `Account` with its one outcome. A `Turmoil` is a function of a `Stage`;
`TURMOILS` names them all, the quick ones first.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs
import pykka

import quiver
from quiver.actors.actor import GeventActor, GeventActorRef
from quiver.actors.supervisor import ChildSpec, GetChild, StartChild, StopChild, WhichChildren
from quiver.models import GetConnections, GetStats
from quiver.pool.connection import SPENT
from quiver.testing import Origin
from tests.support.load import Outcome
from tests.support.names import Names

__all__ = ["LIMIT", "TURMOILS", "Account", "Stage", "Turmoil"]

LIMIT: Final = 3.0  # seconds that an ask may take at the most
NAME: Final = "turmoil.test"  # resolved here; the certificate is for it too


class Account:
    """Asks made in threads, and how each ended."""

    _ids = itertools.count()  # of all accounts: one server may see several

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.asked = 0
        self._threads: list[threading.Thread] = []

    def ask(self, job: Callable[[int], object]) -> None:
        """Run `job(id)` in a thread of its own."""
        identifier = next(self._ids)
        self.asked += 1
        thread = threading.Thread(target=self._run, args=(identifier, job))
        self._threads.append(thread)
        thread.start()

    def wait(self) -> None:
        """Wait until every ask so far has an outcome."""
        for thread in self._threads:
            thread.join(LIMIT + 5.0)
            assert not thread.is_alive(), "a caller never got an answer"
        self._threads.clear()

    def _run(self, identifier: int, job: Callable[[int], object]) -> None:
        started = time.monotonic()
        failure: BaseException | None = None
        try:
            job(identifier)
        except BaseException as error:  # noqa: BLE001 - whoever looks at the account judges it
            failure = error
        seconds = time.monotonic() - started
        status = None if failure else 200
        self.outcomes.append(Outcome(identifier, seconds, status, failure))


@attrs.frozen
class Stage:
    """Where a turmoil happens."""

    origin: Origin
    client: quiver.Client
    account: Account
    names: Names

    @property
    def url(self) -> str:
        return self.origin.url

    def ask(self, *jobs: Callable[[Stage, int], object]) -> None:
        for job in jobs:
            self.account.ask(partial(job, self))

    def pool(self) -> GeventActorRef[Any] | None:
        """The pool as it is now; none is started."""
        return self.client._manager._registry.find(quiver.Origin.parse(self.url))


# One ask each -----------------------------------------------------------------------------------


def plain(stage: Stage, number: int) -> None:
    stage.client.get(f"{stage.url}/delay/0.02?id={number}", timeout=LIMIT)


def slow(stage: Stage, number: int) -> None:
    stage.client.get(f"{stage.url}/delay/0.5?id={number}", timeout=LIMIT)


def told(stage: Stage, number: int) -> None:
    got: list[int] = []
    url = f"{stage.url}/informational/2?id={number}"
    stage.client.get(url, timeout=LIMIT, on_informational=lambda status, _: got.append(status))


def uploaded(stage: Stage, number: int) -> None:
    pieces = (bytes([part]) * 50_000 for part in range(8))
    answer = stage.client.post(f"{stage.url}/digest?id={number}", body=pieces, timeout=LIMIT)
    assert answer.json()["size"] == 400_000


def unwanted(stage: Stage, number: int) -> None:
    pieces = (b"x" * 10_000 for _ in range(100))
    url = f"{stage.url}/early/403?after=1&id={number}"
    assert stage.client.post(url, body=pieces, timeout=LIMIT).status == 403


def streamed(stage: Stage, number: int) -> None:
    with stage.client.stream("GET", f"{stage.url}/bytes/300000?id={number}", timeout=LIMIT) as it:
        assert len(it.read()) == 300_000


def left(stage: Stage, number: int) -> None:
    with stage.client.stream("GET", f"{stage.url}/stall?id={number}", timeout=LIMIT) as it:
        assert it.read(4) == b"half"


def channel(stage: Stage, number: int) -> None:
    url = f"{stage.url}/session?id={number}"
    with stage.client.open_channel(url, protocol="echo", timeout=LIMIT) as it:
        it.send(b"datagram")
        it.write(b"stream")
        for event in it:
            match event:
                case quiver.Closed(error=error):
                    raise error or AssertionError("closed too early")
                case quiver.StreamData():
                    return


def refused(stage: Stage, number: int) -> None:
    stage.client.get(f"{stage.url}/reject?id={number}", timeout=LIMIT)


def reset(stage: Stage, number: int) -> None:
    stage.client.get(f"{stage.url}/reset/0x102?id={number}", timeout=LIMIT)


def cancelled(stage: Stage, number: int) -> None:
    request = quiver.Request("GET", f"{stage.url}/delay/1?id={number}", timeout=LIMIT)
    reply = stage.client.pool(stage.url).ask(request, block=False)
    due = time.monotonic() + 0.3  # what is to be cancelled may be what was made to fail
    while not stage.origin.seen(number) and time.monotonic() < due:
        threading.Event().wait(0.005)
    reply.cancel()
    reply.get(timeout=0)


def late(stage: Stage, number: int) -> None:
    stage.client.get(f"{stage.url}/delay/1?id={number}", timeout=0.15)


def counted(stage: Stage, number: int) -> None:
    pool = stage.client.pool(stage.url)
    pool.ask(GetStats(), timeout=LIMIT)
    pool.ask(GetConnections(), timeout=LIMIT)


def misunderstood(stage: Stage, number: int) -> None:
    pool = stage.client.pool(stage.url)
    with contextlib.suppress(pykka.ActorDeadError):
        pool.tell(number)
    pool.ask(number, timeout=LIMIT)


MIXED: Final = (plain, told, uploaded, streamed, left, channel, refused, reset, plain, plain)


# Turmoils ---------------------------------------------------------------------------------------


def mixed(stage: Stage) -> None:
    """Everything that a caller can ask for, and a server that ends streams."""
    stage.ask(*MIXED, unwanted, cancelled, late, counted, misunderstood, *[plain] * 10)
    stage.account.wait()


def replaced(stage: Stage) -> None:
    """Connections that age, rest, are told GOAWAY and are closed."""
    for _ in range(2):  # the second dials a connection that the first leaves unused
        stage.ask(plain)
        stage.account.wait()
    threading.Event().wait(0.1)  # longer than max_age
    for step in (stage.origin.goaway, stage.origin.disconnect, stage.origin.goaway):
        stage.ask(*[plain] * 10, streamed)
        threading.Event().wait(0.02)
        step()
        threading.Event().wait(0.02)
    stage.account.wait()
    stage.ask(plain)
    stage.account.wait()


def stopped(stage: Stage) -> None:
    """Pools that are stopped with requests open, some of them longer than they may be."""
    for job in (plain, slow):
        stage.ask(*[job] * 6)
        threading.Event().wait(0.1)
        pool = stage.pool()
        if pool is not None:
            pool.stop(block=False)
        stage.account.wait()


def _open(stage: Stage) -> None:
    """Return when a request is out on a connection, or cannot be: something was made to fail."""
    due = time.monotonic() + 1.0
    while not stage.client.stats(stage.url).active and time.monotonic() < due:
        threading.Event().wait(0.005)


def killed(stage: Stage) -> None:
    """A pool whose greenlet is killed."""
    stage.ask(*[slow] * 4)
    _open(stage)
    pool = stage.pool()
    if pool is not None:
        pool.kill()
    stage.account.wait()


class Stubborn(GeventActor):
    """Does not stop when asked to. When it has been killed, it asks for itself at once."""

    def __init__(self, supervisor: pykka.ActorRef[Any]) -> None:
        super().__init__()
        self._supervisor = supervisor

    def on_stop_requested(self) -> bool:
        return False

    def on_exit(self, reason: BaseException | None) -> None:
        self._supervisor.ask(GetChild("stubborn"), block=False)


def supervised(stage: Stage) -> None:
    """What a supervisor is asked, with a child that dies, and has to be killed in the end."""
    stage.ask(plain, plain, cancelled)
    stage.account.wait()
    for ref in _supervisors(stage):
        spec = ChildSpec("stubborn", partial(Stubborn.start, ref), shutdown=0.05)
        child = _asked(ref, StartChild(spec))
        if isinstance(child, GeventActorRef):
            child.kill()
        for message in (GetChild("stubborn"), WhichChildren(), StopChild("stubborn"), 0):
            _asked(ref, message)


def _supervisors(stage: Stage) -> list[pykka.ActorRef[Any]]:
    """The root, and that of the stage's origin."""
    refs = pykka.ActorRegistry.get_by_class_name("Supervisor")
    actors = [ref._actor_weakref() for ref in refs]
    names = (stage.client.name, stage.url)
    return [actor.actor_ref for actor in actors if actor is not None and actor.name in names]


def _asked(ref: pykka.ActorRef[Any], message: object) -> object:
    """What a supervisor answers; with an error, it may be the one that was made to fail."""
    try:
        return ref.ask(message, timeout=LIMIT)
    except Exception as error:  # noqa: BLE001 - also what the fuse raises
        return error


def misled(stage: Stage) -> None:
    """A connection that is told what it does not know."""
    stage.ask(*[slow] * 4)
    _open(stage)
    for ref in pykka.ActorRegistry.get_by_class_name("Connection"):
        actor = ref._actor_weakref()
        if actor is not None and actor._endpoint.name == stage.url:
            ref.tell("nonsense")
    stage.account.wait()


def crowded(stage: Stage) -> None:
    """More callers than may wait, and longer than they may; then nobody for a while."""
    stage.ask(*[slow] * 20)
    stage.account.wait()
    threading.Event().wait(0.15)  # longer than idle_timeout


def unreachable(stage: Stage) -> None:
    """A server that is gone, and comes back."""
    stage.ask(*[plain] * 4)
    stage.account.wait()
    stage.origin.kill()
    stage.ask(*[plain] * 4)
    stage.account.wait()
    stage.ask(*[plain] * 4)
    stage.account.wait()
    stage.origin.restart()


def nameless(stage: Stage) -> None:
    """A name that is not resolved in time."""
    stage.names.released.clear()
    stage.names.slow.add(NAME)
    other = stage.url.replace("localhost", NAME)
    stage.account.ask(lambda _: stage.client.get(other + "/ok", timeout=LIMIT))
    stage.account.wait()
    stage.names.slow.clear()
    stage.names.released.set()


def silent(stage: Stage) -> None:
    """A server that says nothing for a while: handshakes, settings and PINGs time out."""
    stage.ask(*[plain] * 2)
    stage.account.wait()
    stage.origin.suspend()
    stage.ask(*[late] * 3)
    threading.Event().wait(1.2)
    stage.ask(*[plain] * 4, *[late] * 4)
    threading.Event().wait(0.4)  # what has gone silent lends no more
    stage.ask(*[late] * 3)
    threading.Event().wait(0.9)
    stage.origin.resume()
    stage.account.wait()


@attrs.frozen
class Turmoil:
    """One of them, with the options of its pool.

    `mean`: the server sends no SETTINGS, and allows few streams.
    """

    play: Callable[[Stage], None]
    options: dict[str, Any] = attrs.Factory(dict)
    mean: bool = False

    def __str__(self) -> str:
        return self.play.__name__


def unsettled(stage: Stage) -> None:
    """A channel to a server that does not say what it can do."""

    def impatient(stage: Stage, number: int) -> None:
        url = f"{stage.url}/session?id={number}"
        stage.client.open_channel(url, protocol="echo", receive_timeout=0.2, timeout=LIMIT)

    stage.ask(impatient, plain)
    stage.account.wait()


def spent(stage: Stage) -> None:
    """A connection whose server allows it no more streams."""
    stage.ask(*[plain] * 4)
    stage.account.wait()
    threading.Event().wait(SPENT + 0.2)


SMALL: Final = {"max_connections": 2, "max_streams_per_connection": 4, "receive_window": 65_536}

TURMOILS: Final = (
    Turmoil(mixed, {**SMALL, "keep_alive": 0.05}),
    Turmoil(killed, SMALL),
    Turmoil(misled, SMALL),
    Turmoil(unsettled, SMALL, mean=True),
    Turmoil(stopped, {**SMALL, "shutdown_timeout": 0.1}),
    Turmoil(supervised, SMALL),
    Turmoil(
        crowded,
        {
            "max_connections": 1,
            "max_streams_per_connection": 4,
            "max_waiting": 8,
            "checkout_timeout": 0.2,
            "idle_timeout": 0.05,
        },
    ),
    Turmoil(nameless, {**SMALL, "connect_timeout": 0.3}),
    Turmoil(unreachable, SMALL),
    Turmoil(
        replaced,
        {**SMALL, "max_age": 0.05, "max_requests_per_connection": 12},
    ),
    Turmoil(spent, SMALL, mean=True),
    Turmoil(silent, {**SMALL, "connect_timeout": 0.3}),
)
