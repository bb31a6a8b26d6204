"""Alternatives: which origins speak HTTP/3, and where, as far as is known. Pure and bounded."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any, Final

import attrs

from quiver.adapters.altsvc import Alternative, parse
from quiver.errors import InvalidURL
from quiver.origin import Origin

__all__ = ["Alternatives"]

MOST: Final = 1_000  # origins
MOST_EACH: Final = 4  # alternatives of one origin


@attrs.frozen
class Known:
    """What one Alt-Svc field has told.

    Attributes:
        alternatives: the preferred one first.
        since: when it was told, in seconds since the epoch: it may outlive the program.
    """

    alternatives: tuple[Alternative, ...]
    since: float

    def at(self, now: float) -> Alternative | None:
        """The first that is still good."""
        return next((each for each in self.alternatives if now < self.since + each.max_age), None)


class Alternatives:
    """By origin; those that were used longest ago are forgotten first.

    Times are seconds since the epoch. Not for several threads at once.

    Args:
        limit: origins that are remembered.
    """

    def __init__(self, limit: int = MOST) -> None:
        self._limit = limit
        self._known: OrderedDict[Origin, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def learn(self, origin: Origin, field: str, now: float) -> bool:
        """Take in an Alt-Svc field of a response of this origin.

        Returns:
            Whether that is news that is worth keeping: another place, or time half run out.
        """
        told = parse(field)
        if told is None:
            return False
        before = self._known.pop(origin, None)
        good = tuple(each for each in told[:MOST_EACH] if each.max_age > 0)
        if good:
            self._keep(origin, Known(good, now))
        if before is None or not good:
            return before is not None or bool(good)
        stale = any(now > before.since + each.max_age / 2 for each in before.alternatives)
        return stale or before.alternatives != good

    def find(self, origin: Origin, now: float) -> Alternative | None:
        """Where the origin speaks HTTP/3, or None when nobody has said so lately."""
        known = self._known.get(origin)
        if known is None:
            return None
        alternative = known.at(now)
        if alternative is None:
            del self._known[origin]
        else:
            self._known.move_to_end(origin)
        return alternative

    def network_changed(self) -> None:
        """Forget what was not said to persist (RFC 7838 2.2)."""
        for origin, known in list(self._known.items()):
            kept = tuple(each for each in known.alternatives if each.persist)
            if kept:
                self._known[origin] = attrs.evolve(known, alternatives=kept)
            else:
                del self._known[origin]

    def dump(self) -> str:
        """All of it as JSON."""
        return json.dumps(
            [
                [str(origin), known.since, [attrs.astuple(each) for each in known.alternatives]]
                for origin, known in self._known.items()
            ]
        )

    def load(self, text: str) -> None:
        """Take in what `dump` gave, before what is known already.

        Raises:
            ValueError: it is something else; nothing of it is taken.
        """
        found = [_known(row) for row in _rows(text)]
        for origin, known in found:
            if origin not in self._known:
                self._keep(origin, known)

    def _keep(self, origin: Origin, known: Known) -> None:
        self._known[origin] = known
        while len(self._known) > self._limit:
            self._known.popitem(last=False)


def _rows(text: str) -> list[Any]:
    rows = json.loads(text)
    if not isinstance(rows, list):
        raise ValueError("not a list of origins")
    return rows


def _known(row: Any) -> tuple[Origin, Known]:
    try:
        name, since, alternatives = row
        made = tuple(_alternative(*each) for each in alternatives[:MOST_EACH])
        return Origin.parse(name), Known(made, float(since))
    except (TypeError, InvalidURL) as error:
        raise ValueError(f"{row!r} is no origin with its alternatives") from error


def _alternative(host: Any, port: Any, max_age: Any, persist: Any) -> Alternative:
    right = isinstance(host, str) and isinstance(port, int) and isinstance(max_age, int)
    if not right or not 1 <= port <= 65_535:
        raise ValueError(f"{host!r}:{port!r} is no alternative")
    return Alternative(host, port, max_age, bool(persist))
