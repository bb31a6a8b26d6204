"""The errors of callers that never got a connection."""

from __future__ import annotations

import copy

import pykka

from quiver.actors.signals import ForkedAway
from quiver.errors import (
    CheckoutTimeout,
    ConnectTimeout,
    PoolStopped,
    QueueFull,
    QuiverError,
    RequestTimeout,
)
from quiver.pool.actions import Reject, Rejection
from quiver.pool.endpoint import Endpoint
from quiver.pool.patience import Patience
from quiver.request import Request


class PoolGone(PoolStopped, pykka.ActorDeadError):
    """The pool's actor is gone, in Pykka's terms too."""


class PoolTimeout(RequestTimeout, pykka.Timeout):
    """The `timeout` of a blocking `ask` has passed, in Pykka's terms too."""


class Refusals:
    """Says why, naming the origin and the limit that was hit."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._name = endpoint.name
        self._config = endpoint.config

    def of(self, rejected: Reject, request: Request, patience: Patience, now: float) -> QuiverError:
        """The error for one rejected request. `unprocessed` is set on it."""
        error = self._reason(rejected, request, patience, now)
        error.unprocessed = True
        return error

    def _reason(
        self, rejected: Reject, request: Request, patience: Patience, now: float
    ) -> QuiverError:
        match rejected.reason:
            case Rejection.CHECKOUT_TIMEOUT:
                return self._too_late(request, patience, now)
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

    def _too_late(self, request: Request, patience: Patience, now: float) -> QuiverError:
        config = self._config
        if patience.whole <= now:
            timeout = request.timeout or config.timeout
            return RequestTimeout(
                f"no stream slot became free within the request's timeout={timeout} seconds",
                origin=self._name,
            )
        if patience.lacked_connection(now):
            return ConnectTimeout(
                f"no connection within the request's connect_timeout={request.connect_timeout} "
                "seconds",
                origin=self._name,
            )
        limit = request.checkout_timeout or config.checkout_timeout
        return CheckoutTimeout(
            f"no stream slot became free within checkout_timeout={limit} "
            f"seconds (max_connections={config.max_connections}, "
            f"max_streams_per_connection={config.max_streams_per_connection})",
            origin=self._name,
        )
