"""Liveness: whether a connection's server is still there, and how it is asked. Pure.

Three things are sent to a server, or said of it, because nothing has come:

* **A PING in silence.** While requests are open and no packet has come for SILENCE seconds, a PING
  goes out, with exponential backoff:

      ping_due = max(heard_at, began_at) + SILENCE * 2**pings

  It re-opens a NAT binding and starts path validation (RFC 9000 9.3, 10.1.2): when a NAT on the way
  has changed our port, it tells the server where we are now; and one that was not sure of that may
  send again (RFC 9000 8).
* **A PING to keep the connection** (RFC 9000 10.1.2), every `keep_alive_interval`.
* **Suspicion**, when a request has timed out in silence or the socket has met an error:

      trusted --hint--> suspected --a packet--> trusted
                                  --time up---> lost

  What raises it proves nothing: an ICMP message can be forged (RFC 9000 21.1), and a request may
  have timed out for a reason of its own. So a suspected connection is asked by PINGs, is lent
  nothing meanwhile, and goes on as if nothing had been when a packet comes: the peer may be gone
  without a CONNECTION_CLOSE. Who forges messages without end gets no more than a few PINGs a second
  out of that: after an acquittal hints have to wait, and are forgotten when a packet comes first.
"""

from __future__ import annotations

import enum
import math
from typing import Final

from quiver.pool.socket_errors import SocketError

__all__ = [
    "LEAST",
    "LOOK",
    "PROBE_TIMEOUTS",
    "REST",
    "SILENCE",
    "Liveness",
    "Step",
    "Suspicion",
    "idle_limit",
    "keep_alive_interval",
]

SILENCE: Final = 1.0  # seconds without a packet: time for a PING, and to suspect at a timeout
PROBE_TIMEOUTS: Final = 3  # of QUIC, for a sign of the peer
LOOK: Final = 0.2  # seconds without a packet: time to look where we are (20 µs) before it is lent
LEAST: Final = 0.3  # seconds for it
REST: Final = 1.0  # seconds after an acquittal in which hints wait
FAREWELL: Final = 1.0  # seconds before the idle timeout: what is sent right at it may be lost
_PINGS: Final = 4  # in the time of one suspicion: one that is lost says nothing


class Step(enum.Enum):
    """An order to the connection."""

    NONE = "none"
    SUSPEND = "suspend"  # lend it no more, and ask
    ASK = "ask"
    RESUME = "resume"
    LOSE = "lose"


class Suspicion:
    """Whether the peer may be gone. Times are seconds on the caller's clock.

    Attributes:
        cause: the socket error that raised it; None for silence.
        open: whether a packet would be news: it is suspected, or is going to be.
    """

    def __init__(self) -> None:
        self.cause: SocketError | None = None
        self._pause = 0.0  # after each PING
        self._asked = 0  # PINGs; 0 when it is trusted
        self._asked_at = -math.inf
        self._rests_until = -math.inf
        self.open = False

    @property
    def raised(self) -> bool:
        """Whether it is suspected now."""
        return self._asked > 0

    def due(self) -> float | None:
        """The time at which `tick` has something to do, None for never."""
        if self.raised:
            return self._asked_at + self._pause
        return self._rests_until if self.open else None  # a hint waits for the end of the rest

    def hint(self, cause: SocketError | None, wait: float, now: float) -> Step:
        """Suspect it, and see whether it says something within `wait` seconds."""
        if self.raised:
            return Step.NONE
        self.cause, self._pause = cause, wait / _PINGS
        self.open = True
        return Step.NONE if now < self._rests_until else self._raise(now)

    def heard(self, now: float) -> Step:
        """Note a packet that is the peer's beyond doubt."""
        self.open = False
        if not self.raised:
            return Step.NONE
        self._asked = 0
        self._rests_until = now + REST
        return Step.RESUME

    def hold(self, now: float) -> None:
        """Begin to ask anew, ever more slowly: it cannot be heard for a reason of ours."""
        if self.raised:
            self._asked, self._asked_at = 1, now
            self._pause = min(2 * self._pause, REST / _PINGS)

    def excuse(self, seconds: float, now: float) -> None:
        """Add time, until `now`, in which nothing could be heard."""
        self._asked_at = min(self._asked_at + seconds, now)

    def tick(self, now: float) -> Step:
        """Go on when the time that `due` named has come."""
        due = self.due()
        if due is None or now < due:
            return Step.NONE
        if not self.raised:
            return self._raise(now)
        if self._asked == _PINGS:
            return Step.LOSE
        self._asked += 1
        self._asked_at = now  # not as it was due: after a pause of ours there is time to answer
        return Step.ASK

    def _raise(self, now: float) -> Step:
        self._asked, self._asked_at = 1, now
        return Step.SUSPEND


class Liveness:
    """What is known of one connection's server. Times are seconds on the caller's clock.

    Attributes:
        heard_at: when the last packet of the server came.
        began_at: when the last request went out.
        pings: sent in silence since the last event of a stream.
        awaits_ping: a look is arranged whether it is time for one; it may come too early.
        suspicion: whether it may be gone.
    """

    def __init__(self) -> None:
        self.heard_at = 0.0
        self.began_at = 0.0
        self.pings = 0
        self.awaits_ping = False
        self.suspicion = Suspicion()
        self._still_there_at = 0.0  # heard, or looked; excused by nothing

    def heard(self, now: float) -> Step | None:
        """Note a packet that is the server's beyond doubt. Returns None when that is no news."""
        self.heard_at = self._still_there_at = now
        return self.suspicion.heard(now) if self.suspicion.open else None

    def wants_look(self, now: float) -> bool:
        """Whether nothing has told for LOOK seconds that we still are where we were; then a look
        counts as taken."""
        wants = now - self._still_there_at >= LOOK
        if wants:
            self._still_there_at = now
        return wants

    def is_silent(self, now: float) -> bool:
        """Whether nothing has come for longer than a server that is there takes."""
        return now - self.heard_at > SILENCE

    def ping_due(self) -> float:
        """The time to send a PING, while requests are open."""
        return max(self.heard_at, self.began_at) + SILENCE * (1 << self.pings)

    def await_ping(self) -> float:
        """When to look whether it is time for a PING: what comes until then puts that off."""
        self.awaits_ping = True
        return self.ping_due()

    def answered(self) -> None:
        """Note an event of a stream, after a PING in silence."""
        self.pings, self.awaits_ping = 0, False  # what was arranged is too late by now

    def wants_ping(self, now: float) -> bool:
        """Whether that time has come; then the PING counts as sent."""
        due = self.ping_due() <= now
        self.pings += due
        return due

    def suspect(self, cause: SocketError | None, probe_timeout: float, now: float) -> Step:
        """Suspect that the server is gone; `cause` is None for silence.

        It has `max(3 * probe_timeout, LEAST or SILENCE)` seconds to say something.
        """
        wait = max(PROBE_TIMEOUTS * probe_timeout, LEAST if cause else SILENCE)
        return self.suspicion.hint(cause, wait, now)

    def excuse(self, seconds: float, now: float) -> None:
        """Add time, until `now`, in which nothing could be heard."""
        self.suspicion.excuse(seconds, now)
        self.heard_at = min(self.heard_at + seconds, now)
        self.began_at = min(self.began_at + seconds, now)


def keep_alive_interval(keep_alive: float | None, idle_timeout: float, *, busy: bool) -> float:
    """Seconds from one PING to the next, so that neither side's idle timeout ends the connection.

        min(keep_alive, idle_timeout * share)

    With requests open the share is a third: a PING that is lost leaves time for another.
    """
    share = 1 / 3 if busy else 2 / 3
    return min(each for each in (keep_alive, idle_timeout * share) if each)


def idle_limit(ours: float | None, keep_alive: float | None, idle_timeout: float) -> float | None:
    """Seconds of idleness to leave after: ours, or sooner, before the server may forget it."""
    if keep_alive is not None or idle_timeout == math.inf:  # PINGs see to it that it does not
        return ours
    theirs = idle_timeout - min(FAREWELL, idle_timeout / 4)
    return theirs if ours is None else min(ours, theirs)
