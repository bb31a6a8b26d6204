"""Tickets that a server has never given so, offered in place of those that are kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import attrs
from aioquic import tls

from quiver.pool.session_tickets import SessionTickets
from quiver.quic.engine import SessionTicket

__all__ = ["Spoil", "spoiled_tickets", "with_another_secret"]

Spoil = Callable[[tls.SessionTicket], tls.SessionTicket]


def with_another_secret(ticket: tls.SessionTicket) -> tls.SessionTicket:
    """The server knows it, and finds that we do not (RFC 8446 4.2.11.2)."""
    return replace(ticket, resumption_secret=bytes(len(ticket.resumption_secret)))


@contextlib.contextmanager
def spoiled_tickets(how: Spoil) -> Iterator[None]:
    """Have every ticket be taken so."""
    kept = SessionTickets.take

    def take(tickets: SessionTickets, *about: Any) -> SessionTicket | None:
        ticket = kept(tickets, *about)
        content: Any = None if ticket is None else ticket.content
        return None if ticket is None else attrs.evolve(ticket, content=how(content))

    with mock.patch.object(SessionTickets, "take", take):
        yield
