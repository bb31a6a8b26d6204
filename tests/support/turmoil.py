"""Mixed loads on one origin, short, each of which reaches other parts of the actors.

Every ask is booked in an `Account` with its one outcome. A `Turmoil` is a function of a `Stage`;
`TURMOILS` names them all, the quick ones first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import attrs
import pykka

from quiver.actors.actor import GeventActor, GeventActorRef
from quiver.actors.supervisor import ChildSpec, GetChild, StartChild, StopChild, WhichChildren
from quiver.pool.connection import SPENT
from tests.support.asks import (
    MIXED,
    cancelled,
    counted,
    late,
    misunderstood,
    plain,
    slow,
    streamed,
    unwanted,
)
from tests.support.stage import LIMIT, Stage

__all__ = ["TURMOILS", "Turmoil"]

NAME: Final = "turmoil.test"  # resolved here; the certificate is for it too


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


def _open(stage: Stage) -> None:
    """Return when a request is out on a connection, or cannot be: something was made to fail."""
    due = time.monotonic() + 1.0
    while not stage.client.stats(stage.url).active and time.monotonic() < due:
        threading.Event().wait(0.005)


def stopped(stage: Stage) -> None:
    """Pools that are stopped with requests open, some of them longer than they may be."""
    for job in (plain, slow):
        stage.ask(*[job] * 6)
        _open(stage)
        pool = stage.pool()
        if pool is not None:
            pool.stop(timeout=LIMIT)  # to its end: the next shall not be asked of this one
        stage.account.wait()


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
            child.actor_stopped.wait(LIMIT)
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
