"""Asking: an ask ends with the actor that made it, and with the handle of it."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gevent
import pykka
import pytest

from quiver.actors.actor import GeventActor
from quiver.actors.handle import Handle, OpenAsks, open_asks_of_caller
from quiver.actors.hub import Hub
from quiver.actors.reply import Reply, ReplyCancelled
from quiver.actors.system_messages import Terminated
from quiver.actors.wait_queue import Event
from tests.support.memory import uncollected
from tests.support.waiting import until


class Keeper(GeventActor):
    """Defers every ask, and sees who gives up, and in which thread."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: list[Reply[Any]] = []
        self.given_up: list[int] = []

    def on_receive(self, message: Any) -> Any:
        reply = self.defer()
        self.kept.append(reply)
        reply.on_cancel(lambda: self.given_up.append(threading.get_ident()))

    def on_exit(self, reason: BaseException | None) -> None:
        for reply in self.kept:
            reply.answer("the end")


class Doer(GeventActor):
    """Does as it is told, in its own greenlet."""

    def on_receive(self, message: Any) -> Any:
        return message(self)


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    made = Keeper()
    made.launch()
    yield made
    made.actor_ref.stop()


def asked(keeper: Keeper) -> Handle[Any]:
    """The handle of an ask that has arrived."""
    before = len(keeper.kept)
    handle: Handle[Any] = keeper.actor_ref.ask("?", block=False)
    until(lambda: len(keeper.kept) > before)
    return handle


def ask_and_drop(keeper: Keeper) -> None:
    asked(keeper)


class Watcher(GeventActor):
    """Remembers what it hears of those it is asked to watch."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Terminated] = []

    def on_receive(self, message: Any) -> Any:
        if isinstance(message, Terminated):
            self.heard.append(message)
        elif message == "heard":
            return self.heard
        else:
            self.watch(message)
        return None


# a handle that is dropped -----------------------------------------------------------------------


def drop_in_a_thread(keeper: Keeper) -> None:
    thread = threading.Thread(target=ask_and_drop, args=(keeper,))
    thread.start()
    thread.join(10)


def drop_in_a_greenlet(keeper: Keeper) -> None:
    gevent.spawn(ask_and_drop, keeper).join(10)


def drop_in_the_loop(keeper: Keeper) -> None:
    handles = [asked(keeper)]
    doer = Doer.start()
    doer.ask(lambda _: handles.clear())
    doer.stop()


def drop_what_was_made_of_it(keeper: Keeper) -> None:
    asked(keeper).map(str).join(pykka.ThreadingFuture())


def drop_the_task_that_awaits_it(keeper: Keeper) -> None:
    async def wait() -> None:
        await asyncio.wait_for(keeper.actor_ref.ask("?", block=False), 0.02)

    with pytest.raises(TimeoutError):
        asyncio.run(wait())


DROPPING: list[Callable[[Keeper], None]] = [
    ask_and_drop,
    drop_in_a_thread,
    drop_in_a_greenlet,
    drop_in_the_loop,
    drop_what_was_made_of_it,
    drop_the_task_that_awaits_it,
]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("drop", DROPPING, ids=lambda drop: drop.__name__)
def test_an_ask_whose_handle_is_dropped_is_cancelled(
    keeper: Keeper, drop: Callable[[Keeper], None]
) -> None:
    with uncollected():
        drop(keeper)
        until(lambda: keeper.given_up)
    assert len(keeper.given_up) == 1
    assert all(reply.cancelled for reply in keeper.kept)


def test_the_cancellation_is_told_in_the_loop_not_in_the_finaliser(keeper: Keeper) -> None:
    ask_and_drop(keeper)
    until(lambda: keeper.given_up)
    assert keeper.given_up == [Hub.current().wakeup.thread]


def keep_by_map(handle: Handle[Any]) -> Any:
    return handle.map(lambda answer: [answer])


def keep_by_join(handle: Handle[Any]) -> Any:
    there: pykka.Future[int] = pykka.ThreadingFuture()
    there.set(1)
    return handle.join(there)


def keep_by_filter(handle: Handle[Any]) -> Any:
    return handle.filter(bool)


def keep_by_reduce(handle: Handle[Any]) -> Any:
    return handle.reduce(lambda one, other: one + other, "")


def keep_by_a_call(handle: Handle[Any]) -> Any:
    outcome: pykka.Future[Any] = pykka.ThreadingFuture()
    handle.when_done(lambda: outcome.set("called"))
    return outcome


KEEPING: dict[Callable[[Handle[Any]], Any], Any] = {
    keep_by_map: ["answer"],
    keep_by_join: ["answer", 1],
    keep_by_filter: list("answer"),
    keep_by_reduce: "answer",
    keep_by_a_call: "called",
}


@pytest.mark.parametrize("keep", KEEPING, ids=lambda keep: keep.__name__)
def test_what_still_wants_the_answer_keeps_the_ask(
    keeper: Keeper, keep: Callable[[Handle[Any]], Any]
) -> None:
    kept = keep(asked(keeper))
    asked(keeper)  # dropped later, and given up before the first could be
    until(lambda: keeper.given_up)
    assert not keeper.kept[0].done
    keeper.kept[0].answer("answer")
    assert kept.get(timeout=5.0) == KEEPING[keep]
    assert len(keeper.given_up) == 1


def test_waiting_keeps_the_ask(keeper: Keeper) -> None:
    answers: list[Any] = []
    thread = threading.Thread(
        target=lambda: answers.append(keeper.actor_ref.ask("?", block=False).get(timeout=10))
    )
    thread.start()

    async def wait() -> Any:
        return await keeper.actor_ref.ask("?", block=False).map(lambda answer: [answer])

    waiting = threading.Thread(target=lambda: answers.append(asyncio.run(wait())))
    waiting.start()
    until(lambda: len(keeper.kept) == 2)
    ask_and_drop(keeper)
    until(lambda: keeper.given_up)
    for reply in keeper.kept[:2]:
        assert reply.answer("there")
    thread.join(10)
    waiting.join(10)
    assert sorted(answers, key=str) == sorted(["there", ["there"]], key=str)


def test_an_answered_handle_is_dropped_in_silence(keeper: Keeper) -> None:
    handle = asked(keeper)
    keeper.kept[0].answer(1)
    assert (handle.done, handle.cancelled, handle.outcome) == (True, False, 1)
    del handle
    ask_and_drop(keeper)
    until(lambda: keeper.given_up)
    assert len(keeper.given_up) == 1


def test_a_handle_is_cancelled_once(keeper: Keeper) -> None:
    handle = asked(keeper)
    assert handle.cancel()
    assert not handle.cancel()
    assert handle.cancelled
    with pytest.raises(ReplyCancelled):
        handle.get()
    assert keeper.given_up == [threading.get_ident()]  # at once, by who says so


def test_a_handle_is_one_future_of_pykkas(keeper: Keeper) -> None:
    handle = asked(keeper)
    assert isinstance(handle, pykka.Future)
    assert "pending" in repr(handle)
    with pytest.raises(TypeError, match="copied or pickled"):
        pickle.dumps(handle)
    with pytest.raises(TypeError, match="copied or pickled"):
        copy.copy(handle)
    with pytest.raises(pykka.Timeout):
        handle.get(timeout=0.001)
    handle.set("by hand")
    assert handle.get() == "by hand"
    failed: Handle[Any] = Handle()
    try:
        raise KeyError("by hand")
    except KeyError:
        failed.set_exception()
    with pytest.raises(KeyError):
        failed.get()


def test_a_message_is_delivered_though_its_handle_is_dropped() -> None:
    """As Pykka does: to stop without waiting, or to call a proxy without looking, still works."""
    seen: list[int] = []

    class Noting(GeventActor):
        def on_receive(self, message: int) -> None:
            gevent.sleep(0)
            seen.append(message)

    ref = Noting.start()
    for number in range(20):
        ref.ask(number, block=False)
    ref.stop(block=False)
    until(lambda: not ref.is_alive())
    assert seen == list(range(20))


# the end of the actor that asked ----------------------------------------------------------------


def ask_five(keeper: Keeper, handles: list[Any], _doer: Doer) -> None:
    handles += [keeper.actor_ref.ask(number, block=False) for number in range(5)]


def crash(_doer: Doer) -> None:
    raise SystemError("as a bug would")


ENDS: dict[str, Callable[[Any], object]] = {
    "stopped": lambda ref: ref.stop(),
    "leaves": lambda ref: ref.tell(lambda doer: doer.leave()),
    "crashes": lambda ref: ref.tell(crash),
    "killed": lambda ref: ref.kill(),
}


@pytest.mark.parametrize("end", ENDS)
def test_an_actor_that_ends_has_its_asks_cancelled(keeper: Keeper, end: str) -> None:
    handles: list[Any] = []
    doer = Doer.start()
    doer.ask(partial(ask_five, keeper, handles))
    until(lambda: len(keeper.kept) == 5)
    keeper.kept[0].answer("in time")
    ENDS[end](doer)
    until(lambda: len(keeper.given_up) == 4)
    assert [handle.cancelled for handle in handles] == [False, True, True, True, True]
    assert handles[0].get() == "in time"


def test_a_forwarded_ask_is_its_first_askers(keeper: Keeper) -> None:
    forwarder, asker = Doer.start(), Doer.start()
    handles: list[Any] = []

    def pass_on(doer: Doer) -> None:
        doer.forward(keeper.actor_ref, "?")

    asker.ask(lambda _: handles.append(forwarder.ask(pass_on, block=False)))
    until(lambda: keeper.kept)
    forwarder.stop()
    ask_and_drop(keeper)
    until(lambda: keeper.given_up)
    assert not handles[0].done
    asker.stop()
    assert handles[0].cancelled
    assert len(keeper.given_up) == 2


def test_an_actor_that_waits_in_vain_cancels() -> None:
    keeper, doer = Keeper(), Doer.start()
    keeper.launch()
    with pytest.raises(pykka.Timeout):
        doer.ask(lambda actor: actor.ask(keeper.actor_ref, "?", timeout=0.01))
    until(lambda: keeper.given_up)
    doer.ask(lambda actor: actor.ask(keeper.actor_ref, "?"), block=False)
    until(lambda: len(keeper.kept) == 2)
    doer.kill()
    until(lambda: len(keeper.given_up) == 2)
    keeper.actor_ref.stop()


def test_only_an_actors_own_greenlet_asks_for_it() -> None:
    assert open_asks_of_caller() is None
    seen: list[Any] = []
    doer = Doer.start()
    doer.ask(lambda _: seen.append(open_asks_of_caller()))
    doer.ask(lambda _: gevent.spawn(lambda: seen.append(open_asks_of_caller())).join())
    doer.stop()
    assert [type(each) for each in seen] == [OpenAsks, type(None)]


def test_answered_asks_are_forgotten() -> None:
    asks = OpenAsks()
    replies: list[Reply[int]] = [Reply() for _ in range(3)]
    for reply in replies:
        asks.add(reply)
    replies[0].answer(1)
    assert len(asks) == 2
    asks.cancel()
    assert len(asks) == 0
    assert [reply.cancelled for reply in replies] == [False, True, True]


@pytest.mark.parametrize("end", ENDS)
def test_an_actor_that_has_ended_is_freed_with_what_it_held(end: str) -> None:
    """Though somebody has its ref, or knows why: streams that it held open are closed by that."""

    class Treasure:
        """Something that an actor holds."""

    with uncollected():
        treasure = Treasure()
        memory = weakref.ref(treasure)
        doer = Doer.start()
        doer.ask(lambda actor, held=treasure: setattr(actor, "held", held))
        del treasure
        assert memory() is not None
        watcher = Watcher.start()
        watcher.ask(doer)
        ENDS[end](doer)
        until(lambda: memory() is None)
        assert [type(each) for each in watcher.ask("heard")] == [Terminated]
        watcher.stop()
        with pytest.raises(pykka.ActorDeadError):
            doer.ask("too late")


def test_an_answer_is_not_kept_while_the_next_message_takes_its_time() -> None:
    class Treasure:
        """Something that an actor gives away."""

    doer, go_on = Doer.start(), Event()
    memory: list[Callable[[], Any]] = []

    def give(_: Doer) -> Treasure:
        treasure = Treasure()
        memory.append(weakref.ref(treasure))
        return treasure

    def ask_both() -> tuple[Any, Any]:
        return doer.ask(give, block=False), doer.ask(lambda _: go_on.wait(5), block=False)

    with uncollected():
        given, waiting = Hub.current().run(ask_both)  # in the loop: they are one batch
        assert isinstance(given.get(timeout=5), Treasure)
        del given
        until(lambda: memory[0]() is None)
    go_on.set()
    assert waiting.get(timeout=5)
    doer.stop()
