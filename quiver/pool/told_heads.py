"""What a server tells a client and not its caller: where else, how else, or that it was not to be.

By a response's head it says where else the origin speaks HTTP/3 (Alt-Svc, RFC 7838), or that it has
not acted upon a request, which then goes again; by a reset, that it wants HTTP/1.1 for it. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from quiver.errors import GoAway, QuiverError, StreamReset, TransientError
from quiver.models import ResponseConnection
from quiver.pool.actions import Hear

__all__ = ["REFUSALS", "Http1Required", "Misdirected", "TooEarly", "heard_in", "refusal_of"]

_MISDIRECTED: Final = 421
_TOO_EARLY: Final = 425
REFUSALS: Final = (_MISDIRECTED, _TOO_EARLY)


class Misdirected(GoAway):
    """Who is at an alternative service does not answer for the origin (RFC 9110 15.5.20)."""


class Http1Required(StreamReset):
    """A reset that asks for HTTP/1.1; nothing was acted upon.

    HTTP_1_1_REQUIRED (RFC 9113 7) and H3_VERSION_FALLBACK (RFC 9114 8.1) are such.
    """

    def __init__(self, said: str, *, code: int, origin: str | None = None) -> None:
        said = f"{said}: it serves this over HTTP/1.1 alone"
        super().__init__(said, code=code, origin=origin)
        self.unprocessed = True


class TooEarly(TransientError):
    """The server does not act upon early data for this request (RFC 8470 5.2)."""

    def __init__(self, said: str, *, origin: str | None = None) -> None:
        super().__init__(said, origin=origin)
        self.unprocessed = True


def heard_in(status: int, told: Iterable[str]) -> tuple[Hear, ...]:
    """What Alt-Svc fields ask for; in a 421 they count for nothing (RFC 7838 6)."""
    return () if status == _MISDIRECTED else (Hear(", ".join(told)),)


def refusal_of(
    status: int, origin: str, by: ResponseConnection | None, *, early: bool
) -> QuiverError | None:
    """The error of a request that is to go again; None: this is its response.

    Args:
        status: one of REFUSALS.
        by: what it came by.
        early: whether the request went before the handshake was over.
    """
    if status == _TOO_EARLY and early:  # RFC 8470 5.2: later
        said = "the server takes no early data for this request (425 Too Early)"
        return TooEarly(said, origin=origin)
    place = None if by is None else by.alternative
    if status == _MISDIRECTED and place is not None:  # RFC 7838 6: elsewhere
        said = f"{place} does not answer for it (421 Misdirected Request)"
        return Misdirected(said, origin=origin)
    return None
