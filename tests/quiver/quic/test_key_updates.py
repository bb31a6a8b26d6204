"""Key updates in connections, and their end at a limit: over the fast paths and aioquic's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aioquic.quic import events as theirs
from aioquic.tls import Epoch

from quiver.config import PoolConfig
from quiver.errors import ConnectionLost
from quiver.h3.close_reasons import close_reason
from quiver.origin import Origin
from quiver.quic.aioquic.configuration import make_configuration
from quiver.quic.aioquic.packet_keys import PacketKeys
from quiver.quic.codes import TransportCode
from quiver.quic.engine import Cause, ConnectionClosed, PingAcknowledged
from quiver.testing import Authority
from tests.support.engines.quic_wire import EngineWire

MIB = 1024 * 1024

Make = Callable[..., EngineWire]


@pytest.fixture(params=[True, False], ids=["fast", "plain"])
def make(request: pytest.FixtureRequest, authority: Authority) -> Make:
    certificate = authority.issue()

    def make(act: Any = lambda server, event: None, *, update_after: int) -> EngineWire:
        config = PoolConfig(cafile=authority.cafile)
        wire = EngineWire(config, certificate, act, fast_paths=request.param)
        wire.engine.connection._update_keys_after = update_after
        return wire.connect()

    return make


def keys_of(wire: EngineWire) -> PacketKeys:
    return wire.engine.connection.packet_keys


def servers_phase(wire: EngineWire) -> int:
    assert wire.server is not None
    return wire.server._cryptos[Epoch.ONE_RTT].key_phase


def ping(wire: EngineWire, times: int) -> None:
    for uid in range(times):
        wire.engine.ping(uid)
        wire.step()


def closed(wire: EngineWire) -> ConnectionClosed:
    wire.settle()
    (event,) = wire.of(ConnectionClosed)
    assert wire.server is not None
    told: Any = wire.server._close_event
    assert (told.error_code, told.reason_phrase) == (event.code, event.reason)
    assert isinstance(event, ConnectionClosed)
    return event


def test_by_default_it_is_well_before_the_limit() -> None:
    configuration = make_configuration(PoolConfig(verify=False), Origin("https", "a", 443))
    assert configuration.update_keys_after == 1 << 22 < 1 << 23


def test_up_and_down_with_one_update_after_the_other(make: Make) -> None:
    """Nothing is lost by them: with aioquic's own pair, what is on its way would be."""
    content, got = bytes(range(256)) * (MIB // 256), bytearray()

    def act(server: Any, event: Any) -> None:
        if isinstance(event, theirs.StreamDataReceived):
            got.extend(event.data)
            server.send_stream_data(event.stream_id, event.data, event.end_stream)

    wire = make(act, update_after=20)
    stream_id = wire.engine.open_stream(content, True, None)
    phases = {keys_of(wire).key_phase}
    changes, last = 0, 0
    while not wire.ended(stream_id):
        wire.step()
        phase = keys_of(wire).key_phase
        changes, last = changes + (phase != last), phase
        phases |= {phase}
    assert wire.came(stream_id) == bytes(got) == content
    assert phases == {0, 1}
    assert changes > 10
    assert keys_of(wire).forged == 0


def test_none_before_the_handshake_is_confirmed(make: Make) -> None:
    wire = make(update_after=1)
    assert keys_of(wire).forged == 0
    ping(wire, 5)
    assert len(wire.of(PingAcknowledged)) == 5


def test_no_second_one_before_a_packet_of_the_first_is_acknowledged(make: Make) -> None:
    wire = make(update_after=10)
    ping(wire, 9)
    wire.blocked = True
    before = keys_of(wire).key_phase
    ping(wire, 60)
    assert keys_of(wire).key_phase in (before, 1 - before)
    assert keys_of(wire).sealed >= 40
    assert servers_phase(wire) == keys_of(wire).key_phase
    wire.blocked = False
    ping(wire, 30)
    wire.settle()
    assert keys_of(wire).forged == 0
    assert keys_of(wire).sealed < 20


def test_where_none_can_be_had_the_end_comes_in_time(make: Make) -> None:
    wire = make(update_after=10)
    keys_of(wire).most_sealed = 50
    wire.blocked = True
    ping(wire, 70)
    event = closed(wire)
    assert event.code == TransportCode.AEAD_LIMIT_REACHED
    assert event.reason == "50 packets were sent with one key"
    error = close_reason(event, "https://a", ready=True)
    assert isinstance(error, ConnectionLost)
    assert "AEAD_LIMIT_REACHED" in str(error)


def test_forged_packets_end_it_at_the_limit(make: Make) -> None:
    wire = make(update_after=1 << 22)
    keys_of(wire).most_forged = 100
    forged = bytes([0x40]) + wire.engine.connection.host_cid + bytes(40)
    wire.engine.receive([forged] * 99, wire.now)
    ping(wire, 1)
    assert wire.of(PingAcknowledged)
    wire.engine.receive([forged], wire.now)
    wire.take()
    event = closed(wire)
    assert event.code == TransportCode.AEAD_LIMIT_REACHED
    assert event.cause is Cause.VIOLATION
    assert event.reason == "100 packets could not be opened"


def test_a_server_that_updates_twice_in_a_row_is_told(make: Make) -> None:
    wire = make(update_after=1 << 22)
    sent = []
    assert wire.server is not None
    for uid in range(2):
        wire.server.request_key_update()
        wire.server.send_ping(uid)
        sent += [datagram for datagram, _ in wire.server.datagrams_to_send(wire.now)]
    wire.engine.receive(sent, wire.now)
    wire.take()
    assert [each.code for each in wire.of(ConnectionClosed)] == [TransportCode.KEY_UPDATE_ERROR]


def test_the_former_keys_are_forgotten_after_a_while(make: Make) -> None:
    wire = make(update_after=10)
    ping(wire, 12)
    assert keys_of(wire).former is not None
    wire.now += 3 * wire.engine.probe_timeout
    ping(wire, 3)
    assert keys_of(wire).former is None
