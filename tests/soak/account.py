"""The account of a soak: what became of each ask, by its id."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

import quiver

__all__ = ["Account", "Totals"]

ANSWERED: Final = "answered"
_PAGE: Final = 4096
_KEPT: Final = 10  # of what must not happen, for the message
_ID: Final = re.compile(r"[?&]id=(\d+)")


@attrs.frozen
class Totals:
    """How many asks were begun, answered, and told a named error, up to one moment."""

    asked: int
    answered: int
    errors: int


class Account:
    """Counts of a run of at most `asks` asks, with ids from 0. Its memory does not grow with them.

    `outcomes` are counts by kind of ask and outcome: "answered" or the error's class. `unnamed`
    are errors that are not Quiver's, `late` the most seconds by which an outcome missed its
    deadline. `versions` counts what servers took up by the version of HTTP, where they tell it.
    `repeated` are asks that went out again by RFC 9112 9.3.1, the one way to be carried out twice.
    Any thread may tell it things.
    """

    def __init__(self, asks: int) -> None:
        self.asks = asks
        self.asked = 0
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.unnamed: list[str] = []
        self.late = 0.0
        self.started = 0  # as telemetry tells it
        self.ended = 0
        self.versions: Counter[str] = Counter()
        self.repeated: Counter[int] = Counter()
        self.wrongly: list[str] = []  # what was repeated, and must not be
        self._ended = _resident(asks)
        self._executed = _resident(asks)
        self._lock = threading.Lock()

    # what happens ---------------------------------------------------------------------------

    def begin(self) -> int | None:
        """The id of one more ask; None when there shall be no more."""
        with self._lock:
            if self.asked == self.asks:
                return None
            self.asked += 1
            return self.asked - 1

    def finish(self) -> None:
        """No more asks."""
        with self._lock:
            self.asks = self.asked

    def end(self, number: int, kind: str, error: BaseException | None, late: float) -> None:
        """An ask has come back to its caller, `late` seconds after its deadline."""
        outcome = ANSWERED if error is None else type(error).__name__
        with self._lock:
            _count(self._ended, number)
            self.outcomes[kind, outcome] += 1
            self.late = max(self.late, late)
            if error is not None and not isinstance(error, quiver.QuiverError):
                self.unnamed.append(f"ask {number}, {kind}: {error!r}")

    def executed(self, ids: Mapping[str, int]) -> None:
        """A server, before it ends, has told how often it took up each id."""
        for number, times in ids.items():
            _count(self._executed, int(number), times)

    def observe(self, event: str, _: object, about: Mapping[str, Any]) -> None:
        """A listener for telemetry of requests."""
        with self._lock:
            match event:
                case "request.start":
                    self.started += 1
                case "request.repeated":
                    self._note_repeated(about)
                case _:
                    self.ended += 1

    def _note_repeated(self, about: Mapping[str, Any]) -> None:
        found = _ID.search(about["target"])
        if found and (about["method"], about["http_version"]) == ("GET", "HTTP/1.1"):
            self.repeated[int(found[1])] += 1
        else:
            self.wrongly.append(str(about))

    # what it comes to -----------------------------------------------------------------------

    def totals(self) -> Totals:
        with self._lock:
            ended = self.outcomes.total()
            answered = sum(n for (_, outcome), n in self.outcomes.items() if outcome == ANSWERED)
            return Totals(self.asked, answered, ended - answered - len(self.unnamed))

    def carried_out_again(self) -> int:
        """How many of those that were repeated had been carried out already."""
        return sum(self._executed[number] > 1 for number in self.repeated)

    def faults(self) -> list[str]:
        """What must not be, in words; nothing when all is well."""
        totals = self.totals()
        found: dict[str, Sequence[object]] = {
            "no reply": [number for number in range(self.asked) if not self._ended[number]],
            "two replies": _more_than_one(self._ended),
            "carried out twice": [
                number
                for number in _more_than_one(self._executed)
                if self._executed[number] > 1 + self.repeated[number]
            ],
            "repeated more than once": [n for n, times in self.repeated.items() if times > 1],
            "repeated, and must not be": self.wrongly,
            "not a named error": self.unnamed,
        }
        said = [
            f"{name}: {len(asks)}, such as {asks[:_KEPT]}" for name, asks in found.items() if asks
        ]
        if totals.answered + totals.errors != totals.asked:
            said.append(f"answers and errors are not as many as asks: {totals}")
        if not self.started == self.ended == self.asked:
            counts = f"{self.started} started, {self.ended} ended, {self.asked} asked"
            said.append(f"telemetry tells otherwise: {counts}")
        return said


def _resident(asks: int) -> bytearray:
    counts = bytearray(asks)
    for page in range(0, asks, _PAGE):
        counts[page] = 0  # takes its memory now, so that it does not look like growth later
    return counts


def _count(counts: bytearray, number: int, times: int = 1) -> None:
    counts[number] = min(255, counts[number] + times)


def _more_than_one(counts: bytearray) -> list[int]:
    return [number for number, times in enumerate(counts) if times > 1]
