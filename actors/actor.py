"""GeventActor: a Pykka actor that lives as a greenlet in the process's hub.

What it adds to Pykka's: a whole batch of messages and then one `after_batch()`; a reply that
can be kept (`defer`) or passed on (`forward`); timers; death-watch; a stop that may take its
time; and an end in which everybody who waits is answered, whatever the end was.

This is the only file that touches Pykka's private names.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, ClassVar, Self, cast

import gevent
import pykka
from pykka._envelope import Envelope
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from quiver.actors import monitor
from quiver.actors.baton import baton
from quiver.actors.doorbell import allocate_lock
from quiver.actors.hub import Hub, HubStopped
from quiver.actors.mailbox import Mailbox
from quiver.actors.ref import GeventActorRef
from quiver.actors.reply import Reply
from quiver.actors.signals import ForkedAway, TimerFired
from quiver.actors.timers import Timers

__all__ = ["GeventActor", "GeventActorRef"]

logger = logging.getLogger("quiver.actors")

_FROM_PROXIES = ProxyCall, ProxyGetAttr, ProxySetAttr
BATCH = 256  # messages an actor takes in one go, before the others have their turn


class GeventActor(pykka.Actor):
    """Subclass it as you would `pykka.ThreadingActor`.

    `on_receive` and the other hooks run in the actor's own greenlet, one at a time. They must
    not block the thread; blocking on gevent's own operations is fine.
    """

    actor_inbox: Mailbox
    ref_class: ClassVar[type[GeventActorRef[Any]]] = GeventActorRef
    envelope: ClassVar[type[Envelope[Any]]] = Envelope
    # What is an ask's answer when it is raised; anything else that is raised ends the actor.
    answers_with: ClassVar[tuple[type[Exception], ...]] = (Exception,)
    always_taken: ClassVar[tuple[type, ...]] = (_ActorStop,)  # also by a full inbox
    lingers: int = 0  # turns of the loop in which more may come before `after_batch`

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._actor_ref = self.ref_class(self)
        self.timers = Timers(lambda firing: self.actor_inbox.put(Envelope(firing)))
        self._hub: Hub | None = None
        self._envelope: Envelope[Any] | None = None  # the one in hand
        self._deferred = False
        self._leaving = False
        self._reason: BaseException | None = None
        self._stop_replies: list[Reply[Any]] = []
        self._expired = allocate_lock()

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> GeventActorRef[Self]:
        """Construct an actor and set it going. Raises HubStopped when nothing can run it."""
        return cls(*args, **kwargs).launch()

    @property
    def actor_ref(self) -> GeventActorRef[Self]:
        """What others hold of this actor."""
        return cast("GeventActorRef[Self]", self._actor_ref)

    # to be overridden -----------------------------------------------------------------------

    def after_batch(self) -> None:
        """Called once after each batch of messages: those there, and what came while it lingers."""

    def on_stop_requested(self) -> bool:
        """Called when somebody asks the actor to stop. Return False to go on until `leave()`."""
        return True

    def on_exit(self, reason: BaseException | None) -> None:
        """Called last of all hooks, at every end. `reason` is None when it stopped in order.

        After a fork it is called in the child too, with `ForkedAway`, from no greenlet.
        """

    def undelivered(self, message: Any, reply: Reply[Any]) -> bool:  # noqa: ARG002
        """Called with each ask that reaches the dead actor, in the thread it comes from.

        Return True if the reply has been taken care of; else it gets `dead_error`.
        """
        return False

    @classmethod
    def new_reply(cls) -> Reply[Any]:
        """The reply of one ask: what its caller waits on."""
        return Reply()

    @classmethod
    def dead_error(cls, ref: GeventActorRef[Any], message: Any) -> Exception:  # noqa: ARG003
        """What an ask of a dead actor is answered with."""
        return pykka.ActorDeadError(f"{ref} is gone")

    def crash_error(self, message: Any, error: BaseException) -> Exception:
        """What an ask is answered with when the actor fails of `error` after it deferred that."""
        return error if isinstance(error, Exception) else self.dead_error(self.actor_ref, message)

    @classmethod
    def timeout_error(cls, ref: Any, message: Any, timeout: float | None) -> Exception:  # noqa: ARG003
        """What a blocking ask raises when its time is up."""
        return pykka.Timeout(f"{ref} did not answer within {timeout} seconds")

    @classmethod
    def overflow_error(cls, ref: GeventActorRef[Any], message: Any) -> Exception:  # noqa: ARG003
        """What an ask is answered with when the inbox is full."""
        return OverflowError(f"the inbox of {ref} is full: {ref.actor_inbox.limit} messages")

    # to be called by the actor itself -------------------------------------------------------

    @property
    def asked(self) -> bool:
        """Whether somebody waits for the reply of the message in hand."""
        return self._envelope is not None and self._envelope.reply_to is not None

    def defer(self) -> Reply[Any]:
        """Take the reply of the message in hand: whoever has it answers it, later.

        An actor that keeps replies answers them in `on_exit`.
        """
        reply = None if self._envelope is None else self._envelope.reply_to
        if reply is None or self._deferred:
            raise RuntimeError("there is no reply to defer: the message was told, not asked")
        self._deferred = True
        return cast("Reply[Any]", reply)

    def forward(
        self, ref: pykka.ActorRef[Any], message: Any, reply: Reply[Any] | None = None
    ) -> Reply[Any]:
        """Pass `message` on: `ref` answers the caller directly. Returns the reply that travels.

        Args:
            ref: any Pykka actor. If it is gone, the caller is told so.
            message: what `ref` gets.
            reply: a deferred one; by default that of the message in hand.
        """
        if reply is None:
            reply = self.defer()
        if self._envelope is not None and self._envelope.reply_to is reply:
            self._envelope.reply_to = None  # it travels: a failure here is not its answer
        ref.actor_inbox.put(Envelope(message, reply))
        # A Mailbox refuses what comes too late; Pykka's own inbox swallows it.
        if not isinstance(ref.actor_inbox, Mailbox) and not ref.is_alive():
            reply.fail(pykka.ActorDeadError(f"{ref} is gone"))
        return reply

    def ask(self, ref: pykka.ActorRef[Any], message: Any, timeout: float | None = None) -> Any:
        """Ask any Pykka actor. One on a thread, asked by its ref, would block the whole hub.

        Raises pykka.Timeout after `timeout` seconds, and what `ref` answers with.
        """
        return self.forward(ref, message, Reply()).get(timeout=timeout)

    def set_aside(self) -> None:
        """Keep the message in hand, with its reply, until `actor_inbox.bring_back()`."""
        assert self._envelope is not None, "there is no message in hand"
        self._deferred = True
        self.actor_inbox.set_aside(self._envelope)

    def watch(self, ref: pykka.ActorRef[Any]) -> None:
        """Be told `Terminated(ref, reason)`, once, when that actor is gone."""
        monitor.watch(self.actor_ref, ref)

    def unwatch(self, ref: pykka.ActorRef[Any]) -> None:
        monitor.unwatch(self.actor_ref, ref)

    def leave(self, reason: BaseException | None = None) -> None:
        """End after the message in hand. With a `reason` it is a failure."""
        self._leaving, self._reason = True, reason

    # life -----------------------------------------------------------------------------------

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    @staticmethod
    def _create_future() -> Reply[Any]:
        return Reply()

    def launch(self) -> GeventActorRef[Self]:
        """Set a constructed actor going; `start()` does both. Raises HubStopped."""
        pykka.ActorRegistry.register(self.actor_ref)
        self._start_actor_loop()
        return self.actor_ref

    def kill(self) -> None:
        """Throw GreenletExit into the actor. From any thread."""
        if self._hub is not None:
            self._hub.kill(self)

    def _start_actor_loop(self) -> None:
        try:
            self._hub = Hub.current()
            self.actor_inbox.attach(self._hub.doorbell)
            self._hub.spawn(self)
        except BaseException as error:  # nobody may find an actor that will never run
            self.expire(error)
            raise

    def run(self) -> None:
        """The actor's whole life. Called by the hub."""
        reason: BaseException | None
        if not self.actor_ref.is_alive():  # the hub was stopped first
            return
        try:
            self.on_start()
            self._serve()
            reason = self._reason
        except BaseException as error:  # noqa: BLE001 - also a Timeout or GreenletExit
            reason = error
        self.expire(reason)
        if isinstance(reason, KeyboardInterrupt):
            raise reason  # in a patched program it was meant for the main greenlet

    def _serve(self) -> None:
        inbox = self.actor_inbox
        while not self._leaving:
            inbox.wait()
            self._take()
            for _ in range(self.lingers):
                baton.wait()
                gevent.sleep(0)
                self._take()
            self.after_batch()
            baton.wait()
            if not inbox.empty():
                gevent.sleep(0)

    def _take(self) -> None:
        for _ in range(min(len(self.actor_inbox), BATCH)):
            if not self._leaving:
                self._deliver(self.actor_inbox.get())

    def _deliver(self, envelope: Envelope[Any]) -> None:
        message = envelope.message
        if isinstance(message, TimerFired) and not self.timers.accepts(message):
            return
        if isinstance(message, _ActorStop):
            self._requested_to_stop(envelope)
            return
        self._envelope, self._deferred = envelope, False
        try:
            answer = self.dispatch(message)
        except BaseException as error:
            if not self._is_answer(error, envelope):
                self._crash_answer(error, envelope)
                raise
        else:
            if envelope.reply_to is not None and not self._deferred:
                envelope.reply_to.set(answer)
        finally:
            self._envelope = None  # what its reply carries must not be kept alive from here
            del envelope  # nor by an error, whose traceback holds this frame

    def dispatch(self, message: Any) -> Any:
        """Find the method for `message`. For the runtime's own layers to override."""
        if isinstance(message, _FROM_PROXIES):
            return self._handle_receive(message)
        return self.on_receive(message)

    def _is_answer(self, error: BaseException, envelope: Envelope[Any]) -> bool:
        """Answer the ask in hand with `error` if that is no crash; say whether it was."""
        reply = cast("Reply[Any] | None", envelope.reply_to)
        if reply is None or self._deferred or not isinstance(error, self.answers_with):
            return False
        logger.debug("%s answers with %r", self, error)
        reply.fail(error)
        return True

    def _crash_answer(self, error: BaseException, envelope: Envelope[Any]) -> None:
        """A reply that was not deferred is refused: with its message, nothing has been done."""
        reply = cast("Reply[Any] | None", envelope.reply_to)
        if reply is not None and self._deferred:
            reply.fail(self.crash_error(envelope.message, error))
        else:
            self._refuse(envelope)

    def _requested_to_stop(self, envelope: Envelope[Any]) -> None:
        if envelope.reply_to is not None:
            self._stop_replies.append(cast("Reply[Any]", envelope.reply_to))
        if self.on_stop_requested():
            self.leave()

    # its end --------------------------------------------------------------------------------

    def expire(self, reason: BaseException | None) -> None:
        """End the actor, once, leaving nobody without an answer. Called by the hub."""
        if not self._expired.acquire(False):
            return
        if isinstance(reason, ForkedAway):
            self._renew_locks()
        self._leaving = True
        self._guarded(self._actor_ref.actor_stopped.set)
        self._guarded(pykka.ActorRegistry.unregister, self.actor_ref)
        self._log_end(reason)
        self._guarded(self._tell_subclass, reason)
        self._guarded(self.on_exit, reason)
        if not isinstance(reason, ForkedAway | HubStopped):  # else the loop is not ours, or gone
            self._guarded(self.timers.close)
        self.actor_inbox.close(self._refuse)
        self._guarded(self.actor_inbox.lifeline.end, reason)
        for reply in self._stop_replies:
            reply.set(None)

    def _tell_subclass(self, reason: BaseException | None) -> None:
        if reason is None:
            self.on_stop()
        elif not isinstance(reason, ForkedAway):
            self.on_failure(type(reason), reason, reason.__traceback__)

    def _guarded(self, step: Callable[..., object], *args: object) -> None:
        try:
            step(*args)
        except BaseException:
            logger.exception("%s failed at its end", self)

    def _refuse(self, envelope: Envelope[Any]) -> None:
        reply = cast("Reply[Any] | None", envelope.reply_to)
        if reply is None:
            return
        if isinstance(envelope.message, _ActorStop):
            reply.set(None)
        else:
            self._guarded(self._undelivered, envelope.message, reply)

    def _undelivered(self, message: Any, reply: Reply[Any]) -> None:
        taken = False
        try:
            taken = self.undelivered(message, reply)
        finally:
            if not taken:
                reply.fail(self.dead_error(self.actor_ref, message))

    def _log_end(self, reason: BaseException | None) -> None:
        if reason is None or isinstance(reason, (gevent.GreenletExit, HubStopped, ForkedAway)):
            logger.debug("%s ended: %r", self, reason)
        else:
            logger.error("%s failed", self, exc_info=reason)

    def _renew_locks(self) -> None:
        """In a forked child a lock may be held by a thread that is no more."""
        self.actor_stopped = self._actor_ref.actor_stopped = threading.Event()
        self.actor_inbox.lifeline.renew()
        pykka.ActorRegistry._actor_refs_lock = threading.RLock()
