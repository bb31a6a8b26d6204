"""Lending: whose turn it is, and which connection is lent. Pure.

A channel is lent only what carries channels, as long as there is such a connection, be it full or
suspended. It waits for that, and those behind it do not wait with it.
"""

from __future__ import annotations

from collections.abc import Callable, Set

from quiver.pool.connection_slots import ConnectionSlots
from quiver.pool.waiting_queue import WaitingQueue

__all__ = ["next_lent"]

Pick = Callable[[bool], ConnectionSlots | None]


def next_lent(
    waiting: WaitingQueue, held: Set[int], channels: Set[int], pick: Pick
) -> tuple[int, ConnectionSlots] | None:
    """Take who is next out of those that wait, with the connection that is lent; None: nobody is.

    Args:
        held: those that wait for something else.
        channels: those that are one.
        pick: the connection to lend, by whether it is for a channel.
    """
    connection = pick(False) if waiting else None
    if connection is None:
        return None
    if channels and (carries := pick(True)) is not connection:
        ticket = waiting.pop(held | channels)
        if ticket is not None:
            return ticket, connection
        connection = carries
    ticket = None if connection is None else waiting.pop(held)
    return None if connection is None or ticket is None else (ticket, connection)
