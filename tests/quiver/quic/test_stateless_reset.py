"""A stateless reset ends the connection; what only looks like one does not (RFC 9000 10.3.1)."""

from __future__ import annotations

from typing import Any

import pytest

from quiver.config import PoolConfig
from quiver.errors import ConnectionLost
from quiver.h3 import events
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.request import Request
from quiver.testing import Authority
from tests.support.engines.http3_wire import Server, Wire, connected

GET = request_fields(Request("GET", "/"), Origin("https", "localhost", 4433))
NOISE = b"\x40" + bytes(range(30))


@pytest.fixture
def wire(authority: Authority) -> Wire:
    return connected(PoolConfig(cafile=authority.cafile), Server(authority.issue()))


def token_of(wire: Wire) -> bytes:
    server: Any = wire.server
    token: bytes = server.quic._host_cids[0].stateless_reset_token
    return token


def test_a_reset_ends_the_connection_and_nothing_more_is_sent(wire: Wire) -> None:
    wire.h3.open_request(GET, None)
    wire.h3.receive(NOISE + token_of(wire), wire.now)
    (closed,) = [each for each in wire.h3.events() if isinstance(each, events.ConnectionEnded)]
    assert isinstance(closed.error, ConnectionLost)
    assert "stateless reset" in str(closed.error)
    assert wire.h3.closed
    assert wire.h3.timer() is None
    assert wire.h3.datagrams(wire.now) == []


@pytest.mark.parametrize("tail", ["another token", "no token", "too short"])
def test_what_is_no_reset_is_passed_over(wire: Wire, tail: str) -> None:
    token = token_of(wire)
    wrong = {
        "another token": NOISE + bytes(reversed(token)),
        "no token": NOISE,
        "too short": b"\x40\x01\x02\x03" + token,
    }
    wire.h3.receive(wrong[tail], wire.now)
    assert not wire.h3.closed
