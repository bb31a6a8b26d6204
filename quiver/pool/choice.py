"""Choices: over what an origin is dialled now: HTTP/3, what goes over TCP, or both in a race. Pure.

    lanes(origin, now) --> a dial races them --> won(origin, lane, behind, now)
    heard(origin, Alt-Svc field, now), misdirected(origin, place), http1_required(origin)

A dial has **lanes**: over QUIC, and over TCP, where ALPN decides further. Nothing is known of an
origin at first: QUIC begins, and TCP `HEAD_START` later, or at once when QUIC has failed (RFC 8305;
the draft of its third version has protocols in it). The first that has shaken hands is the
connection, and the others are given up: what races are connections, never requests.

Where the origin has named another place for HTTP/3 (RFC 7838), QUIC goes there, and to the origin's
own port last, when nothing else is left. Whoever asks for the policy "alt-svc" has QUIC only where
an origin has named a place, or a hint has.

Where TCP has won beside QUIC, that place is left alone for a while, which doubles with each failure
and is forgotten with the first success, as `FallbackTable` has it: then it is another place's turn,
or TCP goes first, QUIC behind it. When the while is over, a connection is dialled beside those that
there are (`asks_at`), again as a race: nobody waits for it. That all lanes have failed says
nothing of one of them, and what failed from one address of ours says nothing of another: that is
another network.

An origin that has asked for HTTP/1.1 is dialled for that alone, for such a while; for what else
there is when that cannot be had, or is silent for `PATIENCE`: it may serve the rest over that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

import attrs

from quiver.errors import InvalidOptions, InvalidURL
from quiver.origin import Origin
from quiver.pool.alt_svc import Alternative
from quiver.pool.fallback_table import FallbackTable, PolicyName

__all__ = ["HEAD_START", "HTTP1", "HTTP3", "PATIENCE", "TCP", "Choices", "Lane", "chosen_by"]

HEAD_START: Final = 0.3  # seconds that the first lane has before the second begins
PATIENCE: Final = 2.0  # seconds that HTTP/1.1 has where it was asked for
HTTP3: Final = "http/3"
HTTP1: Final = "http/1.1"
TCP: Final = "tcp"
_BEHIND: Final = "what goes first is not there yet"
_MISDIRECTED: Final = "misdirected"
_HTTP1_REQUIRED: Final = "it asks for HTTP/1.1"
_KEPT: Final = 1_000  # places of alternatives: the same are asked for with each dial


@attrs.frozen
class Lane:
    """A way to an origin, in a dial.

    Attributes:
        name: HTTP3, TCP, HTTP1 for that alone over TCP, or of the only stack that there is.
        after: seconds from the beginning of the dial until it begins, unless those before it have
            failed sooner.
        place: host and port of an alternative service, as an origin; None for the origin's own.
        why: it was chosen, in words.
    """

    name: str
    after: float = 0.0
    place: Origin | None = None
    why: str = attrs.field(default="", eq=False)

    @property
    def alternative(self) -> str | None:
        """Host and port of `place`."""
        return None if self.place is None else self.place.host_and_port


class Choices:
    """What one client has found out about its origins. Times are seconds on the caller's clock.

    `local` is the host of ours from which an origin is reached; None: that cannot be told.

    Args:
        policy: "always": HTTP/3 first; "alt-svc": where a hint or an Alt-Svc field says that it is
            spoken.
        hints: origins that are known to speak HTTP/3 on their own port.

    Raises:
        ValueError: no such policy.
    """

    def __init__(self, policy: PolicyName = "always", hints: Iterable[Origin] = ()) -> None:
        self._table = FallbackTable(policy, hints)

    def lanes(
        self, origin: Origin, known: tuple[str, ...], now: float, local: str | None = None
    ) -> tuple[Lane, ...]:
        """The lanes of a dial, the first to begin first.

        Args:
            known: names of the lanes that there are, HTTP/3's first.
        """
        lanes = self._lanes(origin, known, now, local)
        if self.wants_http1(origin, now):
            last = [attrs.evolve(lane, after=PATIENCE + lane.after) for lane in lanes]
            return (Lane(HTTP1, why=_HTTP1_REQUIRED), *last)
        return lanes

    def _lanes(
        self, origin: Origin, known: tuple[str, ...], now: float, local: str | None
    ) -> tuple[Lane, ...]:
        first, *behind = known
        if not behind:
            return (Lane(first),)
        places = list(self._places(origin, now, local))
        free = self._free(origin, places, now, local)
        if free is not None:
            last = [attrs.evolve(own, after=math.inf) for own in _own(places) if own is not free]
            return (free, Lane(TCP, HEAD_START, why=_BEHIND), *last)
        why = self._why_not(origin, places, now, local)
        late = _own(places) or places[:1]
        later = [attrs.evolve(each, after=HEAD_START, why=_BEHIND) for each in late]
        return (Lane(TCP, why=why), *later)

    def won(
        self,
        origin: Origin,
        lane: Lane,
        behind: Iterable[tuple[Lane, str]],
        now: float,
        local: str | None = None,
    ) -> None:
        """Note which lane of a dial was the first.

        Args:
            behind: the others that had begun, each with why it was not the first.
        """
        if lane.name == HTTP3:
            self._table.succeeded(origin, (lane.place, local))
            return
        for other, why in behind:
            if other.name == HTTP3:
                self._table.failed(origin, now, why, (other.place, local))

    def asks_at(self, origin: Origin, now: float, local: str | None = None) -> float:
        """From when on HTTP/3, over which the origin is not spoken to, is to be tried beside.

        It holds until something is heard, won or refused; infinity while it is spoken nowhere.
        """
        places = self._places(origin, now, local)
        soonest = min(
            (self._paused_until(origin, each, local) for each in places), default=math.inf
        )
        return max(soonest, self._table.until(origin, HTTP1))

    def heard(self, origin: Origin, field: str, now: float, local: str | None = None) -> None:
        """Take in an Alt-Svc field of a response of this origin (RFC 7838 3)."""
        self._table.alternatives.learn(origin, field, now, local)

    def misdirected(self, origin: Origin, place: str | None, now: float) -> None:
        """Note that who is at this host and port does not answer for the origin (RFC 7838 6).

        A handshake there is no success then: the origin may go on to name it.
        """

        def is_there(alternative: Alternative) -> bool:
            return place_of(origin, alternative).host_and_port == place

        self._table.alternatives.forget(origin, is_there)
        self._table.failed(origin, now, "421 Misdirected Request", (place, _MISDIRECTED))

    def http1_required(self, origin: Origin, now: float) -> None:
        """Note that the origin serves something over HTTP/1.1 alone (RFC 9113 7, RFC 9114 8.1)."""
        self._table.failed(origin, now, _HTTP1_REQUIRED, HTTP1)

    def wants_http1(self, origin: Origin, now: float) -> bool:
        """Whether it has done so, and not long ago."""
        return now < self._table.until(origin, HTTP1)

    def _places(self, origin: Origin, now: float, local: str | None) -> Iterator[Lane]:
        """Where HTTP/3 may be tried: as the origin prefers, and its own port if nobody says so."""
        own = self._table.why_own(origin)
        for alternative in self._table.alternatives.fresh(origin, now, local):
            place = place_of(origin, alternative)
            if place == origin:
                own = None
                yield Lane(HTTP3, why="its Alt-Svc field says so")
            else:
                yield Lane(HTTP3, place=place, why=f"its Alt-Svc field names {place.authority}")
        if own is not None:
            yield Lane(HTTP3, why=own)

    def _free(
        self, origin: Origin, places: Iterable[Lane], now: float, local: str | None
    ) -> Lane | None:
        """The first that is not left alone."""
        free = (each for each in places if self._paused_until(origin, each, local) <= now)
        return next(free, None)

    def _paused_until(self, origin: Origin, lane: Lane, local: str | None) -> float:
        silent = self._table.until(origin, (lane.place, local))
        if lane.place is None:
            return silent
        return max(silent, self._table.until(origin, (lane.alternative, _MISDIRECTED)))

    def _why_not(self, origin: Origin, places: list[Lane], now: float, local: str | None) -> str:
        if not places:
            return "nobody has said that HTTP/3 is spoken there"
        failed = self._table.why(origin, now, (places[0].place, local))
        return f"HTTP/3 had failed there: {failed or 'it does not answer for the origin'}"


def _own(places: Iterable[Lane]) -> list[Lane]:
    """The one to the origin's own port, if it is among them."""
    return [each for each in places if each.place is None]


@lru_cache(_KEPT)
def place_of(origin: Origin, alternative: Alternative) -> Origin:
    """Where an alternative is, as an origin."""
    return Origin("https", alternative.host or origin.host, alternative.port)


def chosen_by(policy: str, hints: Iterable[str]) -> Choices:
    """The choices of a client, as it was given its options.

    Raises:
        InvalidOptions: no such policy, or `hints` are one text.
        InvalidURL: a hint names no https origin.
    """
    if isinstance(hints, str) or not isinstance(hints, Iterable):
        raise InvalidOptions(f"hints={hints!r}: must be a tuple of URLs")
    known: PolicyName
    match policy:
        case "always" | "alt-svc":
            known = policy
        case _:
            raise InvalidOptions(f"policy={policy!r}: must be always or alt-svc")
    return Choices(known, map(_hinted, hints))


def _hinted(url: str) -> Origin:
    try:
        return Origin.parse(url)
    except InvalidURL as error:
        raise InvalidURL(f"hints: {error.message}") from None
