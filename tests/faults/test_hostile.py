"""Servers that break HTTP/3: what each breach costs, whom, and what the server is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import pytest

import quiver
from quiver.quic.codes import TransportCode
from quiver.testing import Authority
from tests.support.memory import MIB, bounded
from tests.support.servers.hostile import (
    HostileOrigin,
    greet,
    limited_client,
)
from tests.support.servers.protocol_breaches import (
    CONNECTION_FAULTS,
    GREETING_FAULTS,
    HARMLESS,
    STREAM_FAULTS,
    Case,
    then_well,
)

TIMEOUT: Final = 5.0
MOST: Final = 8 * MIB  # both sides together


@pytest.fixture(scope="module")
def neighbour(authority: Authority) -> Iterator[HostileOrigin]:
    """Another origin of the same client, which behaves."""
    with HostileOrigin(authority) as other:
        yield other


@pytest.fixture
def hostile(authority: Authority) -> Iterator[HostileOrigin]:
    with HostileOrigin(authority) as origin:
        yield origin


@pytest.fixture
def client(authority: Authority) -> Iterator[quiver.Client]:
    with limited_client(authority) as made:
        yield made


def asked(client: quiver.Client, origin: HostileOrigin) -> Any:
    """A request that the origin has, and holds."""
    request = quiver.Request("GET", "/held", timeout=TIMEOUT)
    reply = client.pool(origin.url).ask(request, block=False)
    origin.wait_held()
    return reply


def outcome(client: quiver.Client, origin: HostileOrigin, path: str = "/attack") -> Any:
    """The response, or the error as the caller gets it."""
    try:
        return client.get(origin.url + path, timeout=TIMEOUT)
    except quiver.QuiverError as error:
        return error


def told(origin: HostileOrigin, connection: int = 0) -> set[int]:
    """The codes with which streams were given up."""
    seen = origin.clients[connection]
    return {*seen.resets.values(), *seen.stops.values()}


def assert_well(client: quiver.Client, origin: HostileOrigin) -> None:
    answer = outcome(client, origin, "/ok")
    assert isinstance(answer, quiver.Response)
    assert answer.body == b"ok"


@contextlib.contextmanager
def unharmed(client: quiver.Client, neighbour: HostileOrigin) -> Iterator[None]:
    """What another origin has in flight is answered, on the connection it had; no memory goes."""
    assert_well(client, neighbour)
    connections = len(neighbour.clients)
    pending = asked(client, neighbour)
    with bounded(MOST, collect=False):
        yield
    neighbour.release()
    assert pending.get(timeout=TIMEOUT).body == b"ok"
    assert len(neighbour.clients) == connections


def name(case: Case) -> str:
    return case.name


@pytest.mark.one_in(3)
@pytest.mark.parametrize("case", STREAM_FAULTS, ids=name)
def test_a_malformed_response_costs_its_stream(
    case: Case, client: quiver.Client, hostile: HostileOrigin, neighbour: HostileOrigin
) -> None:
    hostile.attack = case.attack
    with unharmed(client, neighbour):
        pending = asked(client, hostile)
        error = outcome(client, hostile)
        assert isinstance(error, quiver.ProtocolViolation), error
        assert hostile.url in str(error)
        if case.code is not None:
            hostile.wait(lambda: told(hostile) == {case.code})
        hostile.release()
        assert pending.get(timeout=TIMEOUT).body == b"ok"
    assert_well(client, hostile)
    assert len(hostile.clients) == 1
    assert hostile.clients[0].closed is None


@pytest.mark.one_in(3)
@pytest.mark.parametrize("case", CONNECTION_FAULTS, ids=name)
def test_a_breach_of_the_connection_costs_it(
    case: Case, client: quiver.Client, hostile: HostileOrigin, neighbour: HostileOrigin
) -> None:
    hostile.attack = case.attack
    with unharmed(client, neighbour):
        pending = asked(client, hostile)
        error = outcome(client, hostile)
        assert isinstance(error, quiver.ProtocolViolation), error
        assert hostile.url in str(error)
        hostile.wait(lambda: hostile.clients[0].closed is not None)
        assert hostile.clients[0].closed == case.code
        assert not hostile.clients[0].by_transport
        with pytest.raises(quiver.ProtocolViolation):
            pending.get(timeout=TIMEOUT)
        assert_well(client, hostile)
    assert len(hostile.clients) == 2


@pytest.mark.one_in(3)
@pytest.mark.parametrize("case", GREETING_FAULTS, ids=name)
def test_a_breach_at_once_is_told_to_who_asked(
    case: Case, client: quiver.Client, hostile: HostileOrigin, neighbour: HostileOrigin
) -> None:
    hostile.greeting = lambda peer: case.attack(peer, 0)
    with unharmed(client, neighbour):
        error = outcome(client, hostile)
        assert isinstance(error, quiver.ProtocolViolation), error
        assert case.code is not None
        assert case.code.name in str(error)
        hostile.wait(lambda: hostile.clients[0].closed is not None)
        # Before the handshake is confirmed HTTP's own code must not be sent: RFC 9000 10.2.3.
        assert hostile.clients[0].closed in (case.code, TransportCode.APPLICATION_ERROR)
        assert len(hostile.clients) == 1
        hostile.greeting = greet
        assert_well(client, hostile)


@pytest.mark.parametrize("case", HARMLESS, ids=name)
def test_what_is_only_strange_is_passed_over(
    case: Case, client: quiver.Client, hostile: HostileOrigin
) -> None:
    hostile.attack = then_well(case.attack)
    pending = asked(client, hostile)
    answer = outcome(client, hostile)
    assert isinstance(answer, quiver.Response), answer
    assert answer.body == b"ok"
    hostile.release()
    assert pending.get(timeout=TIMEOUT).body == b"ok"
    assert_well(client, hostile)
    assert len(hostile.clients) == 1
    assert hostile.clients[0].closed is None
    assert told(hostile) == set()


def test_a_server_that_opens_no_stream_of_its_own_is_served(
    client: quiver.Client, hostile: HostileOrigin
) -> None:
    """It breaks RFC 9114 6.2.1, but nobody can tell for how long SETTINGS are still to come."""
    hostile.greeting = lambda peer: None
    assert_well(client, hostile)
    assert hostile.clients[0].closed is None
