"""An exception at every place in every actor in turn: nobody is left without an answer.

The places are found in the source (see `tests.support.chaos.crash_points`). A survey runs each
scenario once and sees which places it reaches; then each place is made to fail in the quickest
scenario there.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
from collections.abc import Iterator
from typing import Any

import attrs
import pykka
import pytest

import quiver
from quiver.actors.actor import GeventActor
from quiver.actors.supervisor import Supervisor
from quiver.pool import messages
from quiver.pool.tcp_transport import TcpTransport
from quiver.testing import Authority, Origin
from quiver.testing.authority import LOOPBACK
from tests.support.chaos.crash_points import (
    FAULTS,
    CrashInjector,
    Point,
    actor_classes,
    points,
    role_of,
)
from tests.support.chaos.environment import LIMIT, AskLog, Environment
from tests.support.chaos.scenarios import SCENARIOS, Scenario
from tests.support.held_resources import Held, settles_within
from tests.support.network.host_names import Names
from tests.support.waiting import until

# The survey stands in the first test's time.

# One coordinator serves all protocols: it is walked through over HTTP/3. What is left stands in
# `test_crashes_over_tcp`.
OTHERS = {"HTTP1Pool", "HTTP2Pool", "HTTPPool"}

# Alt-Svc is heeded by a client that chooses: `test_crashes_amid_races`. A name has an address here.
CHOOSING = {
    *("Dialer._found", "Dialer._no_address"),
    "ExchangeRunner._carry_out[Hear(field)]",
}

CLASSES = {each.__name__: each for each in actor_classes() if each.__name__ not in OTHERS}
ROLES = [*CLASSES, "root Supervisor"]
PLACES = [
    (role, point)
    for role in ROLES
    for point in points(CLASSES[role.split()[-1]])
    if point.owner is not TcpTransport and str(point) not in CHOOSING
]

# These are called by others than the actor: a callback of the loop, a caller's thread, the end.
ELSEWHERE = {"_on_readable", "_cancelled", "_resolve", "undelivered"}

# So many that the certificate needs a datagram more: a handshake comes in parts.
HOSTS = (*LOOPBACK, *(f"a-name-that-nobody-asks-for-{number}.test" for number in range(40)))


CASES = [
    pytest.param(
        role,
        point,
        fault,
        id=f"{role}: {point} {fault}",
        # Nearly all that a method does is also seen from the places that call it.
        marks=[] if point.arm and fault == "once" else [pytest.mark.slow],
    )
    for role, point in PLACES
    for fault in FAULTS
    if point.method not in ELSEWHERE
]


def name_of(actor: Any) -> str:
    """The origin an actor works for, or the client of a root."""
    target = getattr(actor, "_target", None) or getattr(actor, "target", None)
    return str(target.name if target is not None else actor.name)


@attrs.frozen
class Survey:
    """What all scenarios of a run have in common."""

    origin: Origin
    mean: Origin  # sends no SETTINGS, and allows few streams
    early: Origin  # gives tickets, and takes early data
    neighbour: Origin
    injector: CrashInjector
    names: Names
    reached: dict[tuple[str, str], list[Scenario]]


@pytest.fixture(scope="module")
def observed(authority: Authority) -> Iterator[Survey]:
    with contextlib.ExitStack() as stack:
        certificate, key = authority.issue(HOSTS)
        origin = stack.enter_context(
            Origin(authority=authority, max_streams=8, certfile=certificate, keyfile=key)
        )
        mean = stack.enter_context(
            Origin(authority=authority, settings_delay=30.0, max_streams=4, raise_streams=False)
        )
        early = stack.enter_context(Origin(authority=authority, session_tickets=True))
        neighbour = stack.enter_context(Origin(authority=authority))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        injector = CrashInjector()
        stack.enter_context(injector.installed())
        made = Survey(origin, mean, early, neighbour, injector, Names(patch), {})
        survey(made)
        yield made


def survey(observed: Survey) -> None:
    """See who reaches what. What hangs on the moment may want a second look, or a third."""
    for _ in range(3):
        for scenario in SCENARIOS:
            look(observed, scenario)
        if not unreached(observed):
            return


def unreached(observed: Survey) -> list[str]:
    return [
        f"{role}: {point}"
        for role, point in PLACES
        if (role, str(point)) not in observed.reached and point.method not in ELSEWHERE
    ]


def look(observed: Survey, scenario: Scenario) -> None:
    before = observed.injector.hits.copy()
    run_scenario(observed, scenario)
    for place, count in observed.injector.hits.items():
        if count > before[place] and scenario not in observed.reached.setdefault(place, []):
            observed.reached[place].append(scenario)


def run_scenario(observed: Survey, scenario: Scenario, *, harmed: bool = False) -> AskLog:
    """Play it and judge it. `harmed`: also what shares the root with it."""
    origin = observed.mean if scenario.mean else observed.origin
    origin = observed.early if scenario.early else origin
    options = {"cafile": origin.cafile, **scenario.options}
    pools = {"default": options, observed.neighbour.url: {"cafile": origin.cafile}}
    account = AskLog()
    others = set(pykka.ActorRegistry.get_all())  # of the program's own client, say
    with quiver.Client(pools=pools, name="scenario", protocols=("h3",)) as client:
        with bystander(client, observed.neighbour.url + "/ok", harmed):
            scenario.run(Environment(origin, client, account, observed.names))
        recovers(client, origin.url)
    observed.injector.disarm()
    until(lambda: others.issuperset(pykka.ActorRegistry.get_all()), what="all actors have ended")
    until(lambda: not origin.streams_open(), what="the server has no stream of ours")
    return account


@contextlib.contextmanager
def bystander(client: quiver.Client, url: str, harmed: bool) -> Iterator[None]:
    """Somebody who asks another origin through the same client, and notices nothing."""
    over = threading.Event()
    failures: list[BaseException] = []

    def ask() -> None:
        while not over.is_set():
            try:
                assert client.get(url, timeout=LIMIT).status == 200
            except BaseException as error:  # noqa: BLE001 - looked at below
                failures.append(error)
            over.wait(0.01)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if harmed:
        failures = [each for each in failures if not isinstance(each, quiver.QuiverError)]
    assert not failures


def recovers(client: quiver.Client, url: str, within: float = 5.0) -> None:
    """The pool answers by itself before long, and counts right."""
    due = time.monotonic() + within
    while True:
        try:
            assert client.get(url + "/ok", timeout=LIMIT).status == 200
            break
        except quiver.QuiverError:
            assert time.monotonic() < due, f"no recovery within {within} s"
            threading.Event().wait(0.02)
    until(lambda: _at_rest(client.stats(url)), what=f"at rest: {client.stats(url)}", within=3.0)


def _at_rest(stats: quiver.Stats) -> bool:
    return stats.active == 0 and stats.queued == 0


@pytest.mark.long
def test_every_place_is_reached(observed: Survey) -> None:
    assert not unreached(observed), "\n".join(unreached(observed))


@pytest.mark.long
@pytest.mark.parametrize(("role", "point", "fault"), CASES)
def test_crash(observed: Survey, role: str, point: Point, fault: str) -> None:
    def wanted(actor: GeventActor) -> bool:
        return role_of(actor) == role and observed.neighbour.url not in name_of(actor)

    before = Held.now()
    error, persistent = FAULTS[fault]
    scenarios = observed.reached[role, str(point)]
    for scenario in scenarios * 3:  # what hangs on the moment is not reached each time
        observed.injector.arm(point, error, wanted, persistent=persistent)
        account = run_scenario(observed, scenario, harmed=role.startswith("root"))
        judge(account, observed)
        if observed.injector.fired.is_set():
            break
    assert observed.injector.fired.is_set(), "it was to fail, and did not"
    after = settles_within(before)
    assert after.within(before), f"{before} became {after}"


def judge(account: AskLog, observed: Survey) -> None:
    """One outcome for each ask, a response or a named error, in time; nothing done twice.

    But for what went early: of a connection that is lost with it nobody knows what became of it.
    """
    assert len(account.outcomes) == account.asked
    for outcome in account.outcomes:
        assert outcome.error is None or isinstance(outcome.error, quiver.QuiverError), outcome
        assert outcome.seconds <= LIMIT + 1.0, outcome
    assert set(observed.origin.seen_ids().values()) <= {1}


def test_the_walk_finds_every_message() -> None:
    """Each class of messages, and each occurrence, has an arm of its own somewhere."""
    arms = " ".join(point.arm for _, point in PLACES)
    kinds = [
        name
        for name, kind in vars(messages).items()
        if inspect.isclass(kind) and kind.__module__ == messages.__name__
    ]
    assert len(kinds) >= 15
    unheard = [name for name in kinds if f"{name}(" not in arms and f"{name}." not in arms]
    assert not unheard
    assert len(PLACES) > 150 and len({point for _, point in PLACES if point.arm}) > 50


def test_the_walk_finds_what_is_added() -> None:
    class Added(Supervisor):
        def on_receive(self, message: Any) -> Any:
            match message:
                case int() if message > 3:
                    return self._new(message)
            return super().on_receive(message)

        def _new(self, number: int) -> int:
            return number

    found = {str(point) for point in points(Added)}
    assert {"Added.on_receive[int() if message > 3]", "Added._new"} <= found
    assert "Supervisor.on_receive[StartChild(spec)]" in found
