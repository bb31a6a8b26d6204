"""The log_forwarder: what is logged in the loop is handled elsewhere, in order, and soon."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from quiver.actors import log
from quiver.actors.actor import GeventActor
from quiver.actors.hub import Hub
from tests.support.waiting import until

logger = logging.getLogger("quiver.actors")


class Keeper(logging.Handler):
    """Keeps what it gets, with the thread it gets it in; calls `then` first."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self._then = then
        self.kept: list[tuple[str, int]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._then()
        self.kept.append((record.getMessage(), threading.get_ident()))


@pytest.fixture
def then() -> list[Callable[[], object]]:
    """What the handler does at each record."""
    return []


@pytest.fixture
def keeper(then: list[Callable[[], object]]) -> Iterator[Keeper]:
    kept = Keeper(lambda: [call() for call in then])
    before = logger.level
    logger.addHandler(kept)
    logger.setLevel(logging.DEBUG)
    yield kept
    logger.setLevel(before)
    logger.removeHandler(kept)


def test_records_of_the_loop_are_handled_in_order_in_a_thread_of_their_own(keeper: Keeper) -> None:
    hub = Hub.current()
    for number in range(100):
        hub.run(partial(logger.debug, "number %d", number))
    log.flush(10)
    assert [said for said, _ in keeper.kept] == [f"number {number}" for number in range(100)]
    (where,) = {thread for _, thread in keeper.kept}
    assert where not in (hub.wakeup.thread, threading.get_ident())


def test_records_of_other_threads_are_handled_at_once(keeper: Keeper) -> None:
    logger.debug("here")
    assert keeper.kept == [("here", threading.get_ident())]


def test_a_handler_may_ask_an_actor(keeper: Keeper, then: list[Callable[[], object]]) -> None:
    class Echo(GeventActor):
        def on_receive(self, message: object) -> object:
            return message

    ref = Echo.start()
    then.append(lambda: ref.ask("anything", timeout=5))
    Hub.current().run(lambda: logger.debug("to be told"))
    log.flush(10)
    assert "to be told" in [said for said, _ in keeper.kept]
    then.clear()
    ref.stop(timeout=5)


def test_the_oldest_are_dropped_when_a_handler_is_too_slow(
    keeper: Keeper, then: list[Callable[[], object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "LIMIT", 10)
    begun, free = threading.Event(), threading.Event()
    then += [begun.set, lambda: free.wait(20)]
    hub = Hub.current()
    hub.run(lambda: logger.debug("first"))
    assert begun.wait(10)

    def many() -> None:
        for number in range(100):
            logger.debug("number %d", number)

    hub.run(many)
    free.set()
    until(lambda: len(keeper.kept) == 12)
    said = [said for said, _ in keeper.kept]
    assert [line for line in said if line.startswith("number")] == [
        f"number {number}" for number in range(90, 100)
    ]
    assert "90 log records of the loop were dropped: their handlers are too slow" in said


def test_a_flush_does_not_wait_for_ever(keeper: Keeper, then: list[Callable[[], object]]) -> None:
    free = threading.Event()
    then.append(lambda: free.wait(20))
    Hub.current().run(lambda: logger.debug("stuck"))
    log.flush(0.05)
    assert keeper.kept == []
    free.set()
    log.flush(10)
    assert [said for said, _ in keeper.kept] == ["stuck"]


def test_a_filter_that_fails_stops_no_others(
    keeper: Keeper, capsys: pytest.CaptureFixture[str]
) -> None:
    failing = [True]

    def fails(_: logging.LogRecord) -> bool:
        if failing.pop():
            raise ZeroDivisionError
        return True

    failing.append(False)
    failing.reverse()

    def two() -> None:
        logger.debug("one")
        logger.debug("two")

    logger.addFilter(fails)
    try:
        Hub.current().run(two)
        log.flush(10)
    finally:
        logger.removeFilter(fails)
    assert [said for said, _ in keeper.kept] == ["two"]
    assert "ZeroDivisionError" in capsys.readouterr().err


def record_of(text: str) -> logging.LogRecord:
    return logging.makeLogRecord({"name": logger.name, "msg": text, "levelno": logging.INFO})


def forwarder_of_its_own() -> tuple[Hub, log.LogForwarder]:
    """A forwarder that only what is handed to it goes through, in the loop of the actors."""
    hub, alone = Hub.current(), log.LogForwarder()
    hub.run(partial(alone.begin_loop, embedded=False))
    return hub, alone


def refuse_a_thread(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def test_records_wait_when_no_thread_can_be_started(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, alone = forwarder_of_its_own()

    def tell(number: int) -> None:
        alone.filter(record_of(f"number {number}"))

    monkeypatch.setattr(log, "start_thread", refuse_a_thread)
    hub.run(partial(tell, 1))
    hub.run(partial(tell, 2))
    assert keeper.kept == []
    monkeypatch.undo()
    hub.run(partial(tell, 3))
    alone.flush(10)
    assert [said for said, _ in keeper.kept] == ["number 1", "number 2", "number 3"]


def test_what_had_no_thread_at_all_is_handled_by_a_flush(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, alone = forwarder_of_its_own()

    monkeypatch.setattr(log, "start_thread", refuse_a_thread)
    hub.run(partial(alone.filter, record_of("left")))
    alone.flush(10)
    assert [said for said, _ in keeper.kept] == ["left"]
