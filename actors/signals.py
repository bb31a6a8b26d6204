"""What the runtime tells an actor, as opposed to the messages that actors send each other."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import pykka


class Terminated(NamedTuple):
    """A watched actor is gone. `reason` is None when it stopped in order."""

    ref: pykka.ActorRef[Any]
    reason: BaseException | None


class TimerFired(NamedTuple):
    """The timer that was started under `key` is due."""

    key: Hashable
    generation: int


class ForkedAway(Exception):  # noqa: N818 - a reason, never raised
    """Why an actor is gone in a forked child: it lives on in the parent only."""
