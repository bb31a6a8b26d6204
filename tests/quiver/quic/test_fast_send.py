"""The fast path out: it sends what aioquic would send, and leaves the rest to aioquic."""

from __future__ import annotations

from math import inf
from typing import Any
from unittest.mock import patch

import pytest
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet_builder import QuicDeliveryState
from aioquic.quic.rangeset import RangeSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quiver.config import PoolConfig
from quiver.h3 import events
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.quic.aioquic.packet_rows import Packet
from quiver.request import Request
from quiver.testing import Authority
from tests.support.cases.fast_path_differential import (
    crafted,
    quic_of,
    send_of,
    server_of,
    silent,
    space_of,
    standing,
    ways,
)
from tests.support.engines.http3_wire import ARRIVES, LOST, Server, Tableless, Wire, connected, dial
from tests.support.short_form import examples

ORIGIN = Origin("https", "localhost", 4433)
GET = request_fields(Request("GET", "/"), ORIGIN)
OK = [(b":status", b"200")]
CANCELLED = 0x10C
MUCH = 200_000


def ok(server: Server, event: Any) -> None:
    if getattr(event, "stream_ended", False):
        assert server.h3 is not None
        server.h3.send_headers(event.stream_id, OK)
        server.h3.send_data(event.stream_id, b"ok", True)


def server(authority: Authority) -> Server:
    return Server(authority.issue(), ok, h3=Tableless)


@pytest.fixture
def wire(authority: Authority) -> Wire:
    made = connected(PoolConfig(cafile=authority.cafile), server(authority))
    made.settle()
    send_of(made).path.mtu.probe_due = inf  # no longer datagrams
    return made


def ask(wire: Wire, count: int = 1, body: bytes | None = None) -> list[int]:
    return [wire.h3.open_request(GET, body) for _ in range(count)]


def answered(wire: Wire, stream_id: int) -> bool:
    return any(getattr(event, "ended", False) for event in wire.on(stream_id))


def until_answered(wire: Wire, asked: list[int]) -> None:
    wire.run(lambda: all(answered(wire, each) for each in asked))


class Detours:
    """Counts the packets that are left to aioquic's own way."""

    def __init__(self) -> None:
        self.count = 0
        self._theirs = QuicConnection._write_application

    def __enter__(self) -> Detours:
        detours, theirs = self, self._theirs

        def counted(quic: Any, *args: Any) -> None:
            if quic._is_client:
                detours.count += 1
            theirs(quic, *args)

        self._patch = patch.object(QuicConnection, "_write_application", counted)
        self._patch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.stop()


# what is common -----------------------------------------------------------------------------


def test_small_requests_never_go_the_long_way(wire: Wire) -> None:
    with Detours() as detours:
        for _ in range(5):
            asked = ask(wire, 7) + ask(wire, 1, b"x" * 900)
            until_answered(wire, asked)
        wire.settle()
    assert detours.count == 0


def test_a_long_response_leaves_the_fast_path_open_while_its_reader_stalls(
    authority: Authority,
) -> None:
    def much(server: Server, event: Any) -> None:
        if getattr(event, "stream_ended", False):
            assert server.h3 is not None
            server.h3.send_headers(event.stream_id, OK)
            size = MUCH if event.stream_id == 0 else 2
            server.h3.send_data(event.stream_id, b"x" * size, True)

    config = PoolConfig(cafile=authority.cafile, receive_window=MUCH // 2)
    wire = connected(config, Server(authority.issue(), much, h3=Tableless))
    long = wire.h3.open_request(GET, None, window=MUCH // 2)
    wire.settle(5.0)
    assert send_of(wire).needs_window_update == {long}
    with Detours() as detours:
        until_answered(wire, ask(wire, 5))
        wire.settle()
    assert detours.count == 0
    wire.h3.consumed(long, MUCH // 2)
    with Detours() as detours:
        until_answered(wire, [long])  # credit goes out as it should
    assert detours.count > 0


def test_requests_that_are_sent_together_share_datagrams(wire: Wire) -> None:
    before = len(wire.sizes)
    ask(wire, 30, b"x" * 50)
    wire.flush()
    sizes = wire.sizes[before:]
    assert sizes[:-1] == pytest.approx([1_200] * (len(sizes) - 1), abs=80)
    assert len(sizes) == 2


def test_what_is_not_due_is_not_sent(wire: Wire) -> None:
    with Detours() as detours:
        assert wire.h3.datagrams(wire.now) == []
    assert detours.count == 0


def test_an_ack_that_is_not_due_goes_along_with_a_request(wire: Wire) -> None:
    ask(wire)
    wire.flush()
    wire.h3.receive(crafted(wire, b"\x01\x00\x00"), wire.now)
    assert space_of(wire).ack_at > wire.now
    assert wire.h3.datagrams(wire.now) == []
    ask(wire)
    assert len(wire.h3.datagrams(wire.now)) == 1
    assert space_of(wire).ack_at is None


def test_a_ping_goes_alone_and_is_acknowledged(wire: Wire) -> None:
    with Detours() as detours:
        wire.h3.ping(7)
        wire.run(lambda: bool(wire.of(events.PingAcknowledged)))
    assert [each.uid for each in wire.of(events.PingAcknowledged)] == [7]
    assert detours.count == 0


def test_before_the_handshake_is_confirmed_all_goes_aioquics_way(authority: Authority) -> None:
    wire = dial(PoolConfig(cafile=authority.cafile), server(authority))
    wire.run(lambda: bool(wire.of(events.Ready)))
    assert send_of(wire)._space is None
    with Detours() as detours:
        (asked,) = ask(wire)
        wire.flush()
    assert detours.count == 1
    until_answered(wire, [asked])


def scripts(most: int, sizes: list[int]) -> st.SearchStrategy[list[tuple[str, int, int]]]:
    """What to do, with a number each, and a size."""
    ask = st.tuples(st.just("ask"), st.integers(1, most), st.sampled_from(sizes))
    ping = st.tuples(st.just("ping"), st.just(1), st.just(0))
    cancel = st.tuples(st.just("cancel"), st.integers(0, 60), st.just(0))
    wait = st.tuples(st.just("wait"), st.integers(0, 40), st.just(0))
    return st.lists(st.one_of(ask, ping, cancel, wait), max_size=12)


def both(authority: Authority, script: list[tuple[str, int, int]]) -> tuple[Wire, Wire]:
    def act(wire: Wire) -> None:
        for each in script:
            step(wire, *each)
        wire.settle(5.0)

    return ways(authority, act, ok, max_streams=1_000)


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=scripts(4, [0, 50]))
def test_what_fits_a_packet_is_sent_as_aioquic_would(
    authority: Authority, script: list[tuple[str, int, int]]
) -> None:
    short, long = both(authority, script)
    assert short.events == long.events
    assert short.sizes == long.sizes
    assert standing(short) == standing(long)
    assert server_of(short).requests == server_of(long).requests


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(script=scripts(15, [0, 1, 500, 900, 5_000]))
def test_all_is_sent_in_the_end(authority: Authority, script: list[tuple[str, int, int]]) -> None:
    """In whatever order: of streams that wait for room aioquic chooses one."""
    short, long = both(authority, script)
    assert by_stream(short.events) == by_stream(long.events)
    assert joined(server_of(short).requests) == joined(server_of(long).requests)
    assert standing(short)["streams"] == standing(long)["streams"]
    assert standing(short)["flow"] == standing(long)["flow"]


def by_stream(happened: list[Any]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for each in happened:
        found.setdefault(getattr(each, "stream_id", -1), []).append(each)
    return found


def joined(happened: list[Any]) -> dict[int, tuple[int, bool]]:
    """Bytes of content that came on each stream, and whether its end did."""
    found: dict[int, tuple[int, bool]] = {}
    for each in happened:
        size, ended = found.get(each.stream_id, (0, False))
        found[each.stream_id] = size + len(getattr(each, "data", b"")), ended or each.stream_ended
    return found


def step(wire: Wire, kind: str, number: int, size: int) -> None:
    h3 = wire.h3
    match kind:
        case "ask":
            ask(wire, number, b"x" * size)
        case "ping":
            h3.ping(number)
        case "cancel" if h3.streams_opened:
            h3.cancel(4 * (number % h3.streams_opened), CANCELLED)
        case "wait":
            wire.settle(number / 1000)


# parked streams -----------------------------------------------------------------------------


def test_a_request_that_was_sent_is_not_among_those_to_serve(wire: Wire) -> None:
    idle = len(quic_of(wire)._streams_queue)
    asked = ask(wire, 3)
    wire.flush()
    assert send_of(wire).parked == set(asked) <= quic_of(wire)._streams.keys()
    assert len(quic_of(wire)._streams_queue) == idle
    wire.settle()
    assert all(answered(wire, each) for each in asked)
    assert not send_of(wire).parked
    assert not set(asked) & quic_of(wire)._streams.keys()


def test_a_request_whose_end_comes_alone_is_forgotten(authority: Authority) -> None:
    def begin(server: Server, event: Any) -> None:
        assert server.h3 is not None
        server.h3.send_headers(event.stream_id, OK)

    wire = connected(PoolConfig(cafile=authority.cafile), Server(authority.issue(), begin))
    (asked,) = ask(wire)
    wire.settle()  # it is acknowledged
    assert send_of(wire).parked == {asked}
    server_of(wire).send_raw(asked, b"", ended=True)
    until_answered(wire, [asked])
    assert not send_of(wire).parked
    assert asked not in quic_of(wire)._streams


def test_what_was_handed_over_does_not_take_others_along(wire: Wire) -> None:
    """Callers who are answered ask again before the next flush, so that there is always some."""
    idle = len(quic_of(wire)._streams_queue)
    server_of(wire).quic._ack_delay = 0.0  # what answers a request acknowledges it, too
    asked, detours_before = ask(wire, 1, b"x" * 5_000), []
    flush = wire.flush

    def flush_with_more() -> None:
        wire.events += wire.h3.events()
        if len(asked) < 50 and all(answered(wire, each) for each in asked):
            asked.extend(ask(wire, 5))
            detours_before.append(detours.count)
        flush()

    with Detours() as detours, patch.object(wire, "flush", flush_with_more):
        wire.run(lambda: len(asked) > 50)
        assert 0 < detours_before[0] < 10
    assert len(detours_before) == 10
    assert detours_before[2:] == [detours_before[2]] * 8
    assert len(quic_of(wire)._streams_queue) == idle


@pytest.mark.parametrize("fates", [[LOST], [LOST, LOST], [ARRIVES, LOST], [ARRIVES, LOST, LOST]])
def test_a_request_that_is_lost_is_sent_again(authority: Authority, fates: list[Any]) -> None:
    wire = connected(PoolConfig(cafile=authority.cafile), server(authority))
    wire.settle()
    wire._fates = iter(fates)
    asked = ask(wire, 3) + ask(wire, 1, b"x" * 700)
    until_answered(wire, asked)
    wire.settle(5.0)
    assert not send_of(wire).parked
    assert not set(asked) & quic_of(wire)._streams.keys()
    kinds = [type(event).__name__ for event in server_of(wire).requests]
    assert kinds.count("HeadersReceived") == 4  # each once


@pytest.mark.parametrize("sent", [False, True])
def test_a_request_is_cancelled_before_and_after_it_was_sent(
    authority: Authority, sent: bool
) -> None:
    def act(wire: Wire) -> None:
        first, second = ask(wire, 2)
        if sent:
            wire.flush()
        wire.h3.cancel(first, CANCELLED)
        wire.settle(5.0)
        assert not wire.on(first)
        assert not wire.on(second)  # nobody answers
        assert [s for s in quic_of(wire)._streams if s % 4 == 0] == [second]

    short, long = ways(authority, act, silent)
    assert standing(short) == standing(long)
    assert any(type(event).__name__ == "StopSendingReceived" for event in server_of(short).seen)


@pytest.mark.parametrize("what", ["reset", "stop"])
def test_the_server_breaks_off_a_request_that_was_sent(authority: Authority, what: str) -> None:
    def act(wire: Wire) -> None:
        (asked,) = ask(wire)
        wire.settle()
        quic = server_of(wire).quic
        if what == "reset":
            quic.reset_stream(asked, CANCELLED)
        else:
            quic.stop_stream(asked, CANCELLED)
        wire.settle()

    short, long = ways(authority, act, silent)
    assert short.events == long.events
    kind = events.StreamResetReceived if what == "reset" else events.StopSendingReceived
    assert [type(event) for event in short.on(0)] == [kind]
    assert standing(short) == standing(long)


# limits -------------------------------------------------------------------------------------


def test_the_congestion_window_is_kept(wire: Wire) -> None:
    loss = quic_of(wire)._loss
    loss._cc.congestion_window = 2 * quic_of(wire)._max_datagram_size
    before = len(wire.sizes)
    asked = ask(wire, 100)
    wire.flush()
    assert sum(wire.sizes[before:]) <= loss.congestion_window
    assert loss.bytes_in_flight <= loss.congestion_window
    until_answered(wire, asked)


def test_pacing_is_kept(wire: Wire) -> None:
    pacer = quic_of(wire)._loss._pacer
    pacer.packet_time, pacer.bucket_time, pacer.evaluation_time = 0.5, 0.0, wire.now
    (asked,) = ask(wire)
    assert wire.h3.datagrams(wire.now) == []
    due = wire.h3.timer()
    assert due is not None
    assert due - wire.now == pytest.approx(0.5, abs=0.01)
    until_answered(wire, [asked])


def test_what_was_sent_counts_for_pacing(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        pacer = quic_of(wire)._loss._pacer
        pacer.packet_time, pacer.bucket_max = 0.1, 0.25
        pacer.bucket_time, pacer.evaluation_time = 0.25, wire.now
        send_of(wire).path.mtu.probe_due = inf
        ask(wire, 5, b"x" * 900)
        wire.flush()
        assert len(wire.sizes) == 3
        wire.settle(5.0)

    short, long = ways(authority, act, ok)
    assert by_stream(short.events) == by_stream(long.events)


def test_a_probe_goes_out(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        quic_of(wire)._send_probe()
        wire.flush()
        assert not quic_of(wire)._probe_pending
        wire.settle()

    short, long = ways(authority, act, ok)
    assert short.sizes == long.sizes != []
    assert standing(short) == standing(long)


def test_flow_control_of_the_connection_is_kept(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        quic_of(wire)._loss._pacer.packet_time = None  # which would hold them back as well
        asked = ask(wire, 8, b"x" * 700)
        until_answered(wire, asked)
        wire.settle()

    short, long = ways(authority, act, ok, max_data=3_000)
    assert by_stream(short.events) == by_stream(long.events)
    assert standing(short)["flow"] == standing(long)["flow"]


def test_flow_control_of_streams_is_kept(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        (asked,) = ask(wire, 1, b"x" * 900)
        wire.flush()
        assert quic_of(wire)._streams[asked].sender.highest_offset == 500
        until_answered(wire, [asked])

    short, long = ways(authority, act, ok, max_stream_data=500)
    assert short.sizes == long.sizes


def test_the_servers_credit_is_raised_though_each_response_is_small(authority: Authority) -> None:
    def some(server: Server, event: Any) -> None:
        if getattr(event, "stream_ended", False):
            assert server.h3 is not None
            server.h3.send_headers(event.stream_id, OK)
            server.h3.send_data(event.stream_id, b"x" * 50_000, True)

    def act(wire: Wire) -> None:
        limit = quic_of(wire)._local_max_data
        first, limit.used = limit.value, limit.value // 2 - 100_000  # as if much had come already
        until_answered(wire, ask(wire, 10))
        wire.settle()
        assert limit.value == limit.sent > first

    short, long = ways(authority, act, some, max_streams=1_000)
    sent, used, allowed = standing(short)["flow"]
    assert (sent, used) == standing(long)["flow"][:2]
    assert allowed == pytest.approx(standing(long)["flow"][2], rel=0.01)


def test_credit_that_was_lost_on_its_way_is_sent_again(wire: Wire) -> None:
    limit = quic_of(wire)._local_max_data
    quic_of(wire)._on_connection_limit_delivery(QuicDeliveryState.LOST, limit)
    assert limit.sent == 0
    assert len(wire.h3.datagrams(wire.now)) == 1
    assert limit.sent == limit.value


NUMBER = st.one_of(st.integers(0, 70), st.integers(0, 1 << 40))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=NUMBER, more=NUMBER, waited=st.floats(0.0, 9.0), later=st.sets(NUMBER, max_size=2))
def test_an_acknowledgement_is_written_as_by_aioquic(
    wire: Wire, first: int, more: int, waited: float, later: set[int]
) -> None:
    space, now = space_of(wire), wire.now + waited
    ranges = [range(first, first + more + 1)]
    ranges += [range(first + more + 3 + each, first + more + 4 + each) for each in later]
    space.ack_queue, space.largest_received_packet = RangeSet(ranges), ranges[-1].stop - 1
    space.largest_received_time = wire.now
    written = []
    for way in (
        send_of(wire)._write_ack,
        lambda *of: quic_of(wire)._write_ack_frame(of[0], space, now),
    ):
        packet: Any = Packet(8, 1_200, now)
        space.ack_at = now
        way(packet, now)
        assert space.ack_at is None
        written.append((packet._frames.data, packet.delivery_handlers, packet.is_ack_eliciting))
    assert written[0] == written[1]


def test_an_acknowledgement_may_fill_a_packet(wire: Wire) -> None:
    space = space_of(wire)
    space.ack_queue = RangeSet([range(1 << n, (1 << n) + 1) for n in range(2, 62)])
    space.largest_received_time, space.ack_at = wire.now, wire.now
    quic_of(wire)._max_datagram_size = 400
    (asked,) = ask(wire, 1, b"x" * 300)
    sent = wire.h3.datagrams(wire.now)
    assert len(sent) == 2
    assert max(map(len, sent)) <= 400
    assert space.ack_at is None
    assert asked in send_of(wire).parked


@pytest.mark.parametrize("size", range(90, 130))
def test_a_ping_waits_for_a_packet_with_room(wire: Wire, size: int) -> None:
    space = space_of(wire)
    space.ack_queue = RangeSet([range(1 << n, (1 << n) + 1) for n in range(2, 62)])
    space.largest_received_time, space.ack_at = wire.now, wire.now
    quic_of(wire)._max_datagram_size = size
    wire.h3.ping(1)
    sent = wire.h3.datagrams(wire.now)
    assert 1 <= len(sent) <= 2
    assert max(map(len, sent)) <= size
    assert space.ack_at is None
    assert not quic_of(wire)._ping_pending


def test_a_request_that_was_reset_has_not_ended_until_that_is_acknowledged(wire: Wire) -> None:
    (asked,) = ask(wire)
    wire.flush()
    wire.h3.cancel(asked, CANCELLED)
    sender = quic_of(wire)._streams[asked].sender
    send_of(wire)._on_request_delivery(QuicDeliveryState.ACKED, asked, b"content")
    assert not sender.is_finished
    send_of(wire)._on_request_delivery(QuicDeliveryState.LOST, asked, b"content")
    assert sender.buffer_is_empty
    wire.settle()
    assert asked not in quic_of(wire)._streams


def test_new_keys_are_used(authority: Authority) -> None:
    def act(wire: Wire) -> None:
        for side in (quic_of(wire), server_of(wire).quic, quic_of(wire)):
            side.request_key_update()
            (asked,) = ask(wire)
            until_answered(wire, [asked])

    short, long = ways(authority, act, ok)
    assert standing(short) == standing(long)
    assert short.sizes == long.sizes
