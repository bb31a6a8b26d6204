"""A network emulator: the fate of each datagram, pure, and the same again from the same seed.

A fate depends on the seed, the direction, the client and the datagram's number alone, so threads
that race change when a datagram is decided upon, never how.
"""

from __future__ import annotations

import enum
import os
import random
from collections.abc import Collection, Iterable
from typing import Any, Final

import attrs

__all__ = ["BOTH", "CLEAR", "Conditions", "Delivery", "Direction", "NetworkEmulator", "a_seed"]


class Direction(enum.Enum):
    """Towards the server, or from it."""

    UP = "up"
    DOWN = "down"


BOTH: Final = (Direction.UP, Direction.DOWN)

_LONGEST_QUEUE: Final = 0.5  # seconds that a throttled line holds; what comes on top is lost


def _share(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{attribute.name}={value!r} is no share: 0 to 1")


@attrs.frozen(kw_only=True)
class Conditions:
    """The conditions of one direction. Shares are of 1, times in seconds, sizes in bytes.

    Attributes:
        loss, duplicate, corrupt, truncate: shares of datagrams that this happens to.
        delay: for every datagram; `jitter` is the most that comes on top.
        reorder: share of datagrams that `reorder_delay` holds back behind later ones.
        largest: longer ones are lost, as in a path whose MTU is less than it claims.
        rate: bytes a second.
        lose: numbers of datagrams lost, counted from 0 for each client.
        dark_until: everything is lost before this moment.
    """

    loss: float = attrs.field(default=0.0, validator=_share)
    duplicate: float = attrs.field(default=0.0, validator=_share)
    corrupt: float = attrs.field(default=0.0, validator=_share)
    truncate: float = attrs.field(default=0.0, validator=_share)
    reorder: float = attrs.field(default=0.0, validator=_share)
    reorder_delay: float = 0.02
    delay: float = 0.0
    jitter: float = 0.0
    largest: int | None = None
    rate: float | None = None
    lose: Collection[int] = ()
    dark_until: float = 0.0


CLEAR: Final = Conditions()


@attrs.frozen
class Delivery:
    """What arrives, and when."""

    at: float
    datagram: bytes


class NetworkEmulator:
    """The conditions of both directions. Times are seconds on the caller's clock."""

    def __init__(self, seed: int, up: Conditions = CLEAR, down: Conditions = CLEAR) -> None:
        self.seed = seed
        self._conditions = {Direction.UP: up, Direction.DOWN: down}
        self._free_at = dict.fromkeys(Direction, 0.0)

    def become(self, up: Conditions, down: Conditions) -> None:
        """Replace the conditions of both directions."""
        self._conditions = {Direction.UP: up, Direction.DOWN: down}

    def change(self, directions: Iterable[Direction] = BOTH, **conditions: Any) -> None:
        """Change some conditions, in some directions."""
        for direction in directions:
            self._conditions[direction] = attrs.evolve(self._conditions[direction], **conditions)

    def carry(
        self, datagram: bytes, direction: Direction, client: int, number: int, now: float
    ) -> tuple[Delivery, ...]:
        """List the deliveries of one datagram, the `number`-th of its client in this direction."""
        conditions = self._conditions[direction]
        if self._swallowed(conditions, datagram, number, now):
            return ()
        dice = random.Random(f"{self.seed} {direction.value} {client} {number}")
        if dice.random() < conditions.loss:
            return ()
        starts = self._through(direction, conditions, len(datagram), now)
        if starts is None:
            return ()
        datagram = _damaged(datagram, conditions, dice)
        copies = 2 if dice.random() < conditions.duplicate else 1
        return tuple(Delivery(starts + _lag(conditions, dice), datagram) for _ in range(copies))

    def _swallowed(self, conditions: Conditions, datagram: bytes, number: int, now: float) -> bool:
        too_long = conditions.largest is not None and len(datagram) > conditions.largest
        return now < conditions.dark_until or number in conditions.lose or too_long

    def _through(
        self, direction: Direction, conditions: Conditions, size: int, now: float
    ) -> float | None:
        """Return when the line has sent it; None when its queue is full."""
        if conditions.rate is None:
            return now
        begins = max(now, self._free_at[direction])
        if begins - now > _LONGEST_QUEUE:
            return None
        self._free_at[direction] = begins + size / conditions.rate
        return self._free_at[direction]


def _lag(conditions: Conditions, dice: random.Random) -> float:
    lag = conditions.delay + conditions.jitter * dice.random()
    return lag + conditions.reorder_delay * (dice.random() < conditions.reorder)


def _damaged(datagram: bytes, conditions: Conditions, dice: random.Random) -> bytes:
    if datagram and dice.random() < conditions.corrupt:
        bit = dice.randrange(8 * len(datagram))
        flipped = bytearray(datagram)
        flipped[bit // 8] ^= 1 << bit % 8
        datagram = bytes(flipped)
    if datagram and dice.random() < conditions.truncate:
        datagram = datagram[: dice.randrange(len(datagram))]
    return datagram


def a_seed() -> int:
    """A new seed, or the one that QUIVER_SEED holds; printed, which pytest shows on a failure."""
    seed = int(os.environ.get("QUIVER_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"to repeat: QUIVER_SEED={seed}")
    return seed
