"""Checkout: a request that waits for a stream slot, how long it may, and its error without one.

    PendingRequest --> Forward: it leaves with its Reply, as a `StartExchange`
                   --> Reject: `Refusals` makes the error

`CheckoutDeadline` holds the limits as moments. Whichever of them ends the wait, the error names its
cause: a slot that did not become free, or the dial that everybody waited for.
"""

from __future__ import annotations

import copy
import math
from typing import Self

import attrs
import pykka
from greenlet import GreenletExit

from quiver.actors.hub import HubStopped
from quiver.actors.system_messages import ForkedAway, Orphaned
from quiver.config import PoolConfig
from quiver.errors import (
    CheckoutTimeout,
    InternalError,
    PoolStopped,
    QueueFull,
    QuiverError,
    RequestTimeout,
    ResourceExhausted,
)
from quiver.pool.actions import Reject, Rejection
from quiver.pool.dial_progress import Dials
from quiver.pool.messages import PoolReply, StartExchange
from quiver.pool.target import PoolTarget
from quiver.request import Request

__all__ = [
    "CheckoutDeadline",
    "PendingRequest",
    "PoolFailed",
    "PoolGone",
    "PoolIdled",
    "PoolTimeout",
    "Refusals",
    "exhausted",
    "is_failure",
    "too_late",
]


@attrs.frozen
class CheckoutDeadline:
    """The limits of one request that waits, as moments on the caller's clock.

    Attributes:
        whole: when the whole request must be over.
        slot: when it gives up waiting for a slot.
        connection: when it gives up waiting while there is no connection at all.
        apart: it brings both of these, and each bounds a wait of its own.

    `math.inf` is no limit.
    """

    whole: float
    slot: float
    connection: float
    apart: bool = False

    @classmethod
    def of(
        cls, request: Request, config: PoolConfig, deadline: float | None, now: float
    ) -> CheckoutDeadline:
        """The limits of a request which begins to wait now and must be over at `deadline`."""
        checkout = request.checkout_timeout or config.checkout_timeout or math.inf
        connect = request.connect_timeout or math.inf
        whole = math.inf if deadline is None else deadline
        apart = None not in (request.checkout_timeout, request.connect_timeout)
        return cls(whole, now + checkout, now + connect, apart)

    def until(self, *, connected: bool) -> float | None:
        """The time to look at it again; None when it waits as long as it takes.

        min(whole, slot)              when there is a connection
        min(whole, slot, connection)  when there is none
        min(whole, connection)        when there is none, and they stand apart
        """
        slot = math.inf if self.apart and not connected else self.slot
        ends = min(self.whole, slot, math.inf if connected else self.connection)
        return None if ends == math.inf else ends

    def left(self, now: float, *, connected: bool) -> bool:
        """Whether it waits on: a connection has come, or time was given that nobody had."""
        until = self.until(connected=connected)
        return until is None or now < until


@attrs.define(eq=False)
class PendingRequest:
    """A request with the reply that its caller waits on. Times are on the monotonic clock.

    Attributes:
        since: when it began to wait.
        waited: seconds that it had waited before, on its way to connections that gave it back.
        unheard: seconds of its wait in which it could not be served, nor anything be heard.
    """

    request: Request
    reply: PoolReply
    deadline: float | None
    since: float
    attempts: int = 0
    waited: float = 0.0
    unheard: float = 0.0

    @classmethod
    def again(cls, exchange: StartExchange, reply: PoolReply, now: float) -> Self:
        """A request that a connection gave back: what it has waited counts."""
        request, deadline = exchange.request, exchange.deadline
        return cls(request, reply, deadline, now, exchange.attempts, exchange.waited)

    def limits(self, config: PoolConfig) -> CheckoutDeadline:
        """Until when it waits: of the limits for a slot, what was `unheard` takes nothing away."""
        begun = self.since - self.waited + self.unheard
        return CheckoutDeadline.of(self.request, config, self.deadline, begun)

    def exchange(self, ticket: int, now: float) -> StartExchange:
        """The message that a connection gets."""
        waited = self.waited + now - self.since
        return StartExchange(ticket, self.request, self.deadline, self.attempts, waited)


# What those are told who get none ------------------------------------------------------------


class PoolGone(PoolStopped, pykka.ActorDeadError):
    """The pool's actor is gone, in Pykka's terms too."""


class PoolFailed(InternalError, pykka.ActorDeadError):
    """The same when nobody has stopped it."""


class PoolIdled(PoolGone):
    """The pool ended for idleness in the moment in which it was asked: ask its client again.

    Nothing was sent.
    """


class PoolTimeout(RequestTimeout, pykka.Timeout):
    """The `timeout` of a blocking `ask` has passed, in Pykka's terms too."""


def exhausted(error: OSError, origin: str) -> ResourceExhausted:
    """The error for those who cannot be served while the system has none left of something."""
    made = ResourceExhausted(f"no connection could be begun: {error.strerror}", origin=origin)
    made.unprocessed = True
    made.__cause__ = error
    return made


def is_failure(reason: BaseException | None) -> bool:
    """Whether a pool that ended for this failed, and was not stopped or killed by somebody."""
    if isinstance(reason, Orphaned):
        return True
    stopped = HubStopped | ForkedAway | GreenletExit
    return reason is not None and not isinstance(reason, stopped)


def too_late(origin: str, failure: str | None, *, idled: bool) -> QuiverError:
    """The error for whoever asks a pool that is gone."""
    if failure is not None:
        return PoolFailed(f"the pool has failed: {failure}; start another", origin=origin)
    if idled:
        return PoolIdled("the pool has ended, for nobody needed it: ask anew", origin=origin)
    return PoolGone("the pool is stopped: start another", origin=origin)


class Refusals:
    """The errors of those who wait, each naming the origin and the limit that was hit."""

    def __init__(self, target: PoolTarget) -> None:
        self._target = target
        self._name = target.name
        self._config = target.config

    def of(
        self,
        rejected: Reject,
        request: Request,
        limits: CheckoutDeadline,
        now: float,
        dials: Dials | None = None,
    ) -> QuiverError:
        """The error for one rejected request. `unprocessed` is set on it.

        Args:
            dials: what it has waited for when no connection is there.
        """
        error = self._reason(rejected, request, limits, now, dials)
        error.unprocessed = True
        return error

    def _reason(
        self,
        rejected: Reject,
        request: Request,
        limits: CheckoutDeadline,
        now: float,
        dials: Dials | None,
    ) -> QuiverError:
        match rejected.reason:
            case Rejection.CHECKOUT_TIMEOUT:
                if dials is None:
                    return self._no_slot(request, limits, now)
                return self._no_connection(request, limits, now, dials)
            case Rejection.QUEUE_FULL:
                limit = self._config.max_waiting
                return QueueFull(f"max_waiting={limit} callers wait already", origin=self._name)
            case Rejection.CONNECT_FAILED:
                assert rejected.error is not None
                return copy.copy(rejected.error)
            case Rejection.STOPPED:
                return PoolStopped("the pool was stopped", origin=self._name)

    def gone(self, reason: BaseException | None) -> QuiverError:
        """The error for those who wait when the coordinator ends otherwise."""
        if isinstance(reason, ForkedAway):
            return PoolStopped("the pool lives on in the parent process only", origin=self._name)
        if not is_failure(reason):
            return PoolStopped("the pool was stopped before it was their turn", origin=self._name)
        failed = InternalError(
            f"the pool failed before it was their turn: {reason!r}; the next ask starts another",
            origin=self._name,
        )
        failed.__cause__ = reason
        return failed

    def _no_slot(self, request: Request, limits: CheckoutDeadline, now: float) -> QuiverError:
        config = self._config
        if limits.whole <= now:
            name, seconds = request.answered_within(config.timeout)
            error = RequestTimeout if name == "timeout" else CheckoutTimeout
            said = f"no stream slot became free within the request's {name}={seconds} seconds"
            return error(said, origin=self._name)
        limit = request.checkout_timeout or config.checkout_timeout
        room = (
            f"max_connections={config.max_connections}, "
            f"max_streams_per_connection={config.max_streams_per_connection}"
        )
        if self._target.protocol == "http/1.1":
            room = f"max_connections_http1={config.max_connections_http1}"
        said = f"no stream slot became free within checkout_timeout={limit} seconds ({room})"
        return CheckoutTimeout(said, origin=self._name)

    def _no_connection(
        self, request: Request, limits: CheckoutDeadline, now: float, dials: Dials
    ) -> QuiverError:
        """Whichever limit it was that ran out, the cause is that there is no connection."""
        config, checkout = self._config, request.checkout_timeout or self._config.checkout_timeout
        if limits.whole <= now:
            name, seconds = request.answered_within(config.timeout)
            cause = dials.too_slow(f"the request's {name}={seconds} seconds", self._name)
            if name == "open_timeout":
                return cause
            error = RequestTimeout(cause.message, origin=self._name)
            error.__cause__ = cause
            return error
        if limits.connection <= now:
            limit = f"the request's connect_timeout={request.connect_timeout} seconds"
        elif checkout == config.connect_timeout:  # as by default: the dial's limit is as near
            limit = f"connect_timeout={checkout} seconds"
        else:
            limit = f"checkout_timeout={checkout} seconds"
        return dials.too_slow(limit, self._name)
