"""A link with a rate, a queue, a delay and loss: when each packet arrives, if it does. Pure.

    arrives = begins + size / rate + delay,   begins = max(now, end of the one before)

A packet that would wait for longer than it takes to send `queue` bytes is dropped at the queue's
tail. What is lost is lost at random, each packet by itself: the n-th of one seed always, or never.
Packets keep their order.
"""

from __future__ import annotations

import random
from typing import Final

import attrs

__all__ = ["HEADERS", "Link", "LinkConditions"]

HEADERS: Final = 28
"""Bytes of IPv4 and UDP, which take their share of the rate as well."""


@attrs.frozen(kw_only=True)
class LinkConditions:
    """One direction of a path.

    Attributes:
        delay: seconds that each packet is on its way, beside what it waits.
        rate: bytes a second; None is no limit.
        queue: bytes that may wait; without a rate nothing waits.
        loss: share of the packets that are lost, 0 to 1.
    """

    delay: float = 0.0
    rate: float | None = None
    queue: float = 1e6
    loss: float = 0.0


class Link:
    """One direction of a path, in use. Times are seconds on the caller's clock.

    Attributes:
        lost, dropped: packets that were lost at random, or found the queue full.
        carried: packets that arrive.
    """

    def __init__(self, conditions: LinkConditions, seed: str) -> None:
        self.lost = self.dropped = self.carried = 0
        self._delay, self._loss = conditions.delay, conditions.loss
        rate = conditions.rate
        self._seconds_a_byte = 0.0 if rate is None else 1 / rate
        self._longest_wait = conditions.queue * self._seconds_a_byte
        self._free_at = 0.0
        self._dice = random.Random(seed).random

    def carry(self, size: int, now: float) -> float | None:
        """Return when a UDP payload of so many bytes arrives, that is sent now; None for never."""
        if self._loss and self._dice() < self._loss:
            self.lost += 1
            return None
        begins = max(now, self._free_at)
        if begins - now > self._longest_wait:
            self.dropped += 1
            return None
        self._free_at = begins + (size + HEADERS) * self._seconds_a_byte
        self.carried += 1
        return self._free_at + self._delay
