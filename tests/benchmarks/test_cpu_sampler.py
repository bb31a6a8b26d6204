"""Which room a frame counts for, and that the rooms add up."""

from __future__ import annotations

import re
import time
from pathlib import Path

import aioquic.h3.connection
import aioquic.quic.connection
import pytest

import quiver
from benchmarks.workloads import cpu_sampler
from benchmarks.workloads.cpu_sampler import ROOMS, Sampler, room_of

PACKAGE = Path(quiver.__file__).resolve().parent


@pytest.mark.parametrize(
    ("filename", "room"),
    [
        (aioquic.quic.connection.__file__, "QUIC"),
        (aioquic.h3.connection.__file__, "HTTP/3"),
        (str(PACKAGE / "quic/flow_control.py"), "QUIC"),
        (str(PACKAGE / "h3/client_connection.py"), "HTTP/3"),
        (str(PACKAGE / "pool/udp.py"), "sockets"),
        (str(PACKAGE / "pool/routing.py"), "coordinator"),
        (str(PACKAGE / "pool/exchanges.py"), "connection"),
        (str(PACKAGE / "pool/ref.py"), "caller"),
        (str(PACKAGE.parent / "actors/reply.py"), "actors"),
        (str(PACKAGE / "client.py"), "caller"),
        ("<attrs generated methods quiver.pool.exchanges.Exchange>", "connection"),
        ("<attrs generated methods quiver.request.Request>", "caller"),
        (time.__name__, None),
    ],
)
def test_a_file_has_its_room(filename: str, room: str | None) -> None:
    assert room_of(filename) == room


def test_the_files_that_a_room_names_are_there() -> None:
    """Else what they cost is counted for another room, when one is renamed."""
    named = [
        PACKAGE.parent / folder / f"{name}.py"
        for _, where in cpu_sampler._PLACES
        for folder, names in re.findall(r"([\w/]+)/\(([\w|]+)\)\\.py", where)
        for name in names.split("|")
    ]
    assert named
    assert [str(path) for path in named if not path.exists()] == []


def test_the_rooms_add_up() -> None:
    with Sampler() as sampler:
        due = time.process_time() + 0.2
        while time.process_time() < due:
            quiver.Request("GET", "/")
    shares = sampler.shares()
    assert sum(shares.values()) == pytest.approx(1.0)
    assert set(shares) == set(ROOMS)
    assert shares["caller"] > 0.5
