"""Pykka's contract, rule by rule: on Pykka's own threads, and on ours.

Each test states what a user of Pykka relies on: of actors, refs, futures, proxies or the registry.
All hold for `ThreadingActor` and `ThreadingFuture`. For `GeventActor` and its futures they hold
too, but for those in DEVIATIONS, which are meant: there the test must fail, and what we do instead
is tested where that is at home. The table is in the documentation (`docs/reference/pykka.md`).
"""

from __future__ import annotations

import asyncio
import pickle
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import attrs
import pykka
import pytest

from quiver.actors import GeventActor, Reply, log
from quiver.actors.handle import Handle
from quiver.actors.hub import Hub
from tests.support.programs.runner import run_script
from tests.support.waiting import until

DEVIATIONS: Final = {
    "test_a_base_exception_stops_all_actors": "one actor's failure is no other's",
    "test_on_failure_is_not_called_when_on_start_fails": "it is called at every end by a failure",
    "test_actors_may_block_their_threads": "all actors share one thread, and leave it by gevent",
    "test_an_actor_keeps_the_program_alive": "the loop is a daemon: what the program ends, ends",
    "test_an_ask_outlives_the_actor_that_asked": "nobody is there to read it: it is cancelled",
    "test_what_is_answered_with_an_error_is_logged": "errors are answers: they are logged at DEBUG",
    "test_failures_are_logged_by_pykka": "they are logged by `quiver.actors`",
    "test_repr_of_a_future": "it says whether it has been answered",
}
PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "pykka.md"


# the actors of both runtimes ------------------------------------------------------------------


class Deep:
    pykka_traversable = True

    def __init__(self) -> None:
        self.value = "deep"

    def double(self, value: int) -> int:
        return 2 * value


class Playback:
    """Traversable by `pykka.traversable` where it is held."""

    def state(self) -> str:
        return "playing"


@pykka.traversable
class Marked:
    name = "marked"


class Subject:
    """What both runtimes' actors do."""

    an_attribute = "attribute"
    deep = Deep()
    playback: Any = pykka.traversable(Playback())
    marked = Marked()
    closed = object()  # not traversable
    _private = "private"

    def __init__(self, events: list[Any] | None = None) -> None:
        super().__init__()
        self.events: list[Any] = [] if events is None else events
        self.own = "own"

    def on_start(self) -> None:
        self.events.append(("start", threading.current_thread()))
        if "fail at start" in self.events:
            raise KeyError("start")

    def on_stop(self) -> None:
        self.events.append("stop")
        if "fail at stop" in self.events:
            raise KeyError("stop")

    def on_failure(self, kind: Any, error: Any, trace: Any) -> None:
        self.events.append(("failure", kind, error, trace))
        if "fail at failure" in self.events:
            raise KeyError("failure")

    def on_receive(self, message: Any) -> Any:
        self.events.append(message)
        return message(self) if callable(message) else message

    @property
    def guarded(self) -> str:
        return "guarded"

    @guarded.setter
    def guarded(self, value: str) -> None:
        raise KeyError(value)

    def add(self, one: int, other: int = 1) -> int:
        return one + other

    def fail(self) -> None:
        raise KeyError("method")

    def note(self, what: Any) -> None:
        self.events.append(what)

    def give_attribute(self) -> None:
        self.late = "late"

    def itself(self) -> Any:
        return self


class Threaded(Subject, pykka.ThreadingActor):
    pass


class ThreadedKind(Threaded):
    pass


class Ours(Subject, GeventActor):
    pass


class OursKind(Ours):
    pass


@attrs.frozen
class Runtime:
    name: str
    actor: Any
    kind: Any  # a subclass of `actor`
    future: Callable[[], pykka.Future[Any]]


RUNTIMES: Final = {
    "pykka": Runtime("pykka", Threaded, ThreadedKind, pykka.ThreadingFuture),
    "ours": Runtime("ours", Ours, OursKind, Reply),
    "handle": Runtime("handle", Ours, OursKind, Handle),
}


@pytest.fixture(params=["pykka", "ours"])
def runtime(request: pytest.FixtureRequest) -> Iterator[Runtime]:
    """Pykka's and ours; of the latter, what is in DEVIATIONS must fail."""
    reason = DEVIATIONS.get(request.function.__name__)
    if reason is not None and request.param != "pykka":
        request.applymarker(pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason))
    before = {ref.actor_urn for ref in pykka.ActorRegistry.get_all()}
    yield RUNTIMES[request.param]
    for ref in pykka.ActorRegistry.get_all():
        if ref.actor_urn not in before:
            ref.stop(timeout=5)


@pytest.fixture(params=[*RUNTIMES])
def future(request: pytest.FixtureRequest) -> pykka.Future[Any]:
    """One that has no answer: Pykka's, a Reply, and what an ask that does not block returns."""
    reason = DEVIATIONS.get(request.function.__name__)
    if reason is not None and request.param != "pykka":
        request.applymarker(pytest.mark.xfail(strict=True, raises=AssertionError, reason=reason))
    return RUNTIMES[request.param].future()


@pytest.fixture
def ref(runtime: Runtime) -> Any:
    return runtime.actor.start()


@pytest.fixture
def proxy(ref: Any) -> Any:
    return ref.proxy()


def events_of(ref: Any) -> list[Any]:
    events: list[Any] = ref.ask(lambda actor: actor.events)
    return events


def throw(error: BaseException) -> Callable[[Any], Any]:
    def thrower(_: Any) -> Any:
        raise error

    return thrower


def held(ref: Any) -> threading.Event:
    """Keep the actor, and it alone, from its inbox until the event that is returned is set."""
    gate, entered = threading.Event(), threading.Event()

    def hold(_: Any) -> None:
        entered.set()
        while not gate.is_set():
            pause(ref)

    ref.tell(hold)
    assert entered.wait(5)
    return gate


def let_end(ref: Any, events: list[Any]) -> None:
    """Wait for the last step of an actor that ends: it is alive no more before its hooks are
    called, and one of Pykka's may stop all others after that, those of the next test too."""
    until(lambda: not ref.is_alive())
    if issubclass(ref.actor_class, GeventActor):
        Hub.current().run(lambda: None)  # its end is one step in the loop
    else:
        (thread,) = (each[1] for each in events if isinstance(each, tuple) and each[0] == "start")
        thread.join(10)
        assert not thread.is_alive()


def pause(ref: Any) -> None:
    if issubclass(ref.actor_class, GeventActor):
        import gevent

        gevent.sleep(0.001)
    else:
        time.sleep(0.001)


# the table ------------------------------------------------------------------------------------


def test_each_deviation_is_a_test_here_and_a_row_of_the_page() -> None:
    rows = PAGE.read_text("utf-8").splitlines()
    for name, reason in DEVIATIONS.items():
        assert name in globals(), name
        assert [row for row in rows if row.startswith("|") and reason in row], reason


# actors ---------------------------------------------------------------------------------------


def test_each_actor_has_a_urn_of_its_own(runtime: Runtime) -> None:
    one, other = runtime.actor.start(), runtime.actor.start()
    assert one.actor_urn.startswith("urn:uuid:")
    assert one.actor_urn != other.actor_urn


def test_an_actor_says_its_class_and_urn(ref: Any) -> None:
    assert ref.ask(str) == str(ref) == f"{ref.actor_class.__name__} ({ref.actor_urn})"


def test_arguments_of_start_reach_the_constructor(runtime: Runtime) -> None:
    events: list[Any] = []
    assert events_of(runtime.actor.start(events)) is events
    assert events_of(runtime.actor.start(events=events)) is events


def test_what_the_constructor_raises_is_raised_by_start(runtime: Runtime) -> None:
    with pytest.raises(TypeError):
        runtime.actor.start(no_such_argument=1)
    assert pykka.ActorRegistry.get_by_class(runtime.actor) == []


def test_on_start_runs_elsewhere_than_start(ref: Any) -> None:
    (_, where), *_ = events_of(ref)
    assert where is not threading.current_thread()


def test_on_start_comes_before_the_first_message(runtime: Runtime) -> None:
    ref = runtime.actor.start()
    ref.tell("first")
    (what, _), first, *_ = events_of(ref)
    assert (what, first) == ("start", "first")


def test_messages_are_handled_in_order(ref: Any) -> None:
    for number in range(1000):
        ref.tell(number)
    assert events_of(ref)[1:1001] == list(range(1000))


def test_one_message_at_a_time(ref: Any) -> None:
    busy: list[int] = []

    def work(_: Any) -> int:
        busy.append(1)
        pause(ref)
        return busy.pop() + len(busy)

    futures = [ref.ask(work, block=False) for _ in range(20)]
    assert pykka.get_all(futures, timeout=5) == [1] * 20


def test_an_unexpected_message_is_answered_with_none(runtime: Runtime) -> None:
    base: Any = type("Deaf", (runtime.actor.__mro__[2],), {})
    deaf = base.start()
    assert deaf.ask("anything", timeout=5) is None


def test_on_stop_is_called_once_and_last(ref: Any) -> None:
    events = events_of(ref)
    ref.tell("last")
    assert ref.stop() is True
    assert events[-2:] == ["last", "stop"]


def test_an_actor_may_stop_itself(ref: Any) -> None:
    events = events_of(ref)
    ref.tell(lambda actor: actor.stop())
    until(lambda: not ref.is_alive())
    until(lambda: "stop" in events)


def test_what_was_sent_before_a_stop_is_handled(ref: Any) -> None:
    gate = held(ref)
    futures = [ref.ask(number, block=False) for number in range(10)]
    stopped = ref.stop(block=False)
    gate.set()
    assert pykka.get_all(futures, timeout=5) == list(range(10))
    assert stopped.get(timeout=5) is True


def test_what_was_sent_after_a_stop_is_told_so(ref: Any) -> None:
    gate = held(ref)
    stopped = ref.stop(block=False)
    late = ref.ask("late", block=False)
    gate.set()
    assert stopped.get(timeout=5) is True
    with pytest.raises(pykka.ActorDeadError):
        late.get(timeout=5)


def test_an_actor_that_has_stopped_never_lives_again(ref: Any) -> None:
    ref.stop()
    another = ref.actor_class.start()
    assert another.actor_urn != ref.actor_urn
    assert another.is_alive() and not ref.is_alive()


def test_an_error_of_an_ask_is_its_answer(ref: Any) -> None:
    with pytest.raises(KeyError, match="answer"):
        ref.ask(throw(KeyError("answer")))
    assert ref.is_alive() and ref.ask("next") == "next"


def test_an_error_of_a_told_message_ends_the_actor(ref: Any) -> None:
    events, error = events_of(ref), KeyError("told")
    ref.tell(throw(error))
    until(lambda: not ref.is_alive())
    until(lambda: isinstance(events[-1], tuple))
    what, kind, raised, trace = events[-1]
    assert (what, kind, raised) == ("failure", KeyError, error)
    assert trace is not None and "stop" not in events
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None


def test_who_waits_for_an_actor_that_fails_is_told(ref: Any) -> None:
    gate = held(ref)
    ref.tell(throw(KeyError("told")))
    waiting = ref.ask("never handled", block=False)
    gate.set()
    with pytest.raises(pykka.ActorDeadError):
        waiting.get(timeout=5)


def test_a_failing_on_start_ends_the_actor(runtime: Runtime) -> None:
    ref = runtime.actor.start(["fail at start"])
    until(lambda: not ref.is_alive())
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None


def test_on_failure_is_not_called_when_on_start_fails(runtime: Runtime) -> None:
    events: list[Any] = ["fail at start"]
    let_end(runtime.actor.start(events), events)
    assert not [each for each in events if each[0] == "failure"]


def test_a_failing_on_stop_ends_the_actor_all_the_same(runtime: Runtime) -> None:
    ref = runtime.actor.start(["fail at stop"])
    assert ref.stop(timeout=5) is True
    assert not ref.is_alive()


def test_a_failing_on_failure_ends_the_actor_all_the_same(runtime: Runtime) -> None:
    ref = runtime.actor.start(["fail at failure"])
    ref.tell(throw(KeyError("told")))
    until(lambda: not ref.is_alive())


def test_what_is_answered_with_an_error_is_logged(
    ref: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        with pytest.raises(KeyError):
            ref.ask(throw(KeyError("answer")))
        log.flush()
    assert "Exception returned" in caplog.text


def test_failures_are_logged_by_pykka(ref: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("ERROR"):
        ref.tell(throw(KeyError("told")))
        until(lambda: not ref.is_alive())
        log.flush()
        until(lambda: caplog.records)
    assert [each.name for each in caplog.records] == ["pykka"]


class Fatal(BaseException):
    """As SystemExit: no Exception."""


def test_a_base_exception_ends_the_actor(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pykka.ActorRegistry, "_actor_refs", [])
    events: list[Any] = []
    ref = runtime.actor.start(events)
    ref.tell(throw(Fatal()))
    let_end(ref, events)


def test_a_base_exception_stops_all_actors(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pykka.ActorRegistry, "_actor_refs", [])
    events: list[Any] = []
    one, other = runtime.actor.start(events), runtime.actor.start()
    one.tell(throw(Fatal()))
    let_end(one, events)
    other_ended = not other.is_alive()
    other.stop()
    assert other_ended


def test_actors_may_block_their_threads(runtime: Runtime) -> None:
    one, other = runtime.actor.start(), runtime.actor.start()
    entered, event = threading.Event(), threading.Event()

    def block(_: Any) -> bool:
        entered.set()
        return event.wait(0.5 if runtime.name == "ours" else 10)

    blocked = one.ask(block, block=False)
    assert entered.wait(10)
    other.tell(lambda _: event.set())
    assert blocked.get(timeout=20)


ALIVE = """
import time, pykka
from quiver.actors import GeventActor

class Actor({base}):
    def on_receive(self, message):
        {sleep}(0.3)
        print("at its end", flush=True)
        self.stop()

Actor.start().tell("go")
"""


def test_an_actor_keeps_the_program_alive(runtime: Runtime) -> None:
    ours = runtime.name == "ours"
    program = ALIVE.format(
        base="GeventActor" if ours else "pykka.ThreadingActor",
        sleep="__import__('gevent').sleep" if ours else "time.sleep",
    )
    assert run_script(program) == "at its end\n"


# refs -----------------------------------------------------------------------------------------


def test_a_ref_names_its_actor(runtime: Runtime, ref: Any) -> None:
    actor = ref.ask(Subject.itself)
    assert ref.actor_class is runtime.actor
    assert ref.actor_urn == actor.actor_urn
    assert ref.actor_inbox is actor.actor_inbox
    assert ref.actor_stopped is actor.actor_stopped
    assert actor.actor_ref is ref


def test_repr_of_a_ref(ref: Any) -> None:
    assert repr(ref) == f"<ActorRef for {ref.actor_class.__name__} ({ref.actor_urn})>"


def test_refs_are_equal_to_themselves_only(runtime: Runtime) -> None:
    one, other = runtime.actor.start(), runtime.actor.start()
    assert one == one and one != other
    assert len({one, other, one}) == 2
    assert {one: "found"}[pykka.ActorRegistry.get_by_urn(one.actor_urn)] == "found"


def test_is_alive(ref: Any) -> None:
    assert ref.is_alive()
    ref.stop()
    assert not ref.is_alive()


def test_tell_returns_nothing_and_does_not_wait(ref: Any) -> None:
    gate = held(ref)
    assert ref.tell("x") is None
    gate.set()


def test_tell_of_a_dead_actor(ref: Any) -> None:
    ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        ref.tell("too late")


def test_ask_of_a_dead_actor(ref: Any) -> None:
    ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("too late")
    future = ref.ask("too late", block=False)
    assert isinstance(future, pykka.Future)
    with pytest.raises(pykka.ActorDeadError):
        future.get(timeout=5)


@pytest.mark.parametrize("message", [None, 1, "text", {"a": 1}, ("tuple",), [1, 2]], ids=repr)
def test_any_message_can_be_asked(ref: Any, message: Any) -> None:
    assert ref.ask(message) is message


def test_ask_in_time(ref: Any) -> None:
    gate = held(ref)
    with pytest.raises(pykka.Timeout):
        ref.ask("late", timeout=0.02)
    gate.set()
    assert ref.ask("in time", timeout=5) == "in time"


def test_an_ask_that_timed_out_is_handled_all_the_same(ref: Any) -> None:
    gate = held(ref)
    with pytest.raises(pykka.Timeout):
        ref.ask("late", timeout=0.02)
    gate.set()
    assert "late" in events_of(ref)


def test_ask_without_blocking(ref: Any) -> None:
    gate = held(ref)
    future = ref.ask("x", block=False)
    assert isinstance(future, pykka.Future)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.02)
    gate.set()
    assert future.get(timeout=5) == "x"


def test_an_ask_whose_future_is_dropped_is_handled_all_the_same(ref: Any) -> None:
    gate = held(ref)
    ref.ask("dropped", block=False)
    gate.set()
    assert "dropped" in events_of(ref)


def test_an_ask_outlives_the_actor_that_asked(runtime: Runtime) -> None:
    asker, asked = runtime.actor.start(), runtime.actor.start()
    gate = held(asked)
    future = asker.ask(lambda _: asked.ask("answer", block=False))
    asker.stop()
    gate.set()
    try:
        answer = future.get(timeout=5)
    except Exception as error:
        answer = error
    assert answer == "answer"


def test_an_actor_may_ask_another_and_wait(runtime: Runtime) -> None:
    asker, asked = runtime.actor.start(), runtime.actor.start()
    assert asker.ask(lambda _: asked.ask("through", timeout=5), timeout=5) == "through"


def test_an_actor_that_asks_itself_waits_in_vain(ref: Any) -> None:
    with pytest.raises(pykka.Timeout):
        ref.ask(lambda actor: actor.actor_ref.ask("never", timeout=0.02), timeout=5)


def test_stop_says_whether_it_was_alive(ref: Any) -> None:
    assert ref.stop() is True
    assert ref.stop() is False


def test_stop_without_blocking(ref: Any) -> None:
    future = ref.stop(block=False)
    assert isinstance(future, pykka.Future)
    assert future.get(timeout=5) is True
    assert ref.stop(block=False).get(timeout=5) is False
    assert not ref.is_alive()


def test_stop_in_time(ref: Any) -> None:
    gate = held(ref)
    with pytest.raises(pykka.Timeout):
        ref.stop(timeout=0.02)
    gate.set()
    until(lambda: not ref.is_alive())


def test_two_who_stop_it_at_once(ref: Any) -> None:
    gate = held(ref)
    stops = [ref.stop(block=False) for _ in range(2)]
    gate.set()
    assert all(isinstance(stop.get(timeout=5), bool) for stop in stops)
    assert not ref.is_alive()


# futures --------------------------------------------------------------------------------------


def test_repr_of_a_future(future: pykka.Future[Any]) -> None:
    assert repr(future) == "<pykka.Future>"


@pytest.mark.parametrize("timeout", [0, 0.0, -1, 0.02])
def test_get_in_time(future: pykka.Future[Any], timeout: float) -> None:
    with pytest.raises(pykka.Timeout, match=f"{timeout} seconds"):
        future.get(timeout=timeout)


def test_get_takes_its_timeout_by_name_only(future: Any) -> None:
    with pytest.raises(TypeError):
        future.get(1)


def test_set_and_get(future: pykka.Future[Any]) -> None:
    value = object()
    future.set(value)
    assert future.get() is value and future.get(timeout=0) is value


def test_set_without_a_value(future: pykka.Future[Any]) -> None:
    future.set()
    assert future.get() is None


def test_an_exception_may_be_a_value(future: pykka.Future[Any]) -> None:
    value = KeyError("value")
    future.set(value)
    assert future.get() is value


def test_who_waits_is_woken(future: pykka.Future[Any]) -> None:
    got: list[Any] = []
    threads = [threading.Thread(target=lambda: got.append(future.get(timeout=5))) for _ in range(5)]
    for thread in threads:
        thread.start()
    future.set("value")
    for thread in threads:
        thread.join(5)
    assert got == ["value"] * 5


def test_set_twice(future: pykka.Future[Any]) -> None:
    future.set("first")
    with pytest.raises(queue.Full):
        future.set("second")
    with pytest.raises(queue.Full):
        future.set_exception((KeyError, KeyError("second"), None))
    assert future.get() == "first"


def test_set_after_set_exception(future: pykka.Future[Any]) -> None:
    future.set_exception((KeyError, KeyError("first"), None))
    with pytest.raises(queue.Full):
        future.set("second")
    with pytest.raises(queue.Full):
        future.set_exception((KeyError, KeyError("second"), None))
    with pytest.raises(KeyError, match="first"):
        future.get()


def raised(error: Exception) -> Any:
    try:
        raise error
    except type(error) as caught:
        return type(caught), caught, caught.__traceback__


def test_set_exception_of_the_one_that_is_handled(future: pykka.Future[Any]) -> None:
    try:
        raise KeyError("handled")
    except KeyError:
        future.set_exception()
    with pytest.raises(KeyError, match="handled"):
        future.get()


def test_set_exception_keeps_the_traceback(future: pykka.Future[Any]) -> None:
    info = raised(KeyError("told"))
    future.set_exception(info)
    for _ in range(2):
        with pytest.raises(KeyError, match="told") as caught:
            future.get()
        assert caught.value is info[1]
        traces, trace = [], caught.value.__traceback__
        while trace is not None:
            traces.append(trace)
            trace = trace.tb_next
        assert traces[-1] is info[2]
        assert len(traces) < 8  # and is not added to the one before


def test_set_exception_by_its_class(future: pykka.Future[Any]) -> None:
    future.set_exception((KeyError, None, None))
    with pytest.raises(KeyError):
        future.get()


def test_a_get_hook(future: pykka.Future[Any]) -> None:
    asked: list[float | None] = []

    def hook(timeout: float | None) -> str:
        asked.append(timeout)
        return "hooked"

    future.set_get_hook(hook)
    assert future.get(timeout=3) == "hooked"
    assert future.get() == "hooked"
    assert asked == [3]  # the first result is kept


def test_what_a_get_hook_raises_is_not_kept(future: pykka.Future[Any]) -> None:
    outcomes = iter([KeyError("first"), None])

    def hook(_: float | None) -> str:
        if error := next(outcomes):
            raise error
        return "second"

    future.set_get_hook(hook)
    with pytest.raises(KeyError, match="first"):
        future.get()
    assert future.get() == "second"


def test_set_after_a_get_hook(future: pykka.Future[Any]) -> None:
    future.set_get_hook(lambda _: "hooked")
    with pytest.raises(queue.Full):
        future.set("lost")
    with pytest.raises(queue.Full):
        future.set_exception((KeyError, KeyError("lost"), None))
    assert future.get() == "hooked"


def test_a_get_hook_after_a_result(future: pykka.Future[Any]) -> None:
    future.set("known")
    with pytest.raises(queue.Full):
        future.set_get_hook(lambda _: "late")
    assert future.get() == "known"


def test_a_get_hook_may_be_set_anew(future: pykka.Future[Any]) -> None:
    future.set_get_hook(lambda _: "first")
    future.set_get_hook(lambda _: "second")
    assert future.get() == "second"


def test_get_all(runtime: Runtime) -> None:
    futures = [runtime.future() for _ in range(3)]
    with pytest.raises(pykka.Timeout):
        pykka.get_all(futures, timeout=0)
    for number, future in reversed(list(enumerate(futures))):
        future.set(number)
    for _ in range(2):
        assert pykka.get_all(futures) == [0, 1, 2]


def test_filter(future: pykka.Future[Any]) -> None:
    filtered = future.filter(lambda number: number > 10)
    future.set([1, 20, 3, 40])
    assert filtered.get(timeout=0) == [20, 40]
    assert future.get() == [1, 20, 3, 40]


def test_filter_of_what_is_no_iterable(future: pykka.Future[Any]) -> None:
    filtered = future.filter(lambda _: True)
    future.set(1)
    with pytest.raises(TypeError):
        filtered.get(timeout=0)


def test_map(future: pykka.Future[Any]) -> None:
    mapped = future.map(lambda value: value["a"])
    future.set({"a": "of a dict"})
    assert mapped.get(timeout=0) == "of a dict"


def test_map_of_a_list_gets_the_list(future: pykka.Future[Any]) -> None:
    mapped = future.map(len)
    future.set([1, 2, 3])
    assert mapped.get(timeout=0) == 3


def test_what_map_calls_is_called_by_get_alone(future: pykka.Future[Any]) -> None:
    called: list[int] = []
    mapped = future.map(called.append)
    future.set(1)
    assert called == []
    for _ in range(2):
        mapped.get(timeout=0)
    assert called == [1]


def test_map_passes_errors_on(future: pykka.Future[Any]) -> None:
    mapped = future.map(str)
    future.set_exception((KeyError, KeyError("before"), None))
    with pytest.raises(KeyError, match="before"):
        mapped.get(timeout=0)


def test_map_passes_the_timeout_on(future: pykka.Future[Any]) -> None:
    with pytest.raises(pykka.Timeout):
        future.map(str).get(timeout=0)


def test_reduce(future: pykka.Future[Any]) -> None:
    reduced = future.reduce(lambda total, number: total + number)
    begun = future.reduce(lambda total, number: total + number, 5)
    future.set([1, 2, 3])
    assert (reduced.get(timeout=0), begun.get(timeout=0)) == (6, 11)


def test_reduce_of_nothing(future: pykka.Future[Any]) -> None:
    reduced = future.reduce(lambda total, number: total + number)
    begun = future.reduce(lambda total, number: total + number, 5)
    future.set([])
    assert begun.get(timeout=0) == 5
    with pytest.raises(TypeError):
        reduced.get(timeout=0)


def test_join(runtime: Runtime, future: pykka.Future[Any]) -> None:
    second, third = runtime.future(), pykka.ThreadingFuture[Any]()
    joined = future.join(second, third)
    with pytest.raises(pykka.Timeout):
        joined.get(timeout=0)
    future.set(0)
    second.set(1)
    third.set(2)
    assert joined.get(timeout=0) == [0, 1, 2]


def test_they_can_be_chained(runtime: Runtime, future: pykka.Future[Any]) -> None:
    other = runtime.future()
    chained = future.filter(lambda n: n % 2 == 0).map(sum).join(other).reduce(lambda a, b: a * b)
    future.set([1, 2, 3, 4])
    other.set(7)
    assert chained.get(timeout=0) == 42


def test_await(future: pykka.Future[Any]) -> None:
    future.set("awaited")

    async def main() -> list[Any]:
        return [await future, await future.map(str.upper)]

    assert asyncio.run(main()) == ["awaited", "AWAITED"]


def test_await_raises(future: pykka.Future[Any]) -> None:
    future.set_exception((KeyError, KeyError("awaited"), None))

    async def main() -> None:
        await future

    with pytest.raises(KeyError, match="awaited"):
        asyncio.run(main())


def test_yield_from(future: pykka.Future[Any]) -> None:
    def wait() -> Any:
        return (yield from future)

    future.set("given")
    waiting = wait()
    with pytest.raises(StopIteration) as stopped:
        while True:
            next(waiting)
    assert stopped.value.value == "given"


def test_a_future_cannot_be_pickled(future: pykka.Future[Any]) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(future)


# proxies --------------------------------------------------------------------------------------


def test_attributes(proxy: Any) -> None:
    assert proxy.an_attribute.get(timeout=5) == "attribute"
    assert proxy.own.get(timeout=5) == "own"


def test_an_attribute_that_is_not_there(proxy: Any) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        proxy.nothing  # noqa: B018


def test_a_private_attribute_is_not_to_be_had(proxy: Any) -> None:
    with pytest.raises(AttributeError):
        proxy.__getattr__("_private")


def test_an_attribute_that_came_later(proxy: Any) -> None:
    proxy.give_attribute().get(timeout=5)
    assert proxy.late.get(timeout=5) == "late"


def test_an_attribute_is_set(proxy: Any) -> None:
    proxy.own = "changed"
    assert proxy.own.get(timeout=5) == "changed"
    proxy.fresh = 1
    assert proxy.fresh.get(timeout=5) == 1


def test_setting_an_attribute_raises_what_that_raises(proxy: Any) -> None:
    with pytest.raises(KeyError, match="no such value"):
        proxy.guarded = "no such value"
    assert proxy.guarded.get(timeout=5) == "guarded"


def test_methods(proxy: Any) -> None:
    assert proxy.add(1).get(timeout=5) == 2
    assert proxy.add(1, other=4).get(timeout=5) == 5


def test_a_call_returns_a_future_at_once(ref: Any, proxy: Any) -> None:
    gate = held(ref)
    future = proxy.add(1)
    assert isinstance(future, pykka.Future)
    with pytest.raises(pykka.Timeout):
        future.get(timeout=0.02)
    gate.set()
    assert future.get(timeout=5) == 2


def test_a_call_whose_future_is_dropped_is_made(ref: Any, proxy: Any) -> None:
    proxy.note("made")
    assert "made" in events_of(ref)


def test_what_a_method_raises(proxy: Any) -> None:
    future = proxy.fail()
    with pytest.raises(KeyError, match="method"):
        future.get(timeout=5)
    assert proxy.add(1).get(timeout=5) == 2


def test_a_call_that_is_deferred(ref: Any, proxy: Any) -> None:
    assert proxy.note.defer("deferred") is None
    assert "deferred" in events_of(ref)


def test_a_deferred_call_that_fails_ends_the_actor(ref: Any, proxy: Any) -> None:
    events = events_of(ref)
    proxy.fail.defer()
    until(lambda: not ref.is_alive())
    until(lambda: isinstance(events[-1], tuple) and events[-1][0] == "failure")


def test_wrong_arguments(proxy: Any) -> None:
    with pytest.raises(TypeError):
        proxy.add().get(timeout=5)


def test_a_method_without_a_call(proxy: Any) -> None:
    assert isinstance(proxy.add, pykka.CallableProxy)
    assert proxy.add is proxy.add


def test_traversable(proxy: Any) -> None:
    assert isinstance(proxy.deep, pykka.ActorProxy)
    assert proxy.deep.value.get(timeout=5) == "deep"
    assert proxy.deep.double(21).get(timeout=5) == 42
    assert proxy.playback.state().get(timeout=5) == "playing"
    assert proxy.marked.name.get(timeout=5) == "marked"
    proxy.deep.value = "deeper"
    assert proxy.deep.value.get(timeout=5) == "deeper"
    proxy.deep.value = "deep"


def test_what_is_not_traversable_is_a_value(proxy: Any) -> None:
    assert proxy.closed.get(timeout=5) is Subject.closed


def test_slots_cannot_be_marked_as_traversable() -> None:
    class Slotted:
        __slots__ = ()

    with pytest.raises(ValueError, match="slots"):
        pykka.traversable(Slotted())


def test_a_proxy_knows_its_ref(ref: Any, proxy: Any) -> None:
    assert proxy.actor_ref is ref
    assert repr(proxy) == f"<ActorProxy for {ref}, attr_path=()>"
    assert repr(proxy.deep) == f"<ActorProxy for {ref}, attr_path=('deep',)>"


def test_proxies_are_equal_by_actor_and_path(runtime: Runtime, ref: Any) -> None:
    assert ref.proxy() == ref.proxy()
    assert hash(ref.proxy()) == hash(ref.proxy())
    assert ref.proxy() != ref.proxy().deep
    assert ref.proxy() != runtime.actor.start().proxy()
    assert ref.proxy() != "something else"


def test_dir_of_a_proxy(proxy: Any) -> None:
    assert {"an_attribute", "own", "add", "deep", "actor_ref", "stop"} <= set(dir(proxy))
    assert "_private" not in dir(proxy)


def test_a_proxy_of_a_dead_actor(ref: Any) -> None:
    ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        ref.proxy()


def test_a_proxy_whose_actor_dies(ref: Any, proxy: Any) -> None:
    ref.stop()
    with pytest.raises(pykka.ActorDeadError):
        proxy.add(1).get(timeout=5)
    with pytest.raises(pykka.ActorDeadError):
        proxy.own.get(timeout=5)
    with pytest.raises(pykka.ActorDeadError):
        proxy.own = "late"
    with pytest.raises(pykka.ActorDeadError):
        proxy.note.defer("late")


def test_a_proxy_can_stop_its_actor(ref: Any, proxy: Any) -> None:
    proxy.stop()
    until(lambda: not ref.is_alive())


def test_an_actors_proxy_to_itself_is_for_later(ref: Any) -> None:
    def both(actor: Any) -> None:
        actor.actor_ref.proxy().note("later")
        actor.note("now")

    ref.ask(both)
    events = events_of(ref)
    assert events.index("now") < events.index("later")


# the registry ---------------------------------------------------------------------------------


def test_an_actor_is_registered_while_it_lives(runtime: Runtime) -> None:
    ref: Any = runtime.actor.start()
    assert ref in pykka.ActorRegistry.get_all()
    found = pykka.ActorRegistry.get_by_urn(ref.actor_urn)
    assert found is not None and found is ref
    ref.stop()
    assert ref not in pykka.ActorRegistry.get_all()
    assert pykka.ActorRegistry.get_by_urn(ref.actor_urn) is None


def test_it_is_registered_when_it_starts(runtime: Runtime) -> None:
    def found(actor: Any) -> Any:
        return pykka.ActorRegistry.get_by_urn(actor.actor_urn)

    class Looking(runtime.actor):  # type: ignore[misc, name-defined]
        def on_start(self) -> None:
            self.events.append(found(self))

    ref = Looking.start()
    assert events_of(ref)[0] is ref


def test_get_by_class_takes_subclasses_too(runtime: Runtime) -> None:
    one, other = runtime.actor.start(), runtime.kind.start()
    assert pykka.ActorRegistry.get_by_class(runtime.actor) == [one, other]
    assert pykka.ActorRegistry.get_by_class(runtime.kind) == [other]


def test_get_by_class_name(runtime: Runtime) -> None:
    one, _other = runtime.actor.start(), runtime.kind.start()
    assert pykka.ActorRegistry.get_by_class_name(runtime.actor.__name__) == [one]
    assert pykka.ActorRegistry.get_by_class_name("NoSuchActor") == []


def test_what_get_all_returns_is_a_copy(ref: Any) -> None:
    pykka.ActorRegistry.get_all().clear()
    assert ref in pykka.ActorRegistry.get_all()


@pytest.mark.parametrize("by", ["class", "name"])
def test_broadcast_to_a_class(runtime: Runtime, by: str) -> None:
    ref, other = runtime.kind.start(), runtime.actor.start()
    target = runtime.kind if by == "class" else runtime.kind.__name__
    pykka.ActorRegistry.broadcast("news", target_class=target)
    assert "news" in events_of(ref)
    assert "news" not in events_of(other)


def test_broadcast_to_all(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pykka.ActorRegistry, "_actor_refs", [])
    refs = [runtime.actor.start(), runtime.kind.start()]
    pykka.ActorRegistry.broadcast("news")
    assert all("news" in events_of(ref) for ref in refs)
    for ref in refs:
        ref.stop()


@pytest.mark.parametrize("block", [True, False])
def test_stop_all_from_the_last_to_the_first(
    runtime: Runtime, block: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pykka.ActorRegistry, "_actor_refs", [])
    ended: list[int] = []

    class Ending(runtime.actor):  # type: ignore[misc, name-defined]
        def on_stop(self) -> None:
            ended.append(self.events[0])

        def on_start(self) -> None:
            pass

    for number in range(3):
        Ending.start([number])
    stopped: Any = pykka.ActorRegistry.stop_all(block=block, timeout=5)
    if not block:
        stopped = pykka.get_all(stopped, timeout=5)
    assert stopped == [True] * 3
    assert sorted(ended) == [0, 1, 2]
    assert not block or ended == [2, 1, 0]
    assert pykka.ActorRegistry.get_all() == []


def test_stop_all_of_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pykka.ActorRegistry, "_actor_refs", [])
    assert pykka.ActorRegistry.stop_all() == []
