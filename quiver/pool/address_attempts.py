"""AddressAttempts: which of a host's addresses is tried when: Happy Eyeballs (RFC 8305). Pure.

    begin --> Try(1) --250 ms--> Try(2) --it fails--> Try(3) --...--> one has won, or GiveUp

The addresses come in the order of the system's preference, interleaved by family (RFC 8305 4), and
what has worked before comes first. The next attempt begins when the last one is `DELAY` old, or has
failed; the ones before it go on. With little time for many addresses it is sooner, but not below
`SHORTEST`, so that each has its turn while it matters (RFC 8305 8):

    delay = clamp((until - now) / (addresses that are still to be tried + 1), SHORTEST, DELAY)

`MOST` attempts are alive at most. For another one the oldest is given up that has answered nothing:
it has had `MOST` delays. Ones that have answered shake hands, and are let go on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import chain, zip_longest
from typing import Any, Final, NamedTuple

from quiver.errors import (
    CertificateInvalid,
    ConnectionRefused,
    ConnectTimeout,
    HandshakeFailed,
    QuiverError,
    ResourceExhausted,
    UnrecoverableError,
)
from quiver.pool.dial_progress import Progress

__all__ = [
    "DELAY",
    "MOST",
    "SHORTEST",
    "Abandon",
    "Address",
    "AddressAttempts",
    "AttemptAction",
    "GiveUp",
    "Try",
    "interleaved",
    "tells_most",
]

Address = tuple[int, tuple[Any, ...]]  # family, and what connect() takes

DELAY: Final = 0.25  # seconds: Connection Attempt Delay (RFC 8305 8)
SHORTEST: Final = 0.1  # seconds: its recommended minimum
MOST: Final = 6  # attempts of one connection that are alive at once
_OF_SILENCE: Final = 2  # the weight of an error that tells of it: see `_weight`


class Try(NamedTuple):
    """Begin to shake hands with this address; the attempt has this number, and is of that lane."""

    attempt: int
    address: Address
    lane: str = ""


class Abandon(NamedTuple):
    """End this attempt quietly: it makes room for another."""

    attempt: int


class GiveUp(NamedTuple):
    """No address is left, or no time: `error` is what tells most of those that failed.

    None: time is up, and none has said why it does not do.
    """

    error: QuiverError | None


AttemptAction = Try | Abandon | GiveUp
Actions = tuple[AttemptAction, ...]


def interleaved(addresses: Iterable[Address], first: Address | None = None) -> list[Address]:
    """Each address once, the families in turns, beginning with the family of the first one.

    Args:
        first: goes before all others, if it is one of them.
    """
    each = list(dict.fromkeys(addresses))
    if first in each:
        each.sort(key=lambda address: address != first)
    families: dict[int, list[Address]] = {}
    for address in each:
        families.setdefault(address[0], []).append(address)
    turns = chain.from_iterable(zip_longest(*families.values()))
    return [address for address in turns if address is not None]


class AddressAttempts:
    """The attempts of one connection, each with its number from 1 on.

    An event of an attempt that is over is late, and asks for nothing. Times are seconds on the
    caller's clock.

    Args:
        addresses: in the order in which they are tried.
        until: the time at which all of them are given up.

    Attributes:
        progress: how far the dial has come.
    """

    def __init__(self, addresses: Iterable[Address], until: float = math.inf) -> None:
        self._untried = list(reversed(list(addresses)))  # the next one is the last
        self._found = len(self._untried)
        self._until = until
        self._next_at = -math.inf
        self._alive: dict[int, Address] = {}  # oldest first
        self._answered: set[int] = set()  # of those
        self._unsent: dict[int, str] = {}  # why what was to be sent has not left
        self._error: QuiverError | None = None  # that tells most
        self.progress = Progress(addresses=self._found)

    # its time ------------------------------------------------------------------------------

    def due(self) -> float | None:
        """The time at which `tick` has something to do; None for never."""
        due = min(self._until, self._next_at) if self._untried else self._until
        return None if math.isinf(due) else due

    def tick(self, now: float) -> Actions:
        """Begin, go on when the time that `due` named has come, or give up."""
        if now >= self._until:
            self._untried.clear()
            return *self._end_all(), GiveUp(self._verdict())
        if self._untried and now >= self._next_at:
            return self._try_next(now)
        return ()

    def excuse(self, seconds: float) -> None:
        """Add time for which nothing could be heard: the servers have that still."""
        self._until += seconds
        self._next_at += seconds

    # what becomes of them ------------------------------------------------------------------

    def answered(self, attempt: int) -> None:
        """Note that a packet of the handshake has come from its address."""
        if attempt in self._alive:
            self._answered.add(attempt)
            self._see_progress()

    def unsent(self, attempt: int, said: str) -> None:
        """Note that a datagram to its address did not leave this machine, and why, in words."""
        if attempt in self._alive:
            self._unsent[attempt] = said
            self._see_progress()

    def failed(self, attempt: int, error: QuiverError, now: float) -> Actions:
        """Take in what an attempt has ended with, and begin the next one at once."""
        if self._alive.pop(attempt, None) is None:
            return ()
        self._answered.discard(attempt)
        self._note(error)
        if isinstance(error, ResourceExhausted):  # so it would be with any other address
            self._untried.clear()
        if self._untried:
            return self._try_next(now)
        if self._alive:
            self._see_progress()
            return ()
        return (GiveUp(self._error),)

    def won(self, attempt: int) -> Actions:
        """Take in that an attempt is connected: the others are over."""
        self._untried.clear()
        self._alive.pop(attempt, None)
        return self._end_all()

    # the next one --------------------------------------------------------------------------

    def _try_next(self, now: float) -> Actions:
        self._next_at = now + self._delay(now)
        abandoned: Actions = ()
        if len(self._alive) >= MOST:
            oldest = next((each for each in self._alive if each not in self._answered), None)
            if oldest is None:
                return ()
            del self._alive[oldest]
            abandoned = (Abandon(oldest),)
        address = self._untried.pop()
        attempt = self._found - len(self._untried)
        self._alive[attempt] = address
        self._see_progress()
        return (*abandoned, Try(attempt, address))

    def _delay(self, now: float) -> float:
        share = (self._until - now) / len(self._untried)  # this one is among them still
        return min(max(share, SHORTEST), DELAY)

    def _end_all(self) -> Actions:
        ended = tuple([Abandon(each) for each in self._alive])
        self._alive.clear()
        self._answered.clear()
        return ended

    def _see_progress(self) -> None:
        """Tell of the latest that has answered, or else of the latest."""
        tried = self._found - len(self._untried)
        shown = max(self._answered or self._alive)
        failed = "" if self._error is None else self._error.message
        host, unsent = self._alive[shown][1][:2], self._unsent.get(shown, "")
        self.progress = Progress(host, tried, self._found, shown in self._answered, failed, unsent)

    # what it has come to -------------------------------------------------------------------

    def _note(self, error: QuiverError) -> None:
        if self._error is None or _weight(error) >= _weight(self._error):
            self._error = error

    def _verdict(self) -> QuiverError | None:
        """What a server has said itself; that one refused is no news where another is silent."""
        return tells_most((self._error, None))


def tells_most(errors: Iterable[QuiverError | None]) -> QuiverError | None:
    """Of what several attempts have ended with, the first among those that tell most.

    Args:
        errors: None for one that was over in silence: that another was refused is no news then.
    """
    each = list(errors)
    said = [error for error in each if error is not None]
    most = max(said, key=_weight, default=None)
    if most is not None and None in each and _weight(most) <= _OF_SILENCE:
        return None
    return most


def _weight(error: QuiverError) -> int:
    """How much an error tells of why there is no connection: more than all with less weight."""
    match error:
        case ResourceExhausted():
            return 6
        case CertificateInvalid():
            return 5
        case HandshakeFailed(lasting=lasting):
            return 4 if lasting else 3
        case UnrecoverableError():
            return 3
        case ConnectTimeout():
            return _OF_SILENCE
        case ConnectionRefused():
            return 1
        case _:
            return 0
