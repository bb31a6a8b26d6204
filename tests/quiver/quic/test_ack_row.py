"""Acknowledgements that came together: they are one ACK of all, and nothing else is taken so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from aioquic._buffer import Buffer
from aioquic.buffer import encode_uint_var
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import push_ack_frame
from aioquic.quic.rangeset import RangeSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quiver.quic.aioquic.fast_receive import ROW
from quiver.testing import Authority
from tests.quiver.quic.test_fast_receive import PING, SECTION, alike, asking, stream_frame
from tests.support.cases.fast_path_differential import (
    crafted,
    engine_of,
    quic_of,
    silent,
    space_of,
    standing,
    ways,
)
from tests.support.engines.http3_wire import Wire
from tests.support.short_form import examples

ROOM: dict[str, Any] = {"max_data": 1 << 26, "max_stream_data": 1 << 26}
POST = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
BODY = bytes(60_000)


def ack(*ranges: range, delay: int = 0) -> bytes:
    """An ACK frame of these numbers, with an encoded delay."""
    frame = Buffer(capacity=1_500)
    frame.push_uint_var(0x02)
    push_ack_frame(frame, RangeSet(ranges), delay, 1_400)
    return frame.data


def uploading(wire: Wire) -> range:
    """The numbers of a body's packets, which are out and of which the server will say nothing."""
    stream_id = wire.h3.open_request(POST, None, ended=False)
    wire.settle()
    wire.events.clear()
    cc = quic_of(wire)._loss._cc
    cc.congestion_window = 200_000
    quic_of(wire)._loss._pacer.packet_time = None
    wire.h3.send_body(stream_id, BODY, False)
    first = quic_of(wire)._packet_number
    sent = engine_of(wire).datagrams(wire.now)
    assert len(sent) > 40
    wire.now += 0.02
    return range(first, first + len(sent))


def take(wire: Wire, *payloads: bytes) -> None:
    """Packets of the server's with these frames, in a row; what they lead to is not sent."""
    wire.h3.receive_all([crafted(wire, each) for each in payloads], wire.now)


@contextmanager
def frames_handled() -> Iterator[list[int]]:
    """The ACK frames that aioquic is left."""
    theirs, seen = QuicConnection._handle_ack_frame, list[int]()

    def handle(quic: Any, *frame: Any) -> None:
        if quic._is_client:
            seen.append(1)
        theirs(quic, *frame)

    with patch.object(QuicConnection, "_handle_ack_frame", handle):
        yield seen


def both(
    authority: Authority, short: Callable[[Wire, range], None], long: Callable[[Wire, range], None]
) -> None:
    """Our way of the one, and aioquic's of the other, come to the same."""
    turns = iter((short, long))
    one, other = ways(authority, lambda wire: next(turns)(wire, uploading(wire)), silent, **ROOM)
    assert acknowledged(one) == acknowledged(other)


def acknowledged(wire: Wire) -> dict[str, Any]:
    """How it stands, but for the numbers that it has received."""
    quic, seen = quic_of(wire), standing(wire)
    loss, sender = quic._loss, quic._streams[0].sender
    del seen["received"], seen["spin"]
    times = (loss._rtt_latest, loss._rtt_min, loss._rtt_smoothed, space_of(wire).loss_time)
    return {**seen, "acked": list(sender._acked), "times": times}


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frames=st.lists(st.sets(st.integers(0, 40), min_size=1, max_size=12), min_size=2, max_size=6)
)
def test_a_row_of_them_is_one_of_all_that_they_say(
    authority: Authority, frames: list[set[int]]
) -> None:
    def ranges(numbers: set[int], first: int) -> list[range]:
        return [range(first + each, first + each + 1) for each in sorted(numbers)]

    def row(wire: Wire, sent: range) -> None:
        with frames_handled() as left:
            take(wire, *(ack(*ranges(each, sent.start)) for each in frames))
        assert not left

    def one(wire: Wire, sent: range) -> None:
        take(wire, ack(*ranges(set().union(*frames), sent.start)))

    both(authority, row, one)


def test_the_delay_is_that_of_the_largest_number(authority: Authority) -> None:
    def row(wire: Wire, sent: range) -> None:
        whole, part = ack(sent, delay=500), ack(sent[:4], delay=100)
        take(wire, ack(sent[:9], delay=900), whole, part)

    def one(wire: Wire, sent: range) -> None:
        take(wire, ack(sent, delay=500))

    both(authority, row, one)


FOLLOWED: dict[str, bytes] = {
    "by a PING": PING,
    "by padding": bytes(3),
    "by another": ack(range(1)),
    "by what there is not": b"\x40\xff",
}


@pytest.mark.parametrize("frame", FOLLOWED.values(), ids=FOLLOWED)
def test_one_with_more_in_its_packet_stands_for_itself(authority: Authority, frame: bytes) -> None:
    def act(wire: Wire) -> None:
        sent = uploading(wire)
        take(wire, ack(sent[:2]), ack(sent[:5]) + frame, ack(sent[:9]))
        wire.flush()

    alike(authority, act, **ROOM)


BROKEN: dict[str, bytes] = {
    "cut off": ack(range(5_000, 5_001))[:-1],
    "of a number below none": bytes([0x02, 3, 0, 0, 4]),
    "of a range below none": bytes([0x02, 9, 0, 1, 2, 30, 0]),
    "with ECN counts": bytes([0x03, 1, 0, 0, 0, 1, 1, 1]),
    "with ECN counts cut off": bytes([0x03, 1, 0, 0, 0, 1]),
    "of many ranges": ack(*(range(each, each + 1) for each in range(0, 90, 2))),
    "of what was not sent": ack(range(1 << 20, 1 << 20 | 3)),
    "padding": bytes(4),
}


@pytest.mark.parametrize("payload", BROKEN.values(), ids=BROKEN)
def test_what_is_rare_or_breaks_a_rule_comes_to_the_same(
    authority: Authority, payload: bytes
) -> None:
    def act(wire: Wire) -> None:
        sent = uploading(wire)
        take(wire, ack(sent[:2]), payload, ack(sent[:9]))
        wire.flush()

    alike(authority, act, **ROOM)


def test_events_come_in_the_order_of_their_packets(authority: Authority) -> None:
    """An answer to a PING beside the pieces of a response."""

    def act(wire: Wire) -> None:
        asking(wire)
        engine_of(wire).ping(7)
        number = quic_of(wire)._packet_number
        engine_of(wire).datagrams(wire.now)
        head = stream_frame(0, SECTION)
        rest = stream_frame(0, b"\x00\x01x", offset=len(SECTION))
        take(wire, head, ack(range(number, number + 1)), rest, ack(range(number)))
        wire.events += wire.h3.events()
        assert len(wire.events) > 1

    alike(authority, act)


def test_a_row_of_them_is_followed_by_a_long_one(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        sent, receiver = uploading(wire), engine_of(wire).receiver
        take(wire, ack(sent[:2]), ack(sent[:4]))
        ahead.append(receiver.ahead)

    ahead: list[int] = []
    ways(authority, act, silent, **ROOM)
    assert ahead == [ROW, 1]


def test_they_do_not_ask_to_be_acknowledged(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        sent = uploading(wire)
        take(wire, ack(sent[:2]), ack(sent[:4]))
        assert space_of(wire).ack_at is None

    ways(authority, act, silent, **ROOM)


def test_more_credit_is_acknowledged_later_while_a_body_goes_up(authority: Authority) -> None:
    credit = b"\x10" + encode_uint_var(1 << 27)

    def act(wire: Wire) -> None:
        sent = uploading(wire)
        quic_of(wire)._ack_delay = 0.001
        take(wire, ack(sent[:2]), credit)
        waits.append(space_of(wire).ack_at - wire.now)

    waits: list[float] = []
    ways(authority, act, silent, **ROOM)
    assert waits == [pytest.approx(0.01), pytest.approx(0.001)]
