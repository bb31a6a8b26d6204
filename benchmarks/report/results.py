"""The results as JSON keeps them: figures by measure, client, point and round."""

from __future__ import annotations

import json
import operator
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs

__all__ = ["Results", "Spread", "about"]

_PACKAGES = (
    *("aioquic", "pykka", "gevent", "niquests", "urllib3-future", "curl_cffi", "httpx", "h2"),
    *("locust", "requests", "urllib3", "geventhttpclient"),
)


@attrs.frozen
class Spread:
    """The median of some rounds, and the least and the most of them."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        """Make one of some rounds; None where nothing was measured."""
        found = sorted(values)
        return cls(statistics.median(found), found[0], found[-1]) if found else None


@attrs.define
class Results:
    """Every round of every case.

    Attributes:
        about: the machine, the versions, the server and the settings of the run.
        absent: why a client was not measured, by its name.
        failures: why a case has a round less, by "measure client point".
        rounds: figures by "measure client point"; None where a round failed.
    """

    about: dict[str, Any]
    absent: dict[str, str] = attrs.field(factory=dict)
    failures: dict[str, str] = attrs.field(factory=dict)
    rounds: dict[str, list[dict[str, float] | None]] = attrs.field(factory=dict)

    def add(self, measure: str, client: str, at: int, figures: dict[str, float]) -> None:
        """Add one round of a case."""
        self.rounds.setdefault(_key(measure, client, at), []).append(figures)

    def fail(self, measure: str, client: str, at: int, why: str) -> None:
        """Add a round of a case that failed."""
        self.rounds.setdefault(_key(measure, client, at), []).append(None)
        self.failures[_key(measure, client, at)] = why

    def spread(self, measure: str, client: str, at: int, figure: str) -> Spread | None:
        """Return the spread of one figure over the rounds."""
        rounds = self._figures(measure, client, at, figure)
        return Spread.of(each for each in rounds if each is not None)

    def ratio(
        self,
        measure: str,
        client: str,
        bases: Sequence[str],
        at: int,
        figure: str,
        *,
        to: str | None = None,
        best: Callable[[list[float]], float] = max,
        by: Callable[[float, float], float] = operator.truediv,
    ) -> Spread | None:
        """One client's figure as a multiple of the best of others' in the same round.

        Of the others it is the figure `to`, where one is given. `by` is how the two are compared.
        """
        return Spread.of(self.ratios(measure, client, bases, at, figure, to=to, best=best, by=by))

    def ratios(
        self,
        measure: str,
        client: str,
        bases: Sequence[str],
        at: int,
        figure: str,
        *,
        to: str | None = None,
        best: Callable[[list[float]], float] = max,
        by: Callable[[float, float], float] = operator.truediv,
    ) -> list[float]:
        """List what `ratio` is the spread of: one of each round that has both."""
        ours = self._figures(measure, client, at, figure)
        theirs = [self._figures(measure, base, at, to or figure) for base in bases]
        found = []
        for number, value in enumerate(ours):
            others = [each[number] for each in theirs if number < len(each)]
            known = [each for each in others if each]
            if value is not None and known:
                found.append(by(value, best(known)))
        return found

    def _figures(self, measure: str, client: str, at: int, figure: str) -> list[float | None]:
        rounds = self.rounds.get(_key(measure, client, at), [])
        return [None if each is None else each.get(figure) for each in rounds]

    def points(self, measure: str) -> list[int]:
        """List the points of a measure's axis that were measured, in order."""
        keys = (key.split(" ") for key in self.rounds)
        return sorted({int(at) for name, _, at in keys if name == measure})

    def clients(self, measure: str) -> frozenset[str]:
        """List who was measured."""
        keys = (key.split(" ") for key in self.rounds)
        return frozenset(client for name, client, _ in keys if name == measure)

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.write_text(json.dumps(attrs.asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text()))


def _key(measure: str, client: str, at: int) -> str:
    return f"{measure} {client} {at}"


def about(**settings: Any) -> dict[str, Any]:
    """The machine, the versions, and what else is given."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg()[0],
        "versions": {name: version for name in _PACKAGES if (version := _version(name))},
        **settings,
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
