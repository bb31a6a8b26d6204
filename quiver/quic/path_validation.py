"""Whether the peer is reached from a new local address: path validation (RFC 9000 8.2). Pure.

    begin --> challenge* (PATH_CHALLENGE) --> answered (PATH_RESPONSE): validated
                                          --> failed: no answer until the limit

Challenges are repeated with exponential backoff, as Initial packets are, each with other bytes; an
answer to any of them will do. The limit is that of RFC 9000 8.2.4:

    limit = 3 * max(probe timeout of the path before, probe timeout of a new one)

An acknowledgement of a challenge validates nothing (RFC 9000 8.2.3), but it shows that the peer is
reached and owes the answer: the limit begins anew. One that fell silent for us in the midst of a
download, as when we were away for some seconds, has all its congestion window on its way, and may
answer with its next probe timeout only, which has doubled several times by then.
"""

from __future__ import annotations

from typing import Final

from quiver.quic.engine import PathFailed, PathValidated

__all__ = ["PathValidation"]

_NEW_PATH: Final = 0.999  # seconds: the probe timeout of a path without a sample (RFC 9002 6.2.2)
_AGAIN: Final = 0.2  # seconds to the second challenge; then twice as long each time
_MOST: Final = 8  # challenges whose answer is still good


class PathValidation:
    """The validation of one path after the other. Times are seconds on the caller's clock.

    Attributes:
        active: a path is being validated.
        outcome: what has come of the last one, until whoever takes it clears it.
    """

    def __init__(self) -> None:
        self.active = False
        self.outcome: PathValidated | PathFailed | None = None
        self._began = 0.0
        self._span = 0.0
        self._limit = 0.0
        self._acknowledged = False  # a challenge was, since the limit began
        self._next = 0.0
        self._pause = _AGAIN
        self._challenges: list[bytes] = []  # the last `_MOST`

    def begin(self, probe_timeout: float, now: float) -> None:
        """Validate a new path, in place of one that is being validated.

        Args:
            probe_timeout: of the path before.
        """
        self.active, self.outcome = True, None
        self._began = self._next = now
        self._span = 3 * max(probe_timeout, _NEW_PATH)
        self._limit, self._acknowledged = now + self._span, False
        self._pause = _AGAIN
        self._challenges.clear()

    def due(self) -> float | None:
        """The time to look at `wants_challenge` and `tick`; None for never."""
        return min(self._next, self._limit) if self.active else None

    def wants_challenge(self, now: float) -> bool:
        """Whether a PATH_CHALLENGE is to be sent now."""
        return self.active and now >= self._next

    def challenged(self, payload: bytes, now: float) -> None:
        """Note that one was sent, with these eight bytes."""
        self._challenges = [*self._challenges, payload][-_MOST:]
        self._next = now + self._pause
        self._pause *= 2

    def acknowledged(self, payload: bytes) -> None:
        """Note that the packet with a challenge has arrived."""
        if payload in self._challenges:
            self._acknowledged = True

    def answered(self, payload: bytes, now: float) -> None:
        """Take a PATH_RESPONSE. One that answers nothing is late, or made up."""
        if self.active and payload in self._challenges:
            self._end(PathValidated(now - self._began))

    def tick(self, now: float) -> None:
        """See whether it has failed."""
        if not self.active or now < self._limit:
            return
        if self._acknowledged:
            self._limit, self._acknowledged = now + self._span, False
            self._next, self._pause = now, self._span / 4
        else:
            self._end(PathFailed(now - self._began))

    def _end(self, outcome: PathValidated | PathFailed) -> None:
        self.active, self.outcome = False, outcome
        self._challenges.clear()
