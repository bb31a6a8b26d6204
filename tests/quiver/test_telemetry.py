"""Listeners: who hears what, and what becomes of one that fails."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from quiver import telemetry

Heard = list[tuple[str, dict[str, Any], dict[str, Any]]]


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    yield
    for handler_id in list(telemetry._attached):
        telemetry.detach(handler_id)


def listener(heard: Heard) -> telemetry.Listener:
    return lambda *what: heard.append(what)


def test_a_listener_hears_its_events_only() -> None:
    heard: Heard = []
    telemetry.attach("a", ["request.stop", "queue.depth"], listener(heard))
    telemetry.emit("request.start", {}, {"origin": "x"})
    telemetry.emit("request.stop", {"duration": 0.5}, {"origin": "x"})
    assert heard == [("request.stop", {"duration": 0.5}, {"origin": "x"})]


def test_listening_tells_whether_anybody_does() -> None:
    assert telemetry.listening is False
    telemetry.attach("a", "request.stop", listener([]))
    telemetry.attach("b", ["request.stop"], listener([]))
    assert telemetry.detach("a")
    assert telemetry.listening
    assert telemetry.detach("b")
    assert not telemetry.listening
    assert telemetry.detach("b") is False


def test_each_listener_has_its_own_copy() -> None:
    heard: Heard = []
    telemetry.attach("spoils", ["queue.depth"], lambda _, numbers, about: numbers.clear())
    telemetry.attach("reads", ["queue.depth"], listener(heard))
    given = {"queued": 1}
    telemetry.emit("queue.depth", given, {})
    assert heard == [("queue.depth", {"queued": 1}, {})]
    assert given == {"queued": 1}


def test_a_failing_listener_is_logged_and_detached(caplog: pytest.LogCaptureFixture) -> None:
    heard: Heard = []

    def fails(*_: object) -> None:
        raise RuntimeError("its own fault")

    telemetry.attach("fails", telemetry.EVENTS, fails)
    telemetry.attach("good", telemetry.EVENTS, listener(heard))
    with caplog.at_level(logging.ERROR, "quiver.telemetry"):
        telemetry.emit("request.start", {}, {})
        telemetry.emit("request.start", {}, {})
    assert len(heard) == 2
    assert [record.name for record in caplog.records] == ["quiver.telemetry"]
    assert "'fails'" in caplog.text
    assert "its own fault" in caplog.text
    assert telemetry.detach("fails") is False


def test_a_failing_listener_takes_no_other_of_its_name_along() -> None:
    heard: Heard = []

    def replaces_itself(*_: object) -> None:
        telemetry.detach("a")
        telemetry.attach("a", ["request.start"], listener(heard))
        raise RuntimeError

    telemetry.attach("a", ["request.start"], replaces_itself)
    telemetry.emit("request.start", {}, {})
    telemetry.emit("request.start", {}, {})
    assert len(heard) == 1


@pytest.mark.parametrize("events", [[], ["request.end"], "request", ["request.stop", "x"]])
def test_unknown_events_are_refused_with_the_catalogue(events: Any) -> None:
    with pytest.raises(ValueError, match=r"request\.start, request\.stop"):
        telemetry.attach("a", events, listener([]))


def test_a_name_is_taken_once() -> None:
    telemetry.attach("a", ["request.stop"], listener([]))
    with pytest.raises(ValueError, match="'a' is attached already"):
        telemetry.attach("a", ["request.stop"], listener([]))


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="fn=3"):
        telemetry.attach("a", ["request.stop"], 3)  # type: ignore[arg-type]


def test_the_docstring_is_the_catalogue() -> None:
    rows = [line.split()[1] for line in (telemetry.__doc__ or "").splitlines() if line[:2] == "| "]
    assert rows == ["event", *telemetry.EVENTS]


def test_threads_attach_and_detach_at_once() -> None:
    def come_and_go(number: int) -> None:
        for turn in range(50):
            telemetry.attach(f"{number}.{turn}", ["request.stop"], listener([]))
            telemetry.emit("request.stop", {}, {})
            assert telemetry.detach(f"{number}.{turn}")

    threads = [threading.Thread(target=come_and_go, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not telemetry.listening


def test_a_child_of_a_fork_does_not_wait_for_the_parents_lock() -> None:
    with telemetry._lock:
        child = os.fork()
        if child == 0:
            try:
                telemetry.attach("child", ["request.stop"], listener([]))
            finally:
                os._exit(0 if telemetry.listening else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
