"""Rows of packets with bodies: taken together they come to what aioquic makes of each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any
from unittest.mock import patch

import pytest
from aioquic.quic.connection import QuicConnection
from aioquic.tls import Epoch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from quiver.config import PoolConfig
from quiver.h3 import events
from quiver.quic.aioquic.fast_receive import ROW
from quiver.quic.aioquic.packet_keys import PacketKeys
from quiver.quic.engine import StreamDataReceived
from quiver.testing import Authority
from tests.quiver.quic.test_fast_receive import PING, SECTION, alike, asking, stream_frame
from tests.support.cases.fast_path_differential import crafted, quic_of, server_of, silent, space_of
from tests.support.engines.http3_wire import Server, Wire, connected
from tests.support.short_form import examples

HEAD = SECTION + b"\x00\xc0\x00\x00\x00\x40\x00\x00\x00"  # of a body of 1 GiB


def body(count: int, *, size: int = 1_000, stream_id: int = 0, fin: bool = False) -> list[bytes]:
    """Packets' frames: a header section, and what follows."""
    at = range(len(HEAD), len(HEAD) + count * size, size)
    pieces = [stream_frame(stream_id, b"x" * size, offset=each) for each in at]
    end = len(HEAD) + count * size
    ended = [stream_frame(stream_id, b"x", offset=end, fin=True)] if fin else []
    return [stream_frame(stream_id, HEAD), *pieces, *ended]


def together(wire: Wire, *payloads: bytes) -> None:
    """They have come before anybody looks."""
    row(wire, [crafted(wire, each) for each in payloads])


def row(wire: Wire, datagrams: list[bytes]) -> None:
    wire.h3.receive_all(datagrams, wire.now)
    wire.flush()


@pytest.fixture
def wire(authority: Authority) -> Wire:
    made = connected(PoolConfig(cafile=authority.cafile), Server(authority.issue(), silent))
    made.settle()
    asking(made, 2)
    return made


# what is common -----------------------------------------------------------------------------


def test_a_body_is_opened_in_rows_and_passed_on_at_once(wire: Wire) -> None:
    datagrams = [crafted(wire, each) for each in body(2 * ROW - 2, fin=True)]
    wire.h3.receive(datagrams[0], wire.now)
    quic = quic_of(wire)
    with (
        patch.object(PacketKeys, "decrypt_packet", side_effect=AssertionError),
        patch.object(QuicConnection, "_payload_received", side_effect=AssertionError),
    ):
        wire.h3.receive_all(datagrams[1:], wire.now)
    happened = [each for each in quic._events if isinstance(each, StreamDataReceived)]
    assert [len(each.data) for each in happened[1:]] == [1_000 * ROW, 1_000 * (ROW - 2) + 1]
    assert [each.ended for each in happened] == [False, False, True]


def test_streams_that_take_turns_are_told_apart(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asking(wire, 2)
        one, other = body(6), body(6, stream_id=4)
        mixed = [each for both in zip(one, other, strict=True) for each in both]
        together(wire, *mixed)
        together(wire, b"".join((stream_frame(0, b"y" * 5, offset=len(HEAD) + 6_000), PING)))

    wire = alike(authority, act)
    assert [sum(len(each.content) for each in wire.on(n)[1:]) for n in (0, 4)] == [6_005, 6_000]


def test_no_more_is_looked_at_together_than_is_known_to_be_common(wire: Wire) -> None:
    """What is dear is to be looked at one by one: the time is, after each."""
    looked = count()

    def coming(payloads: list[bytes]) -> Iterator[bytes]:
        for each in payloads:
            next(looked)
            yield crafted(wire, each)

    taken: list[int] = []
    take_row = quic_of(wire).fast_receive.take_row

    def taking(datagrams: Any, now: float) -> int:
        taken.append(len(datagrams))
        return int(take_row(datagrams, now))

    together(wire, PING)  # after acknowledgements, which are common
    with patch.object(quic_of(wire).fast_receive, "take_row", taking):
        wire.h3.receive_all(coming([PING] * 4), wire.now)
        wire.h3.receive_all(coming(body(ROW + 3)), wire.now)
        wire.h3.receive_all(coming([PING] * 4), wire.now)
        wire.h3.receive_all(coming([PING] * 2), wire.now)
    assert taken == [1, 1, 1, 1, 1, ROW, 3, 4, 1, 1]
    assert sum(taken) == next(looked)


# what is not --------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [1, 5, 30])
@pytest.mark.parametrize(
    "fault", ["lost", "late", "twice", "forged", "short", "other id", "reserved", "none", "a ping"]
)
def test_what_becomes_of_a_packet_amid_others(authority: Authority, fault: str, at: int) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        quic, payloads = server_of(wire).quic, body(ROW - 1)
        bits, frames = 0x10 if fault == "reserved" else 0, payloads[at]
        if fault in ("none", "a ping"):
            frames = b"" if fault == "none" else PING
        datagrams = [crafted(wire, each) for each in payloads[:at]]
        if fault == "other id":
            quic._peer_cid, quic._peer_cid_available[0] = (
                quic._peer_cid_available[0],
                quic._peer_cid,
            )
        one = crafted(wire, frames, bits=bits) if frames else without_frames(wire)
        datagrams += [one, *(crafted(wire, each) for each in payloads[at + 1 :])]
        if fault in ("lost", "late"):
            del datagrams[at]
        if fault == "late":
            datagrams.append(one)
        if fault == "twice":
            datagrams.insert(at, one)
        if fault in ("forged", "short"):
            datagrams.insert(at, one[:-1] + bytes([one[-1] ^ 1]) if fault == "forged" else one[:12])
        row(wire, datagrams)
        wire.settle(0.1)

    wire = alike(authority, act)
    assert (wire.error is not None) == (fault in ("reserved", "none"))


def without_frames(wire: Wire) -> bytes:
    """A packet that has nothing, and a number of four bytes for the sample to be there."""
    quic = server_of(wire).quic
    keys, number = quic._cryptos[Epoch.ONE_RTT], quic._packet_number
    quic._packet_number += 1
    header = bytes([0x43 | keys.key_phase << 2]) + quic._peer_cid.cid + number.to_bytes(4)
    packet: bytes = keys.encrypt_packet(header, b"", number)
    return packet


@pytest.mark.parametrize("at", [0, 7, 31])
@pytest.mark.parametrize("times", [1, 2])
def test_keys_that_are_updated_amid_a_row(authority: Authority, at: int, times: int) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        payloads = body(ROW * times)
        for turn in range(times):
            some = payloads[turn * ROW : turn * ROW + ROW]
            datagrams = [crafted(wire, each) for each in some[:at]]
            server_of(wire).quic._cryptos[Epoch.ONE_RTT].update_key()
            datagrams += [crafted(wire, each) for each in some[at:]]
            row(wire, datagrams)
            wire.settle(0.1)
        assert quic_of(wire).packet_keys.recv.key_phase == times % 2

    assert alike(authority, act).error is None


@pytest.mark.parametrize("whose", ["stream", "connection"])
def test_a_server_that_sends_more_than_it_may_amid_a_row(authority: Authority, whose: str) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        room = len(HEAD) + 4_500
        if whose == "stream":
            quic_of(wire)._streams[0].max_stream_data_local = room
        else:
            limit = quic_of(wire)._local_max_data
            limit.value = limit.used + room
        together(wire, *body(ROW - 1))

    assert "Over" in str(alike(authority, act).error)


def test_what_comes_behind_the_end_of_a_stream(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asking(wire, ended=False)  # else it is forgotten at once
        together(wire, *body(4, fin=True), stream_frame(0, b"x", offset=len(HEAD) + 4_001))

    assert alike(authority, act).error is not None


@pytest.mark.parametrize("last", [b"\x1d\x41\x00\x00", b"\x04\x00\x41\x0c\x00", b"\x19\x01\x00"])
def test_what_other_frames_say_amid_a_row(authority: Authority, last: bytes) -> None:
    """The end of the connection; that of a stream; an id of ours that is not used any more."""

    def act(wire: Wire) -> None:
        asking(wire)
        payloads = body(ROW - 2)
        payloads[6] += last
        together(wire, *payloads)
        wire.settle(0.1)

    alike(authority, act)


@pytest.mark.parametrize("behind", [bytes(3), b"\x02\x00\x00\x00\x00"])
def test_what_is_behind_a_stream_frame_asks_for_no_acknowledgement(
    authority: Authority, behind: bytes
) -> None:
    """Padding, and an acknowledgement; but the frame does."""

    def act(wire: Wire) -> None:
        asking(wire)
        together(wire, stream_frame(0, HEAD) + behind)
        assert space_of(wire).ack_at is None  # it is on its way

    alike(authority, act)


def test_credit_is_raised_as_by_aioquic(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        limit = quic_of(wire)._streams[0].max_stream_data_local
        payloads = body(limit // 1_000 + 20)
        for at in range(0, len(payloads), ROW):
            together(wire, *payloads[at : at + ROW])
        assert quic_of(wire)._streams[0].max_stream_data_local > limit

    wire = alike(authority, act)
    assert not wire.of(events.ConnectionEnded)


frames = st.one_of(
    st.builds(
        stream_frame,
        st.sampled_from([0, 0, 0, 4, 8, 3, 40]),
        st.binary(max_size=12),
        offset=st.integers(0, 30),
        fin=st.booleans(),
    ),
    st.sampled_from([PING, b"\x05\x04\x41\x0c", b"\x04\x04\x41\x0c\x03", bytes(3)]),
)
long_streams = st.lists(st.integers(1, 300), min_size=1, max_size=20)
fates = st.lists(
    st.sampled_from(["comes"] * 6 + ["is lost", "is late", "comes twice"]), min_size=24, max_size=24
)


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=long_streams,
    strange=st.lists(st.tuples(st.integers(0, 19), frames), max_size=3),
    fates=fates,
    size=st.integers(1, 20),
)
@example(
    sizes=[1] * 10,
    strange=[(11, b"\x05\x04\x41\x0c")],
    fates=["comes"] * 9 + ["is lost"] + ["comes"] * 14,
    size=3,
)
def test_whatever_becomes_of_a_body_it_comes_to_the_same(
    authority: Authority,
    sizes: list[int],
    strange: list[tuple[int, bytes]],
    fates: list[str],
    size: int,
) -> None:
    """Of loss, of packets that overtake others, and of other frames among them."""

    def act(wire: Wire) -> None:
        asking(wire, 3, ended=False)
        payloads, at = [stream_frame(0, HEAD)], len(HEAD)
        for each in sizes:
            payloads.append(stream_frame(0, b"z" * each, offset=at))
            at += each
        for place, frame in strange:
            payloads.insert(place, frame)
        arriving: list[bytes] = []
        late: list[bytes] = []
        for payload, fate in zip(payloads, fates, strict=False):
            packet = crafted(wire, payload)
            arriving += {"comes": [packet], "comes twice": [packet] * 2}.get(fate, [])
            arriving += late
            late = [packet] if fate == "is late" else []
        arriving += late
        for begin in range(0, len(arriving), size):
            row(wire, arriving[begin : begin + size])
        wire.settle(0.1)

    alike(authority, act)
