"""The engine by its seam, by the fast paths and by aioquic's own."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aioquic.quic import events as theirs
from cryptography.x509.oid import ExtendedKeyUsageOID

from quiver.config import PoolConfig
from quiver.quic.aioquic.engine import AioquicEngine
from quiver.quic.codes import CRYPTO_ERROR, TransportCode
from quiver.quic.engine import (
    Cause,
    ConnectionClosed,
    DatagramReceived,
    Engine,
    HandshakeCompleted,
    PingAcknowledged,
    StopSendingReceived,
    StreamResetReceived,
)
from quiver.testing import Authority
from tests.support.engines.quic_wire import EngineWire

KIB = 1024
MIB = 1024 * KIB

Make = Callable[..., EngineWire]


@pytest.fixture(params=[True, False], ids=["short", "plain"])
def make(request: pytest.FixtureRequest, authority: Authority) -> Make:
    own = authority.issue()

    def make(act: Any = lambda server, event: None, **options: Any) -> EngineWire:
        config = options.pop("config", None) or PoolConfig(cafile=authority.cafile)
        certificate = options.pop("certificate", own)
        return EngineWire(config, certificate, act, fast_paths=request.param, **options)

    return make


def echo(server: Any, event: Any) -> None:
    if isinstance(event, theirs.StreamDataReceived) and not event.stream_id & 3:
        server.send_stream_data(event.stream_id, event.data, event.end_stream)


def answers(content: bytes) -> Callable[[Any, Any], None]:
    def act(server: Any, event: Any) -> None:
        if isinstance(event, theirs.StreamDataReceived) and event.end_stream:
            server.send_stream_data(event.stream_id, content, True)

    return act


def closed(wire: EngineWire) -> ConnectionClosed:
    [over] = wire.of(ConnectionClosed)
    assert isinstance(over, ConnectionClosed)
    assert wire.events[-1] is over
    return over


def test_it_is_one_by_its_type() -> None:
    made: type[Engine] = AioquicEngine
    assert made is AioquicEngine


def test_nothing_is_sent_before_it_connects(make: Make) -> None:
    engine = make().engine
    assert engine.datagrams(0.0) == []
    assert engine.timer() is None
    assert list(engine.events()) == []
    assert (engine.answered, engine.heard, engine.max_streams) == (False, -math.inf, 0)


def test_a_handshake(make: Make) -> None:
    wire = make(max_streams=7)
    assert not wire.engine.answered
    wire.connect()
    assert wire.events == [HandshakeCompleted(False)]
    engine, agreed = wire.engine, wire.engine.handshake
    assert (agreed.version, agreed.alpn, agreed.max_streams) == ("1", "h3", 7)
    assert agreed.certificate
    assert engine.answered
    assert 0 < engine.heard <= wire.now
    assert (engine.max_streams, engine.next_stream_id) == (7, 0)
    assert 0 < engine.probe_timeout < 1
    assert engine.idle_timeout == agreed.idle_timeout == 35.0


# streams ------------------------------------------------------------------------------------


@pytest.mark.one_in(8)
@pytest.mark.parametrize("size", [1, 900, 5_000, 2 * MIB])
def test_what_is_sent_and_what_comes_back(make: Make, size: int) -> None:
    wire = make(echo).connect()
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    opened = [wire.engine.open_stream(content, True, None) for _ in range(3)]
    assert opened == [0, 4, 8]
    wire.run(lambda: all(map(wire.ended, opened)))
    assert [wire.came(stream_id) == content for stream_id in opened] == [True] * 3


def test_a_stream_is_written_in_pieces(make: Make) -> None:
    wire = make(echo).connect()
    stream_id = wire.engine.open_stream(b"", False, None)
    for piece in (b"a" * 700, b"b" * 70_000, b"c"):
        wire.engine.send_stream(stream_id, piece, False)
        wire.settle(10)
    assert not wire.ended(stream_id)
    wire.engine.send_stream(stream_id, b"", True)
    wire.run(lambda: wire.ended(stream_id))
    assert wire.came(stream_id) == b"a" * 700 + b"b" * 70_000 + b"c"
    with pytest.raises(RuntimeError):
        wire.engine.send_stream(stream_id, b"d", False)


def test_no_more_streams_than_allowed(make: Make) -> None:
    wire = make(echo, max_streams=2).connect()
    assert [wire.engine.open_stream(b"x", True, None) for _ in range(2)] == [0, 4]
    with pytest.raises(ValueError, match="2 streams"):
        wire.engine.open_stream(b"x", True, None)
    wire.run(lambda: wire.ended(0) and wire.ended(4))
    wire.settle()
    assert wire.engine.max_streams > 2
    assert wire.engine.open_stream(b"x", True, None) == 8


def test_what_is_not_acknowledged_is_counted(make: Make) -> None:
    wire = make(max_stream_data=10_000).connect()
    stream_id = wire.engine.open_stream(b"x" * 30_000, False, None)
    assert wire.engine.unacknowledged(stream_id) == 30_000
    wire.run(lambda: wire.engine.unacknowledged(stream_id) == 0)
    assert wire.engine.unacknowledged(400) == 0


def test_the_peers_resets_are_told(make: Make) -> None:
    def act(server: Any, event: Any) -> None:
        if isinstance(event, theirs.StreamDataReceived) and event.stream_id == 0:
            server.reset_stream(0, 5)
        elif isinstance(event, theirs.StreamDataReceived) and event.stream_id == 4:
            server.stop_stream(4, 6)

    wire = make(act).connect()
    wire.engine.open_stream(b"x", True, None)
    wire.engine.open_stream(b"x", False, None)
    wire.settle()
    assert wire.of(StreamResetReceived) == [StreamResetReceived(0, 5)]
    assert wire.of(StopSendingReceived) == [StopSendingReceived(4, 6)]
    with pytest.raises(RuntimeError):
        wire.engine.send_stream(4, b"more", False)


@pytest.mark.parametrize("size", [10, 3_000])
def test_both_halves_are_given_up(make: Make, size: int) -> None:
    wire = make().connect()
    stream_id = wire.engine.open_stream(b"x" * size, True, None)
    wire.settle(4)
    wire.engine.reset_stream(stream_id, 9)
    wire.engine.stop_sending(stream_id, 9)
    wire.engine.forget_stream(stream_id)
    wire.settle()
    [stopped] = [each for each in wire.seen if isinstance(each, theirs.StopSendingReceived)]
    assert (stopped.stream_id, stopped.error_code) == (stream_id, 9)
    assert not wire.of(ConnectionClosed)


def test_what_has_ended_is_left_alone(make: Make) -> None:
    wire = make(answers(b"hello")).connect()
    stream_id = wire.engine.open_stream(b"x", True, None)
    wire.run(lambda: wire.ended(stream_id))
    wire.settle()
    wire.engine.reset_stream(stream_id, 9)
    wire.engine.stop_sending(stream_id, 9)
    wire.engine.reset_stream(400, 9)
    with pytest.raises(RuntimeError):
        wire.engine.send_stream(stream_id, b"more", False)
    assert wire.engine.next_stream_id == 4
    wire.settle()
    assert not wire.of(ConnectionClosed)


def test_streams_of_one_direction(make: Make) -> None:
    def act(server: Any, event: Any) -> None:
        if isinstance(event, theirs.StreamDataReceived):
            server.send_stream_data(3, event.data)

    wire = make(act).connect()
    assert [wire.engine.open_unidirectional(b"\x00"), wire.engine.open_unidirectional(b"\x02")] == [
        2,
        6,
    ]
    wire.settle()
    assert wire.came(3) == b"\x00\x02"


# flow control -------------------------------------------------------------------------------


def test_a_reader_that_stops_stops_the_peer(make: Make, authority: Authority) -> None:
    window = 64 * KIB
    config = PoolConfig(cafile=authority.cafile, receive_window=window)
    wire = make(answers(b"x" * MIB), config=config).connect()
    stalled = wire.engine.open_stream(b"GET", True, window)
    wire.settle(100)
    assert len(wire.came(stalled)) == window

    other = wire.engine.open_stream(b"GET", True, None)
    wire.run(lambda: wire.ended(other))
    assert len(wire.came(stalled)) == window

    wire.engine.consumed(stalled, window)
    wire.run(lambda: len(wire.came(stalled)) == 2 * window)
    consumed = window
    while not wire.ended(stalled):
        came = len(wire.came(stalled))
        assert came - consumed <= window
        wire.engine.consumed(stalled, came - consumed)
        consumed = came
        wire.step()
    assert wire.came(stalled) == b"x" * MIB


def test_a_forgotten_stream_gets_no_more_credit(make: Make, authority: Authority) -> None:
    config = PoolConfig(cafile=authority.cafile, receive_window=64 * KIB)
    wire = make(answers(b"x" * MIB), config=config).connect()
    stream_id = wire.engine.open_stream(b"GET", True, 64 * KIB)
    wire.engine.forget_stream(stream_id)
    wire.settle(100)
    assert len(wire.came(stream_id)) == 64 * KIB


# datagrams and signs of life ----------------------------------------------------------------


def test_datagrams_go_after_their_stream(make: Make, authority: Authority) -> None:
    def act(server: Any, event: Any) -> None:
        if isinstance(event, theirs.DatagramFrameReceived):
            server.send_datagram_frame(event.data)

    config = PoolConfig(cafile=authority.cafile, datagrams=True)
    wire = make(act, config=config, max_datagram_frame_size=65_536).connect()
    assert wire.engine.sends_datagrams
    assert 1_100 < wire.engine.max_datagram_size < 1_200
    stream_id = wire.engine.open_stream(b"x" * 20, False, None)
    assert wire.engine.send_datagram(stream_id, b"first")
    assert wire.engine.send_datagram(stream_id, b"y" * wire.engine.max_datagram_size)
    wire.settle()
    seen = [each for each in wire.seen if hasattr(each, "data")]
    assert [type(each) for each in seen[:2]] == [
        theirs.StreamDataReceived,
        theirs.DatagramFrameReceived,
    ]
    assert [len(each.payload) for each in wire.of(DatagramReceived)] == [
        5,
        wire.engine.max_datagram_size,
    ]
    taken = [wire.engine.send_datagram(stream_id, b"x") for _ in range(300)]
    assert taken == [True] * 256 + [False] * 44


def test_no_datagrams_without_an_offer_of_both(make: Make, authority: Authority) -> None:
    wire = make().connect()
    assert wire.engine.sends_datagrams
    assert wire.engine.max_datagram_size == 0
    config = PoolConfig(cafile=authority.cafile, datagrams=False)
    wire = make(config=config, max_datagram_frame_size=65_536).connect()
    assert not wire.engine.sends_datagrams


def test_pings_are_answered(make: Make) -> None:
    wire = make().connect()
    wire.engine.ping(17)
    wire.settle()
    assert wire.of(PingAcknowledged) == [PingAcknowledged(17)]


def test_a_probe_goes_beyond_the_congestion_window(make: Make) -> None:
    wire = make().connect()
    wire.engine.connection._loss._cc.congestion_window = 0
    wire.engine.ping(17)
    assert wire.engine.datagrams(wire.now) == []
    wire.engine.probe()
    assert len(wire.engine.datagrams(wire.now)) == 1


def test_only_what_the_peer_has_sealed_is_heard(make: Make) -> None:
    wire = make().connect()
    before = wire.engine.heard
    wire.now += 5
    wire.engine.receive([b"", b"@", b"@" + bytes(40), bytes(1_200)], wire.now)
    assert wire.engine.heard == before
    wire.engine.ping(1)
    wire.settle(4)
    assert wire.engine.heard > before + 5


def test_it_sends_short_ones_when_told(make: Make) -> None:
    wire = make().connect()
    wire.engine.shorten()
    wire.engine.open_stream(b"x" * 50_000, True, None)
    sent = wire.engine.datagrams(wire.now)
    assert max(map(len, sent[:-1])) <= 1_200  # the last one may be a probe


# its end ------------------------------------------------------------------------------------


def test_it_is_closed_by_its_owner(make: Make) -> None:
    wire = make(echo).connect()
    wire.engine.open_stream(b"x", True, None)
    wire.engine.close(0x100, "r" * 5_000)
    over = closed_at_once(wire)
    assert (over.cause, over.code, over.transport, over.reason) == (
        Cause.OWNER,
        0x100,
        False,
        "r" * 5_000,
    )
    wire.step()
    wire.step()
    ended = wire.server and wire.server._close_event
    assert ended
    assert (ended.error_code, ended.reason_phrase) == (0x100, "r" * 200)
    assert wire.engine.timer() is None
    assert wire.engine.datagrams(wire.now) == []
    assert list(wire.engine.events()) == []
    wire.engine.close(0x101)
    wire.engine.receive([b"x"], wire.now)
    wire.engine.tick(wire.now)
    assert list(wire.engine.events()) == []


def closed_at_once(wire: EngineWire) -> ConnectionClosed:
    [over] = wire.take()
    assert isinstance(over, ConnectionClosed)
    return over


def test_what_follows_a_close_amid_events_is_for_nobody(make: Make) -> None:
    wire = make(echo).connect()
    for _ in range(3):
        wire.engine.open_stream(b"x", True, None)
    taken: list[Any] = []
    while not taken:
        for datagram in wire.engine.datagrams(wire.now):
            wire._to_server(datagram)
        wire.now += 0.01
        wire._serve()
        assert wire.server is not None
        sent = [datagram for datagram, _ in wire.server.datagrams_to_send(wire.now)]
        wire.engine.receive(sent, wire.now)
        for event in wire.engine.events():
            taken.append(event)
            wire.engine.close(0x101)
    assert [type(each).__name__ for each in taken] == ["StreamDataReceived", "ConnectionClosed"]


@pytest.mark.parametrize("transport", [True, False])
def test_the_peer_closes(make: Make, transport: bool) -> None:
    wire = make().connect()
    assert wire.server is not None
    wire.server.close(0x10C if not transport else 0x0A, 0 if transport else None, "said")
    wire.settle(3)
    over = closed(wire)
    assert (over.cause, over.transport, over.reason, over.confirmed) == (
        Cause.PEER,
        transport,
        "said",
        True,
    )


def test_what_came_before_the_end_is_told_first(make: Make) -> None:
    wire = make(echo).connect()
    stream_id = wire.engine.open_stream(b"x", True, None)
    for datagram in wire.engine.datagrams(wire.now):
        wire._to_server(datagram)
    wire._serve()
    server = wire.server
    assert server is not None
    sent = [datagram for datagram, _ in server.datagrams_to_send(wire.now)]
    server.close(0x100)
    sent += [datagram for datagram, _ in server.datagrams_to_send(wire.now)]
    wire.engine.receive(sent, wire.now)
    assert wire.engine.timer() == -math.inf  # there is something to tell
    wire.take()
    assert wire.engine.timer() is None
    assert wire.ended(stream_id)
    assert closed(wire).cause is Cause.PEER


def test_silence(make: Make) -> None:
    wire = make().connect()
    wire.blocked = True
    wire.now += 36
    wire.engine.tick(wire.now)
    wire.take()
    assert closed(wire).cause is Cause.IDLE


def test_the_peer_breaks_the_rules(make: Make) -> None:
    wire = make().connect()
    server = wire.server
    assert server is not None
    server._local_next_stream_id_uni = 4 * 5_000 + 3  # beyond what was allowed
    server._remote_max_streams_uni = 1 << 20
    server.send_stream_data(4 * 5_000 + 3, b"x")
    wire.settle(5)
    over = closed(wire)
    assert (over.cause, over.code, over.transport) == (
        Cause.VIOLATION,
        TransportCode.STREAM_LIMIT_ERROR,
        True,
    )


def test_a_stateless_reset(make: Make) -> None:
    wire = make().connect()
    token: Any = wire.engine.connection._peer_cid.stateless_reset_token
    wire.engine.receive([b"\x40" + bytes(30) + bytes(reversed(token))], wire.now)
    assert wire.take() == []
    wire.engine.receive([b"\x40" + bytes(30) + token, b"never looked at"], wire.now)
    assert closed_at_once(wire).cause is Cause.STATELESS_RESET
    assert wire.engine.datagrams(wire.now) == []


def test_a_certificate_that_nobody_trusts(make: Make) -> None:
    wire = make(config=PoolConfig()).connect()
    over = closed(wire)
    assert over.cause is Cause.VIOLATION
    assert over.code - CRYPTO_ERROR in {42, 48}
    assert not wire.of(HandshakeCompleted)


def test_a_certificate_for_another_host(make: Make) -> None:
    over = closed(make(host="example.com").connect())
    assert over.cause is Cause.VIOLATION
    assert "doesn't match" in over.reason


def test_a_certificate_for_other_uses(make: Make, authority: Authority) -> None:
    wire = make(certificate=authority.issue(usage=ExtendedKeyUsageOID.CLIENT_AUTH))
    wire.connect()
    over = closed(wire)
    assert (over.cause, over.code) == (Cause.VIOLATION, CRYPTO_ERROR + 43)
    assert not wire.of(HandshakeCompleted)


def test_a_certificate_that_was_not_looked_at(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a release of aioquic called something else to verify it."""
    monkeypatch.setattr(
        "quiver.quic.aioquic.certificates._VerifyingContext.is_verified", property(lambda _: False)
    )
    monkeypatch.setattr(
        "quiver.quic.aioquic.certificates._VerifyingContext._client_handle_certificate_verify",
        lambda self, buffer: super(type(self), self)._client_handle_certificate_verify(buffer),
    )
    wire = make().connect()
    over = closed(wire)
    assert (over.cause, over.of_certificate) == (Cause.RAISED, True)
    assert not wire.of(HandshakeCompleted)


# what aioquic raises ------------------------------------------------------------------------


def raising(*_: Any, **__: Any) -> Any:
    raise KeyError("a bug")


@pytest.mark.parametrize("way", ["receive", "tick", "timer", "datagrams", "ping"])
def test_what_is_raised_is_an_end(make: Make, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = make(echo).connect()
    quic = wire.engine.connection
    names = {
        "receive": "_payload_received",
        "tick": "handle_timer",
        "timer": "get_timer",
        "datagrams": "datagrams_to_send",
        "ping": "send_ping",
    }
    wire.engine.open_stream(b"x" * 5_000, True, None)
    if way != "datagrams":
        wire.step()
    with monkeypatch.context() as patch:
        patch.setattr(quic, names[way], raising)
        patch.setattr("quiver.quic.aioquic.row_frames.StreamRun.take", raising)
        if way == "receive":
            wire.settle(3)
        elif way == "tick":
            wire.engine.tick(wire.now)
        elif way == "timer":
            assert wire.engine.timer() == -math.inf
        elif way == "ping":
            wire.engine.ping(1)
        else:
            assert wire.engine.datagrams(wire.now) == []
    wire.take()
    over = closed(wire)
    assert (over.cause, over.by_peer) == (Cause.RAISED, way == "receive")
    assert isinstance(over.error, KeyError)
    expected = (
        TransportCode.PROTOCOL_VIOLATION if way == "receive" else TransportCode.INTERNAL_ERROR
    )
    assert over.code == expected


def test_what_the_datagrams_raise_comes_out(make: Make) -> None:
    wire = make().connect()

    def datagrams() -> Any:
        yield b"@"
        raise OSError("a socket")

    with pytest.raises(OSError, match="a socket"):
        wire.engine.receive(datagrams(), wire.now)
    assert wire.take() == []


def test_whoever_looks_at_all_objects_meanwhile_breaks_nothing(make: Make) -> None:
    """As profilers of memory do in a thread of theirs: CPython's tuples cannot be resized then."""
    wire = make().connect()
    seen: list[Any] = []

    def datagrams() -> Any:
        for _ in range(3):
            seen.append(gc.get_objects())
            yield b"@"

    wire.engine.receive(datagrams(), wire.now)
    assert len(seen) == 3 and wire.take() == []


def test_a_qlog_is_written_when_it_has_ended(
    make: Make, authority: Authority, tmp_path: Path
) -> None:
    config = PoolConfig(cafile=authority.cafile, qlog_dir=str(tmp_path))
    wire = make(config=config).connect()
    trace = wire.engine.trace
    assert trace is not None
    trace.headers("frame_created", 0, 5, [(b"x", b"\xff")])
    trace.content("frame_parsed", 0, 7)
    trace.stream_type(2, "control")
    wire.engine.close(0x100)
    wire.step()
    [path] = tmp_path.glob("*.qlog")
    text = path.read_text()
    for part in ("packet_sent", "http:frame_created", "http:frame_parsed", "stream_type_set"):
        assert part in text
    assert wire.engine.trace is None


def test_there_is_no_trace_without_a_qlog(make: Make) -> None:
    assert make().engine.trace is None
