"""Mixed loads on one origin, short, each of which reaches other parts of the actors.

Every ask is booked in an `AskLog` with its one outcome. A `Scenario` is a function of an
`Environment`; `SCENARIOS` names them all, the quick ones first.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final
from unittest import mock

import attrs
import pykka

from quiver import telemetry
from quiver.actors.actor import GeventActor, GeventActorRef
from quiver.actors.hub import Hub
from quiver.actors.loop_stalls import STALLED
from quiver.actors.supervisor import ChildSpec, GetChild, StartChild, StopChild, WhichChildren
from quiver.pool.connection import SPENT
from quiver.pool.messages import SocketEvent, Unneeded
from quiver.pool.socket_errors import SocketError
from tests.support.bad_tickets import spoiled_tickets, with_another_secret
from tests.support.chaos.environment import LIMIT, Environment
from tests.support.chaos.request_kinds import (
    MIXED,
    cancelled,
    counted,
    late,
    misunderstood,
    plain,
    slow,
    streamed,
    untold,
    unwanted,
)
from tests.support.network.conditions import Conditions
from tests.support.network.relay import Relay
from tests.support.waiting import until

__all__ = ["SCENARIOS", "Scenario"]

LOSSES: Final = {
    SocketError(errno.EMSGSIZE, local=True),
    SocketError(errno.ENOBUFS, local=True),
}
NO_WAY: Final = {SocketError(errno.EHOSTUNREACH, local=True)}
TROUBLES: Final = {SocketError(errno.EHOSTUNREACH, local=False), *LOSSES}
NAME: Final = "turmoil.test"  # resolved here; the certificate is for it too


def mixed(env: Environment) -> None:
    """Everything that a caller can ask for, and a server that ends streams."""
    env.ask(*MIXED, unwanted, cancelled, late, counted, misunderstood, *[plain] * 10)
    env.asks.wait()


def replaced(env: Environment) -> None:
    """Connections that age, rest, are told GOAWAY and are closed."""
    for _ in range(2):  # the second dials a connection that the first leaves unused
        env.ask(plain)
        env.asks.wait()
    threading.Event().wait(0.1)  # longer than max_age
    for step in (env.origin.goaway, env.origin.disconnect, env.origin.goaway):
        env.ask(*[plain] * 10, streamed, slow)
        _open(env)
        step()
        threading.Event().wait(0.02)
    env.asks.wait()
    env.ask(plain)
    env.asks.wait()


def _open(env: Environment) -> None:
    """Return when a request is out on a connection, or cannot be."""
    _soon(lambda: env.client.stats(env.url).active > 0)


def _soon(happened: Callable[[], bool]) -> None:
    """Return when it has happened, or cannot: something was made to fail."""
    due = time.monotonic() + 1.0
    while not happened() and time.monotonic() < due:
        threading.Event().wait(0.005)


def stopped(env: Environment) -> None:
    """Pools that are stopped with requests open, some of them longer than they may be."""
    for job in (plain, slow):
        env.ask(*[job] * 6)
        _open(env)
        pool = env.pool()
        if pool is not None:
            pool.stop(timeout=LIMIT)  # to its end: the next shall not be asked of this one
        env.asks.wait()


def unneeded(env: Environment) -> None:
    """Pools that let go of their connections, and end unless somebody asks meanwhile."""
    for jobs in ((plain, plain), ()):
        env.ask(plain, streamed)
        env.asks.wait()
        pool = env.pool()
        if pool is not None:
            with contextlib.suppress(pykka.ActorDeadError):
                pool.tell(Unneeded(for_good=False))
            env.ask(*jobs)
            env.asks.wait()
            pool.actor_stopped.wait(0.0 if jobs else LIMIT)


def killed(env: Environment) -> None:
    """A pool whose greenlet is killed."""
    env.ask(*[slow] * 4)
    _open(env)
    pool = env.pool()
    if pool is not None:
        pool.kill()
    env.asks.wait()


class Stubborn(GeventActor):
    """Does not stop when asked to. When it has been killed, it asks for itself at once."""

    def __init__(self, supervisor: pykka.ActorRef[Any]) -> None:
        super().__init__()
        self._supervisor = supervisor

    def on_stop_requested(self) -> bool:
        return False

    def on_exit(self, reason: BaseException | None) -> None:
        self._supervisor.ask(GetChild("stubborn"), block=False)


def supervised(env: Environment) -> None:
    """What a supervisor is asked, with a child that dies, and has to be killed in the end."""
    env.ask(plain, plain, cancelled)
    env.asks.wait()
    for ref in _supervisors(env):
        spec = ChildSpec("stubborn", partial(Stubborn.start, ref), shutdown=0.05)
        child = _asked(ref, StartChild(spec))
        if isinstance(child, GeventActorRef):
            child.kill()
            child.actor_stopped.wait(LIMIT)
        for message in (GetChild("stubborn"), WhichChildren(), StopChild("stubborn"), 0):
            _asked(ref, message)


def _supervisors(env: Environment) -> list[pykka.ActorRef[Any]]:
    """The root, and that of the env's origin."""
    refs = pykka.ActorRegistry.get_by_class_name("Supervisor")
    actors = [ref._actor_weakref() for ref in refs]
    names = (env.client.name, env.url)
    return [actor.actor_ref for actor in actors if actor is not None and actor.name in names]


def _asked(ref: pykka.ActorRef[Any], message: object) -> object:
    """What a supervisor answers; with an error, it may be the one that was made to fail."""
    try:
        return ref.ask(message, timeout=LIMIT)
    except Exception as error:  # noqa: BLE001 - also what the injector raises
        return error


def misled(env: Environment) -> None:
    """A connection that is told what it does not know."""
    env.ask(*[slow] * 4)
    _open(env)
    for ref, _ in _connections(env):
        ref.tell("nonsense")
    env.asks.wait()


def _connections(
    env: Environment, url: str | None = None
) -> Iterator[tuple[pykka.ActorRef[Any], Any]]:
    for ref in pykka.ActorRegistry.get_by_class_name("Connection"):
        actor: Any = ref._actor_weakref()
        if actor is not None and actor._target.name == (url or env.url):
            yield ref, actor


def doubted(env: Environment) -> None:
    """Connections whose socket has met errors, and whose server is there all the same."""
    env.ask(*[slow] * 4)
    _open(env)
    for ref, actor in _connections(env):
        _meets(actor._transport, TROUBLES)
        ref.tell(SocketEvent.FAILED)
    env.ask(*[plain] * 4)
    env.asks.wait()


def addressed(env: Environment) -> None:
    """A name whose first address is dead, and a socket that meets errors while it is dialled."""
    env.names[NAME] = "127.0.0.3 127.0.0.1"
    other = env.url.replace("localhost", NAME)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as dead:
        dead.bind(("127.0.0.3", env.origin.port))
        env.asks.ask(lambda _: env.client.get(other + "/ok", timeout=LIMIT))
        dead.settimeout(LIMIT)
        with contextlib.suppress(TimeoutError):  # its pool may be what fails
            dead.recv(1)  # an attempt has begun
        with _address_changed():
            for met in (LOSSES, NO_WAY):
                for ref, actor in _connections(env, other):
                    for transport in list(actor._dialer._attempts.values()):
                        _meets(transport, met)
                    ref.tell(SocketEvent.FAILED)
                dead.settimeout(0.5)
                with contextlib.suppress(TimeoutError):
                    dead.recv(1)  # it has begun anew
        env.asks.wait()
    del env.names[NAME]


def moved(env: Environment) -> None:
    """Our own address changes, and the server answers us there."""
    with mock.patch("quiver.pool.path_keeper.LATE_PACKETS", 0.05):
        _move(env)
    env.ask(*[plain] * 2)
    env.asks.wait()


def stranded(env: Environment) -> None:
    """Our own address changes, and the server does not answer us there."""
    with mock.patch("quiver.quic.path_validation._NEW_PATH", 0.1):
        _move(env, away=True)
    env.ask(*[plain] * 2)
    env.asks.wait()


def _move(env: Environment, *, away: bool = False) -> None:
    env.ask(plain)
    env.asks.wait()  # its handshake is confirmed: before that it could not migrate
    env.ask(*[slow] * 4)
    _open(env)
    if away:
        env.origin.suspend()
    moving = [(ref, actor._transport, actor._transport.socket) for ref, actor in _connections(env)]
    with _address_changed():
        for ref, transport, _ in moving:
            _meets(transport, NO_WAY)
            ref.tell(SocketEvent.FAILED)
        env.ask(*[plain] * 2)
        _soon(lambda: all(transport.socket is not before for _, transport, before in moving))
    _soon(lambda: not any(transport._former for _, transport, _ in moving))  # valid, or it is not
    env.origin.resume()


@contextlib.contextmanager
def _address_changed() -> Iterator[None]:
    """The kernel says that servers are reached from another address now."""
    with contextlib.ExitStack() as patched:
        for module in ("path_keeper", "udp_transport"):
            name = f"quiver.pool.{module}.local_host_to"
            patched.enter_context(mock.patch(name, return_value="127.0.0.9"))
        yield


def _meets(transport: Any, errors: set[SocketError]) -> None:
    if transport.socket is not None:
        transport.socket.errors |= errors


def deaf(env: Environment) -> None:
    """A loop that something keeps from its turn, while all wait for their answers."""
    env.ask(*[slow] * 4)
    _open(env)
    Hub.current().run(partial(time.sleep, 2 * STALLED))
    env.asks.wait()


def pieced(env: Environment) -> None:
    """The same, with a datagram taken in each turn: more is there than the first has room for."""
    env.ask(plain)
    env.asks.wait()

    def hold_up() -> None:
        env.origin.resume()  # what it says now comes late, and so do the timers
        time.sleep(2 * STALLED)

    with contextlib.ExitStack() as patched:
        for name in (
            "udp_transport.CHUNK",
            *(f"receive_turns.{each}" for each in ("CHUNK", "FIRST", "MOST")),
        ):
            patched.enter_context(mock.patch(f"quiver.pool.{name}", 1))
        env.origin.suspend()
        env.ask(*[streamed] * 2, *[late] * 2)
        _open(env)
        Hub.current().run(hold_up)
        env.asks.wait()


def occupied(env: Environment) -> None:
    """Callers whose own callbacks keep their answers from them."""
    env.ask(plain)
    env.asks.wait()
    env.ask(untold, untold)
    env.asks.wait()


def crowded(env: Environment) -> None:
    """Nobody for a moment; more callers than may wait, and longer than they may; nobody again."""
    env.ask(plain)
    env.asks.wait()
    threading.Event().wait(0.03)  # shorter than idle_timeout
    env.ask(*[slow] * 20)
    env.asks.wait()
    threading.Event().wait(0.25)  # longer


def unreachable(env: Environment) -> None:
    """A server that is gone, and comes back."""
    env.ask(*[plain] * 4)
    env.asks.wait()
    env.origin.kill()
    env.ask(*[plain] * 4)
    env.asks.wait()
    env.ask(*[plain] * 4)
    env.asks.wait()
    env.origin.restart()


def nameless(env: Environment) -> None:
    """A name that is not resolved in time."""
    env.names.released.clear()
    env.names.slow.add(NAME)
    other = env.url.replace("localhost", NAME)
    env.asks.ask(lambda _: env.client.get(other + "/ok", timeout=LIMIT))
    env.asks.wait()
    env.names.slow.clear()
    env.names.released.set()


def halting(env: Environment) -> None:
    """A handshake of which one half comes, and the other later."""
    with Relay(env.origin.port, down=Conditions(lose={1})) as relay:
        env.asks.ask(lambda _: env.client.get(relay.url + "/ok", timeout=LIMIT))
        env.asks.wait()
        until(lambda: not env.origin.streams_open(), what="the last acknowledgement has come")


def silent(env: Environment) -> None:
    """A server that says nothing for a while: handshakes, settings and PINGs time out."""
    env.ask(*[plain] * 2)
    env.asks.wait()
    env.origin.suspend()
    env.ask(*[late] * 3)
    threading.Event().wait(1.2)
    env.ask(*[plain] * 4, *[late] * 4)
    threading.Event().wait(0.4)  # what has gone silent lends no more
    env.ask(*[late] * 3)
    threading.Event().wait(1.3)  # and is given up
    env.ask(*[plain] * 2)
    threading.Event().wait(0.5)
    env.origin.resume()
    env.asks.wait()


@attrs.frozen
class Scenario:
    """One of them, with the options of its pool.

    `mean`: the server sends no SETTINGS, and allows few streams. `early`: it takes early data.
    """

    run: Callable[[Environment], None]
    options: dict[str, Any] = attrs.Factory(dict)
    mean: bool = False
    early: bool = False

    def __str__(self) -> str:
        return self.run.__name__


def unsettled(env: Environment) -> None:
    """A channel to a server that does not say what it can do."""

    def impatient(env: Environment, number: int) -> None:
        url = f"{env.url}/session?id={number}"
        env.client.open_channel(url, protocol="echo", receive_timeout=0.2, timeout=LIMIT)

    env.ask(impatient, plain)
    env.asks.wait()


def first_flight(env: Environment) -> None:
    """Requests that go out with handshakes, one of a bad ticket and one that hangs among them."""
    _visit(env, plain)
    _visit(env, *[plain] * 6)
    with spoiled_tickets(with_another_secret):
        _visit(env, *[plain] * 2)
    _anew(env)
    env.origin.suspend()
    env.ask(*[plain] * 2)
    threading.Event().wait(1.2)  # longer than what goes early waits for its own dial
    env.origin.resume()
    env.asks.wait()


def _visit(env: Environment, *jobs: Callable[[Environment, int], object]) -> None:
    """By a pool of its own, which has brought a ticket home when it ends."""
    _anew(env)
    with _told("connection.ticket") as told:
        env.ask(*jobs)
        env.asks.wait()
        _soon(told.is_set)


def _anew(env: Environment) -> None:
    """Without the pool that there was."""
    pool = env.pool()
    if pool is not None:
        pool.stop(timeout=LIMIT)


@contextlib.contextmanager
def _told(name: str) -> Iterator[threading.Event]:
    """Whether telemetry has told of it."""
    told = threading.Event()
    key = f"told {id(told)}"
    telemetry.attach(key, [name], lambda *_: told.set())
    try:
        yield told
    finally:
        telemetry.detach(key)


def spent(env: Environment) -> None:
    """A connection whose server allows it no more streams."""
    env.ask(*[plain] * 4)
    env.asks.wait()
    threading.Event().wait(SPENT + 0.2)


SMALL: Final = {"max_connections": 2, "max_streams_per_connection": 4, "receive_window": 65_536}

SCENARIOS: Final = (
    Scenario(mixed, {**SMALL, "keep_alive": 0.05}),
    Scenario(killed, SMALL),
    Scenario(unneeded, SMALL),
    Scenario(misled, SMALL),
    Scenario(deaf, SMALL),
    Scenario(pieced, SMALL),
    Scenario(doubted, SMALL),
    Scenario(addressed, SMALL),
    Scenario(moved, SMALL),
    Scenario(stranded, SMALL),
    Scenario(occupied, SMALL),
    Scenario(unsettled, SMALL, mean=True),
    Scenario(first_flight, {**SMALL, "early_data": True}, early=True),
    Scenario(stopped, {**SMALL, "shutdown_timeout": 0.1}),
    Scenario(supervised, SMALL),
    Scenario(
        crowded,
        {
            "max_connections": 1,
            "max_streams_per_connection": 4,
            "max_waiting": 8,
            "checkout_timeout": 0.2,
            "idle_timeout": 0.1,
        },
    ),
    Scenario(nameless, {**SMALL, "connect_timeout": 0.3}),
    Scenario(halting, SMALL),
    Scenario(unreachable, SMALL),
    Scenario(
        replaced,
        {**SMALL, "max_age": 0.05, "max_requests_per_connection": 12},
    ),
    Scenario(spent, SMALL, mean=True),
    Scenario(silent, {**SMALL, "connect_timeout": 0.3}),
)
