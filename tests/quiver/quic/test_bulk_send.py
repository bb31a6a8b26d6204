"""Runs of a body's packets: they are what aioquic would send, whatever becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import inf
from typing import Any
from unittest.mock import patch

import pytest
from aioquic.quic.connection import QuicConnection
from aioquic.quic.crypto import CryptoContext, next_key_phase
from aioquic.quic.stream import QuicStreamSender
from aioquic.tls import CipherSuite
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quiver.config import PoolConfig
from quiver.h3 import events
from quiver.quic.aioquic.packet_rows import Packet, seal_run, short_header
from quiver.quic.aioquic.sent_runs import BodyPacket, Run, packet_of
from quiver.quic.congestion import Cubic, Reno
from quiver.testing import Authority
from tests.support.cases.fast_path_differential import (
    engine_of,
    issued,
    quic_of,
    send_of,
    server_of,
    space_of,
    standing,
    ways,
)
from tests.support.engines.http3_wire import (
    ARRIVES,
    LOST,
    Fate,
    Server,
    Tableless,
    Wire,
    connected,
)
from tests.support.short_form import examples

POST = [
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"localhost"),
    (b":path", b"/"),
]
OK = [(b":status", b"200")]
CANCELLED = 0x10C
ROOM: dict[str, Any] = {"max_data": 1 << 26, "max_stream_data": 1 << 26}
SUITES = [
    CipherSuite.AES_128_GCM_SHA256,
    CipherSuite.AES_256_GCM_SHA384,
    CipherSuite.CHACHA20_POLY1305_SHA256,
]

Act = Callable[[Wire], None]
slow = settings(
    max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def ok(server: Server, event: Any) -> None:
    if getattr(event, "stream_ended", False):
        assert server.h3 is not None
        server.h3.send_headers(event.stream_id, OK)
        server.h3.send_data(event.stream_id, b"ok", True)


def content(size: int) -> bytes:
    """Bytes of which no packet's are another one's."""
    return b"".join(at.to_bytes(4, "big") for at in range(size // 4 + 1))[:size]


def begin(wire: Wire) -> int:
    return wire.h3.open_request(POST, None, ended=False)


def upload(wire: Wire, *sizes: int) -> list[int]:
    """Send a body of each size, and wait until all are answered."""
    asked = [begin(wire) for _ in sizes]
    for stream_id, size in zip(asked, sizes, strict=True):
        wire.h3.send_body(stream_id, content(size), True)
    answered(wire, asked)
    return asked


def uploading(size: int) -> Act:
    def act(wire: Wire) -> None:
        upload(wire, size)

    return act


def answered(wire: Wire, asked: list[int]) -> None:
    def done(stream_id: int) -> bool:
        return any(getattr(event, "ended", False) for event in wire.on(stream_id))

    wire.run(lambda: all(map(done, asked)))
    wire.settle(5.0)


def came(wire: Wire, stream_id: int) -> bytes:
    seen = server_of(wire).requests
    return b"".join(getattr(e, "data", b"") for e in seen if e.stream_id == stream_id)


def runs_of(wire: Wire) -> int:
    """Packets that have gone in runs, and are out."""
    records = space_of(wire).sent_packets.values()
    return sum(isinstance(each, Run | BodyPacket) for each in records)


def alike(authority: Authority, act: Act, **options: Any) -> tuple[Wire, Wire]:
    short, long = ways(authority, act, ok, **{**ROOM, **options})
    assert short.events == long.events
    assert short.sizes == long.sizes
    assert standing(short) == standing(long)
    assert server_of(short).requests == server_of(long).requests
    return short, long


# what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.name)
@pytest.mark.parametrize("spin", [False, True])
def test_a_run_is_sealed_as_aioquic_seals_each_packet(suite: CipherSuite, spin: bool) -> None:
    context = CryptoContext()
    context.setup(cipher_suite=suite, secret=b"s" * 48, version=1)
    cid, payloads = b"12345678", [content(size) for size in (1_200, 2, 1_400, 1_400, 3)]
    for keys in (context, next_key_phase(context)):
        for first in (0, 0xFFFE, 0x1_2345_6789):
            theirs = [
                keys.encrypt_packet(short_header(spin, keys.key_phase, cid, at), payload, at)
                for at, payload in enumerate(payloads, first)
            ]
            assert seal_run(keys, spin, cid, first, payloads) == theirs
            for at, (payload, sealed) in enumerate(zip(payloads, theirs, strict=True), first):
                alone: Any = Packet(at, len(payload), 0.0)
                alone._frames.push_bytes(payload)
                assert alone.sealed(keys, spin, cid) == sealed
                assert alone.sent_bytes == len(sealed)


@pytest.mark.parametrize(
    "size", [0, 1, 2_000, *range(16_300, 16_420, 7), *range(28_000, 29_500, 61), 300_000]
)
def test_a_body_is_sent_as_aioquic_would(authority: Authority, size: int) -> None:
    short, _ = alike(authority, uploading(size))
    assert came(short, 0) == content(size)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_end_may_come_with_a_full_packet(authority: Authority, more: int) -> None:
    def act(wire: Wire) -> None:
        asked = begin(wire)
        before = quic_of(wire)._streams[asked].sender._buffer_stop + 3  # HEADERS, and DATA's length
        whole = 1_169 + 2 * 1_167  # 2 bytes of an offset are in all but the first
        wire.h3.send_body(asked, content(whole - before + more), True)
        wire.flush()
        assert (wire.sizes.count(1_200) == 3) is (more >= 0)
        answered(wire, [asked])

    alike(authority, act)


def test_nearly_all_of_it_goes_in_runs(authority: Authority) -> None:
    theirs, frames = QuicConnection._write_stream_frame, [0, 0]

    def counted(quic: Any, *frame: Any, **named: Any) -> int:
        written = theirs(quic, *frame, **named)
        frames[-1] += quic._is_client and written > 0
        return written

    def act(wire: Wire) -> None:
        frames.append(0)
        with patch.object(QuicConnection, "_write_stream_frame", counted):
            upload(wire, 1_000_000)

    alike(authority, act)
    short, long = frames[-2:]
    assert long > 690
    assert short < long / 8


def pieces() -> st.SearchStrategy[list[tuple[int, int]]]:
    """Bytes to send, and milliseconds to wait after that."""
    size = st.one_of(st.integers(0, 200), st.integers(2_000, 60_000))
    return st.lists(st.tuples(size, st.sampled_from([0, 0, 1, 7, 30])), max_size=10)


@slow
@given(pieces=pieces(), ended=st.booleans())
def test_a_body_that_comes_in_pieces_is_sent_as_aioquic_would(
    authority: Authority, pieces: list[tuple[int, int]], ended: bool
) -> None:
    def act(wire: Wire) -> None:
        asked = begin(wire)
        for size, wait in pieces:
            wire.h3.send_body(asked, content(size), False)
            wire.settle(wait / 1000)
        if ended:
            wire.h3.send_body(asked, b"", True)
            answered(wire, [asked])
        wire.settle(5.0)

    short, _ = alike(authority, act)
    assert came(short, 0) == b"".join(content(size) for size, _ in pieces)


def test_several_bodies_take_turns(authority: Authority) -> None:
    """In which order is not told: aioquic's is by the identity of objects."""

    def act(wire: Wire) -> None:
        for each in upload(wire, 200_000, 300_000, 5_000, 300_000):
            assert came(wire, each) == content(
                {4: 300_000, 8: 5_000, 12: 300_000}.get(each, 200_000)
            )

    ways(authority, act, ok, **ROOM)


def test_requests_go_beside_a_body(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        long = begin(wire)
        wire.h3.send_body(long, content(300_000), True)
        asked = [long]
        wire.flush()
        for _ in range(20):
            wire.step()
            asked.append(wire.h3.open_request(POST, b"small"))
        answered(wire, asked)
        assert [len(came(wire, each)) for each in asked] == [300_000, *[5] * 20]

    ways(authority, act, ok, max_streams=100, **ROOM)


# what becomes of it -------------------------------------------------------------------------

fates = st.lists(
    st.sampled_from([ARRIVES] * 5 + [LOST, Fate((0.0, 0.004)), Fate((0.015,)), Fate((0.2,))]),
    max_size=300,
)


@slow
@given(fates=fates)
def test_all_arrives_whatever_is_lost_late_or_doubled(
    authority: Authority, fates: list[Fate]
) -> None:
    def act(wire: Wire) -> None:
        wire._fates = iter(fates)
        upload(wire, 200_000)

    short, _ = alike(authority, act)
    assert came(short, 0) == content(200_000)
    assert not runs_of(short)


@pytest.mark.parametrize("lost", [0, 1, 5, 11, 12, 13, 30])
@pytest.mark.parametrize("more", [0, 1, 3])
def test_what_is_lost_of_a_run_is_sent_again_as_by_aioquic(
    authority: Authority, lost: int, more: int
) -> None:
    def act(wire: Wire) -> None:
        wire._fates = iter([ARRIVES] * lost + [LOST] * (1 + more) + [ARRIVES] * 3 + [LOST])
        upload(wire, 40_000)

    short, _ = alike(authority, act)
    assert came(short, 0) == content(40_000)


@pytest.mark.parametrize("taken", [[1], [2], [1, 3], [2, 3]])
def test_what_was_taken_for_lost_leaves_a_hole(authority: Authority, taken: list[int]) -> None:
    """The acknowledgement is of all, as they have arrived; but these are sent again."""

    def act(wire: Wire) -> None:
        asked = begin(wire)
        wire.h3.send_body(asked, content(11_000), False)
        wire.flush()
        space, loss = space_of(wire), quic_of(wire)._loss
        packets = list(space.sent_packets.items())
        lost = [packet_of(packets[each][1], packets[each][0]) for each in taken]
        loss._on_packets_lost(congestion_event=False, now=wire.now, packets=lost, space=space)
        wire.h3.send_body(asked, content(11_000), True)
        answered(wire, [asked])

    short, _ = alike(authority, act)
    assert came(short, 0) == 2 * content(11_000)


@pytest.mark.parametrize("credit", [1 << 26, 40_000])
@pytest.mark.parametrize("window", [100_000, 8_000, 4_000])
def test_what_follows_what_is_lost_goes_in_runs(
    authority: Authority, window: int, credit: int
) -> None:
    gone: list[list[bool]] = []

    def act(wire: Wire) -> None:
        asked, space, loss = begin(wire), space_of(wire), quic_of(wire)._loss
        send_of(wire).path.mtu.probe_due = inf
        wire.h3.send_body(asked, content(11_000), False)
        wire.flush()
        packets = list(space.sent_packets.items())
        lost = [packet_of(packet, number) for number, packet in packets[2:5]]
        loss._on_packets_lost(congestion_event=False, now=wire.now, packets=lost, space=space)
        loss._cc.congestion_window = loss.bytes_in_flight + window
        loss._pacer.packet_time, first = None, quic_of(wire)._packet_number
        wire.h3.send_body(asked, content(60_000), True)
        wire.flush()
        sent = space.sent_packets.items()
        gone.append([type(packet) is Run for number, packet in sent if number >= first])
        answered(wire, [asked])

    alike(authority, act, max_data=credit)
    short, long = gone
    assert len(short) == len(long)
    assert not any(long)
    assert not any(short[:2])  # they go again
    assert sum(short) >= len(short) - 5


def test_a_body_that_is_given_up_is_not_sent_on(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        asked = begin(wire)
        wire.h3.send_body(asked, content(300_000), False)
        wire.flush()
        for _ in range(4):
            wire.step()
        wire.h3.cancel(asked, CANCELLED)
        wire.settle(5.0)
        assert not runs_of(wire)

    alike(authority, act)


@pytest.mark.parametrize("what", ["reset", "stop"])
def test_the_server_breaks_a_body_off(authority: Authority, what: str) -> None:
    def act(wire: Wire) -> None:
        asked = begin(wire)
        wire.h3.send_body(asked, content(300_000), False)
        wire.run(lambda: bool(came(wire, asked)))
        quic = server_of(wire).quic
        getattr(quic, f"{what}_stream")(asked, CANCELLED)
        wire.settle(5.0)

    short, _ = alike(authority, act)
    kind = events.StreamResetReceived if what == "reset" else events.StopSendingReceived
    assert kind in map(type, short.on(0))


# limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["max_data", "max_stream_data"])
@pytest.mark.parametrize("credit", [500, 3_000, 40_000])
def test_credit_is_kept(authority: Authority, limit: str, credit: int) -> None:
    alike(authority, uploading(200_000), **{limit: credit})


def test_a_small_window_is_kept(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        loss = quic_of(wire)._loss
        loss._cc.congestion_window = loss._cc.ssthresh = 5_000
        wire.h3.send_body(begin(wire), content(100_000), True)
        for _ in range(5):
            wire.flush()
            assert loss.bytes_in_flight <= loss.congestion_window

    ways(authority, act, ok, **ROOM)


def test_a_full_window_takes_no_ack_that_asks_for_one(authority: Authority) -> None:
    """As some of those do that have several ranges."""

    def act(wire: Wire) -> None:
        quic, space = quic_of(wire), space_of(wire)
        wire.h3.send_body(begin(wire), content(100_000), False)
        wire.flush()
        quic._loss._cc.congestion_window = quic._loss.bytes_in_flight
        quic._packet_number += -quic._packet_number % 8
        space.ack_queue.add(space.largest_received_packet + 2, space.largest_received_packet + 3)
        space.ack_at = wire.now - 1.0
        sent.append(len(engine_of(wire).datagrams(wire.now)))
        assert quic._loss.bytes_in_flight == quic._loss.congestion_window

    sent: list[int] = []
    ways(authority, act, ok, **ROOM)
    assert sent == [1, 1]


def test_a_short_path_takes_what_a_server_holds_at_once(authority: Authority) -> None:
    """Whatever the window is, and no pace keeps back a part of it."""

    def act(wire: Wire) -> None:
        loss = quic_of(wire)._loss
        send_of(wire).path.mtu.probe_due = inf
        loss._rtt_min, loss._cc.congestion_window = 0.001, 10_000_000
        loss._pacer.update_rate(10_000_000, 0.02)
        wire.h3.send_body(begin(wire), content(1_000_000), False)
        before = len(wire.sizes)
        wire.flush()
        assert len(wire.sizes) - before in (256, 257)  # 257: of which one is short, with the head
        assert 0 <= loss.congestion_window - loss.bytes_in_flight < quic_of(wire)._max_datagram_size
        wire.settle(5.0)

    ways(authority, act, ok, **ROOM)


def test_pacing_is_kept_to_the_packet(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        pacer = quic_of(wire)._loss._pacer
        send_of(wire).path.mtu.probe_due = inf
        pacer.packet_time, pacer.bucket_max = 0.01, 0.055
        pacer.bucket_time, pacer.evaluation_time = 0.055, wire.now
        wire.h3.send_body(begin(wire), content(14_000), False)
        before = len(wire.sizes)
        wire.flush()
        assert len(wire.sizes) - before == 6
        wire.settle(5.0)

    alike(authority, act)


def test_what_is_sent_first_after_something_came_puts_off_the_idle_timeout(
    authority: Authority,
) -> None:
    def act(wire: Wire) -> None:
        wire.now += 1.0
        wire.h3.send_body(begin(wire), content(10_000), False)
        wire.flush()
        assert quic_of(wire)._close_at == wire.now + quic_of(wire)._idle_timeout()

    alike(authority, act)


# what ends a run ----------------------------------------------------------------------------


def test_new_keys_are_used_in_the_middle(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        quic_of(wire)._update_keys_after = 50
        asked = begin(wire)
        wire.h3.send_body(asked, content(400_000), True)
        wire.flush()
        for turn in range(30):
            wire.step()
            if turn == 15:
                server_of(wire).quic.request_key_update()
        answered(wire, [asked])
        assert came(wire, asked) == content(400_000)
        phases.append(quic_of(wire).packet_keys.first_sealed)

    phases: list[int] = []
    alike(authority, act)
    assert min(phases) > 100  # there were several


def test_an_ack_goes_along_with_the_first_packet(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        wire.h3.send_body(begin(wire), content(20_000), False)
        space_of(wire).ack_at = wire.now - 1.0
        before = len(wire.sizes)
        wire.flush()
        assert space_of(wire).ack_at is None
        assert wire.sizes[before] > 1_000

    alike(authority, act)


# what is kept -------------------------------------------------------------------------------


def test_what_is_out_is_remembered_by_run(authority: Authority) -> None:
    server = Server(issued(authority), ok, h3=Tableless, **ROOM)
    wire = connected(PoolConfig(cafile=authority.cafile), server)
    wire.h3.send_body(begin(wire), content(1_000_000), False)
    wire.run(lambda: runs_of(wire) > 100)
    records = space_of(wire).sent_packets
    runs = [each for each in records.values() if type(each) is Run]
    assert len({id(each) for each in runs}) < len(runs) / 2
    sent = [packet_of(each, number) for number, each in records.items()]
    of_runs = [each for each in sent if type(each) is BodyPacket]
    in_flight = sum(each.sent_bytes for each in sent if each.in_flight)
    assert quic_of(wire)._loss.bytes_in_flight == in_flight
    for before, after in pairwise(of_runs):
        (_, (_, stop, _)), (_, (start, _, _)) = (
            before.delivery_handlers[0],
            after.delivery_handlers[0],
        )
        assert before.run is not after.run or start == stop


@settings(max_examples=examples(100))
@given(
    kind=st.sampled_from([Reno, Cubic]),
    rounds=st.lists(st.tuples(st.integers(1, 60), st.booleans()), max_size=20),
)
def test_the_window_grows_as_by_packets_alone(
    kind: type[Reno], rounds: list[tuple[int, bool]]
) -> None:
    alone, together = kind(max_datagram_size=1_200), kind(max_datagram_size=1_200)
    for turn, (count, loses) in enumerate(rounds):
        packet = Run(QuicStreamSender(0, True), float(turn), 1_200, 0, count - 1, 0, 1_000)
        together.on_run_sent(packet=packet, count=count)
        for _ in range(count):
            alone.on_packet_sent(packet=packet)
        for window in (alone, together):
            window.on_rtt_measurement(now=turn + 0.5, rtt=0.5)
            if loses:
                window.on_packets_lost(now=turn + 0.5, packets=[packet])
        rest = count - loses
        if rest:  # nobody tells of none, which would end a round all the same
            together.on_run_acked(now=turn + 0.5, packet=packet, count=rest)
        for _ in range(rest):
            alone.on_packet_acked(now=turn + 0.5, packet=packet)
        assert together.congestion_window == alone.congestion_window
        assert together.bytes_in_flight == alone.bytes_in_flight == 0
