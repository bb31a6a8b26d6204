"""Packets as they answer requests: an ACK, leave for more streams, what a stream has next."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from aioquic.buffer import encode_uint_var
from aioquic.quic.connection import QuicConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quiver.quic.aioquic.packet_keys import PacketKeys
from quiver.testing import Authority
from tests.quiver.quic.test_ack_row import ack
from tests.quiver.quic.test_fast_receive import PING, SECTION, alike, asking, stream_frame
from tests.support.cases.fast_path_differential import crafted, quic_of, silent, ways
from tests.support.engines.http3_wire import Wire
from tests.support.short_form import examples

PIECE = b"\x00\x01x"  # a DATA frame
STREAMS: dict[str, Any] = {"max_streams": 64}


def more(streams: int) -> bytes:
    """A MAX_STREAMS frame for requests."""
    return b"\x12" + encode_uint_var(streams)


def frames_of(wire: Wire, kinds: list[str], offset: int) -> tuple[bytes, int]:
    """The frames of one packet, and how far the first stream has come with it."""
    frames = b""
    for kind in kinds:
        what, _, number = kind.partition(" ")
        match what:
            case "ack":
                frames += ack(range(quic_of(wire)._packet_number))
            case "more":
                frames += more(int(number))
            case "data":
                piece = PIECE if offset else SECTION
                frames += stream_frame(0, piece, offset=offset)
                offset += len(piece)
            case "ping":
                frames += PING
    return frames, offset


def arrive(wire: Wire, packets: list[list[str]]) -> None:
    datagrams, offset = [], 0
    for kinds in packets:
        frames, offset = frames_of(wire, kinds, offset)
        datagrams.append(crafted(wire, frames.ljust(4, b"\0")))
    wire.h3.receive_all(datagrams, wire.now)
    wire.events += wire.h3.events()


kinds = st.sampled_from(
    ["ack", "data", "data", "ping", *(f"more {n}" for n in (0, 63, 65, 64, 130, 1 << 14, 1 << 30))]
)


@settings(max_examples=examples(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packets=st.lists(st.lists(kinds, max_size=4), min_size=1, max_size=5))
def test_whatever_comes_together_is_taken_as_aioquic_takes_it(
    authority: Authority, packets: list[list[str]]
) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        wire.h3.ping(1)
        wire.flush()
        wire.now += 0.005
        arrive(wire, packets)
        allowed.append(quic_of(wire)._remote_max_streams_bidi)

    allowed: list[int] = []
    alike(authority, act, **STREAMS)
    assert allowed[0] == allowed[1]


@pytest.mark.parametrize("packets", [[["ack", "more 65"], ["data"]], [["ack", "more 65", "data"]]])
def test_an_answer_never_goes_the_long_way(authority: Authority, packets: list[list[str]]) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        with (
            patch.object(PacketKeys, "decrypt_packet", side_effect=AssertionError),
            patch.object(QuicConnection, "_payload_received", side_effect=AssertionError),
        ):
            arrive(wire, packets)
        assert quic_of(wire)._remote_max_streams_bidi == 65
        assert [type(event).__name__ for event in wire.on(0)] == ["Headers"]
        raise Done

    class Done(Exception):
        pass

    with pytest.raises(Done):  # the other way is the long one
        ways(authority, act, silent, **STREAMS)


def test_who_waits_for_more_streams_goes_on(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        quic = quic_of(wire)
        for each in range(64):
            quic.send_stream_data(4 * each, b"\x01", False)  # a frame begins
        quic.send_stream_data(4 * 64, b"\x01", False)
        wire.settle()
        assert quic._streams[4 * 64].is_blocked
        arrive(wire, [["more 64"]])
        assert quic._streams[4 * 64].is_blocked
        arrive(wire, [["more 65"]])
        assert not quic._streams[4 * 64].is_blocked
        wire.flush()

    alike(authority, act, **STREAMS)


@pytest.mark.parametrize("frame", [b"\x12", b"\x12\x40", more(1 << 60), more((1 << 60) + 1)])
@pytest.mark.parametrize("before", [["ack"], ["data"], ["ack", "data"]], ids=str)
def test_what_is_cut_off_or_too_many_comes_to_the_same(
    authority: Authority, frame: bytes, before: list[str]
) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        frames, _ = frames_of(wire, before, 0)
        wire.h3.receive_all([crafted(wire, frames + frame)], wire.now)
        wire.flush()

    alike(authority, act, **STREAMS)
