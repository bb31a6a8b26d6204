"""Reply: first answer wins; waited on from anywhere; cancel reaches who holds it."""

from __future__ import annotations

import asyncio
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import gevent
import pykka
import pytest

from quiver.actors import wait_queue
from quiver.actors.actor import GeventActor
from quiver.actors.reply import Reply, ReplyCancelled
from tests.support.memory import uncollected
from tests.support.waiting import until


class Caller(GeventActor):
    def on_receive(self, message: Any) -> Any:
        return message()


def answer_soon(reply: Reply[Any], value: object = "answer") -> threading.Timer:
    timer = threading.Timer(0.02, reply.answer, (value,))
    timer.start()
    return timer


def test_the_first_of_racing_threads_wins() -> None:
    for _ in range(50):
        reply: Reply[int] = Reply()
        barrier = threading.Barrier(6)
        won: list[int] = []

        def attempt(
            number: int,
            reply: Reply[int] = reply,
            barrier: threading.Barrier = barrier,
            won: list[int] = won,
        ) -> None:
            barrier.wait(5)
            if reply.answer(number) if number % 2 else reply.fail(KeyError(number)):
                won.append(number)

        threads = [threading.Thread(target=attempt, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert len(won) == 1
        if won[0] % 2:
            assert reply.get() == won[0]
        else:
            with pytest.raises(KeyError, match=str(won[0])):
                reply.get()


def test_many_threads_wait_for_one() -> None:
    reply: Reply[str] = Reply()
    got: list[str] = []
    threads = [threading.Thread(target=lambda: got.append(reply.get(timeout=5))) for _ in range(8)]
    for thread in threads:
        thread.start()
    answer_soon(reply)
    for thread in threads:
        thread.join(5)
    assert got == ["answer"] * 8


def in_thread(call: Any) -> Any:
    """What `call()` returns in an OS thread of its own, which may have a hub of its own."""
    outcome: list[Any] = []

    def run() -> None:
        outcome.append(call())
        gevent.get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    return outcome[0]


def test_greenlets_of_another_hub_wait_side_by_side() -> None:
    replies: list[Reply[int]] = [Reply() for _ in range(20)]

    def wait_for_all() -> list[int]:
        greenlets = [gevent.spawn(reply.get, timeout=5) for reply in replies]
        for number, reply in enumerate(replies):
            answer_soon(reply, number)
        gevent.joinall(greenlets)
        return [greenlet.get() for greenlet in greenlets]

    assert in_thread(wait_for_all) == list(range(20))


def test_a_greenlet_of_the_same_hub_waits() -> None:
    one, other = Caller.start(), Caller.start()
    reply: Reply[str] = Reply()
    future = one.ask(lambda: reply.get(timeout=5), block=False)
    assert other.ask(lambda: reply.answer("from beside"), timeout=5) is True
    assert future.get(timeout=5) == "from beside"
    one.stop()
    other.stop()


@pytest.mark.parametrize("timeout", [0, -1, 0.02])
def test_timeout(timeout: float) -> None:
    reply: Reply[str] = Reply()
    with pytest.raises(pykka.Timeout, match=f"{timeout} seconds"):
        reply.get(timeout=timeout)

    def in_greenlet() -> str:
        with pytest.raises(pykka.Timeout):
            gevent.spawn(reply.get, timeout=timeout).get()
        return "timed out"

    assert in_thread(in_greenlet) == "timed out"
    assert not reply.done
    reply.answer("late")
    assert reply.get(timeout=timeout) == "late"


def test_a_time_that_was_up_before_is_not_taken_for_a_stall(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As when what is left of a caller's own time limit is given. A stall would be waited for."""
    monkeypatch.setattr(wait_queue, "_CHANCE", 60.0)
    reply: Reply[str] = Reply()

    def get() -> str:
        with pytest.raises(pykka.Timeout):
            reply.get(timeout=-3.0)
        return "at once"

    assert in_thread(get) == "at once"


def test_a_killed_greenlet_leaves_nothing_behind() -> None:
    reply: Reply[str] = Reply()

    def wait_and_die() -> str:
        greenlet = gevent.spawn(reply.get)
        gevent.sleep(0)
        greenlet.kill()
        answer_soon(reply).join()
        return reply.get(timeout=5)

    assert in_thread(wait_and_die) == "answer"


def test_a_callback_of_the_loop_cannot_wait() -> None:
    reply: Reply[str] = Reply()
    said: list[str] = []

    def call_back() -> None:
        try:
            reply.get()
        except RuntimeError as error:
            said.append(str(error))

    def run() -> None:
        gevent.get_hub().loop.run_callback(call_back)
        gevent.sleep(0.001)

    in_thread(run)
    assert said and "callback of the loop" in said[0]


def test_cancel_reaches_the_present_holder() -> None:
    told: list[str] = []
    reply: Reply[str] = Reply()
    reply.on_cancel(lambda: told.append("first"))
    reply.on_cancel(lambda: told.append("second"))
    assert reply.cancel() is True and reply.cancel() is False
    assert told == ["second"]
    assert reply.cancelled and reply.answer("late") is False
    reply.on_cancel(lambda: told.append("third"))
    assert told == ["second", "third"]
    with pytest.raises(ReplyCancelled):
        reply.get()


def test_cancel_of_an_answered_one_does_nothing() -> None:
    told: list[str] = []
    reply: Reply[str] = Reply()
    reply.on_cancel(lambda: told.append("told"))
    reply.answer("here")
    assert reply.cancel() is False and reply.get() == "here" and not told


def test_await() -> None:
    async def main() -> list[str]:
        replies: list[Reply[str]] = [Reply() for _ in range(5)]
        for reply in replies:
            answer_soon(reply)
        return list(await asyncio.gather(*replies))

    assert asyncio.run(main()) == ["answer"] * 5


def test_await_raises_the_error() -> None:
    async def main() -> None:
        reply: Reply[str] = Reply()
        reply.fail(KeyError("no"))
        await reply

    with pytest.raises(KeyError):
        asyncio.run(main())


def test_a_cancelled_task_cancels_the_ask() -> None:
    reply: Reply[str] = Reply()
    told = threading.Event()
    reply.on_cancel(told.set)

    async def main() -> None:
        await asyncio.wait_for(reply, 0.02)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())
    assert told.is_set() and reply.cancelled


def test_awaiting_a_mapped_reply_blocks_no_loop() -> None:
    reply: Reply[int] = Reply()

    async def answer() -> None:
        reply.answer(20)

    async def main() -> int:
        waiting = asyncio.ensure_future(reply.map(lambda value: value + 1))
        await asyncio.sleep(0)
        await answer()
        return await waiting

    assert asyncio.run(asyncio.wait_for(main(), 5)) == 21


def test_a_call_that_fails_does_not_stop_the_others() -> None:
    reply: Reply[str] = Reply()
    called: list[int] = []
    reply.when_done(lambda: called.append(1))
    reply.when_done(lambda: called[99])
    reply.when_done(lambda: called.append(2))
    assert reply.answer("x") is True
    reply.when_done(lambda: called.append(3))
    assert sorted(called) == [1, 2, 3]


def test_an_error_raised_often_does_not_grow() -> None:
    reply: Reply[str] = Reply()
    reply.fail(KeyError("x"))
    lengths = set()
    for _ in range(5):
        with pytest.raises(KeyError) as raised:
            reply.get()
        lengths.add(len(traceback.extract_tb(raised.value.__traceback__)))
    assert len(lengths) == 1


class Refusal(Exception):
    pass


def refuse() -> None:
    raise Refusal


def refused() -> Reply[Any]:
    reply: Reply[Any] = Reply()
    reply.fail(Refusal())
    return reply


def timed_out(caller: pykka.ActorRef[Caller]) -> None:
    try:
        caller.ask(lambda: gevent.sleep(0.05), timeout=0.01)
    except pykka.Timeout as error:
        raise Refusal from error


def forwarded(caller: pykka.ActorRef[Caller]) -> None:
    """OpenAsks another actor from within `caller`."""
    other, actor = Caller.start(), caller._actor_weakref()
    assert actor is not None
    try:
        actor.ask(other, refuse)
    finally:
        other.stop(block=False)


RAISING: dict[str, Callable[[pykka.ActorRef[Caller]], object]] = {
    "get": lambda _: refused().get(),
    "await": lambda _: next(refused().__await__()),
    "ask": lambda caller: caller.ask(refuse),
    "ask in time": timed_out,
    "ask by an actor": lambda caller: caller.ask(lambda: forwarded(caller)),
}


@pytest.mark.parametrize("way", RAISING)
def test_an_error_is_freed_when_nobody_looks_at_it_any_more(way: str) -> None:
    """Else thousands that are told of a timeout wait for the garbage collector, and it for them."""
    caller = Caller.start()
    try:
        with uncollected():
            try:
                RAISING[way](caller)
            except Refusal as error:
                memory = weakref.ref(error)
            until(lambda: memory() is None)
    finally:
        caller.stop()


def test_an_outcome_can_be_looked_at() -> None:
    reply: Reply[str] = Reply()
    reply.answer("x")
    failed, error = Reply[str](), KeyError("no")
    failed.fail(error)
    assert reply.outcome == "x" and failed.outcome is error and error.__traceback__ is None


def test_pykkas_names() -> None:
    reply: Reply[int] = Reply()
    assert "pending" in repr(reply)
    try:
        raise KeyError("x")
    except KeyError:
        reply.set_exception()
    with pytest.raises(KeyError):
        reply.get()
    other: Reply[int] = Reply()
    other.set_exception((ValueError, None, None))
    with pytest.raises(ValueError):
        other.get()
    assert "answered" in repr(other)
    numbers: list[Reply[int]] = [Reply() for _ in range(3)]
    for number, each in enumerate(numbers):
        each.set(number)
    assert numbers[0].join(*numbers[1:]).get() == [0, 1, 2]
    until(lambda: all(each.done for each in numbers))
