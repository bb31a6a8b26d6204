"""Tickets: whose they are, in which order they go, and what bounds them."""

from __future__ import annotations

from typing import Any

import attrs

from quiver.pool.session_tickets import SessionTickets
from quiver.quic.engine import SessionTicket

A, B = "https://a", "https://b"


def ticket(name: str = "", **about: Any) -> SessionTicket:
    made = SessionTicket("trust", 0.0, 100.0, 100.0, (b"chain",), 10, True, name)
    return attrs.evolve(made, **about)


def test_the_newest_goes_first_and_each_once() -> None:
    table = SessionTickets()
    first, second = ticket(), ticket()
    assert table.add(A, first, 1.0) and table.add(A, second, 2.0)
    assert (len(table), table.size) == (2, 20)
    assert [table.take(A, "trust", 3.0) for _ in range(3)] == [second, first, None]
    assert (len(table), table.size) == (0, 0)


def test_never_across_origins_or_trusts() -> None:
    table = SessionTickets()
    table.add(A, ticket(), 1.0)
    assert table.take(B, "trust", 2.0) is None
    assert table.take(A, "another", 2.0) is None
    assert len(table) == 1


def test_all_of_one_origin_and_trust_are_forgotten() -> None:
    table = SessionTickets()
    for origin, trust in ((A, "trust"), (A, "trust"), (A, "another"), (B, "trust")):
        table.add(origin, ticket(trust=trust), 1.0)
    table.forget(A, "trust")
    table.forget(A, "unknown")
    assert (len(table), table.size) == (2, 20)
    assert table.take(A, "trust", 2.0) is None
    assert table.take(A, "another", 2.0) is not None and table.take(B, "trust", 2.0) is not None


def test_its_time() -> None:
    table = SessionTickets()
    assert not table.add(A, ticket(until=5.0), 5.0)
    assert not table.add(A, ticket(issued=7.0, until=7.0), 1.0)
    table.add(A, ticket(until=5.0), 1.0)
    assert table.take(A, "trust", 5.0) is None and len(table) == 0
    table.add(A, ticket(issued=50.0), 50.0)
    assert table.take(A, "trust", 49.0) is None, "the clock was set back: who knows how old it is"


def test_one_that_is_over_gives_way_to_an_older_one_that_is_not() -> None:
    table = SessionTickets()
    lasting, brief = ticket(), ticket(until=3.0)
    table.add(A, lasting, 1.0)
    table.add(A, brief, 2.0)
    assert table.take(A, "trust", 4.0) is lasting


def test_what_nobody_asks_for_goes_when_its_time_is_over() -> None:
    table = SessionTickets()
    table.add(A, ticket(until=10.0), 1.0)
    table.add(B, ticket(until=5_000.0), 2_000.0)
    assert len(table) == 1 and table.take(B, "trust", 2_001.0) is not None


def test_bounds() -> None:
    table = SessionTickets(most=3, most_bytes=100, most_of_one=2)
    tickets = [ticket() for _ in range(3)]
    for each in tickets:
        table.add(A, each, 1.0)
    assert len(table) == 2, "of one origin"
    table.add(B, ticket(), 1.0)
    table.add("https://c", ticket(), 1.0)
    assert len(table) == 3, "in all"
    assert table.take(A, "trust", 2.0) is tickets[2], "the newest of the origin used longest ago"
    assert not table.add(A, ticket(size=101), 1.0)
    table.add(A, ticket(size=95), 1.0)
    assert (len(table), table.size) == (1, 95), "in bytes"


def test_what_was_used_last_stays() -> None:
    table = SessionTickets(most=2)
    table.add(A, ticket(), 1.0)
    table.add(A, ticket(), 1.0)
    table.take(A, "trust", 1.0)
    table.add(B, ticket(), 1.0)
    table.take(A, "another", 1.0)
    table.add("https://c", ticket(), 1.0)
    assert table.take(A, "trust", 2.0) is None and table.take(B, "trust", 2.0) is not None


def test_nothing_of_it_is_told() -> None:
    shown = repr(ticket(content=b"secret", application=b"secret", chain=(b"secret",)))
    assert "secret" not in shown and "until=100.0" in shown
