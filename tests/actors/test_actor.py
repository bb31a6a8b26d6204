"""GeventActor: asked, told, forwarded, stopped, killed, crashed; everybody is answered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gevent
import pykka
import pytest
from pykka._envelope import Envelope
from pykka.messages import _ActorStop

from quiver.actors.actor import BATCH, GeventActor, GeventActorRef
from quiver.actors.reply import Reply
from tests.support.waiting import until


class Doer(GeventActor):
    """Does what it is told: a callable that gets the actor."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.batches: list[int] = []
        self.ends: list[BaseException | None] = []
        self.kept: list[Reply[Any]] = []

    def on_receive(self, message: Any) -> Any:
        self.seen.append(message)
        return message(self) if callable(message) else message

    def after_batch(self) -> None:
        self.batches.append(len(self.seen))

    def on_exit(self, reason: BaseException | None) -> None:
        self.ends.append(reason)
        for reply in self.kept:
            reply.fail(pykka.ActorDeadError("kept until the end"))


class Lingerer(Doer):
    lingers = 1


class Threaded(pykka.ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        return message() if callable(message) else ("threaded", message)


@pytest.fixture
def doer() -> Iterator[GeventActorRef[Doer]]:
    ref = Doer.start()
    yield ref
    ref.stop()


def inside(ref: GeventActorRef[Doer]) -> Doer:
    actor: Doer = ref.ask(lambda actor: actor)
    return actor


def throw(error: BaseException) -> Callable[[Any], Any]:
    def thrower(_: Any) -> Any:
        raise error

    return thrower


def hold_up(ref: GeventActorRef[Doer]) -> threading.Event:
    """Keep the actor, and its hub, busy until the event that is returned is set."""
    gate, entered = threading.Event(), threading.Event()

    def block(_: Any) -> None:
        entered.set()
        gate.wait(10)

    ref.tell(block)
    assert entered.wait(5)
    return gate


def test_asked_and_told(doer: GeventActorRef[Doer]) -> None:
    doer.tell("told")
    assert doer.ask("asked") == "asked"
    assert inside(doer).seen[:2] == ["told", "asked"]


def test_an_error_is_an_answer_and_no_end(doer: GeventActorRef[Doer]) -> None:
    with pytest.raises(KeyError, match="no"):
        doer.ask(throw(KeyError("no")))
    assert doer.ask(1) == 1


def test_what_was_told_and_fails_is_the_end(doer: GeventActorRef[Doer]) -> None:
    actor = inside(doer)
    error = KeyError("told")
    doer.tell(throw(error))
    until(lambda: actor.ends)
    assert actor.ends == [error]
    assert not doer.is_alive()


def test_a_proxy_works(doer: GeventActorRef[Doer]) -> None:
    assert doer.proxy().seen.get() == []


def test_an_ask_that_times_out_is_cancelled(doer: GeventActorRef[Doer]) -> None:
    cancelled = threading.Event()

    def keep(actor: Doer) -> None:
        reply = actor.defer()
        reply.on_cancel(cancelled.set)

    with pytest.raises(pykka.Timeout, match=r"did not answer within 0\.05"):
        doer.ask(keep, timeout=0.05)
    assert cancelled.wait(5)


def test_a_timeout_that_is_the_answer_is_not_ours(doer: GeventActorRef[Doer]) -> None:
    with pytest.raises(pykka.Timeout, match="theirs"):
        doer.ask(throw(pykka.Timeout("theirs")), timeout=5)


def test_defer_answers_later(doer: GeventActorRef[Doer]) -> None:
    future = doer.ask(lambda actor: actor.kept.append(actor.defer()), block=False)
    inside(doer).kept.pop().answer("later")
    assert future.get(timeout=5) == "later"


class Keeper(GeventActor):
    """Keeps its reply under the next best name."""

    _reply: Any = None

    def on_receive(self, message: Any) -> Any:
        if message == "keep":
            self._reply = self.defer()
        else:
            self._reply.answer(message)


def test_a_reply_may_be_kept_under_a_plain_name() -> None:
    keeper = Keeper.start()
    kept = keeper.ask("keep", block=False)
    assert keeper.ask("later", timeout=5) is None
    assert kept.get(timeout=5) == "later"
    keeper.stop()


def test_nothing_to_defer(doer: GeventActorRef[Doer]) -> None:
    failed: list[str] = []

    def attempt(actor: Doer) -> None:
        try:
            actor.defer()
        except RuntimeError as error:
            failed.append(str(error))

    doer.tell(attempt)
    doer.ask(None)
    assert failed == ["there is no reply to defer: the message was told, not asked"]


def test_batches(doer: GeventActorRef[Doer]) -> None:
    gate = hold_up(doer)
    for number in range(2 * BATCH + 10):
        doer.tell(number)
    gate.set()
    actor = inside(doer)
    until(lambda: len(actor.batches) == 4)
    assert actor.batches == [1, 1 + BATCH, 1 + 2 * BATCH, 1 + 2 * BATCH + 11]


def test_one_that_leaves_takes_nothing_more_while_it_lingers() -> None:
    ref = Lingerer.start()
    actor = ref.ask(lambda actor: actor)
    late: list[Any] = []

    def leave(actor: Doer) -> None:
        gevent.spawn(lambda: late.append(ref.ask("late", block=False)))
        actor.leave()

    ref.tell(leave)
    until(lambda: bool(late))
    with pytest.raises(pykka.ActorDeadError):
        late[0].get(timeout=5.0)
    assert actor.seen[-1] is leave


def test_one_that_lingers_takes_what_its_answers_bring_in_the_same_batch() -> None:
    ref = Lingerer.start()
    actor = ref.ask(lambda actor: actor)
    until(lambda: actor.batches == [1])

    def send_one(actor: Doer) -> None:
        gevent.spawn(ref.tell, "sent by a greenlet that ran meanwhile")

    ref.tell(send_one)
    until(lambda: len(actor.seen) == 3)
    until(lambda: actor.batches == [1, 3])
    ref.stop()


def test_what_is_left_with_one_is_taken_with_the_next_message_or_when_it_is_woken() -> None:
    ref = Doer.start()
    actor = ref.ask(lambda actor: actor)
    until(lambda: actor.batches == [1])
    ref.leave("first")
    assert ref.ask("second") == "second"
    until(lambda: actor.batches == [1, 3])
    ref.leave("third")
    ref.wake()
    until(lambda: actor.batches == [1, 3, 4])
    assert actor.seen[1:] == ["first", "second", "third"]
    ref.stop()
    ref.leave("it is gone")
    ref.wake()
    assert len(actor.seen) == 4


class LongLingerer(Doer):
    lingers = 1_000_000  # turns: seconds, if it took them while the loop has nothing to do


def test_one_that_lingers_waits_for_those_who_pause_for_a_turn_and_for_nobody_else() -> None:
    ref = LongLingerer.start()
    actor = ref.ask(lambda actor: actor)
    until(lambda: actor.batches == [1])

    def send_after_turns() -> None:
        for _ in range(5):
            gevent.sleep(0)
        ref.tell("sent five turns later")

    ref.tell(lambda _: gevent.spawn(send_after_turns))
    until(lambda: actor.batches == [1, 3])
    turns: list[int] = []

    def count_turns() -> None:
        while len(actor.batches) == 2 and len(turns) < 1000:
            turns.append(len(turns))
            gevent.sleep(0)

    actor.lingers = 10
    ref.tell(lambda _: gevent.spawn(count_turns))
    until(lambda: actor.batches == [1, 3, 4])
    assert 5 <= len(turns) <= 15
    ref.stop()


def test_one_that_lingers_may_be_told_to_linger_no_more() -> None:
    """By what it takes meanwhile, which is to go out at once."""
    ref = LongLingerer.start()
    actor = ref.ask(lambda actor: actor)
    until(lambda: actor.batches == [1])
    turns, due = [0], time.monotonic() + 20.0

    def be_busy() -> None:
        while len(actor.batches) == 1 and time.monotonic() < due:
            turns[0] += 1
            gevent.sleep(0)

    def stop_lingering(actor: LongLingerer) -> None:
        actor.lingers = 0

    ref.tell(lambda _: gevent.spawn(be_busy))
    until(lambda: turns[0] > 10)
    ref.tell(stop_lingering)
    until(lambda: actor.batches == [1, 3])
    assert time.monotonic() < due
    ref.stop()


def test_one_that_lingers_takes_what_threads_have_left_to_the_loop() -> None:
    ref, other = Lingerer.start(), Doer.start()
    actor = ref.ask(lambda actor: actor)
    until(lambda: actor.batches == [1])
    actor.lingers = 3

    def send_one_by_another_actor(_: Doer) -> None:
        sender = threading.Thread(target=other.tell, args=(lambda _: ref.tell("by the other"),))
        sender.start()
        sender.join(5)

    ref.tell(send_one_by_another_actor)
    until(lambda: len(actor.seen) == 3)
    until(lambda: actor.batches == [1, 3])
    ref.stop()
    other.stop()


def test_a_full_inbox_refuses_asks_and_takes_stops(doer: GeventActorRef[Doer]) -> None:
    gate = hold_up(doer)
    doer.actor_inbox.limit = 2
    accepted = [doer.ask(n, block=False) for n in range(2)]
    with pytest.raises(OverflowError, match="is full: 2 messages"):
        doer.ask("one too many")
    stopped = doer.stop(block=False)
    gate.set()
    assert [each.get(timeout=5) for each in accepted] == [0, 1]
    assert stopped.get(timeout=5) is True


# forward ------------------------------------------------------------------------------------


def test_forward_lets_the_other_answer(doer: GeventActorRef[Doer]) -> None:
    other = Doer.start()
    assert doer.ask(lambda actor: actor.forward(other, lambda who: who is not actor))
    other.stop()


@pytest.mark.parametrize("kind", [Doer, Threaded])
def test_forward_to_the_dead(doer: GeventActorRef[Doer], kind: type[Doer] | type[Threaded]) -> None:
    gone: pykka.ActorRef[Any] = kind.start()
    gone.stop()
    with pytest.raises(pykka.ActorDeadError):
        doer.ask(lambda actor: actor.forward(gone, "x"), timeout=5)


def test_forward_to_a_thread(doer: GeventActorRef[Doer]) -> None:
    threaded = Threaded.start()
    assert doer.ask(lambda actor: actor.forward(threaded, 1), timeout=5) == ("threaded", 1)
    with pytest.raises(ZeroDivisionError):
        doer.ask(lambda actor: actor.forward(threaded, lambda: 1 // 0), timeout=5)
    threaded.stop()


def test_a_crash_after_forward_does_not_answer_for_the_other(doer: GeventActorRef[Doer]) -> None:
    other = Doer.start()
    actor = inside(doer)

    def pass_on_and_fail(actor: Doer) -> None:
        actor.forward(other, "by the other")
        raise KeyError("afterwards")

    future = doer.ask(pass_on_and_fail, block=False)
    until(lambda: actor.ends)
    assert future.get(timeout=5) == "by the other"
    other.stop()


def test_asking_a_thread_blocks_no_other_actor(doer: GeventActorRef[Doer]) -> None:
    """The thread asks another actor of the same hub before it answers."""
    threaded, other = Threaded.start(), Doer.start()
    asked = doer.ask(lambda actor: actor.ask(threaded, lambda: other.ask("x"), 5), timeout=5)
    assert asked == "x"
    threaded.stop()
    other.stop()


# ends ---------------------------------------------------------------------------------------


def test_stop_serves_what_came_before_and_refuses_the_rest(doer: GeventActorRef[Doer]) -> None:
    gate = hold_up(doer)
    before = doer.ask("before", block=False)
    stopped = [doer.stop(block=False) for _ in range(2)]
    after = doer.ask("after", block=False)
    gate.set()
    assert before.get(timeout=5) == "before"
    assert [each.get(timeout=5) for each in stopped] == [True, True]
    with pytest.raises(pykka.ActorDeadError):
        after.get(timeout=5)
    assert doer.stop() is False
    with pytest.raises(pykka.ActorDeadError):
        doer.ask("dead")


@pytest.mark.parametrize("error", [gevent.Timeout(1), gevent.GreenletExit(), SystemExit(3)])
def test_a_base_exception_ends_this_actor_alone(
    doer: GeventActorRef[Doer], error: BaseException
) -> None:
    threaded, other = Threaded.start(), Doer.start()
    actor = inside(doer)
    future = doer.ask(throw(error), block=False)
    behind = doer.ask("behind", block=False)
    for each in (future, behind):
        with pytest.raises(pykka.ActorDeadError):
            each.get(timeout=5)
    until(lambda: actor.ends)
    assert actor.ends == [error]
    assert other.ask(1) == 1
    assert threaded.ask(1, timeout=5) == ("threaded", 1)
    threaded.stop()
    other.stop()


@pytest.mark.parametrize("blocks", [True, False])
def test_kill_answers_everybody(doer: GeventActorRef[Doer], blocks: bool) -> None:
    actor = inside(doer)
    waiting = [doer.ask(lambda actor: actor.kept.append(actor.defer()), block=False)]
    waiting.append(doer.ask(lambda _: gevent.sleep(60 if blocks else 0), block=False))
    if blocks:
        waiting += [doer.ask(n, block=False) for n in range(50)]
    until(lambda: len(actor.seen) == 3)
    doer.kill()
    until(lambda: actor.ends)
    assert isinstance(actor.ends[0], gevent.GreenletExit)
    for future in waiting[: None if blocks else 1]:
        with pytest.raises(pykka.ActorDeadError):
            future.get(timeout=5)


def test_killed_before_it_has_begun() -> None:
    ref = Doer.start()
    ref.kill()
    until(lambda: not ref.is_alive())
    with pytest.raises(pykka.ActorDeadError):
        ref.ask("x", timeout=5)


class Fails(GeventActor):
    def __init__(self, where: str) -> None:
        super().__init__()
        self.where = where

    def on_start(self) -> None:
        self.fail_in("on_start")

    def on_stop(self) -> None:
        self.fail_in("on_stop")

    def on_exit(self, reason: BaseException | None) -> None:
        self.fail_in("on_exit")

    def undelivered(self, message: Any, reply: Reply[Any]) -> bool:
        self.fail_in("undelivered")
        return False

    def on_receive(self, message: Any) -> Any:
        self.leave()
        return self.fail_in("on_receive")

    def fail_in(self, where: str) -> None:
        if where == self.where:
            raise gevent.Timeout(1)


@pytest.mark.parametrize("where", ["on_start", "on_stop", "on_exit", "undelivered", "on_receive"])
def test_whatever_fails_at_the_end_everybody_is_answered(where: str) -> None:
    ref = Fails.start(where)
    futures = [ref.ask(n, block=False) for n in range(20)]
    for future in futures[1:]:
        with pytest.raises(pykka.ActorDeadError):
            future.get(timeout=5)
    until(lambda: futures[0].done)
    until(lambda: ref not in pykka.ActorRegistry.get_all())


def longer_than(count: int, outcomes: list[object]) -> bool:
    return len(outcomes) > count


def test_asks_racing_with_the_end_are_all_answered() -> None:
    for kill in (True, False):
        ref = Doer.start()
        outcomes: list[object] = []

        def caller(ref: GeventActorRef[Doer] = ref, outcomes: list[object] = outcomes) -> None:
            for n in range(300):
                try:
                    outcomes.append(ref.ask(n, timeout=10))
                except pykka.ActorDeadError as error:
                    outcomes.append(error)

        threads = [threading.Thread(target=caller) for _ in range(6)]
        for thread in threads:
            thread.start()
        until(partial(longer_than, 100, outcomes))
        ref.kill() if kill else ref.stop()
        for thread in threads:
            thread.join(20)
        assert len(outcomes) == 6 * 300


# what it relies on in Pykka -----------------------------------------------------------------


def test_canary_envelope() -> None:
    reply: Reply[Any] = Reply()
    envelope = Envelope("x", reply)
    assert (envelope.message, envelope.reply_to) == ("x", reply)
    envelope.reply_to = None


def test_canary_stop_message(doer: GeventActorRef[Doer]) -> None:
    class Inbox(list[Any]):
        put = list.append

    inbox = Inbox()
    doer.actor_inbox, kept = inbox, doer.actor_inbox  # type: ignore[assignment]
    pykka.ActorRef.ask(doer, _ActorStop(), block=False)
    doer.actor_inbox = kept
    assert isinstance(inbox[0], Envelope) and isinstance(inbox[0].message, _ActorStop)


@pytest.mark.parametrize(
    "name",
    ["_create_actor_inbox", "_create_future", "_start_actor_loop", "_handle_receive", "_actor_ref"],
)
def test_canary_names_of_an_actor(name: str) -> None:
    assert name in {*vars(pykka.Actor), *pykka.Actor.__annotations__}


def test_canary_registry_lock() -> None:
    assert isinstance(pykka.ActorRegistry._actor_refs_lock, type(threading.RLock()))


def fail_after(gate: threading.Event) -> None:
    gate.wait(5)
    raise KeyError("late")


def test_a_late_answer_ends_no_actor_of_pykkas_own(doer: GeventActorRef[Doer]) -> None:
    """It is given by Pykka's loop, which calls `set`; the asker has given up meanwhile."""
    threaded = Threaded.start()
    gate = threading.Event()
    try:
        for late in (partial(gate.wait, 5), partial(fail_after, gate)):
            gate.clear()
            with pytest.raises(pykka.Timeout):
                doer.ask(partial(Doer.ask, ref=threaded, message=late, timeout=0.02))
            gate.set()
            assert threaded.ask("next", timeout=5) == ("threaded", "next")
    finally:
        threaded.stop()
