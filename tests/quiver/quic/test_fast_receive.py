"""The fast path in: it takes what aioquic would take, and refuses what aioquic would refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import pytest
from aioquic.buffer import encode_uint_var
from aioquic.quic.connection import QuicConnection, QuicConnectionId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quiver.config import PoolConfig
from quiver.h3 import events
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.request import Request
from quiver.testing import Authority
from tests.support.cases.fast_path_differential import (
    crafted,
    quic_of,
    server_of,
    silent,
    space_of,
    standing,
    ways,
)
from tests.support.engines.http3_wire import CLIENT, Server, Wire, connected
from tests.support.short_form import examples

ORIGIN = Origin("https", "localhost", 4433)
GET = request_fields(Request("GET", "/"), ORIGIN)
SECTION = b"\x01\x03\x00\x00\xd9"  # a HEADERS frame: status 200, from the static table
PING = b"\x01\x00\x00"  # padded, for header protection to have its sample
MUCH = 1 << 21  # bytes; beyond the window of a stream that nobody reads


def stream_frame(
    stream_id: int, data: bytes, *, offset: int = 0, fin: bool = False, length: int | None = None
) -> bytes:
    kind = 0x0A | (0x04 if offset else 0) | (0x01 if fin else 0)
    size = len(data) if length is None else length
    at = encode_uint_var(offset) if offset else b""
    return bytes([kind]) + encode_uint_var(stream_id) + at + encode_uint_var(size) + data


def arrive(wire: Wire, *payloads: bytes, bits: int = 0) -> None:
    """Packets of the server's with these frames, in a row."""
    datagrams = [crafted(wire, payload, bits=bits) for payload in payloads]
    wire.h3.receive_all(datagrams, wire.now)
    wire.flush()


def asking(wire: Wire, count: int = 1, *, ended: bool = True) -> None:
    for _ in range(count):
        wire.h3.open_request(GET, None, ended)
    wire.settle()
    wire.events.clear()


def alike(authority: Authority, act: Callable[[Wire], None], **options: Any) -> Wire:
    """Do it both ways, see that it comes to the same, and return the short one."""
    short, long = ways(authority, act, silent, **options)
    assert list(map(repr, short.events)) == list(map(repr, long.events))
    assert standing(short) == standing(long)
    return short


@pytest.fixture
def wire(authority: Authority) -> Wire:
    made = connected(PoolConfig(cafile=authority.cafile), Server(authority.issue(), silent))
    made.settle()
    asking(made)
    return made


# what is common -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", [0, 1])
def test_a_response_never_goes_the_long_way(wire: Wire, number: int) -> None:
    """For whichever of our connection ids it comes."""
    server_of(wire).quic._peer_cid = server_of(wire).quic._peer_cid_available[number]
    with (
        patch.object(QuicConnection, "receive_datagram", side_effect=AssertionError),
        patch.object(QuicConnection, "_handle_stream_frame", side_effect=AssertionError),
    ):
        arrive(wire, stream_frame(0, SECTION), stream_frame(0, b"\x00\x02ok", offset=5, fin=True))
    [whole] = wire.on(0)
    assert (whole.status, whole.content, whole.ended) == (200, b"ok", True)


def test_a_stream_is_forgotten_when_both_sides_have_ended(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asking(wire, 2)
        arrive(wire, stream_frame(0, SECTION, fin=True))
        assert set(quic_of(wire)._streams) & {0, 4} == {4}
        arrive(wire, stream_frame(0, SECTION, fin=True) + PING)  # late, and of no meaning

    alike(authority, act)


# what is not --------------------------------------------------------------------------------

CASES: dict[str, tuple[bytes, ...]] = {
    "out of order": (
        stream_frame(0, b"\x00\x02ok", offset=5, fin=True),
        stream_frame(0, SECTION),
    ),
    "a hole that is filled": (
        stream_frame(0, b"\x00\x02ok", offset=5),
        stream_frame(0, SECTION),
        stream_frame(0, b"", offset=9, fin=True),
    ),
    "twice": (stream_frame(0, SECTION), stream_frame(0, SECTION), stream_frame(0, b"", offset=5)),
    "overlapping": (
        stream_frame(0, SECTION[:4]),
        stream_frame(0, SECTION[2:] + b"\x00\x02ok", offset=2, fin=True),
    ),
    "an end alone": (stream_frame(0, SECTION), stream_frame(0, b"", offset=5, fin=True)),
    "an end, and then what was before it": (
        stream_frame(0, b"\x00\x00", offset=5, fin=True),
        stream_frame(0, SECTION),
    ),
    "without a length": (b"\x08\x00" + SECTION,),
    "of a request that was not made": (stream_frame(40, SECTION),),
    "of a stream of the server's": (stream_frame(1, b"x"),),
    "on our own control stream": (stream_frame(2, b"x"),),
    "beyond the stream's limit": (stream_frame(0, b"x", offset=MUCH),),
    "beyond the end, which is not reached": (
        stream_frame(0, b"x", offset=50, fin=True),
        stream_frame(0, b"x" * 60),
    ),
    "before what is there already": (
        stream_frame(0, b"x", offset=50),
        stream_frame(0, SECTION, fin=True),
    ),
    "shorter than it says": (stream_frame(0, b"x", length=50),),
    "cut off": (b"\x01\x0e\x00",),
    "too far": (stream_frame(0, b"x", offset=(1 << 62) - 1),),
    "reset": (stream_frame(0, SECTION), b"\x04\x00\x41\x0c\x05"),
    "reset, and more": (b"\x04\x00\x41\x0c\x05", stream_frame(0, SECTION)),
    "stopped": (b"\x05\x00\x41\x0c",),
    "stopped, of a request that was not made": (b"\x05\x28\x41\x0c",),
    "an unknown frame": (b"\x21\x00\x00",),
    "a frame of the handshake": (b"\x07\x01x",),
    "an acknowledgement of nothing": (b"\x02\x40\xff\x00\x00\x00",),
    "padding": (bytes(20),),
    "padding, and more": (bytes(20) + stream_frame(0, SECTION) + bytes(3),),
    "a challenge": (b"\x1a12345678",),
    "the end": (b"\x1d\x41\x00\x00",),
    "the end, and more": (b"\x1d\x41\x00\x00", stream_frame(0, SECTION)),
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", CASES)
def test_what_breaks_a_rule_or_is_rare_comes_to_the_same(authority: Authority, name: str) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        arrive(wire, *CASES[name])
        wire.settle(0.1)

    alike(authority, act)


@pytest.mark.parametrize("ended", [True, False])
@pytest.mark.parametrize(
    "more", [stream_frame(0, b"more", offset=5, fin=True), b"\x04\x00\x41\x0c\x07"]
)
def test_another_end_is_an_error_as_long_as_the_stream_is_known(
    authority: Authority, ended: bool, more: bytes
) -> None:
    """One that both sides have ended is forgotten at once; aioquic waits for the next flush."""

    def act(wire: Wire) -> None:
        asking(wire, ended=ended)
        arrive(wire, stream_frame(0, SECTION, fin=True))
        arrive(wire, more)

    assert (alike(authority, act).error is None) == ended


@pytest.mark.parametrize("bits", [0x08, 0x10, 0x18, 0x20])
def test_bits_of_the_first_byte(authority: Authority, bits: int) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        arrive(wire, PING, bits=bits)
        arrive(wire, PING, bits=bits)

    wire = alike(authority, act)
    assert (wire.error is not None) == (bits != 0x20)  # that is the spin bit


@pytest.mark.parametrize("fault", ["changed", "cut", "twice", "other id", "other address", "empty"])
def test_what_is_not_of_this_connection_is_passed_over(authority: Authority, fault: str) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        good = crafted(wire, PING + stream_frame(0, SECTION))
        bad = {
            "changed": good[:-1] + bytes([good[-1] ^ 1]),
            "cut": good[:20],
            "twice": good,
            "other id": good[:1] + bytes(8) + good[9:],
            "other address": good,
            "empty": b"",
        }[fault]
        if fault == "twice":
            wire.h3.receive(good, wire.now)
            wire.now += 1.0
        known = space_of(wire).largest_received_packet
        if fault == "other address":
            quic_of(wire).receive_datagram(bad, CLIENT, wire.now)
        else:
            wire.h3.receive(bad, wire.now)
        assert space_of(wire).largest_received_packet == known
        before = len(wire.events)
        wire.flush()
        assert len(wire.events) - before == (fault == "twice")
        wire.h3.receive(good, wire.now)
        wire.settle(0.1)

    wire = alike(authority, act)
    assert [type(event) for event in wire.on(0)] == [events.Headers]


def test_a_connection_id_is_retired_when_the_server_wants_it(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        quic = server_of(wire).quic
        number = quic._host_cid_seq
        issued = QuicConnectionId(bytes(8), number, bytes(16), was_sent=True)
        quic._host_cids.append(issued)
        payload = b"\x18" + bytes([number, 1, 8]) + issued.cid + issued.stateless_reset_token
        arrive(wire, payload)
        wire.settle(0.1)
        assert quic._host_cids[0].sequence_number == 1  # the first was retired

    alike(authority, act)


def test_a_connection_id_is_issued_for_one_that_the_server_retires(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        quic = server_of(wire).quic
        before = len(quic._peer_cid_available)
        arrive(wire, b"\x19\x01\x00")
        wire.settle(0.1)
        assert len(quic._peer_cid_available) == before + 1

    alike(authority, act)


def test_packets_in_any_order(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        made = [crafted(wire, PING, skipped=n % 3) for n in range(12)]
        for n in (3, 0, 9, 1, 11, 2, 5, 4, 10, 6):
            wire.h3.receive(made[n], wire.now)
        wire.settle(0.1)

    alike(authority, act)


def test_gaps_are_remembered_as_far_as_aioquic_does(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        for _ in range(80):
            wire.h3.receive(crafted(wire, PING, skipped=1), wire.now)
        assert len(space_of(wire).ack_queue) == 64

    short, long = ways(authority, act, silent)
    assert standing(short)["received"] == standing(long)["received"]


def test_a_server_that_sends_more_than_it_may(authority: Authority) -> None:
    """Of all streams together; none of them alone."""

    def act(wire: Wire) -> None:
        asking(wire)
        limit = quic_of(wire)._local_max_data
        limit.used = limit.value - 4
        arrive(wire, stream_frame(0, SECTION))

    wire = alike(authority, act)
    assert "connection data limit" in str(wire.error)


def test_a_server_that_sends_more_than_it_may_on_one_stream(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        quic_of(wire)._streams[0].max_stream_data_local = len(SECTION) - 1
        arrive(wire, stream_frame(0, SECTION))

    wire = alike(authority, act)
    assert "Over stream data limit" in str(wire.error)


@pytest.mark.long
def test_credit_of_a_long_response_is_raised(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        limit = quic_of(wire)._streams[0].max_stream_data_local
        arrive(wire, stream_frame(0, SECTION + b"\x00" + encode_uint_var(1 << 24)))
        chunk, at = b"x" * 1_000, len(SECTION) + 5
        while at < 2 * limit:
            arrive(wire, stream_frame(0, chunk, offset=at))
            at += len(chunk)
        assert quic_of(wire)._streams[0].max_stream_data_local > limit

    alike(authority, act)


frames = st.one_of(
    st.builds(
        stream_frame,
        st.sampled_from([0, 0, 4, 8, 3, 15, 40]),
        st.binary(max_size=12),
        offset=st.integers(0, 20),
        fin=st.booleans(),
    ),
    st.sampled_from([PING, b"\x05\x04\x41\x0c", b"\x04\x04\x41\x0c\x03", bytes(3)]),
)


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packets=st.lists(st.lists(frames, min_size=1, max_size=5).map(b"".join), max_size=8))
def test_whatever_frames_come_it_comes_to_the_same(
    authority: Authority, packets: list[bytes]
) -> None:
    def act(wire: Wire) -> None:
        asking(wire, 3, ended=False)  # see above: they are not to be forgotten
        for packet in packets:
            arrive(wire, packet)
        wire.settle(0.1)

    alike(authority, act)


def test_a_ping_is_acknowledged_at_once_while_nothing_is_asked(authority: Authority) -> None:
    wire = connected(PoolConfig(cafile=authority.cafile), Server(authority.issue(), silent))
    wire.settle()
    wire.h3.receive(crafted(wire, PING), wire.now)
    assert len(wire.h3.datagrams(wire.now)) == 1
    asking(wire)
    wire.h3.receive(crafted(wire, PING), wire.now)
    assert wire.h3.datagrams(wire.now) == []  # a request may follow soon
    wire.settle()
    assert space_of(wire).ack_at is None


def test_what_is_sent_after_something_came_puts_off_the_idle_timeout(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asking(wire)
        arrive(wire, PING)
        wire.now += 1.0
        wire.h3.open_request(GET, None)
        wire.flush()
        assert quic_of(wire)._close_at == wire.now + quic_of(wire)._idle_timeout()

    alike(authority, act)
