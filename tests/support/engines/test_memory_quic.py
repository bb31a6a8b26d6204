"""The engine in memory refuses what aioquic refuses; otherwise it would prove nothing."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from quiver.quic import engine
from quiver.quic.codes import TransportCode
from tests.support.engines.memory_quic import Limits, MemoryEngine, Peer

WINDOW = 10_000


class Pair:
    """A client's engine and a server's peer, with nothing between them; time stands still."""

    def __init__(self, *, client: Limits | None = None, server: Limits | None = None) -> None:
        self.client = MemoryEngine(client or Limits(max_stream_data=WINDOW))
        self.server = Peer(False, server or Limits(max_streams=2, max_stream_data=WINDOW))
        self.seen: list[engine.Event] = []
        self.now = 0.0
        self.client.connect(self.now)
        self.exchange()

    def exchange(self) -> list[engine.Event]:
        """Let both sides send all they may; what the client has to say of it."""
        happened: list[engine.Event] = []
        for _ in itertools.count():
            there = self.client.datagrams(self.now)
            for datagram in there:
                self.server.receive(datagram, self.now)
            self.seen += self.server.events
            self.server.events.clear()
            back = self.server.datagrams(self.now)
            self.client.receive(back, self.now)
            happened += self.client.events()
            if not there and not back:
                return happened
        raise AssertionError

    def received(self, stream_id: int) -> bytes:
        data = [e for e in self.seen if isinstance(e, engine.StreamDataReceived)]
        return b"".join(e.data for e in data if e.stream_id == stream_id)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def closed(happened: list[engine.Event]) -> engine.ConnectionClosed:
    """The end, which is the last event."""
    last = happened[-1]
    assert isinstance(last, engine.ConnectionClosed)
    return last


def test_it_has_the_face_of_an_engine() -> None:
    names = {name for name in vars(engine.Engine) if not name.startswith("_")}
    made = MemoryEngine(Limits())
    assert all(hasattr(made, name) for name in names)
    typed: engine.Engine = made
    assert typed.trace is None


def test_no_more_streams_than_are_allowed(pair: Pair) -> None:
    assert pair.client.max_streams == 2
    assert [pair.client.open_stream(b"x", False, None) for _ in range(2)] == [0, 4]
    with pytest.raises(ValueError, match="no more than 2"):
        pair.client.open_stream(b"x", False, None)
    pair.exchange()
    assert pair.client.max_streams == 4
    assert pair.client.open_stream(b"x", False, None) == 8


def test_before_the_handshake_no_stream_is_opened() -> None:
    fresh = MemoryEngine(Limits())
    with pytest.raises(ValueError, match="no more than 0"):
        fresh.open_stream(b"x", True, None)


def test_a_peer_that_opens_too_many_is_closed(pair: Pair) -> None:
    pair.client.peer.inject(("stream", 8, 0, b"x", True))
    assert closed(pair.exchange()).code == TransportCode.STREAM_LIMIT_ERROR
    other = Pair()
    other.server.inject(("stream", 4 * 128 + 3, 0, b"x", False))
    end = closed(other.exchange())
    assert (end.cause, end.code) == (engine.Cause.VIOLATION, TransportCode.STREAM_LIMIT_ERROR)


def test_bytes_beyond_the_credit_wait() -> None:
    pair = Pair()
    pair.server.gives_credit = False
    stream_id = pair.client.open_stream(b"x" * 3 * WINDOW, True, None)
    pair.exchange()
    assert len(pair.received(stream_id)) == WINDOW
    assert pair.client.unacknowledged(stream_id) == 2 * WINDOW
    pair.server.gives_credit = True
    pair.exchange()
    assert pair.received(stream_id) == b"x" * 3 * WINDOW
    assert pair.client.unacknowledged(stream_id) == 0


def test_the_connections_credit_holds_for_all_streams() -> None:
    pair = Pair(server=Limits(max_data=WINDOW, max_stream_data=WINDOW, max_streams=2))
    pair.server.gives_credit = False
    streams = [pair.client.open_stream(b"x" * 8_000, True, None) for _ in range(2)]
    pair.exchange()
    assert sum(len(pair.received(each)) for each in streams) == WINDOW


def test_credit_follows_consumption(pair: Pair) -> None:
    stream_id = pair.client.open_stream(b"x", True, WINDOW)
    pair.exchange()
    pair.server.write(stream_id, b"y" * 3 * WINDOW, True)
    came = 0
    for _ in range(3):
        for event in pair.exchange():
            assert isinstance(event, engine.StreamDataReceived)
            came += len(event.data)
            pair.client.passed_on(stream_id, len(event.data))
        assert came % WINDOW == 0
        pair.client.consumed(stream_id, WINDOW)
    assert came == 3 * WINDOW


@pytest.mark.parametrize("forget", [True, False])
def test_nobodys_stream_gets_no_credit(pair: Pair, forget: bool) -> None:
    stream_id = pair.client.open_stream(b"x", True, None)
    pair.exchange()
    if forget:
        pair.client.forget_stream(stream_id)
    pair.server.write(stream_id, b"y" * 3 * WINDOW, True)
    happened = pair.exchange()
    came = sum(len(e.data) for e in happened if isinstance(e, engine.StreamDataReceived))
    assert came == (WINDOW if forget else 3 * WINDOW)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([("stream", 0, 0, b"y" * (WINDOW + 1), False)], TransportCode.FLOW_CONTROL_ERROR),
        ([("reset", 0, 1, WINDOW + 1)], TransportCode.FLOW_CONTROL_ERROR),
        (
            [("stream", 0, 0, b"abc", True), ("stream", 0, 3, b"d", False)],
            TransportCode.FINAL_SIZE_ERROR,
        ),
        ([("stream", 0, 0, b"abc", False), ("reset", 0, 1, 2)], TransportCode.FINAL_SIZE_ERROR),
        ([("stream", 0, 0, b"abc", True), ("reset", 0, 1, 4)], TransportCode.FINAL_SIZE_ERROR),
        ([("stream", 4, 0, b"x", False)], TransportCode.STREAM_STATE_ERROR),
        ([("stream", 2, 0, b"x", False)], TransportCode.STREAM_STATE_ERROR),
        ([("stop", 7, 0)], TransportCode.STREAM_STATE_ERROR),
        ([("datagram", b"x")], TransportCode.PROTOCOL_VIOLATION),
    ],
)
def test_a_peer_that_breaks_a_rule_is_closed(
    pair: Pair, frames: list[tuple[Any, ...]], code: TransportCode
) -> None:
    pair.client.open_unidirectional(b"x")
    pair.client.open_stream(b"x", False, WINDOW)
    pair.exchange()
    pair.server.inject(*frames)
    end = closed(pair.exchange())
    assert (end.cause, end.code, end.transport) == (engine.Cause.VIOLATION, code, True)
    assert pair.server.closed is not None
    assert (pair.server.closed.cause, pair.server.closed.code) == (engine.Cause.PEER, code)


@pytest.mark.parametrize(
    "frames",
    [
        [("stream", 0, 0, b"y" * 101, False)],
        [("reset", 0, 1, 101)],
        [("reset", 0, 1, 100), ("stream", 4, 0, b"y", False)],  # a final size counts as received
    ],
    ids=["bytes", "final size", "both"],
)
def test_the_connections_limit_is_kept(frames: list[tuple[Any, ...]]) -> None:
    pair = Pair()
    pair.client.peer.gives_credit = False
    pair.client.peer._may_receive_data = 100
    for _ in range(2):
        pair.client.open_stream(b"x", True, WINDOW)
    pair.exchange()
    pair.server.inject(*frames)
    assert closed(pair.exchange()).code == TransportCode.FLOW_CONTROL_ERROR


def test_after_its_end_nothing_can_be_sent(pair: Pair) -> None:
    ended = pair.client.open_stream(b"x", True, None)
    reset = pair.client.open_stream(b"x", False, None)
    pair.exchange()
    pair.client.reset_stream(reset, 7)
    for stream_id in (ended, reset, 400):
        with pytest.raises(RuntimeError, match="after its end"):
            pair.client.send_stream(stream_id, b"more", False)
    pair.exchange()
    assert engine.StreamResetReceived(reset, 7) in pair.seen
    pair.client.reset_stream(ended, 7)
    pair.client.reset_stream(400, 7)
    pair.exchange()
    assert len([each for each in pair.seen if isinstance(each, engine.StreamResetReceived)]) == 1


def test_who_is_asked_to_stop_resets_the_stream(pair: Pair) -> None:
    stream_id = pair.client.open_stream(b"x", False, None)
    pair.exchange()
    pair.server.stop(stream_id, 9)
    assert engine.StopSendingReceived(stream_id, 9) in pair.exchange()
    assert engine.StreamResetReceived(stream_id, 9) in pair.seen
    with pytest.raises(RuntimeError):
        pair.client.send_stream(stream_id, b"more", False)


def test_a_datagram_that_is_too_long_is_refused() -> None:
    limits = Limits(max_streams=2, max_datagram_frame_size=100)
    pair = Pair(client=Limits(max_datagram_frame_size=1000), server=limits)
    most = pair.client.max_datagram_size
    pair.client.peer.inject(("datagram", b"x" * most))
    pair.exchange()
    assert engine.DatagramReceived(b"x" * most) in pair.seen
    pair.client.peer.inject(("datagram", b"x" * 100))
    assert closed(pair.exchange()).code == TransportCode.PROTOCOL_VIOLATION


def test_datagrams_that_wait_are_bounded() -> None:
    limits = Limits(max_streams=2, max_datagram_frame_size=1000)
    pair = Pair(client=Limits(max_datagram_frame_size=1000), server=limits)
    stream_id = pair.client.open_stream(b"x", False, None)
    taken = [pair.client.send_datagram(stream_id, b"x") for _ in range(300)]
    assert taken == [True] * 256 + [False] * 44


def test_a_ping_is_acknowledged(pair: Pair) -> None:
    pair.client.ping(5)
    assert pair.exchange() == [engine.PingAcknowledged(5)]


def test_silence_ends_it_on_both_sides(pair: Pair) -> None:
    assert pair.client.idle_timeout == 60.0
    pair.client.tick(pair.now + 59.9)
    assert list(pair.client.events()) == []
    pair.client.tick(pair.now + 60.0)
    assert closed(list(pair.client.events())).cause is engine.Cause.IDLE
    assert (pair.client.timer(), pair.client.datagrams(100.0)) == (None, [])


def test_what_is_lost_is_sent_again_and_what_is_forged_is_not_heard(pair: Pair) -> None:
    stream_id = pair.client.open_stream(b"abc", True, None)
    assert len(pair.client.datagrams(0.0)) == 1  # lost
    assert pair.client.datagrams(0.1) == []
    due = pair.client.timer()
    assert due is not None
    [again] = pair.client.datagrams(due)
    for datagram in (again[:-1], again[:-1] + b"?", b"", b"@" * 50, again, again):
        pair.server.receive(datagram, due)
    assert pair.server.heard == due
    assert list(pair.server.events) == [engine.StreamDataReceived(stream_id, b"abc", True)]


def test_its_owner_closes_it_once(pair: Pair) -> None:
    pair.client.close(0x100, "bye")
    pair.client.close(0x101, "again")
    end = closed(list(pair.client.events()))
    assert (end.cause, end.code, end.transport) == (engine.Cause.OWNER, 0x100, False)
    [last] = pair.client.datagrams(pair.now)
    pair.server.receive(last, pair.now)
    assert pair.server.closed is not None
    assert (pair.server.closed.code, pair.server.closed.reason) == (0x100, "bye")
    assert pair.client.datagrams(pair.now) == []
