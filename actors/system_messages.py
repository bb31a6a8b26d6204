"""Messages of the runtime to an actor, as opposed to those that actors send each other."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple, TypeAlias

import pykka
from greenlet import GreenletExit

AnyActorRef: TypeAlias = pykka.ActorRef[Any]
"""A ref of any actor, also of one that is none of ours."""


class Terminated(NamedTuple):
    """A watched actor is gone. `reason` is None when it stopped in order."""

    ref: AnyActorRef
    reason: BaseException | None


class TimerFired(NamedTuple):
    """The timer that was started under `key` is due."""

    key: Hashable


class Orphaned(GreenletExit):
    """Why an actor was killed whose supervisor had failed."""


class ForkedAway(Exception):  # noqa: N818 - a reason, never raised
    """Why an actor is gone in a forked child: it lives on in the parent only."""
