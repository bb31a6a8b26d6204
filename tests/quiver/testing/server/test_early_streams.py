"""What an origin holds for early data: what came in 0-RTT packets, whenever it comes to it."""

from __future__ import annotations

from typing import Any

import pytest
from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection

from quiver.testing import Authority
from quiver.testing.server.aioquic_internals import ServerQuic

ADDRESS = "127.0.0.1", 1  # of either
Given = dict[bytes, tls.SessionTicket]


@pytest.fixture
def configuration(authority: Authority) -> QuicConfiguration:
    made = QuicConfiguration(is_client=False, alpn_protocols=["h3"])
    made.load_cert_chain(*authority.issue())
    return made


def client_of(authority: Authority, ticket: tls.SessionTicket | None, kept: list[Any]) -> Any:
    configuration = QuicConfiguration(server_name="localhost", alpn_protocols=["h3"])
    configuration.load_verify_locations(authority.cafile)
    configuration.session_ticket = ticket
    client = QuicConnection(configuration=configuration, session_ticket_handler=kept.append)
    client.connect(ADDRESS, 0.0)
    return client


def server_for(client: Any, configuration: QuicConfiguration, given: Given) -> ServerQuic:
    return ServerQuic(
        max_streams=8,
        configuration=configuration,
        original_destination_connection_id=client.original_destination_connection_id,
        session_ticket_fetcher=given.get,
        session_ticket_handler=lambda ticket: given.update({ticket.ticket: ticket}),
    )


def pass_on(sender: Any, receiver: Any, now: float = 0.0) -> None:
    deliver(receiver, sender.datagrams_to_send(now), now)


def deliver(receiver: Any, datagrams: list[tuple[bytes, Any]], now: float = 0.0) -> None:
    for datagram, _ in datagrams:
        receiver.receive_datagram(datagram, ADDRESS, now)


def test_it_is_early_by_its_packet_though_the_handshake_is_over(
    authority: Authority, configuration: QuicConfiguration
) -> None:
    given: Given = {}
    kept: list[tls.SessionTicket] = []
    first = client_of(authority, None, kept)
    server = server_for(first, configuration, given)
    for now in range(3):
        pass_on(first, server, now)
        pass_on(server, first, now)

    client = client_of(authority, kept[0], kept)
    server = server_for(client, configuration, given)
    pass_on(client, server)
    client.send_stream_data(0, b"early")
    late = client.datagrams_to_send(0.0)
    pass_on(server, client, 1.0)
    client.send_stream_data(4, b"not early")
    deliver(server, late)  # as one that stands still for a moment reads them, one after the other
    pass_on(client, server, 2.0)
    assert server.request_streams() == [0, 4]
    assert [server.came_early(each) for each in (0, 4)] == [True, False]
