"""The choice between HTTP/3 and TCP, for each request anew. Pure.

`always`: HTTP/3 first, at the origin's own port. `alt-svc`: HTTP/3 where a hint or an Alt-Svc field
(RFC 7838) has said that it is spoken, else TCP. Either way an origin whose HTTP/3 has failed is
left alone for a while, which doubles with each failure and is forgotten with the first success.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Iterable
from typing import Final, Literal, get_args

import attrs

from quiver.origin import Origin
from quiver.pool.alternatives import Alternatives

__all__ = ["FallbackTable", "PolicyName", "Route"]

PolicyName = Literal["always", "alt-svc"]

FIRST_PAUSE: Final = 10.0  # seconds
LONGEST_PAUSE: Final = 3_600.0
MOST: Final = 1_000  # origins that are left alone at once


@attrs.frozen
class Route:
    """Where HTTP/3 is to be tried.

    Attributes:
        origin: whom to speak with.
        place: the host and port to go to, as an origin; the same unless Alt-Svc named another.
    """

    origin: Origin
    place: Origin

    @property
    def elsewhere(self) -> bool:
        """Whether that is an alternative service (RFC 7838 2)."""
        return self.place != self.origin


@attrs.frozen
class Pause:
    """How often an origin has failed in a row, until when it is left alone, and why."""

    failures: int
    until: float
    why: str


class FallbackTable:
    """Origins that are left alone for a while, after failures of HTTP/3.

    A failure may be of one trust: whoever believes another authority, or shows another certificate,
    may fare better there.

    pause = min(10 * 2 ** failures, 3600) seconds, where `failures` is how often it failed before.
    Times are seconds of a clock that does not go back; not for several threads at once.

    Args:
        policy: "always" or "alt-svc".
        hints: origins that are known to speak HTTP/3 on their own port.
        alternatives: what Alt-Svc fields have told.

    Raises:
        ValueError: no such policy.
    """

    def __init__(
        self,
        policy: PolicyName = "always",
        hints: Iterable[Origin] = (),
        alternatives: Alternatives | None = None,
    ) -> None:
        if policy not in get_args(PolicyName):
            raise ValueError(f"policy={policy!r}: must be {' or '.join(get_args(PolicyName))}")
        self.alternatives = alternatives or Alternatives()
        self._always = policy == "always"
        self._hints = frozenset(hints)
        self._pauses: OrderedDict[tuple[Origin, Hashable], Pause] = OrderedDict()

    @property
    def paused(self) -> bool:
        """Whether any origin has failed and not succeeded since."""
        return bool(self._pauses)

    def route(self, origin: Origin, now: float, trust: Hashable = None) -> Route | None:
        """Return where to try HTTP/3, or None for TCP."""
        if self._pauses and self.why(origin, now, trust) is not None:
            return None
        if self.why_own(origin) is not None:
            return Route(origin, origin)
        found = self.alternatives.find(origin, now)
        if found is None:
            return None
        return Route(origin, Origin("https", found.host or origin.host, found.port))

    def why_own(self, origin: Origin) -> str | None:
        """Return why HTTP/3 may be tried at the origin's own port; None if nothing says so."""
        if origin in self._hints:
            return "by a hint"
        return "nothing says otherwise" if self._always else None

    def why(self, origin: Origin, now: float, trust: Hashable = None) -> str | None:
        """Return why the origin is left alone; None if it is not."""
        pauses = (self._pauses.get((origin, whose)) for whose in (None, trust))
        return next((pause.why for pause in pauses if pause and now < pause.until), None)

    def until(self, origin: Origin, trust: Hashable) -> float:
        """Return when its pause with this trust alone ends; -inf if there is none."""
        pause = self._pauses.get((origin, trust))
        return -math.inf if pause is None else pause.until

    def failed(self, origin: Origin, now: float, why: str = "", trust: Hashable = None) -> None:
        """Note that HTTP/3 failed. A failure during a pause does not make it longer.

        Args:
            trust: with whose alone; None with any.
        """
        key = origin, trust
        before = self._pauses.pop(key, Pause(0, 0.0, ""))
        if now >= before.until:
            seconds = min(FIRST_PAUSE * 2.0 ** min(before.failures, 30), LONGEST_PAUSE)
            before = Pause(before.failures + 1, now + seconds, why)
        self._pauses[key] = before
        if len(self._pauses) > MOST:
            self._pauses.popitem(last=False)

    def succeeded(self, origin: Origin, trust: Hashable = None) -> None:
        """Note that HTTP/3 has answered: the next failure is the first again."""
        for whose in (None, trust):
            self._pauses.pop((origin, whose), None)
