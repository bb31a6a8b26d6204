"""An exception at every place in every actor in turn: nobody is left without an answer.

The places are found in the source (see `tests.support.crashing`). A survey runs each turmoil once
and sees which places it reaches; then each place is made to fail in the quickest turmoil there.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
import time
from collections.abc import Iterator
from typing import Any

import attrs
import gevent
import pykka
import pytest

import quiver
from quiver.actors.actor import GeventActor
from quiver.actors.supervisor import Supervisor
from quiver.pool import messages
from quiver.testing import Authority, Origin
from tests.support.actors import eventually
from tests.support.crashing import Fuse, Point, actor_classes, points, role_of
from tests.support.holding import Held, settles_within
from tests.support.names import Names
from tests.support.stage import LIMIT, Account, Stage
from tests.support.turmoil import TURMOILS, Turmoil

# The survey stands in the first test's time.
pytestmark = pytest.mark.timeout(180)

CLASSES = {each.__name__: each for each in actor_classes()}
ROLES = [*CLASSES, "root Supervisor"]
PLACES = [(role, point) for role in ROLES for point in points(CLASSES[role.split()[-1]])]

# These are called by others than the actor: a callback of the loop, a caller's thread, the end.
ELSEWHERE = {"_on_readable", "_cancelled", "_resolve", "undelivered"}

FAULTS: dict[str, tuple[BaseException, bool]] = {
    "once": (RuntimeError("injected"), False),
    "killed": (gevent.GreenletExit(), False),
    "broken": (RuntimeError("injected"), True),
}

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
    endpoint = getattr(actor, "_endpoint", None) or getattr(actor, "endpoint", None)
    return str(endpoint.name if endpoint is not None else actor.name)


@attrs.frozen
class Theatre:
    """What all turmoils of a run have in common."""

    origin: Origin
    mean: Origin  # sends no SETTINGS, and allows few streams
    neighbour: Origin
    fuse: Fuse
    names: Names
    reached: dict[tuple[str, str], list[Turmoil]]


@pytest.fixture(scope="module")
def theatre(authority: Authority) -> Iterator[Theatre]:
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(Origin(authority=authority, max_streams=8))
        few = {"settings_delay": 30.0, "max_streams": 4, "raise_streams": False}
        mean = stack.enter_context(Origin(authority=authority, **few))
        neighbour = stack.enter_context(Origin(authority=authority))
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        fuse = Fuse()
        stack.enter_context(fuse.laid())
        made = Theatre(origin, mean, neighbour, fuse, Names(patch), {})
        survey(made)
        yield made


def survey(theatre: Theatre) -> None:
    """See who reaches what. What hangs on the moment may want a second look, or a third."""
    for _ in range(3):
        for turmoil in TURMOILS:
            look(theatre, turmoil)
        if not unreached(theatre):
            return


def unreached(theatre: Theatre) -> list[str]:
    return [
        f"{role}: {point}"
        for role, point in PLACES
        if (role, str(point)) not in theatre.reached and point.method not in ELSEWHERE
    ]


def look(theatre: Theatre, turmoil: Turmoil) -> None:
    before = theatre.fuse.hits.copy()
    perform(theatre, turmoil)
    for place, count in theatre.fuse.hits.items():
        if count > before[place] and turmoil not in theatre.reached.setdefault(place, []):
            theatre.reached[place].append(turmoil)


def perform(theatre: Theatre, turmoil: Turmoil, *, harmed: bool = False) -> Account:
    """Play it and judge it. `harmed`: also what shares the root with it."""
    origin = theatre.mean if turmoil.mean else theatre.origin
    options = {"cafile": origin.cafile, **turmoil.options}
    pools = {"default": options, theatre.neighbour.url: {"cafile": origin.cafile}}
    account = Account()
    others = set(pykka.ActorRegistry.get_all())  # of the program's own client, say
    with quiver.Client(pools=pools, name="turmoil") as client:
        with bystander(client, theatre.neighbour.url + "/ok", harmed):
            turmoil.play(Stage(origin, client, account, theatre.names))
        recovers(client, origin.url)
    theatre.fuse.disarm()
    eventually(lambda: others.issuperset(pykka.ActorRegistry.get_all()), "all actors have ended")
    eventually(lambda: not origin.streams_open(), "the server has no stream of ours")
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
    eventually(lambda: _at_rest(client.stats(url)), f"at rest: {client.stats(url)}", within=3.0)


def _at_rest(stats: quiver.Stats) -> bool:
    return stats.active == 0 and stats.queued == 0


def test_every_place_is_reached(theatre: Theatre) -> None:
    assert not unreached(theatre), "\n".join(unreached(theatre))


@pytest.mark.parametrize(("role", "point", "fault"), CASES)
def test_crash(theatre: Theatre, role: str, point: Point, fault: str) -> None:
    def wanted(actor: GeventActor) -> bool:
        return role_of(actor) == role and theatre.neighbour.url not in name_of(actor)

    before = Held.now()
    error, persistent = FAULTS[fault]
    turmoils = theatre.reached[role, str(point)]
    for turmoil in turmoils * 3:  # what hangs on the moment is not reached each time
        theatre.fuse.arm(point, error, wanted, persistent=persistent)
        account = perform(theatre, turmoil, harmed=role.startswith("root"))
        judge(account, theatre)
        if theatre.fuse.burnt.is_set():
            break
    assert theatre.fuse.burnt.is_set(), "it was to fail, and did not"
    after = settles_within(before)
    assert after.within(before), f"{before} became {after}"


def judge(account: Account, theatre: Theatre) -> None:
    """One outcome for each ask, a response or a named error, in time; nothing done twice."""
    assert len(account.outcomes) == account.asked
    for outcome in account.outcomes:
        assert outcome.error is None or isinstance(outcome.error, quiver.QuiverError), outcome
        assert outcome.seconds <= LIMIT + 1.0, outcome
    assert set(theatre.origin.seen_ids().values()) <= {1}


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
