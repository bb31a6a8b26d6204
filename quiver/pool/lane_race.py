"""LaneRace: the lanes of one dial side by side, each with the host's addresses. Pure.

    tick --> Try(attempt, address, lane), ... --> one has won, or GiveUp

A lane to another place than the origin's waits for that one's addresses, `found` or `unfound`.

Each lane has its own `AddressAttempts`, and begins when its time has come, or at once when all that
began before it have given up. With one lane it does what those do. An attempt has one number in the
whole dial: of attempt `n` of lane `i` among `k`, that is n * k + i.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import attrs

from quiver.errors import QuiverError
from quiver.origin import Origin
from quiver.pool.address_attempts import (
    Abandon,
    Actions,
    Address,
    AddressAttempts,
    AttemptAction,
    GiveUp,
    Try,
    tells_most,
)
from quiver.pool.choice import Lane
from quiver.pool.dial_progress import Progress

__all__ = ["LaneRace"]


@attrs.define
class Entrant:
    """One lane: its attempts once it has begun, and what it has come to once it has given up."""

    lane: Lane
    addresses: list[Address] | None = None  # None: they are looked up
    begun: bool = False
    attempts: AddressAttempts | None = None
    over: bool = False
    error: QuiverError | None = None  # None of one that is over: nothing was heard

    @property
    def told(self) -> str:
        """Its error, for whoever hears of another lane."""
        if self.error is None:
            return ""
        place = self.lane.place
        at = "" if place is None else f" at {place.authority}"
        return f"over {self.lane.name.upper()}{at}: {self.error.message}"

    @property
    def said(self) -> str:
        """Why it is not through, in words."""
        if self.error is not None:
            return self.error.message
        return "no address was found" if self.attempts is None else str(self.attempts.progress)


class LaneRace:
    """The attempts of one dial. See `AddressAttempts` for its methods, which are of all lanes.

    Args:
        lanes: in the order in which they begin.
        addresses: of the origin, in the order in which each lane tries them.
        until: the time at which all of them are given up.
        now: when the dial begins.
    """

    def __init__(
        self, lanes: Iterable[Lane], addresses: Iterable[Address], until: float, now: float
    ) -> None:
        self._addresses = list(addresses)
        self._lanes = [
            Entrant(lane, self._addresses if lane.place is None else None) for lane in lanes
        ]
        self._until = until
        self._begun = now
        self._told = False  # how it has ended

    @property
    def progress(self) -> Progress:
        """How far the dial has come: of the lane that has answered, else of the first to begin."""
        began = [each.attempts.progress for each in self._lanes if each.attempts is not None]
        if not began:
            return Progress(addresses=len(self._addresses))
        furthest = max(began, key=lambda each: each.answered)
        ended = [each.told for each in self._lanes if each.error is not None]
        return attrs.evolve(furthest, beside=ended[0]) if ended and len(began) > 1 else furthest

    def lane_of(self, attempt: int) -> Lane:
        """An attempt's lane."""
        return self._lanes[attempt % len(self._lanes)].lane

    def behind(self, attempt: int) -> list[tuple[Lane, str]]:
        """The lanes that began beside that of this attempt, each with why it is not through."""
        ahead = self._lanes[attempt % len(self._lanes)]
        began = [each for each in self._lanes if each.begun]
        return [(each.lane, each.said) for each in began if each is not ahead]

    # its addresses --------------------------------------------------------------------------

    def found(self, place: Origin, addresses: Iterable[Address], now: float) -> Actions:
        """Take in the addresses of another place than the origin's."""
        for each in self._lanes:
            if each.lane.place == place and each.addresses is None:
                each.addresses = list(addresses)
        return self.tick(now)

    def unfound(self, place: Origin, error: QuiverError, now: float) -> Actions:
        """Take in that another place has no address."""
        actions: list[AttemptAction] = []
        for each in self._lanes:
            if each.lane.place == place and each.addresses is None and not each.over:
                actions += self._ended(each, error, now)
        return (*actions, *self._end())

    # its time ------------------------------------------------------------------------------

    def due(self) -> float | None:
        """The time at which `tick` has something to do; None for never."""
        first = min((self._due(each) for each in self._lanes if not each.over), default=math.inf)
        return None if math.isinf(first) else first

    def _due(self, entrant: Entrant) -> float:
        if entrant.begun and entrant.attempts is None:
            return self._until
        if entrant.attempts is None:
            return min(self._begun + entrant.lane.after, self._until)
        due = entrant.attempts.due()
        return math.inf if due is None else due

    def tick(self, now: float) -> Actions:
        """Begin, go on when the time that `due` named has come, or give up."""
        actions: list[AttemptAction] = []
        for index, each in enumerate(self._lanes):
            if each.over:
                continue
            if each.attempts is not None:
                actions += self._taken(index, each.attempts.tick(now), now)
            elif now >= self._until:
                each.over = True
            elif each.begun or now >= self._begun + each.lane.after:
                actions += self._begin(index, now)
        return (*actions, *self._end())

    def excuse(self, seconds: float) -> None:
        """Add time for which nothing could be heard: the servers have that still."""
        self._until += seconds
        self._begun += seconds
        for each in self._lanes:
            if each.attempts is not None:
                each.attempts.excuse(seconds)

    # what becomes of them ------------------------------------------------------------------

    def answered(self, attempt: int) -> None:
        """Note that something of the handshake has come from its address."""
        attempts, its = self._of(attempt)
        attempts.answered(its)

    def unsent(self, attempt: int, said: str) -> None:
        """Note that what was for its address did not leave this machine, and why, in words."""
        attempts, its = self._of(attempt)
        attempts.unsent(its, said)

    def failed(self, attempt: int, error: QuiverError, now: float) -> Actions:
        """Take in what an attempt has ended with, and begin what comes next at once."""
        attempts, its = self._of(attempt)
        index = attempt % len(self._lanes)
        actions = () if self._told else self._taken(index, attempts.failed(its, error, now), now)
        return (*actions, *self._end())

    def won(self, attempt: int) -> Actions:
        """Take in that an attempt is connected: the others are over, in all lanes."""
        self._told = True
        actions: list[AttemptAction] = []
        ahead, its = self._of(attempt)
        for index, each in enumerate(self._lanes):
            each.over = True
            if each.attempts is not None:
                ended = each.attempts.won(its if each.attempts is ahead else -1)
                actions += self._numbered(index, ended)
        return tuple(actions)

    # the lanes -----------------------------------------------------------------------------

    def _of(self, attempt: int) -> tuple[AddressAttempts, int]:
        its, index = divmod(attempt, len(self._lanes))
        attempts = self._lanes[index].attempts
        assert attempts is not None, "it has begun an attempt"
        return attempts, its

    def _begin(self, index: int, now: float) -> Actions:
        entrant = self._lanes[index]
        entrant.begun = True
        if entrant.addresses is None:
            return ()
        entrant.attempts = AddressAttempts(entrant.addresses, self._until)
        return self._taken(index, entrant.attempts.tick(now), now)

    def _taken(self, index: int, actions: Actions, now: float) -> Actions:
        """The actions of a lane; where it gives up, those of the one that begins in its place."""
        ended = next((each for each in actions if isinstance(each, GiveUp)), None)
        numbered = self._numbered(index, actions)
        if ended is None:
            return numbered
        return (*numbered, *self._ended(self._lanes[index], ended.error, now))

    def _ended(self, entrant: Entrant, error: QuiverError | None, now: float) -> Actions:
        """Note what a lane has come to. If no other goes on, the next one begins."""
        entrant.begun = entrant.over = True
        entrant.error = error
        following = next((n for n, each in enumerate(self._lanes) if not each.begun), None)
        goes_on = any(each.attempts is not None and not each.over for each in self._lanes)
        if following is None or now >= self._until or goes_on or self._told:
            return ()
        return self._begin(following, now)

    def _numbered(self, index: int, actions: Actions) -> Actions:
        """The attempts of a lane by their numbers in the whole dial."""
        count, name = len(self._lanes), self._lanes[index].lane.name
        numbered: list[AttemptAction] = []
        for action in actions:
            match action:
                case Try(its, address):
                    numbered.append(Try(its * count + index, address, name))
                case Abandon(its):
                    numbered.append(Abandon(its * count + index))
        return tuple(numbered)

    def _end(self) -> Actions:
        """The end of the dial, once, when all lanes have given up: the error that tells most."""
        if self._told or not all(each.over for each in self._lanes):
            return ()
        self._told = True
        began = [each for each in self._lanes if each.begun]
        error = tells_most(each.error for each in began)
        for each in began:
            if error is not None and each.error is not None and each.error is not error:
                error.add_note(each.told)
        return (GiveUp(error),)
