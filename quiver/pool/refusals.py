"""The errors of callers that never got a connection."""

from __future__ import annotations

import copy
import time

import pykka

from quiver.actors.signals import ForkedAway
from quiver.errors import (
    CheckoutTimeout,
    PoolStopped,
    QueueFull,
    QuiverError,
    RequestTimeout,
)
from quiver.pool.actions import Reject, Rejection
from quiver.pool.endpoint import Endpoint


class PoolGone(PoolStopped, pykka.ActorDeadError):
    """The pool's actor is gone, in Pykka's terms too."""


class PoolTimeout(RequestTimeout, pykka.Timeout):
    """The `timeout` of a blocking `ask` has passed, in Pykka's terms too."""


class Refusals:
    """Says why, naming the origin and the limit that was hit."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._name = endpoint.name
        self._config = endpoint.config

    def of(self, rejected: Reject, deadline: float | None, timeout: float | None) -> QuiverError:
        """The error for one rejected ticket.

        Args:
            deadline: of its whole request, on the monotonic clock.
            timeout: the seconds that `deadline` came from.
        """
        match rejected.reason:
            case Rejection.CHECKOUT_TIMEOUT:
                return self._too_late(deadline, timeout)
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
        return PoolStopped(
            f"the pool ended before it was their turn: {reason!r}", origin=self._name
        )

    def _too_late(self, deadline: float | None, timeout: float | None) -> QuiverError:
        if deadline is not None and deadline <= time.monotonic():
            return RequestTimeout(
                f"no stream slot became free within the request's timeout={timeout} seconds",
                origin=self._name,
            )
        config = self._config
        return CheckoutTimeout(
            f"no stream slot became free within checkout_timeout={config.checkout_timeout} "
            f"seconds (max_connections={config.max_connections}, "
            f"max_streams_per_connection={config.max_streams_per_connection})",
            origin=self._name,
        )
