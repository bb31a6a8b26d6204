"""Unidirectional streams with nothing under way: no flush looks at them, and none is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from quiver.config import PoolConfig
from quiver.testing import Authority
from tests.support.cases.fast_path_differential import (
    engine_of,
    quic_of,
    server_of,
    silent,
    standing,
    ways,
)
from tests.support.engines.http3_wire import LOST, Server, Tableless, Wire, connected

GREASE = b"\x40\x21"  # the type of a stream that nobody knows (RFC 9114 7.2.8)
FRAME = b"\x40\x21\x05hello"  # and of such a frame
CONTROL = 2  # our control stream


@pytest.fixture
def wire(authority: Authority) -> Wire:
    server = Server(authority.issue(), silent, h3=Tableless)
    made = connected(PoolConfig(cafile=authority.cafile), server)
    made.settle()
    return made


def queued(wire: Wire) -> list[int]:
    return [stream.stream_id for stream in quic_of(wire)._streams_queue]


def came(wire: Wire, stream_id: int) -> bytes:
    return b"".join(
        event.data for event in server_of(wire).seen if getattr(event, "stream_id", -1) == stream_id
    )


def test_none_is_among_those_to_serve(wire: Wire) -> None:
    assert CONTROL in quic_of(wire)._streams
    assert queued(wire) == []


@pytest.mark.parametrize("fates", [[], [LOST], [LOST, LOST]], ids=len)
def test_what_is_written_on_one_is_sent(wire: Wire, fates: list[Any]) -> None:
    wire._fates = iter(fates)
    before = came(wire, CONTROL)
    for turn in range(3):
        engine_of(wire).send_stream(CONTROL, FRAME, False)
        assert queued(wire) == [CONTROL]
        wire.flush()
        assert queued(wire) == [CONTROL]  # it may be lost
        wire.settle(5.0)
        assert came(wire, CONTROL) == before + (turn + 1) * FRAME
        assert queued(wire) == []


def opened(wire: Wire) -> int:
    """A stream of the server's that has begun, and is quiet."""
    server = server_of(wire)
    stream_id: int = server.quic.get_next_available_stream_id(is_unidirectional=True)
    server.send_raw(stream_id, GREASE)
    wire.settle()
    assert stream_id in quic_of(wire)._streams
    return stream_id


def ends(wire: Wire, stream_id: int) -> None:
    server_of(wire).send_raw(stream_id, b"end", ended=True)


def ends_empty(wire: Wire, stream_id: int) -> None:
    server_of(wire).send_raw(stream_id, b"", ended=True)


def breaks_off(wire: Wire, stream_id: int) -> None:
    server_of(wire).quic.reset_stream(stream_id, 0x10C)


def stopped(wire: Wire, stream_id: int) -> None:
    engine_of(wire).stop_sending(stream_id, 0x103)


@pytest.mark.parametrize("over", [ends, ends_empty, breaks_off, stopped])
@pytest.mark.parametrize("fates", [[], [LOST], [LOST, LOST]], ids=len)
def test_one_of_the_peers_ends_as_aioquic_lets_it_end(
    authority: Authority, over: Callable[[Wire, int], None], fates: list[Any]
) -> None:
    """It is forgotten, and the peer may open another one."""

    def act(wire: Wire) -> None:
        before = quic_of(wire)._local_max_streams_uni.value
        for _ in range(3):
            stream_id = opened(wire)
            wire._fates = iter(fates)
            over(wire, stream_id)
            wire.settle(5.0)
            assert stream_id not in quic_of(wire)._streams
        limit = quic_of(wire)._local_max_streams_uni
        assert limit.value == before + 3

    short, long = ways(authority, act, silent)
    assert queued(short) == []
    assert standing(short)["streams"] == standing(long)["streams"]
    assert standing(short)["end"] == standing(long)["end"] == ()


def test_what_is_asked_about_one_is_not_forgotten_before_it_has_arrived(wire: Wire) -> None:
    stream_id = opened(wire)
    assert queued(wire) == []
    wire._fates = iter([LOST])
    stopped(wire, stream_id)
    wire.flush()
    assert queued(wire) == [stream_id]
    wire.settle(5.0)
    assert any(type(event).__name__ == "StopSendingReceived" for event in server_of(wire).seen)
