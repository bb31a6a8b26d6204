"""Choices: over what an origin is dialled now: HTTP/3, what goes over TCP, or both in a race. Pure.

    lanes(origin, now) --> a dial races them --> won(origin, lane, behind, now)

A dial has **lanes**: one over QUIC, one over TCP, on which ALPN decides further. Nothing is known
of an origin at first: QUIC begins, and TCP `HEAD_START` later, or at once when QUIC has failed (RFC
8305; the draft of its third version has protocols in it). The first that has shaken hands is the
connection, and the others are given up: what races are connections, never requests.

Where TCP has won beside QUIC, that is left alone for a while, which doubles with each failure and
is forgotten with the first success, as `FallbackTable` has it: TCP goes first then, QUIC behind it.
When the while is over, a connection is dialled beside those that there are (`asks_again`), again as
a race: nobody waits for it. That all lanes have failed says nothing of one of them, and what failed
from one address of ours says nothing of another: that is another network.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from quiver.origin import Origin
from quiver.pool.fallback_table import FallbackTable

__all__ = ["HEAD_START", "HTTP3", "TCP", "Choices", "Lane"]

HEAD_START: Final = 0.3  # seconds that the first lane has before the second begins
HTTP3: Final = "http/3"
TCP: Final = "tcp"


class Lane(NamedTuple):
    """A way to an origin, in a dial.

    Attributes:
        name: HTTP3 or TCP, or of the only stack that there is.
        after: seconds from the beginning of the dial until it begins, unless those before it have
            failed sooner.
    """

    name: str
    after: float = 0.0


class Choices:
    """What one client has found out about its origins. Times are seconds on the caller's clock.

    `local` is the host of ours from which an origin is reached; None: that cannot be told.
    """

    def __init__(self) -> None:
        self._table = FallbackTable()

    def lanes(
        self, origin: Origin, known: tuple[str, ...], now: float, local: str | None = None
    ) -> tuple[Lane, ...]:
        """The lanes of a dial, the first to begin first.

        Args:
            known: names of the lanes that there are, the preferred one first.
        """
        order = known
        if len(known) > 1 and self._table.why(origin, now, local) is not None:
            order = *known[1:], known[0]
        return tuple(Lane(name, turn * HEAD_START) for turn, name in enumerate(order))

    def won(
        self,
        origin: Origin,
        lane: str,
        behind: Iterable[tuple[str, str]],
        now: float,
        local: str | None = None,
    ) -> None:
        """Note which lane of a dial was the first.

        Args:
            behind: the others that had begun, each with why it was not the first.
        """
        if lane == HTTP3:
            self._table.succeeded(origin, local)
            return
        for other, why in behind:
            if other == HTTP3:
                self._table.failed(origin, now, why, local)

    def asks_again(self, origin: Origin, now: float, local: str | None = None) -> bool:
        """Whether HTTP/3, over which the origin is not spoken to, is to be tried beside."""
        return self._table.why(origin, now, local) is None
