"""Supervisor: starts children, replaces those that fail, stops them in reverse order.

The terms are OTP's. A child is any actor that a `ChildSpec` can start; how often it may be
replaced is the `RestartIntensity` of its supervisor, which itself fails when that is exceeded, so
that its own supervisor decides.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Hashable, Iterable
from typing import Any

import attrs
import pykka
from greenlet import GreenletExit

from quiver.actors.actor import GeventActor
from quiver.actors.hub import HubStopped
from quiver.actors.ref import AnyGeventActorRef, GeventActorRef
from quiver.actors.restarts import RestartIntensity
from quiver.actors.system_messages import AnyActorRef, ForkedAway, Orphaned, Terminated, TimerFired


class Strategy(enum.Enum):
    """Who is restarted when one child fails."""

    ONE_FOR_ONE = "one for one"  # that child
    REST_FOR_ONE = "rest for one"  # that child, and all that were started after it


class Restart(enum.Enum):
    """When a child is started again."""

    PERMANENT = "permanent"  # always
    TRANSIENT = "transient"  # when it failed; not when it stopped in order
    TEMPORARY = "temporary"  # never


@attrs.frozen
class ChildSpec:
    """How to start one child.

    Attributes:
        id: its name under this supervisor.
        start: starts it and returns its ref. It must not block.
        restart: when to start it again.
        shutdown: seconds that it is given to stop before it is killed.
    """

    id: Hashable
    start: Callable[[], AnyGeventActorRef]
    restart: Restart = Restart.PERMANENT
    shutdown: float = 5.0


@attrs.frozen
class StartChild:
    """Ask: start this child, or find the one of its id that lives. The reply is its ref."""

    spec: ChildSpec


@attrs.frozen
class GetChild:
    """Ask: the ref of the child of this id, or None."""

    id: Hashable


@attrs.frozen
class StopChild:
    """Ask: stop the child of this id and forget it. The reply says whether there was one."""

    id: Hashable


@attrs.frozen
class WhichChildren:
    """Ask: all children by id, in the order of their start."""


class RestartIntensityExceeded(Exception):  # noqa: N818 - OTP's name is a state, not an error
    """Children failed faster than they may be replaced."""


class StartFailed(Exception):  # noqa: N818 - a state of things, as OTP names them
    """The start of a child raised `error`, which is no failure of its supervisor's own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{error!r}")
        self.error = error


class Stopping(pykka.ActorDeadError):
    """The supervisor is asked for a child while it is being stopped."""


class Supervisor(GeventActor):
    """Ask it `StartChild`, `GetChild`, `StopChild` or `WhichChildren`.

    What the start of a child raises is the answer to whoever asked for it. A failure of its own
    ends the supervisor: whoever asks again gets a new one, not one that is broken for good.

    Args:
        children: what to start with, in this order.
        strategy: who is restarted when one fails.
        max_restarts: how many restarts are borne ...
        within: ... in any so many seconds.
        auto_shutdown: end, in order, when the last child has ended in order (or did not start).
        name: for the log.
    """

    answers_with = (pykka.ActorDeadError,)  # when it is stopping

    def __init__(
        self,
        children: Iterable[ChildSpec] = (),
        *,
        strategy: Strategy = Strategy.ONE_FOR_ONE,
        max_restarts: int = 3,
        within: float = 5.0,
        auto_shutdown: bool = False,
        name: str = "",
    ) -> None:
        super().__init__()
        self.name = name
        self._first = list(children)
        self._strategy = strategy
        self._auto_shutdown = auto_shutdown
        self._seen_off = False  # a child, or one that did not start
        self._intensity = RestartIntensity(max_restarts, within)
        self._specs: dict[Hashable, ChildSpec] = {}  # in order of start
        self._refs: dict[Hashable, AnyGeventActorRef] = {}
        self._ids: dict[AnyGeventActorRef, Hashable] = {}  # of all that have not ended yet
        self._again: list[ChildSpec] = []  # what is started once `_awaited` have ended
        self._awaited: set[AnyActorRef] = set()
        self._stopping = False

    def __str__(self) -> str:
        return f"{super().__str__()} {self.name}"

    def after_batch(self) -> None:
        childless = self._seen_off and not (self._ids or self._again)
        if self._auto_shutdown and childless and self.actor_inbox.empty():  # else one may be wanted
            self.leave()

    def on_start(self) -> None:
        for spec in self._first:
            self._start(spec)

    def on_receive(self, message: object) -> Any:
        match message:
            case Terminated(GeventActorRef() as ref, reason):
                self._terminated(ref, reason)
            case StartChild(ChildSpec(id=child)) | GetChild(child) | StopChild(child) if (
                self._unsettled(child)
            ):
                self.set_aside()
            case StartChild(spec):
                return self._refs.get(spec.id) or self._start_asked(spec)
            case GetChild(child):
                return self._refs.get(child)
            case StopChild(child):
                return self._stop_child(child)
            case WhichChildren():
                return dict(self._refs)
            case TimerFired(("kill", GeventActorRef() as ref)):
                ref.kill()
            case _:
                return super().on_receive(message)
        return None

    # starting -------------------------------------------------------------------------------

    def _start_asked(self, spec: ChildSpec) -> AnyGeventActorRef | None:
        if self._stopping:
            raise Stopping(f"{self} is stopping: it starts no children")
        try:
            return self._start(spec)
        except StartFailed as failed:
            self._seen_off = True
            self.defer().fail(failed.error)
            return None

    def _start(self, spec: ChildSpec) -> AnyGeventActorRef:
        try:
            ref = spec.start()
        except Exception as error:
            raise StartFailed(error) from error
        self._specs[spec.id] = spec
        self._refs[spec.id] = ref
        self._ids[ref] = spec.id
        self.watch(ref)
        return ref

    def _unsettled(self, child: Hashable) -> bool:
        """Whether it is being replaced, or has just died: its Terminated, on its way, tells why."""
        ref = self._refs.get(child)
        dead = ref is not None and not ref.is_alive()
        return not self._stopping and (dead or bool(self._again))

    # restarting -----------------------------------------------------------------------------

    def _terminated(self, ref: AnyGeventActorRef, reason: BaseException | None) -> None:
        self.actor_inbox.bring_back()
        self._seen_off = True
        child = self._ids.pop(ref)
        self.timers.cancel(("kill", ref))
        expected = self._refs.get(child) is not ref
        if not expected:
            del self._refs[child]
        if self._stopping:
            self._stop_next()
        elif ref in self._awaited:
            self._awaited.discard(ref)
            self._start_again()
        elif not expected:
            self._replace(child, reason)

    def _replace(self, child: Hashable, reason: BaseException | None) -> None:
        spec = self._specs[child]
        if spec.restart is Restart.PERMANENT or (
            spec.restart is Restart.TRANSIENT and reason is not None
        ):
            self._again[:0] = self._taken_down_with(child)
            self._count(child, reason)
            self._start_again()
        else:
            del self._specs[child]

    def _taken_down_with(self, child: Hashable) -> list[ChildSpec]:
        """The specs to start again after `child` has failed, with those who live being stopped."""
        ids = list(self._specs)
        rest = self._strategy is Strategy.REST_FOR_ONE
        concerned = ids[ids.index(child) :] if rest else [child]
        for later in reversed(concerned[1:]):
            ref = self._refs.pop(later)
            self._awaited.add(ref)
            self._ask_to_stop(ref, self._specs[later].shutdown)
        return [self._specs.pop(each) for each in concerned]

    def _start_again(self) -> None:
        """A start that fails counts as one more failure, and is tried again."""
        while self._again and not self._awaited:
            spec = self._again[0]
            try:
                self._start(spec)
            except StartFailed as failed:
                self._count(spec.id, failed.error)
            else:
                del self._again[0]

    def _count(self, child: Hashable, reason: BaseException | None) -> None:
        if not self._intensity.restart(time.monotonic()):
            raise RestartIntensityExceeded(
                f"{self.name or self}: child {child} fails too often; last: {reason!r}"
            )

    # stopping -------------------------------------------------------------------------------

    def on_stop_requested(self) -> bool:
        """Children go first, the last one started before the others, each in its own time."""
        if not self._stopping:
            self._stopping = True
            self._stop_next()
        return False

    def _stop_next(self) -> None:
        if not self._ids:
            self.leave()
        elif len(self._ids) == len(self._refs):  # none is being stopped now
            child, ref = self._refs.popitem()
            self._ask_to_stop(ref, self._specs[child].shutdown)

    def _stop_child(self, child: Hashable) -> bool:
        spec, ref = self._specs.pop(child, None), self._refs.pop(child, None)
        if spec is not None and ref is not None:
            self._ask_to_stop(ref, spec.shutdown)
        return ref is not None

    def _ask_to_stop(self, ref: AnyGeventActorRef, shutdown: float) -> None:
        ref.stop(block=False)
        self.timers.start(("kill", ref), shutdown)

    def on_exit(self, reason: BaseException | None) -> None:
        """Children do not outlive their supervisor, whatever its end is.

        Nobody is left to see that they stop in time: they are killed, also those that would stop
        in order. So what takes its place finds none of them in its way.
        """
        if isinstance(reason, ForkedAway):
            return
        ordered = reason is None or isinstance(reason, HubStopped)
        meant = isinstance(reason, GreenletExit) and not isinstance(reason, Orphaned)
        for ref in reversed(self._ids):
            ref.kill(None if ordered or meant else Orphaned(f"its supervisor failed: {reason!r}"))
