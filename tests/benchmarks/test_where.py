"""Which room a frame counts for, and that the rooms add up."""

from __future__ import annotations

import time
from pathlib import Path

import aioquic.h3.connection
import aioquic.quic.connection
import pytest

import quiver
from benchmarks.where import ROOMS, Sampler, room_of

PACKAGE = Path(quiver.__file__).resolve().parent


@pytest.mark.parametrize(
    ("filename", "room"),
    [
        (aioquic.quic.connection.__file__, "QUIC"),
        (aioquic.h3.connection.__file__, "HTTP/3"),
        (str(PACKAGE / "h3/quic.py"), "QUIC"),
        (str(PACKAGE / "h3/session.py"), "HTTP/3"),
        (str(PACKAGE / "pool/udp.py"), "sockets"),
        (str(PACKAGE / "pool/routing.py"), "coordinator"),
        (str(PACKAGE / "pool/exchanges.py"), "connection"),
        (str(PACKAGE / "pool/ref.py"), "caller"),
        (str(PACKAGE.parent / "actors/reply.py"), "actors"),
        (str(PACKAGE / "client.py"), "caller"),
        ("<attrs generated methods quiver.pool.exchange.Exchange>", "connection"),
        ("<attrs generated methods quiver.request.Request>", "caller"),
        (time.__name__, None),
    ],
)
def test_a_file_has_its_room(filename: str, room: str | None) -> None:
    assert room_of(filename) == room


def test_the_rooms_add_up() -> None:
    with Sampler() as sampler:
        due = time.process_time() + 0.2
        while time.process_time() < due:
            quiver.Request("GET", "/")
    shares = sampler.shares()
    assert sum(shares.values()) == pytest.approx(1.0)
    assert set(shares) == set(ROOMS)
    assert shares["caller"] > 0.5
