"""A client that moves, by the seam: over the fast paths and over aioquic's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aioquic.quic import events as theirs
from aioquic.quic.connection import QuicConnection

from quiver.config import PoolConfig
from quiver.quic.aioquic import required
from quiver.quic.engine import Cause, ConnectionClosed, Obstacle, PathFailed, PathValidated
from quiver.testing import Authority
from tests.support.engines.quic_wire import EngineWire, LongWire

MIB = 1024 * 1024

Make = Callable[..., EngineWire]


@pytest.fixture(params=[True, False], ids=["short", "plain"])
def make(request: pytest.FixtureRequest, authority: Authority) -> Make:
    certificate = authority.issue()

    def make(act: Any = lambda server, event: None, **options: Any) -> EngineWire:
        config = options.pop("config", None) or PoolConfig(cafile=authority.cafile)
        kind = LongWire if "one_way" in options else EngineWire
        return kind(config, certificate, act, fast_paths=request.param, **options)

    return make


def answers(content: bytes) -> Callable[[Any, Any], None]:
    def act(server: Any, event: Any) -> None:
        if isinstance(event, theirs.StreamDataReceived) and event.end_stream:
            server.send_stream_data(event.stream_id, content, True)

    return act


def quic_of(wire: EngineWire) -> Any:
    return wire.engine.connection


def validated(wire: EngineWire) -> int:
    return len(wire.of(PathValidated))


def test_a_download_goes_on_from_another_address_again_and_again(make: Make) -> None:
    content = bytes(range(256)) * 4096 * 4
    wire = make(answers(content)).connect()
    stream_id = wire.engine.open_stream(b"ask", True, None)
    for turn in range(1, 6):
        wire.run(lambda part=turn: len(wire.came(stream_id)) > part * MIB // 2)  # type: ignore[misc]
        assert wire.move(50_000 + turn) is None
    wire.run(lambda: wire.ended(stream_id))
    assert wire.came(stream_id) == content
    wire.settle()
    assert validated(wire) >= 1 and not wire.of(PathFailed) and not wire.of(ConnectionClosed)


def test_an_upload_goes_on_from_another_address(make: Make) -> None:
    content = bytes(range(256)) * 4096
    got = bytearray()

    def take(_: Any, event: Any) -> None:
        if isinstance(event, theirs.StreamDataReceived) and not event.stream_id & 3:
            got.extend(event.data)

    wire = make(take).connect()
    stream_id = wire.engine.open_stream(content[: MIB // 2], False, None)
    wire.engine.send_stream(stream_id, content[MIB // 2 :], True)
    for turn in (1, 2):
        wire.run(lambda part=turn: len(got) > part * MIB // 4)  # type: ignore[misc]
        assert wire.move(50_000 + turn) is None
    wire.run(lambda: len(got) == len(content))
    assert bytes(got) == content
    wire.run(lambda: validated(wire) == 1 or validated(wire) == 2)


def test_one_that_is_idle_has_its_next_request_answered_in_a_round_trip(make: Make) -> None:
    wire = make(answers(b"hello")).connect()
    assert wire.move(50_001) is None
    stream_id, began = wire.engine.open_stream(b"ask", True, None), wire.now
    wire.run(lambda: wire.ended(stream_id))
    assert wire.now - began < 0.1
    assert validated(wire) == 1
    assert wire.of(PathValidated)[0].seconds < 0.1


def test_no_connection_id_is_used_from_two_addresses(make: Make) -> None:
    """RFC 9000 9.5, 5.1.2: another one, and the former is retired."""
    wire = make().connect()
    ids = [quic_of(wire)._peer_cid.cid]
    for turn in (1, 2, 3):
        assert wire.move(50_000 + turn) is None
        ids.append(quic_of(wire)._peer_cid.cid)
        wire.settle()
    assert len(set(ids)) == 4
    known = {each.cid for each in wire.server._host_cids}  # type: ignore[union-attr]
    assert known.isdisjoint(ids[:-1]) and ids[-1] in known
    assert validated(wire) == 3


def test_what_a_challenge_goes_in_is_expanded(make: Make) -> None:
    """RFC 9000 8.2.1."""
    wire = make().connect()
    assert wire.engine.migrate(wire.now) is None
    assert 1_200 in [len(each) for each in wire.engine.datagrams(wire.now)]


def test_what_was_known_of_the_old_path_is_forgotten(make: Make) -> None:
    wire = make(answers(bytes(MIB)), one_way=0.01).connect()
    stream_id = wire.engine.open_stream(bytes(MIB), True, None)
    wire.run(lambda: quic_of(wire)._loss.congestion_window > 40_000)
    quic, loss = quic_of(wire), quic_of(wire)._loss
    wire.engine.datagrams(wire.now)
    assert loss.bytes_in_flight > 0 and loss._rtt_initialized
    pacer = type(loss._pacer)
    assert wire.move(50_001) is None
    assert loss.congestion_window == 10 * quic._max_datagram_size == 12_000
    assert loss.bytes_in_flight == 0 and not loss._rtt_initialized
    assert wire.engine.probe_timeout == pytest.approx(2 * quic.configuration.initial_rtt)
    assert type(loss._pacer) is pacer and loss._pacer.packet_time is None
    wire.run(lambda: wire.ended(stream_id))
    assert loss._rtt_initialized


def test_late_packets_to_the_old_address_are_taken(make: Make) -> None:
    wire = make(answers(bytes(MIB))).connect()
    stream_id = wire.engine.open_stream(b"ask", True, None)
    wire.run(lambda: len(wire.came(stream_id)) > 100_000)
    before, former = len(wire.came(stream_id)), wire.client
    server = wire.server
    assert server is not None
    late = [datagram for datagram, to in server.datagrams_to_send(wire.now) if to == former]
    assert wire.move(50_001) is None
    wire.engine.receive(late, wire.now)
    wire.take()
    assert len(wire.came(stream_id)) > before
    wire.run(lambda: wire.ended(stream_id))


def test_a_path_that_leads_nowhere_is_told(make: Make) -> None:
    wire = make().connect()
    assert wire.engine.migrate(wire.now) is None
    wire.ours = set()
    wire.run(lambda: bool(wire.of(PathFailed)))
    [failed] = wire.of(PathFailed)
    assert 2.9 < failed.seconds < 4.0
    assert not wire.of(ConnectionClosed) and validated(wire) == 0


def test_a_server_that_acknowledges_and_owes_its_answer_is_waited_for(make: Make) -> None:
    """It was in the midst of a download when we were away: all its window is on its way, and its
    probe timeout has doubled several times. It acknowledges at once, and answers when that is up.
    """
    content = bytes(range(256)) * 4096
    wire = make(answers(content)).connect()
    stream_id = wire.engine.open_stream(b"ask", True, None)
    wire.run(lambda: len(wire.came(stream_id)) > MIB // 4)
    wire.ours = set()
    wire.settle(3)  # what it sends now arrives nowhere any more
    wire.let_server_send_in_vain(9.0)
    assert wire.move(50_001) is None
    wire.run(lambda: wire.ended(stream_id) and validated(wire) == 1)
    assert wire.of(PathValidated)[0].seconds > 3.0, "else it was in time anyway"
    assert wire.came(stream_id) == content and not wire.of(PathFailed)


def test_one_that_acknowledges_and_is_gone_then_is_told(make: Make) -> None:
    wire = make().connect()
    assert wire.engine.migrate(wire.now) is None
    [challenge, *_] = wire.engine.datagrams(wire.now)
    payloads = list(quic_of(wire).path_validation._challenges)
    assert len(challenge) == 1_200 and len(payloads) == 1
    quic_of(wire).path_validation.acknowledged(payloads[0])
    wire.ours = set()
    wire.run(lambda: bool(wire.of(PathFailed)))
    assert 5.9 < wire.of(PathFailed)[0].seconds < 7.0


def test_the_next_path_may_do_better(make: Make) -> None:
    wire = make(answers(b"hello")).connect()
    assert wire.engine.migrate(wire.now) is None
    wire.ours = set()
    stream_id = wire.engine.open_stream(b"ask", True, None)
    wire.settle(20)
    assert wire.move(50_002) is None
    wire.run(lambda: wire.ended(stream_id) and validated(wire) == 1)
    assert not wire.of(PathFailed)


def test_fast_paths_are_taken_again(make: Make, authority: Authority) -> None:
    wire = make(answers(b"hello")).connect()
    sender = wire.engine.sender
    if not hasattr(sender, "parked"):
        pytest.skip("there are none")
    assert wire.move(50_001) is None
    wire.settle()
    wire.engine.open_stream(b"ask", True, None)
    wire.engine.datagrams(wire.now)
    assert sender.parked, "it was sent the fast way"


def test_a_qlog_tells_of_it(make: Make, authority: Authority, tmp_path: Path) -> None:
    config = PoolConfig(cafile=authority.cafile, qlog_dir=str(tmp_path))
    wire = make(answers(b"hello"), config=config).connect()
    assert wire.move(50_001) is None
    stream_id = wire.engine.open_stream(b"ask", True, None)
    wire.run(lambda: wire.ended(stream_id) and validated(wire) == 1)
    wire.engine.close(0)
    wire.engine.datagrams(wire.now)
    [written] = tmp_path.iterdir()
    assert "path_challenge" in written.read_text() and "path_response" in written.read_text()


# why it may not -----------------------------------------------------------------------------


def test_not_before_the_handshake_is_confirmed(make: Make) -> None:
    """RFC 9000 9."""
    wire = make()
    assert wire.engine.migrate(0.0) is Obstacle.UNCONFIRMED
    wire.engine.connect(0.0)
    wire.step()
    assert wire.engine.migrate(wire.now) is Obstacle.UNCONFIRMED


def test_not_where_the_server_forbids_it(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = vars(QuicConnection)["_serialize_transport_parameters"]

    def forbidding(self: QuicConnection) -> bytes:
        said: bytes = made(self)
        return said if self.configuration.is_client else said + b"\x0c\x00"

    monkeypatch.setattr(QuicConnection, "_serialize_transport_parameters", forbidding)
    wire = make(answers(b"hello")).connect()
    assert wire.move(50_001) is Obstacle.FORBIDDEN
    stream_id = wire.engine.open_stream(b"ask", True, None)
    wire.run(lambda: wire.ended(stream_id))


def test_not_without_a_spare_connection_id(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuicConnection, "_replenish_connection_ids", lambda self: None)
    wire = make(answers(b"hello")).connect()
    assert wire.move(50_001) is Obstacle.NO_CONNECTION_ID
    stream_id = wire.engine.open_stream(b"ask", True, None)
    wire.run(lambda: wire.ended(stream_id))


def test_not_when_it_has_ended(make: Make) -> None:
    wire = make().connect()
    wire.engine.close(0)
    assert wire.engine.migrate(wire.now) is Obstacle.ENDED
    assert [each.cause for each in wire.engine.events()] == [Cause.OWNER]  # type: ignore[union-attr]


def test_not_with_a_release_that_lacks_what_it_takes(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(required, "can_migrate", lambda: False)
    wire = make().connect()
    assert wire.move(50_001) is Obstacle.UNABLE
