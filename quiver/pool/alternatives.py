"""A cache of alternative services (RFC 7838): which origins speak HTTP/3, and where. Pure."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final

import attrs

from quiver import fields
from quiver.errors import InvalidURL
from quiver.origin import Origin
from quiver.pool.alt_svc import LONGEST_AGE, Alternative, parse
from quiver.printable import in_message

__all__ = ["Alternatives"]

MOST: Final = 1_000  # origins
MOST_EACH: Final = 4  # alternatives of one origin


@attrs.frozen
class Known:
    """What one Alt-Svc field has told.

    Attributes:
        alternatives: the preferred one first.
        since: when it was told.
        news: when that was worth keeping.
        where: in which network; None: nobody knows.
    """

    alternatives: tuple[Alternative, ...]
    since: float
    news: float
    where: Hashable = None

    def at(self, now: float, where: Hashable = None) -> tuple[Alternative, ...]:
        """Return those that are still good: in another network those that persist."""
        moved = None not in (where, self.where) and where != self.where
        good = [
            each
            for each in self.alternatives
            if now < self.since + each.max_age and (each.persist or not moved)
        ]
        return tuple(good)

    def kept_by(self, kept: Known) -> bool:
        """Whether what was kept says the same, and will do so for half of its time."""
        return len(kept.alternatives) == len(self.alternatives) and all(
            new.same_place(old)
            and self.since <= kept.news + old.max_age / 2
            and self.since + new.max_age >= kept.since + old.max_age
            for new, old in zip(self.alternatives, kept.alternatives, strict=True)
        )


class Alternatives:
    """Alternatives by origin, bounded; those that were used longest ago are forgotten first.

    Times are seconds of a clock that does not go back; where they are kept, those of the wall's
    clock (`wall`, seconds since the epoch). Not for several threads at once.

    Args:
        limit: origins that are remembered.
    """

    def __init__(self, limit: int = MOST) -> None:
        self._limit = limit
        self._known: OrderedDict[Origin, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, origin: Origin, field: str, now: float, where: Hashable = None) -> bool:
        """Take in an Alt-Svc field of a response of this origin.

        Args:
            where: the network in which it was told, if whoever asks tells that as well.

        Returns:
            Whether that is news that is worth keeping: another place, or time half run out.
        """
        told = parse(field)
        if told is None:
            return False
        before = self._known.pop(origin, None)
        good = tuple([each for each in told[:MOST_EACH] if each.max_age > 0])
        if not good:
            return before is not None
        new = Known(good, now, now, where)
        is_news = before is None or not new.kept_by(before)
        self._keep(
            origin, new if before is None or is_news else attrs.evolve(new, news=before.news)
        )
        return is_news

    def find(self, origin: Origin, now: float) -> Alternative | None:
        """Return where the origin speaks HTTP/3, or None when no fresh field says so."""
        return next(iter(self.fresh(origin, now)), None)

    def fresh(self, origin: Origin, now: float, where: Hashable = None) -> tuple[Alternative, ...]:
        """Return all places where it does, the preferred one first (RFC 7838 2.2)."""
        known = self._known.get(origin)
        if known is None:
            return ()
        self._known.move_to_end(origin)
        found = known.at(now, where)
        if not found and not known.at(now):
            del self._known[origin]
        return found

    def forget(self, origin: Origin, which: Callable[[Alternative], bool]) -> None:
        """Forget those of an origin for which `which` is true."""
        known = self._known.get(origin)
        if known is not None:
            kept = tuple([each for each in known.alternatives if not which(each)])
            self._known[origin] = attrs.evolve(known, alternatives=kept)

    def network_changed(self) -> bool:
        """Forget what was not said to persist (RFC 7838 2.2); return whether there was any."""
        before = dict(self._known)
        for origin, known in before.items():
            kept = tuple([each for each in known.alternatives if each.persist])
            if kept:
                self._known[origin] = attrs.evolve(known, alternatives=kept)
            else:
                del self._known[origin]
        return before != self._known

    def dump(self, now: float, wall: float) -> str:
        """Return all that is still good as JSON, with the times at which it ends."""
        ends = wall - now
        return json.dumps(
            [
                [
                    str(origin),
                    [
                        [each.host, each.port, known.since + each.max_age + ends, each.persist]
                        for each in known.alternatives
                        if known.since + each.max_age > now
                    ],
                ]
                for origin, known in self._known.items()
            ]
        )

    def load(self, text: str, now: float, wall: float) -> None:
        """Take in what `dump` gave, before what is known already.

        Whatever the clocks say, none of it is good for longer than LONGEST_AGE from now.

        Raises:
            ValueError: it is something else; nothing of it is taken.
        """
        found = [_known(row, now, wall) for row in _rows(text)[-self._limit :]]
        for origin, known in found:
            if origin not in self._known and known.alternatives:
                self._keep(origin, known)

    def _keep(self, origin: Origin, known: Known) -> None:
        self._known[origin] = known
        while len(self._known) > self._limit:
            self._known.popitem(last=False)


def _rows(text: str) -> list[Any]:
    try:
        rows = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(rows, list):
        raise ValueError("not a list of origins")
    return rows


def _known(row: Any, now: float, wall: float) -> tuple[Origin, Known]:
    try:
        name, alternatives = row
        origin = Origin.parse(name)
        if str(origin) != name or not isinstance(alternatives, list):
            raise ValueError
        made = [_alternative(each, wall) for each in alternatives[:MOST_EACH]]
    except (TypeError, ValueError, InvalidURL):
        said = in_message(str(row)[:1_000], 100)
        raise ValueError(f"{said} is no origin with its alternatives") from None
    return origin, Known(tuple([each for each in made if each.max_age > 0]), now, now)


def _alternative(row: Any, wall: float) -> Alternative:
    host, port, ends, persist = row
    if type(port) is not int or not 1 <= port <= 65_535 or type(persist) is not bool:
        raise ValueError
    # A whole number may be beyond any float; NaN is no time.
    if type(ends) not in (int, float) or ends != ends:
        raise ValueError
    if (host and fields.normal_host(host) != host) or not isinstance(host, str):
        raise ValueError
    max_age = min(max(ends, wall), wall + LONGEST_AGE) - wall
    return Alternative(host, port, max_age, persist)
