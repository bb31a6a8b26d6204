"""Tickets that a server has never given so: each costs a round trip, and nobody's request."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from aioquic import tls
from aioquic.buffer import Buffer  # type: ignore[attr-defined]
from aioquic.quic.packet import (
    pull_quic_transport_parameters,
    push_quic_transport_parameters,
)

import quiver
from quiver import telemetry
from quiver.testing import Authority, Origin
from tests.support.bad_tickets import Spoil, spoiled_tickets, with_another_secret
from tests.support.waiting import until


def of_one_that_allowed_more(ticket: tls.SessionTicket) -> tls.SessionTicket:
    """Early data is accepted, and by now there is less room than there was (RFC 9000 7.4.1)."""
    [(kind, octets)] = ticket.other_extensions
    said = pull_quic_transport_parameters(Buffer(data=octets))
    assert said.initial_max_data is not None
    said.initial_max_data *= 2
    more = Buffer(capacity=1_000)
    push_quic_transport_parameters(more, said)
    return replace(ticket, other_extensions=[(kind, more.data)])


@pytest.fixture
def tickets() -> Iterator[list[str]]:
    came: list[str] = []
    telemetry.attach("tickets", ["connection.ticket"], lambda name, *_: came.append(name))
    yield came
    telemetry.detach("tickets")


@pytest.fixture
def giving(authority: Authority) -> Iterator[Origin]:
    with Origin(authority=authority, session_tickets=True) as started:
        yield started


@pytest.mark.parametrize(
    ("how", "early_data"),
    [(with_another_secret, False), (with_another_secret, True), (of_one_that_allowed_more, True)],
)
def test_it_costs_a_round_trip_and_no_request(
    giving: Origin,
    tickets: list[str],
    how: Spoil,
    early_data: bool,
) -> None:
    options = {"cafile": giving.cafile, "max_connections": 1, "early_data": early_data}
    with quiver.Client(pools={"default": options}) as client:
        for number in range(3):  # so that there are more of them, as bad as the newest
            client.get(giving.url + "/ok", timeout=20.0)
            until(lambda known=number: len(tickets) > known, what="a ticket")  # type: ignore[misc]
            client.pool(giving.url).stop()
        known = giving.connections_accepted()
        with spoiled_tickets(how):
            for turn in range(2):
                pool = client.pool(giving.url)
                asked = [pool.ask(quiver.Request("GET", "/ok"), block=False) for _ in range(5)]
                answers = [each.get(timeout=20.0) for each in asked]
                assert [each.body for each in answers] == [b"ok"] * 5
                by = answers[0].connection
                assert by is not None and not by.resumed and not by.early
                assert giving.connections_accepted() == known + 2 * (turn + 1), "one in vain"
                until(lambda wanted=turn + 4: len(tickets) >= wanted, what="a ticket")  # type: ignore[misc]
                pool.stop()


def test_a_certificate_that_is_refused_is_refused_once(
    authority: Authority, tickets: list[str], tmp_path: Path
) -> None:
    """By a server that knows the ticket no more, and shows another certificate."""
    roots = Path(shutil.copy(authority.cafile, tmp_path / "ca.pem"))
    with (
        Origin(authority=authority, session_tickets=True) as origin,
        quiver.Client(cafile=roots, max_connections=1) as client,
    ):
        client.get(origin.url + "/ok", timeout=20.0)
        until(lambda: tickets, what="a ticket")
        client.pool(origin.url).stop()
        origin.kill()
        with Authority() as another, Origin(authority=another, port=origin.port) as impostor:
            with pytest.raises(quiver.CertificateInvalid):
                client.get(origin.url + "/ok", timeout=20.0)
            assert impostor.connections_accepted() == 1
