"""StateMachine: states, their timeouts, messages set aside."""

from __future__ import annotations

import enum
from typing import Any

import pykka
import pytest

from quiver.actors.state_machine import StateMachine
from quiver.actors.system_messages import TimerFired
from tests.support.waiting import until


class Door(enum.Enum):
    CLOSED = "closed"
    OPEN = "open"


class DoorKeeper(StateMachine):
    initial = Door.CLOSED

    def __init__(self) -> None:
        super().__init__()
        self.entered: list[Any] = []
        self.handled: list[Any] = []

    def on_enter(self, state: enum.Enum) -> None:
        self.entered.append(state)

    def on_state_timeout(self, state: enum.Enum) -> None:
        self.handled.append(("timeout", state))
        self.become(Door.CLOSED)

    def on_receive(self, message: Any) -> Any:
        match message:
            case ("become", state, timeout):
                return self.become(state, timeout)
            case "look":
                return self
            case ("timer", key):
                return self.timers.start(key, 0.0)
            case TimerFired():
                self.handled.append(message.key)
            case _ if self.state is Door.CLOSED:
                return self.set_aside()
            case _:
                self.handled.append(message)
        return message


def test_states_and_messages_set_aside() -> None:
    ref = DoorKeeper.start()
    keeper = ref.ask("look")
    futures = [ref.ask(number, block=False) for number in range(3)]
    assert ref.ask("look").state is Door.CLOSED and not any(each.done for each in futures)
    ref.tell(("become", Door.CLOSED, None))  # set aside once more
    ref.tell(("become", Door.OPEN, None))
    futures.append(ref.ask(3, block=False))
    assert [each.get(timeout=5) for each in futures] == [0, 1, 2, 3]
    assert keeper.handled == [0, 1, 2, 3]
    assert keeper.entered == [Door.CLOSED, Door.CLOSED, Door.OPEN]
    ref.stop()


def test_those_set_aside_are_answered_at_the_end() -> None:
    ref = DoorKeeper.start()
    futures = [ref.ask(number, block=False) for number in range(3)]
    ref.stop()
    for future in futures:
        with pytest.raises(pykka.ActorDeadError):
            future.get(timeout=5)


def test_a_state_times_out_unless_it_is_left() -> None:
    ref = DoorKeeper.start()
    keeper = ref.ask("look")
    ref.ask(("become", Door.OPEN, 0.01))
    ref.ask(("become", Door.OPEN, 30.0))
    ref.ask(("become", Door.OPEN, 0.02))
    until(lambda: keeper.handled)
    assert keeper.handled == [("timeout", Door.OPEN)]
    assert keeper.state is Door.CLOSED
    ref.ask(("timer", "state timeout"))  # a key of the subclass, whatever it is
    until(lambda: len(keeper.handled) == 2)
    assert keeper.handled[1] == "state timeout"
    ref.stop()
