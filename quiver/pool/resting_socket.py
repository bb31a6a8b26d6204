"""RestingSocket: what sockets of connections have in common: when they receive, and how much.

What they bring may be dear. How much a turn of the loop takes of it says a `ReceiveShare`; and in
between a socket rests: the kernel holds what comes, as much as it has room for.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

import gevent

from quiver.pool.receive_turns import LANE, ReceiveShare

__all__ = ["RestingSocket"]


class RestingSocket(ABC):
    """One that may be told to rest.

    Attributes:
        more: there may be more than what was received last, which were `taken`.
        rests: it receives nothing just now.
        share: of a turn; None for as much as one chunk, which is enough mostly.
    """

    reads_stream = False  # of bytes: what it brings at once may be as much as many datagrams

    def __init__(self) -> None:
        self.more = False
        self.taken = 0
        self.rests = False
        self.share: ReceiveShare | None = None
        self._rest: Any = None  # the timer that ends it

    def rest(self, seconds: float) -> None:
        """Receive nothing for so long."""
        self._watch_reads(False)
        self.rests = True
        self._rest = gevent.get_hub().loop.timer(seconds)
        self._rest.start(self._end_rest)

    def _end_rest(self) -> None:
        self._rest.close()
        self._rest = None
        self.rests = False
        self._watch_reads(True)

    def forget_rest(self) -> None:
        """Free the timer, in the loop: it is closed."""
        if self._rest is not None:
            self._rest.stop()
            self._rest.close()

    def may_go_on(self, seconds: float) -> bool:
        """Whether to receive again in this turn of the loop, after what has cost so much."""
        if self.rests:
            return False
        share = self.share
        if share is None:
            share = self.share = ReceiveShare(reads=self.reads_stream)
        again = share.took(self.taken, seconds, self.more)
        if share.dear and not again:
            self.rest(LANE.rest(share.dear, time.monotonic()))
        elif share.is_fresh:
            self.share = None
        return again

    @abstractmethod
    def _watch_reads(self, wanted: bool) -> None:
        """Be told of what comes, or of nothing."""
