"""GeventActorRef: what the world holds of an actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import pykka
from greenlet import GreenletExit

from quiver.actors.handle import Handle, open_asks_of_caller
from quiver.actors.mailbox import Mailbox
from quiver.actors.reply import AnyReply

if TYPE_CHECKING:
    from quiver.actors.actor import GeventActor

A = TypeVar("A", bound="GeventActor")


class GeventActorRef(pykka.ActorRef[A]):
    """The ref of a GeventActor, which others hold: usable from any thread, greenlet or task."""

    actor_class: type[A]
    actor_inbox: Mailbox

    def ask(self, message: object, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send `message` and wait for its reply.

        Args:
            message: anything.
            block: False returns a `Handle` (a `pykka.Future`) instead of waiting. The ask is
                cancelled when that is dropped, or when the actor that asked ends: what is sent
                without a wish to hear of it is told, not asked.
            timeout: seconds to wait when blocking; None waits as long as it takes. When it
                passes, or when the waiting greenlet is killed, the ask is cancelled.

        Raises:
            pykka.Timeout: nothing came in time.
            pykka.ActorDeadError: the actor is gone. With `block=False` the handle carries it.
        """
        reply = self.actor_class.new_reply()
        if not block:
            self._send(message, reply)
            asks = None if reply.done else open_asks_of_caller()
            if asks is not None:
                asks.add(reply)
            return Handle(reply)
        reply.has_waiter = True
        try:
            self._send(message, reply)
            return reply.get(timeout=timeout)
        except pykka.Timeout:
            if not reply.cancel():
                return reply.get()  # the answer came in this moment, or is this Timeout
            late = self.actor_class.timeout_error(self, message, timeout)
            try:
                raise late from late.__cause__
            finally:
                del late  # as below
        except BaseException:  # the caller is killed, or interrupted: nobody waits any more
            reply.cancel()
            raise
        finally:
            del reply  # it holds the error that is raised, which holds this frame: a cycle

    def tell(self, message: object) -> None:
        """Send `message`; nobody waits for an answer. Raises pykka.ActorDeadError: it is gone."""
        if not self.is_alive():
            raise pykka.ActorDeadError(f"{self} not found")
        self.notify(message)

    def notify(self, message: object) -> None:
        """Tell `message`, or not if the actor is gone: it need not hear of it then."""
        self.actor_inbox.put((message, None))

    def leave(self, message: object) -> None:
        """Tell `message` without waking the actor: it takes it with the next one, or when `wake` is
        called. Ignored when the actor is gone."""
        self.actor_inbox.put((message, None), wakes=False)

    def wake(self) -> None:
        """Wake the actor for what was left with it, if it has not heard of that."""
        self.actor_inbox.wake()

    def kill(self, reason: GreenletExit | None = None) -> None:
        """End the actor wherever it is; those who wait for it are answered with an error."""
        actor = self._actor_weakref()
        if actor is not None:
            actor.kill(reason)

    def _send(self, message: object, reply: AnyReply) -> None:
        kind, inbox = self.actor_class, self.actor_inbox
        if not inbox.full:
            inbox.put((message, reply))
        elif not self.is_alive():
            reply.fail(kind.dead_error(self, message))
        elif isinstance(message, kind.always_taken):
            inbox.put((message, reply))
        else:
            reply.fail(kind.overflow_error(self, message))


AnyGeventActorRef: TypeAlias = GeventActorRef[Any]
"""A ref of any GeventActor."""
