"""OriginMemory: what a client remembers of its origins, beyond the life of their pools.

A child that was forked has the addresses, and no tickets: two processes that resume one session
would tell everybody that they are of one client, and each ticket goes once.
"""

from __future__ import annotations

import os
import weakref
from typing import Final

from quiver.pool.address_memory import AddressMemory
from quiver.pool.choice import Choices
from quiver.pool.session_tickets import SessionTickets

__all__ = ["OriginMemory"]


class OriginMemory:
    """Of one client, or of a pool that was started by itself; to be used in the loop's thread.

    Args:
        choices: what it begins with; None knows nothing.
    """

    def __init__(self, choices: Choices | None = None) -> None:
        self.addresses = AddressMemory()
        self.tickets = SessionTickets()
        self.choices = choices or Choices()
        _memories.add(self)


_memories: Final[weakref.WeakSet[OriginMemory]] = weakref.WeakSet()


def _after_fork() -> None:
    for memory in _memories:
        memory.tickets.clear()


os.register_at_fork(after_in_child=_after_fork)
