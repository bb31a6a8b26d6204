"""Dispatcher: a greenlet for as long as there is something to do, and whose it is meanwhile."""

from __future__ import annotations

import contextlib
import contextvars
import gc
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, Final

import gevent
import gevent.local
import pykka
import pytest
from greenlet import greenlet, settrace

from quiver.actors.actor import BATCH, GeventActor, GeventActorRef
from quiver.actors.hub import Hub, HubStopped
from tests.support.waiting import until

USER: Final[contextvars.ContextVar[str]] = contextvars.ContextVar("USER", default="nobody")


class Doer(GeventActor):
    """Makes the calls that it is told, and notes in which greenlets its hooks run."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[tuple[BaseException | None, TracebackType | None, str, greenlet]] = []

    def on_receive(self, message: Any) -> Any:
        return message()

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.failures.append((exception_value, traceback, USER.get(), gevent.getcurrent()))


@pytest.fixture
def refs() -> Iterator[list[GeventActorRef[Doer]]]:
    made = [Doer.start() for _ in range(100)]
    yield made
    for ref in made:
        ref.stop(block=False)
    until(lambda: not any(ref.is_alive() for ref in made))


def in_loop(call: Callable[[], object], hub: Hub | None = None) -> None:
    """Make `call` in the loop, by nobody's greenlet, and wait for it."""
    made = threading.Event()

    def make() -> None:
        call()
        made.set()

    (hub or Hub.current()).wakeup.call_soon(make)
    assert made.wait(10.0)


def own_id() -> int:
    return id(gevent.getcurrent())


def greenlets() -> int:
    gc.collect()
    return sum(isinstance(each, greenlet) and not each.dead for each in gc.get_objects())


def test_actors_that_wait_have_no_greenlets(refs: list[GeventActorRef[Doer]]) -> None:
    refs[0].ask(lambda: None)
    before = greenlets()
    more = [Doer.start() for _ in range(100)]
    for ref in more:
        ref.ask(lambda: None)
    assert greenlets() <= before + 1  # one that ended, whose place another took
    for ref in more:
        ref.stop()


def test_one_that_blocks_keeps_its_greenlet_and_the_others_go_on(
    refs: list[GeventActorRef[Doer]],
) -> None:
    gate = Hub.current().run(gevent.event.Event)
    greenlets_of: list[tuple[greenlet, greenlet]] = []

    def block() -> None:
        before = gevent.getcurrent()
        gate.wait(10.0)
        greenlets_of.append((before, gevent.getcurrent()))

    blocked = [ref.ask(block, block=False) for ref in refs[:80]]
    others = [ref.ask(gevent.getcurrent) for ref in refs[80:]]
    assert not any(future.done for future in blocked)
    in_loop(gate.set)
    pykka.get_all(blocked, timeout=10.0)
    assert all(before is after for before, after in greenlets_of)
    assert len({before for before, _ in greenlets_of}) == 80
    assert not {before for before, _ in greenlets_of} & set(others)


def test_after_a_burst_few_greenlets_are_kept(refs: list[GeventActorRef[Doer]]) -> None:
    before = greenlets()
    pykka.get_all([ref.ask(partial(gevent.sleep, 0), block=False) for ref in refs], timeout=10.0)
    assert greenlets() <= before + 64


def test_context_variables_are_each_actors_own(refs: list[GeventActorRef[Doer]]) -> None:
    """Also with one greenlet that both have, one after the other."""
    first, second = refs[:2]
    assert first.ask(own_id) == second.ask(own_id)
    first.ask(lambda: USER.set("first") and None)
    assert [each.ask(USER.get) for each in refs[:3]] == ["first", "nobody", "nobody"]
    second.ask(lambda: USER.set("second") and None)
    assert [each.ask(USER.get) for each in refs[:3]] == ["first", "second", "nobody"]


def test_one_that_waits_is_killed_in_a_greenlet_of_its_own(
    refs: list[GeventActorRef[Doer]],
) -> None:
    refs[0].ask(lambda: USER.set("its own") and None)
    actor = refs[0]._actor_weakref()
    assert actor is not None
    reason = gevent.GreenletExit("no longer needed")
    refs[0].kill(reason)
    until(lambda: actor.failures)
    ((error, traceback, user, own),) = actor.failures
    assert error is reason and traceback is not None
    assert user == "its own"
    until(lambda: own.dead)
    assert refs[1].ask(lambda: "the next") == "the next"


@pytest.mark.parametrize("late", ["switch", "throw"])
def test_what_comes_for_an_actor_after_its_turn_reaches_nobody(
    refs: list[GeventActorRef[Doer]], late: str
) -> None:
    """As of a `gevent.Timeout` that it has left running."""
    own = refs[0].ask(gevent.getcurrent)
    in_loop(partial(own.switch) if late == "switch" else partial(own.throw, ValueError))
    assert own.dead is (late == "throw")
    assert [ref.ask(lambda: "there") for ref in refs] == ["there"] * 100


LOCAL: Final = gevent.local.local()


def leave_timeout() -> None:
    gevent.Timeout(0.01).start()


def leave_switch() -> None:
    gevent.get_hub().loop.timer(0.01).start(gevent.getcurrent().switch)


def leave_local() -> None:
    LOCAL.user = "first"


def leave_children() -> None:
    gevent.spawn(gevent.sleep, 0)  # from now on all that it spawns share `spawn_tree_locals`


def look_round() -> tuple[str, int, bool]:
    """Wait for what might come, and see what there is."""
    child = gevent.spawn(gevent.sleep, 0)
    began = time.monotonic()
    gevent.sleep(0.05)
    whole = time.monotonic() - began >= 0.05
    return getattr(LOCAL, "user", "nobody"), id(child.spawn_tree_locals), whole


@pytest.mark.parametrize("leave", [leave_timeout, leave_switch, leave_local, leave_children])
def test_a_greenlet_that_somebody_knows_goes_to_no_other_actor(
    refs: list[GeventActorRef[Doer]], leave: Callable[[], None]
) -> None:
    first, second = refs[:2]
    assert first.ask(own_id) == second.ask(own_id)  # there is one, for all that do not wait
    first.ask(leave)
    user, _, whole = second.ask(look_round, timeout=10.0)
    assert (user, whole) == ("nobody", True)
    assert first.ask(look_round)[1] != second.ask(look_round)[1]
    assert first.ask(own_id) == second.ask(own_id)


def test_one_that_catches_what_kills_it_leaves_no_death_to_the_next(
    refs: list[GeventActorRef[Doer]],
) -> None:
    first, second = refs[:2]
    begun = threading.Event()

    def stay() -> None:
        begun.set()
        with contextlib.suppress(gevent.GreenletExit):
            gevent.sleep(10.0)

    stays = first.ask(stay, block=False)
    assert begun.wait(10.0)
    first.kill()
    stays.get(timeout=10.0)
    assert second.ask(lambda: "there") == first.ask(lambda: "there") == "there"


def test_one_that_is_ended_from_outside_amid_a_message_leaves_nobody_waiting(
    refs: list[GeventActorRef[Doer]],
) -> None:
    """As by a hub that stops, if it catches what kills it, or in a forked child."""
    ref, gate, begun = refs.pop(), Hub.current().run(gevent.event.Event), threading.Event()

    def stay() -> None:
        begun.set()
        gate.wait(10.0)

    stays = ref.ask(stay, block=False)
    assert begun.wait(10.0)
    actor = ref._actor_weakref()
    assert actor is not None
    actor.expire(HubStopped("in this test"))
    with pytest.raises(pykka.ActorDeadError):
        stays.get(timeout=10.0)
    in_loop(gate.set)


def test_a_backlog_of_one_keeps_no_thread_from_another(refs: list[GeventActorRef[Doer]]) -> None:
    busy, other = refs[:2]
    taken: list[None] = []
    asked: list[pykka.Future[int]] = []

    def fill() -> None:
        for _ in range(5_000):
            busy.tell(lambda: taken.append(None))
        thread = threading.Thread(
            target=lambda: asked.append(other.ask(taken.__len__, block=False))
        )
        thread.start()
        thread.join()

    busy.ask(fill)
    assert asked[0].get(timeout=10.0) <= 2 * BATCH


def test_a_keyboard_interrupt_of_an_actors_own_ends_that_alone(
    refs: list[GeventActorRef[Doer]],
) -> None:
    first, second = refs[:2]
    hub = Hub.current()

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(pykka.ActorDeadError):
        first.ask(interrupt)
    assert second.ask(lambda: "there") == "there"
    assert Hub.current() is hub


class Returning:
    """A resident that has its turn and waits for the next."""

    never_waits = False

    def __init__(self) -> None:
        self.had_its_turn = threading.Event()

    def run(self) -> bool:
        self.had_its_turn.set()
        return True

    def expire(self, reason: BaseException | None) -> None: ...


def test_a_loop_that_has_ended_keeps_no_greenlets() -> None:
    hub, resident = Hub(), Returning()
    hub.spawn(resident)
    assert resident.had_its_turn.wait(10.0)
    idle: list[weakref.ref[greenlet]] = []
    in_loop(lambda: idle.extend(map(weakref.ref, hub._dispatcher.idle)), hub)
    assert [own() is not None for own in idle] == [True]
    hub.stop()
    gc.collect()
    assert [own() for own in idle] == [None]


class Known(Returning):
    """Remembers its greenlet."""

    def run(self) -> bool:
        self.greenlet = gevent.getcurrent()
        return super().run()


def test_not_even_the_first_greenlet_of_a_loop_goes_on_when_somebody_knows_it() -> None:
    """There is none to compare it with."""
    hub, first, second = Hub(), Known(), Known()
    for resident in (first, second):
        hub.spawn(resident)
        assert resident.had_its_turn.wait(10.0)
        in_loop(lambda: None, hub)  # its turn is over
    assert first.greenlet is not second.greenlet
    hub.stop()


def test_a_tool_that_notes_something_at_each_greenlet_keeps_no_actor_from_its_turn() -> None:
    """Then none goes from one actor to the next."""
    hub, residents, traced = Hub(), [Returning(), Returning()], threading.Event()

    def note(event: str, greenlets: tuple[greenlet, greenlet]) -> None:
        for each in greenlets:
            each.noted = event  # type: ignore[attr-defined]

    def trace() -> None:
        settrace(note)
        traced.set()

    hub.wakeup.call_soon(trace)
    assert traced.wait(10.0)
    for resident in residents:
        hub.spawn(resident)
        assert resident.had_its_turn.wait(10.0)
    in_loop(lambda: settrace(None), hub)
    hub.stop()
