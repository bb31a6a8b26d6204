"""Streams with a hole at their beginning: what comes after it must be held, and so needs a bound.

QUIC's windows are that bound, if they follow what has been read and not what has been received.
"""

from __future__ import annotations

from typing import Any, Final

import pytest
from aioquic.buffer import encode_uint_var

from quiver.config import PoolConfig
from quiver.testing import Authority
from tests.support.engines.http3_wire import Server, Wire, connected
from tests.support.fuzz.connection import GET, sealed
from tests.support.memory import MIB, bounded
from tests.support.servers.frames import GREASE

WINDOWS: Final = 7  # a window that doubles each time would be 128 MiB
MOST: Final = 24 * MIB


@pytest.fixture
def wire(authority: Authority) -> Wire:
    server = Server(authority.issue())
    made = connected(PoolConfig(cafile=authority.cafile), server)
    made.h3.open_request(GET, None)
    made.settle()
    return made


def connection_of(wire: Wire) -> Any:
    """aioquic's, of the client."""
    engine: Any = wire.h3._engine
    return engine.connection


def stream_frame(stream_id: int, offset: int, content: bytes) -> bytes:
    """RFC 9000 19.8, with offset and length."""
    numbers = (0x0E, stream_id, offset, len(content))
    return b"".join(encode_uint_var(number) for number in numbers) + content


def open_stream(wire: Wire) -> int:
    """A stream of no meaning; its id."""
    assert wire.server is not None
    assert wire.server.quic is not None
    fresh = wire.server.quic.get_next_available_stream_id(is_unidirectional=True)
    wire.server.send_raw(fresh, encode_uint_var(GREASE))
    wire.settle(0.1)
    return fresh


def write_at_the_end_of_the_window(wire: Wire, stream_id: int) -> None:
    """One byte, as far from the beginning as the connection allows."""
    assert wire.server is not None
    end = connection_of(wire)._streams[stream_id].max_stream_data_local
    packet = sealed(wire.server.quic, stream_frame(stream_id, end - 1, b"x"))
    wire.h3.receive(packet, wire.now)
    wire.settle(0.1)


@pytest.mark.parametrize("name", ["request", "control", "unknown"])
def test_a_hole_lets_no_window_grow(wire: Wire, name: str) -> None:
    stream_id = {"control": 3, "unknown": 15}.get(name, 0)
    assert open_stream(wire) == 15
    with bounded(MOST):
        for _ in range(WINDOWS):
            write_at_the_end_of_the_window(wire, stream_id)
    assert wire.error is None


def test_holes_on_every_stream_stay_within_the_connections_window(wire: Wire) -> None:
    with bounded(MOST):
        for _ in range(32):
            if wire.error is None:
                write_at_the_end_of_the_window(wire, open_stream(wire))
    assert "FLOW_CONTROL_ERROR" in str(wire.error)
