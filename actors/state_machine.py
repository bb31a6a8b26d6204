"""StateMachine: an actor whose answer to a message depends on the state that it is in."""

from __future__ import annotations

import enum
from typing import ClassVar

from quiver.actors.actor import GeventActor
from quiver.actors.system_messages import TimerFired

_STATE_TIMEOUT = object()  # equal to no key of a subclass


class StateMachine(GeventActor):
    """States are members of an Enum; `initial` is entered when the actor starts.

    A subclass that overrides `on_start` calls `super().on_start()` first.
    """

    initial: ClassVar[enum.Enum]
    state: enum.Enum

    def on_start(self) -> None:
        self.become(self.initial)

    def on_enter(self, state: enum.Enum) -> None:
        """Act after a change of state."""

    def on_state_timeout(self, state: enum.Enum) -> None:
        """Act when the machine stayed in `state` for its timeout."""

    def become(self, state: enum.Enum, timeout: float | None = None) -> None:
        """Enter `state`, and look again at the messages that were set aside.

        Args:
            state: the next state; it may be the present one.
            timeout: seconds until `on_state_timeout`, unless the state changes before.
        """
        self.state = state
        if timeout is None:
            self.timers.cancel(_STATE_TIMEOUT)
        else:
            self.timers.start(_STATE_TIMEOUT, timeout)
        self.actor_inbox.bring_back()
        self.on_enter(state)

    def takes_timer(self, firing: TimerFired) -> bool:
        if not super().takes_timer(firing):
            return False
        if firing.key is not _STATE_TIMEOUT:
            return True
        self.on_state_timeout(self.state)
        return False
