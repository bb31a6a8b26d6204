"""GeventActorRef: what the world holds of an actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import pykka

from quiver.actors.mailbox import Mailbox
from quiver.actors.reply import Reply

if TYPE_CHECKING:
    from quiver.actors.actor import GeventActor

A = TypeVar("A", bound="GeventActor")


class GeventActorRef(pykka.ActorRef[A]):
    """What the world holds of a GeventActor. Usable from any thread, greenlet or task."""

    actor_class: type[A]
    actor_inbox: Mailbox

    def ask(self, message: Any, *, block: bool = True, timeout: float | None = None) -> Any:
        """Send `message` and wait for its reply.

        Args:
            message: anything.
            block: False returns the `Reply` (a `pykka.Future`) instead of waiting on it.
            timeout: seconds to wait when blocking; None waits as long as it takes. When it
                passes, or when the waiting greenlet is killed, the ask is cancelled.

        Raises:
            pykka.Timeout: nothing came in time.
            pykka.ActorDeadError: the actor is gone. With `block=False` the reply carries it.
        """
        if block:
            return self._wait(message, self._send(message, attended=True), timeout)
        return self._send(message, attended=False)

    def kill(self) -> None:
        """End the actor wherever it is; those who wait for it are answered with an error."""
        actor = self._actor_weakref()
        if actor is not None:
            actor.kill()

    def _send(self, message: Any, *, attended: bool) -> Reply[Any]:
        kind = self.actor_class
        reply = kind.new_reply()
        reply.attended = attended
        if not self.is_alive():
            reply.fail(kind.dead_error(self, message))
        elif self.actor_inbox.full and not isinstance(message, kind.always_taken):
            reply.fail(kind.overflow_error(self, message))
        else:
            self.actor_inbox.put(kind.envelope(message, reply))
        return reply

    def _wait(self, message: Any, reply: Reply[Any], timeout: float | None) -> Any:
        try:
            return reply.get(timeout=timeout)
        except pykka.Timeout:
            if not reply.cancel():
                return reply.get()  # the answer came in this moment, or is this Timeout
            raise self.actor_class.timeout_error(self, message, timeout) from None
        except BaseException:  # the caller is killed, or interrupted: nobody waits any more
            reply.cancel()
            raise
        finally:
            del reply  # it holds the error that is raised, which holds this frame: a cycle
