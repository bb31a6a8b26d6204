"""Exponential backoff of dials, with jitter, after one has failed. Pure.

    pause = min(0.1 * 2**failures, 10) * jitter()    in seconds; jitter() is above 0 and at most 1

Attempts run side by side and fail together, as they do when the server is down: such a round counts
as one failure, or one bad moment would cost ten seconds.

A success ends that, but after a refusal only one that lasts: a server's word on our certificate
comes when the handshake has succeeded on our side, each time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from quiver.errors import CertificateInvalid, HandshakeFailed, QuiverError
from quiver.pool.actions import Redial

FIRST: Final = 0.1  # seconds
LONGEST: Final = 10.0


class Backoff:
    """When the next dial may be made. Times are seconds on the caller's clock.

    `jitter` gives the factor, above 0 and at most 1, by which each pause is multiplied.
    """

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter
        self._failures = 0
        self._until = -math.inf
        self._redial_at: float | None = None
        self._refusal: QuiverError | None = None
        self._seemed = math.inf  # when an attempt seemed to succeed

    def holds(self, now: float) -> bool:
        """Whether a dial has to wait."""
        return now < self._until

    def failed(self, now: float, refusal: QuiverError | None = None) -> None:
        """Note an attempt that was of no use. During a pause it belongs to the round that began it.

        `refusal`: the error, if another attempt would end the same.
        """
        self._refusal = refusal or (self._refusal if self.holds(now) else None)
        if now - self._seemed > LONGEST:  # it had succeeded
            self._failures = 0
        self._seemed = math.inf
        if not self.holds(now):
            pause = min(FIRST * 2.0 ** min(self._failures, 30), LONGEST)
            self._failures += 1
            self._until = now + pause * self._jitter()

    def waive(self) -> None:
        """Let the next dial go ahead; if it fails, the pause is longer than the last."""
        self._until = -math.inf

    def refusal(self, now: float) -> QuiverError | None:
        """The refusal to tell during a pause, as if it had been tried again."""
        return self._refusal if self.holds(now) else None

    @property
    def refused_until(self) -> float:
        """The time until which there is a refusal to tell, or was."""
        return self._until if self._refusal is not None else -math.inf

    def succeeded(self, now: float) -> None:
        """Note an attempt that succeeded, or seems to have."""
        if self._refusal is not None:
            self._seemed = now
        else:
            self._failures = 0
            self.waive()

    def arrange(self) -> tuple[Redial, ...]:
        """Ask to be called when the pause is over, unless that or an earlier call is arranged."""
        if self._redial_at is not None and self._redial_at <= self._until:
            return ()
        self._redial_at = self._until
        return (Redial(self._until),)

    def called(self) -> None:
        """Note that the call which was arranged has come."""
        self._redial_at = None


def refuses(error: QuiverError | None) -> bool:
    """Whether one side refuses the other, and will again."""
    return isinstance(error, CertificateInvalid) or (
        isinstance(error, HandshakeFailed) and error.lasting
    )
