"""The end of an actor: its steps in their order, and what becomes of whoever waits for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import pykka
from greenlet import GreenletExit

from quiver.actors.handle import OpenAsks
from quiver.actors.hub import HubStopped
from quiver.actors.native_threads import allocate_lock
from quiver.actors.system_messages import ForkedAway

if TYPE_CHECKING:
    from quiver.actors.actor import GeventActor
    from quiver.actors.ref import AnyGeventActorRef
    from quiver.actors.reply import AnyReply

__all__ = ["Asked", "Ending", "refuse_by"]

logger = logging.getLogger("quiver.actors")


Asked: TypeAlias = "tuple[object, AnyReply | None]"
"""A message with the reply of who asked, as it lies in an inbox; None: it was told."""


class Ending:
    """The end of one actor, which comes once.

    Attributes:
        open_asks: those that it has out, which end with it.
    """

    def __init__(self) -> None:
        self.open_asks = OpenAsks()
        self._once = allocate_lock()  # acquired by who brings it, and never released
        self._waiting: list[AnyReply] = []

    def tell(self, reply: AnyReply) -> None:
        """Answer `reply` when the actor has ended: it was asked to stop."""
        self._waiting.append(reply)

    def bring(self, actor: GeventActor, reason: BaseException | None) -> None:
        """End `actor`, whatever single steps raise. From its greenlet, the hub or a forked child.

        The order is what others may rely on: when its hooks run, nobody finds the actor any more;
        when its watchers hear of it, every ask has its answer.
        """
        if not self._once.acquire(False):
            return
        forked = isinstance(reason, ForkedAway)
        if forked:
            actor.renew_locks()
        actor.safely(actor.actor_ref.actor_stopped.set)
        actor.actor_inbox.limit = 0  # whoever finds it full looks whether its actor is alive
        actor.safely(pykka.ActorRegistry.unregister, actor.actor_ref)
        _log(actor, reason)
        actor.safely(_call_hook, actor, reason)
        actor.safely(actor.on_exit, reason)
        if not isinstance(reason, ForkedAway | HubStopped):  # else the loop is not ours, or gone
            actor.safely(actor.timers.close)
        # An ask that was put before this is refused here, a later one by its own thread: `put`
        # appends first and then looks whether the inbox is closed.
        actor.actor_inbox.close(_refuser(actor))
        actor.safely(actor.actor_inbox.death_watch.end, reason)
        if not forked:  # else whom it asked are gone as well
            actor.safely(self.open_asks.cancel)
        for reply in self._waiting:
            reply.answer(None)


def _call_hook(actor: GeventActor, reason: BaseException | None) -> None:
    if reason is None:
        actor.on_stop()
    elif not isinstance(reason, ForkedAway):
        actor.on_failure(type(reason), reason, reason.__traceback__)


def _log(actor: GeventActor, reason: BaseException | None) -> None:
    if reason is None or isinstance(reason, (GreenletExit, HubStopped, ForkedAway)):
        logger.debug("%s ended: %r", actor, reason)
    else:  # by its name: who keeps the record is not to keep the actor
        logger.error("%s failed", str(actor), exc_info=reason)


# what comes too late --------------------------------------------------------------------------


def _refuser(actor: GeventActor) -> Callable[[Asked], None]:
    """The call of its inbox from now on: it keeps the actor only if that has a say in it."""
    return (
        partial(refuse_by, actor) if actor.takes_undelivered else partial(_refuse, actor.actor_ref)
    )


def refuse_by(actor: GeventActor, asked: Asked) -> None:
    """Answer what the dead actor will not, unless its `undelivered` sees to that."""
    message, reply = asked
    if reply is None or actor.is_stop(message):
        _refuse(actor.actor_ref, asked)
    else:
        actor.safely(_offer, actor, message, reply)


def _offer(actor: GeventActor, message: object, reply: AnyReply) -> None:
    taken = False
    try:
        taken = actor.undelivered(message, reply)
    finally:
        if not taken:
            reply.fail(actor.dead_error(actor.actor_ref, message))


def _refuse(ref: AnyGeventActorRef, asked: Asked) -> None:
    message, reply = asked
    if reply is None:
        return
    if ref.actor_class.is_stop(message):  # it is what has happened
        reply.answer(None)
    else:
        reply.fail(ref.actor_class.dead_error(ref, message))
