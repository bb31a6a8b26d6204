"""GeventActor: a Pykka actor that lives in the process's hub, with a greenlet while it is at work.

What it adds to Pykka's: a whole batch of messages and then one `after_batch()`; a reply that
can be kept (`defer`) or passed on (`forward`); timers; death-watch; a stop that may take its
time; and an end in which everybody who waits is answered, whatever the end was.

This is the only file that touches Pykka's private names.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final, Self, cast

import gevent
import pykka
from pykka._envelope import Envelope
from pykka.messages import ProxyCall, ProxyGetAttr, ProxySetAttr, _ActorStop

from quiver.actors import monitor, signal_deferral
from quiver.actors.ending import Asked, Ending
from quiver.actors.handle import OpenAsks
from quiver.actors.hub import Hub
from quiver.actors.mailbox import Mailbox
from quiver.actors.ref import AnyGeventActorRef, GeventActorRef
from quiver.actors.reply import AnyReply, LateReply, Reply
from quiver.actors.system_messages import AnyActorRef, TimerFired
from quiver.actors.timers import Timers
from quiver.actors.wait_queue import Event
from quiver.actors.wake_chain import wake_chain

__all__ = ["GeventActor", "GeventActorRef"]

logger = logging.getLogger("quiver.actors")

# Bound once: a method of what was imported is looked up in 40 ns, each time.
_let_woken_run: Final = wake_chain.wait

_OF_THE_RUNTIME = TimerFired, _ActorStop, ProxyCall, ProxyGetAttr, ProxySetAttr
BATCH = 256  # messages an actor takes in one go, before the others have their turn


class GeventActor(pykka.Actor):
    """Subclass it as you would `pykka.ThreadingActor`.

    `on_receive` and the other hooks run in a greenlet that the actor has meanwhile, one at a time.
    They must not block the thread; blocking on gevent's own operations is fine. Context variables
    that they set are there again at the next message; the greenlet may be another then.
    """

    actor_inbox: Mailbox
    ref_class: ClassVar[type[GeventActorRef[Any]]] = GeventActorRef
    # What is an ask's answer when it is raised; anything else that is raised ends the actor.
    answers_with: ClassVar[tuple[type[Exception], ...]] = (Exception,)
    always_taken: ClassVar[tuple[type, ...]] = (_ActorStop,)  # also by a full inbox
    never_waits: bool = False  # refuse blocking asks made in it: others wait for it meanwhile
    takes_undelivered: ClassVar[bool] = False  # it has a say in what reaches it after its end
    _reason: BaseException | None = None  # why it leaves
    lingers: int = 0  # turns of a loop that is busy, at most, in which more may come to a batch

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.takes_undelivered = cls.undelivered is not GeventActor.undelivered

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.actor_stopped = cast("threading.Event", Event())
        self._actor_ref = self.ref_class(self)
        inbox = self.actor_inbox  # not `self`: an actor that has ended is freed at once
        self.timers = Timers(lambda firing: inbox.put((firing, None)))
        self.hub: Hub | None = None
        self._in_hand: Asked | None = None
        self._own_reply: AnyReply | None = None  # until that is deferred
        self._begun = self._leaving = False
        self._ending = Ending()

    @classmethod
    def start(cls, *args: Any, **kwargs: Any) -> GeventActorRef[Self]:
        """Construct an actor and set it going. Raises HubStopped when nothing can run it."""
        return cls(*args, **kwargs).launch()

    @property
    def actor_ref(self) -> GeventActorRef[Self]:
        """The ref of this actor, which others hold."""
        return cast("GeventActorRef[Self]", self._actor_ref)

    @property
    def open_asks(self) -> OpenAsks:
        """The asks that it has out, which end with it."""
        return self._ending.open_asks

    # to be overridden -----------------------------------------------------------------------

    def after_batch(self) -> None:
        """Act once after each batch of messages: those there, and what came while it lingers."""

    def on_stop_requested(self) -> bool:
        """Decide whether to stop when asked to. Return False to go on until `leave()`."""
        return True

    def on_exit(self, reason: BaseException | None) -> None:
        """Clean up, last of all hooks, at every end. `reason` is None when it stopped in order.

        After a fork it is called in the child too, with `ForkedAway`, from no greenlet.
        """

    def undelivered(self, message: object, reply: AnyReply) -> bool:  # noqa: ARG002
        """Take an ask that reaches the dead actor, in the thread it comes from.

        Return True if the reply has been taken care of; else it gets `dead_error`.
        """
        return False

    @classmethod
    def new_reply(cls) -> AnyReply:
        """The reply of one ask: what its caller waits on."""
        return Reply()

    @classmethod
    def dead_error(cls, ref: AnyGeventActorRef, message: object) -> Exception:  # noqa: ARG003
        """Make the answer to an ask of a dead actor."""
        return pykka.ActorDeadError(f"{ref} is gone")

    def crash_error(self, message: object, error: BaseException) -> Exception:
        """Make the answer to an ask that was deferred when the actor fails of `error`."""
        return error if isinstance(error, Exception) else self.dead_error(self.actor_ref, message)

    @classmethod
    def timeout_error(
        cls,
        ref: AnyGeventActorRef,
        message: object,  # noqa: ARG003
        timeout: float | None,
    ) -> Exception:
        """Make the error that a blocking ask raises when its time is up."""
        return pykka.Timeout(f"{ref} did not answer within {timeout} seconds")

    @classmethod
    def overflow_error(cls, ref: AnyGeventActorRef, message: object) -> Exception:  # noqa: ARG003
        """Make the answer to an ask when the inbox is full."""
        return OverflowError(f"the inbox of {ref} is full: {ref.actor_inbox.limit} messages")

    # to be called by the actor itself -------------------------------------------------------

    @property
    def asked(self) -> bool:
        """Whether somebody waits for the reply of the message in hand."""
        return self._in_hand is not None and self._in_hand[1] is not None

    def defer(self) -> AnyReply:
        """Take the reply of the message in hand: whoever has it answers it, later.

        An actor that keeps replies answers them in `on_exit`.
        """
        reply, self._own_reply = self._own_reply, None
        if reply is None:
            raise RuntimeError("there is no reply to defer: the message was told, not asked")
        return reply

    def forward(self, ref: AnyActorRef, message: object, reply: AnyReply | None = None) -> AnyReply:
        """Pass `message` on: `ref` answers the caller directly. Returns the reply that travels.

        Args:
            ref: any Pykka actor. If it is gone, the caller is told so.
            message: what `ref` gets.
            reply: a deferred one; by default that of the message in hand.
        """
        if reply is None:
            reply = self.defer()
        in_hand, inbox = self._in_hand, ref.actor_inbox
        if in_hand is not None and in_hand[1] is reply:
            self._in_hand = None  # it travels: a failure here is not its answer
        if isinstance(inbox, Mailbox):
            inbox.put((message, reply))
            return reply
        inbox.put(Envelope(message, LateReply(reply)))
        # A Mailbox refuses what comes too late; Pykka's own inbox swallows it.
        if not ref.is_alive():
            reply.fail(pykka.ActorDeadError(f"{ref} is gone"))
        return reply

    def ask(self, ref: AnyActorRef, message: object, timeout: float | None = None) -> Any:
        """Ask any Pykka actor. One on a thread, asked by its ref, would block the whole hub.

        Raises pykka.Timeout after `timeout` seconds, and what `ref` answers with.
        """
        reply = self.forward(ref, message, Reply())
        try:
            return reply.get(timeout=timeout)
        finally:
            reply.cancel()  # when it has no answer, nobody waits for that any more
            del reply  # as in `Reply.get`

    def set_aside(self) -> None:
        """Keep the message in hand, with its reply, until `actor_inbox.bring_back()`."""
        assert self._in_hand is not None, "there is no message in hand"
        self._own_reply = None
        self.actor_inbox.set_aside(self._in_hand)

    def watch(self, ref: AnyActorRef) -> None:
        """Be told `Terminated(ref, reason)`, once, when that actor is gone."""
        monitor.watch(self.actor_ref, ref)

    def unwatch(self, ref: AnyActorRef) -> None:
        monitor.unwatch(self.actor_ref, ref)

    def leave(self, reason: BaseException | None = None) -> None:
        """End after the message in hand. With a `reason` it is a failure."""
        self._leaving, self._reason = True, reason

    # life -----------------------------------------------------------------------------------

    @staticmethod
    def _create_actor_inbox() -> Mailbox:
        return Mailbox()

    @staticmethod
    def _create_future() -> AnyReply:
        return Reply()

    def launch(self) -> GeventActorRef[Self]:
        """Set a constructed actor going; `start()` does both. Raises HubStopped.

        It is one step in the loop: interrupted, the actor has not begun, or it is killed.
        """
        try:
            Hub.current().run(partial(signal_deferral.uninterrupted, self._start_actor_loop))
        except BaseException as error:
            if self.hub is None:
                self.expire(error)
            else:
                self.kill()
            raise
        return self.actor_ref

    def kill(self, reason: gevent.GreenletExit | None = None) -> None:
        """Throw `reason`, or GreenletExit, into the actor. From any thread."""
        if self.hub is not None:
            self.hub.kill(self, reason)

    def _start_actor_loop(self) -> None:
        try:
            self.hub = Hub.current()
            pykka.ActorRegistry.register(self.actor_ref)
            if not self.actor_ref.is_alive():  # whoever started it was interrupted just now
                pykka.ActorRegistry.unregister(self.actor_ref)
            self.actor_inbox.attach(self.hub.wakeup, self.hub.spawn(self))
        except BaseException as error:  # nobody may find an actor that will never run
            self.expire(error)
            raise

    def run(self) -> bool:
        """Take what has come, first of all its start. Called by the hub; see `Resident`."""
        reason: BaseException | None
        try:
            if not (self._begun or self._leaving):  # or it was ended from outside
                self._begun = True
                self.on_start()
            if not self._leaving and self._take():
                if self.lingers:
                    self._linger()
                self.after_batch()
                _let_woken_run()
            if not self._leaving:
                self.actor_inbox.rest()
                return True
            reason = self._reason
        except BaseException as error:  # noqa: BLE001 - also a Timeout or GreenletExit
            reason = error
        self.expire(reason)
        if isinstance(reason, KeyboardInterrupt) and signal_deferral.active:
            raise reason  # it may have been meant for the main greenlet
        if reason is not None:
            # Who remembers why it failed is not to keep the actor, nor the streams that it held.
            traceback.clear_frames(reason.__traceback__)
        del self
        return False

    def _linger(self) -> None:
        """Take what those bring who have their turn before the loop waits: mostly those who were
        answered, and ask again."""
        assert self.hub is not None
        wakeup, turns = self.hub.wakeup, 0
        while turns < self.lingers:  # looked at anew, for what was taken may have said "no more"
            turns += 1
            _let_woken_run(lingers=True)
            if not wakeup.has_calls():
                return
            gevent.sleep(0)
            self._take()

    def _take(self) -> bool:
        """Deliver what is there, up to BATCH messages. Returns whether there was anything."""
        items = self.actor_inbox.items
        if not items:
            return False
        message: object
        try:
            for _ in range(min(len(items), BATCH)):
                if self._leaving:
                    break
                message, self._own_reply = self._in_hand = items.popleft()
                try:
                    if isinstance(message, _OF_THE_RUNTIME):  # one look for what most are not
                        answer = self._take_own(message)
                    else:
                        answer = self.on_receive(message)
                except BaseException as error:
                    if not self._is_answer(error):
                        self._crash_answer(error)
                        raise
                else:
                    if self._own_reply is not None:
                        self._own_reply.answer(answer)
                    answer = None  # else it is kept while the next message takes its time
        finally:
            # What a reply carries must not be kept alive from here, nor by an error, whose
            # traceback holds this frame.
            self._in_hand = self._own_reply = message = answer = None
        return True

    def _take_own(self, message: object) -> object:
        """Take a message of the runtime's own."""
        if isinstance(message, TimerFired):
            return self.on_receive(message) if self.takes_timer(message) else None
        if isinstance(message, _ActorStop):
            self._requested_to_stop()
            return None
        return self._handle_receive(message)

    def takes_timer(self, firing: TimerFired) -> bool:
        """Whether `firing` goes on to `on_receive`. For the runtime's own layers to override."""
        return self.timers.accepts(firing)

    def _is_answer(self, error: BaseException) -> bool:
        """Answer the ask in hand with `error` if that is no crash; say whether it was."""
        if self._own_reply is None or not isinstance(error, self.answers_with):
            return False
        logger.debug("%s answers with %r", self, error)
        self._own_reply.fail(error)
        return True

    def _crash_answer(self, error: BaseException) -> None:
        """A reply that was not deferred is refused at the end, as those behind it are, who hear
        the same: with its message, nothing has been done."""
        message, reply = self._in_hand or (None, None)
        if self._own_reply is not None:
            self.actor_inbox.put(self._in_hand)
        elif reply is not None:
            reply.fail(self.crash_error(message, error))

    def _requested_to_stop(self) -> None:
        reply, self._in_hand, self._own_reply = self._own_reply, None, None
        if reply is not None:
            self._ending.tell(reply)
        if self.on_stop_requested():
            self.leave()

    # its end --------------------------------------------------------------------------------

    def expire(self, reason: BaseException | None) -> None:
        """End the actor, once, leaving nobody without an answer. Called by the hub."""
        self._leaving = True
        self._ending.bring(self, reason)
        in_hand, reply = self._in_hand, self._own_reply
        if in_hand is not None and reply is not None:
            # Ended from outside it is blocked amid this one, and may not come to its answer.
            reply.fail(self.dead_error(self.actor_ref, in_hand[0]))

    def safely(self, step: Callable[..., object], *args: object) -> None:
        """Take a step of the actor's end: what it raises is logged, and the next one is taken."""
        try:
            step(*args)
        except BaseException:
            logger.exception("%s failed at its end", self)

    @staticmethod
    def is_stop(message: object) -> bool:
        """Whether it is what `stop` sends."""
        return isinstance(message, _ActorStop)

    def renew_locks(self) -> None:
        """Take fresh ones in a forked child: a thread that is no more may have held them."""
        stopped = cast("threading.Event", Event())
        self.actor_stopped = self._actor_ref.actor_stopped = stopped
        self.actor_inbox.death_watch.renew()
        pykka.ActorRegistry._actor_refs_lock = threading.RLock()
