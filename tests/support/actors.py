"""Actors seen from outside: which are new, and how to make a pool crash."""

from __future__ import annotations

from typing import Any

import pykka

from quiver.pool.messages import Returned, StartExchange
from quiver.request import Request
from tests.support.waiting import until

__all__ = ["Newcomers", "crash"]


def crash(pool: pykka.ActorRef[Any]) -> None:
    """Make a pool fail of an unexpected exception, and wait until it is dead."""
    exchange = StartExchange(0, Request("GET", "/"), None)
    pool.tell(Returned(0, exchange, unused=False))  # without the reply that must come with it
    until(lambda: not pool.is_alive(), what=f"{pool} is dead")


class Newcomers:
    """The actors that live and did not when this was made: those that earlier tests left aside."""

    def __init__(self) -> None:
        self._before = {ref.actor_urn for ref in pykka.ActorRegistry.get_all()}

    def count(self, *names: str) -> int:
        """How many, of these classes if any are named."""
        living = [ref for ref in pykka.ActorRegistry.get_all() if ref.actor_urn not in self._before]
        return sum(not names or ref.actor_class.__name__ in names for ref in living)

    def __bool__(self) -> bool:
        return self.count() > 0
