"""Early data by the seam: what goes in the first flight, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import attrs
import pytest
from aioquic import tls
from aioquic.quic import events as theirs
from aioquic.quic.packet import QuicProtocolVersion

from quiver.config import PoolConfig
from quiver.quic.codes import CRYPTO_ERROR, TransportCode
from quiver.quic.engine import (
    Cause,
    ConnectionClosed,
    HandshakeCompleted,
    SessionTicket,
    TicketReceived,
)
from quiver.testing import Authority
from tests.support.engines.quic_wire import EngineWire, OneVersion

Given = dict[bytes, tls.SessionTicket]
Make = Callable[..., EngineWire]


def echo(server: Any, event: Any) -> None:
    if isinstance(event, theirs.StreamDataReceived) and not event.stream_id & 3:
        server.send_stream_data(event.stream_id, event.data, event.end_stream)


@pytest.fixture(params=[True, False], ids=["short", "plain"])
def make(request: pytest.FixtureRequest, authority: Authority) -> Make:
    own, given = authority.issue(), Given()

    def make(ticket: SessionTicket | None = None, early: bool = True, **about: Any) -> EngineWire:
        config = PoolConfig(cafile=authority.cafile)
        about = {"certificate": own, "given": given, "act": echo, **about}
        wire: type[EngineWire] = about.pop("wire", EngineWire)
        return wire(config, fast_paths=request.param, ticket=ticket, early=early, **about)

    return make


def ticket_of(wire: EngineWire) -> SessionTicket:
    return ticket_of_now(wire.connect())


def ticket_of_now(wire: EngineWire) -> SessionTicket:
    tickets: list[TicketReceived] = wire.of(TicketReceived)
    return tickets[-1].ticket


def begin(wire: EngineWire, *contents: bytes) -> list[int]:
    """Connect, and send these in the first flight."""
    wire.engine.connect(wire.now)
    assert wire.engine.early
    return [wire.engine.open_stream(content, True, None) for content in contents]


def completed(wire: EngineWire) -> HandshakeCompleted:
    wire.run(lambda: bool(wire.of(HandshakeCompleted) or wire.of(ConnectionClosed)))
    [event] = wire.of(HandshakeCompleted)
    assert isinstance(event, HandshakeCompleted)
    return event


def test_it_goes_in_the_first_flight(make: Make) -> None:
    wire = make(ticket_of(make()))
    opened = begin(wire, b"a", b"b" * 3_000)
    assert opened == [0, 4]
    wire.step()
    asked = [each for each in wire.seen if isinstance(each, theirs.StreamDataReceived)]
    assert {each.stream_id for each in asked} == {0, 4}, "before anything has come back"
    assert completed(wire) == HandshakeCompleted(True, True)
    wire.run(lambda: all(map(wire.ended, opened)))
    assert [wire.came(each) for each in opened] == [b"a", b"b" * 3_000]
    assert not wire.engine.early and wire.engine.handshake.early
    assert wire.engine.open_stream(b"later", True, None) == 8
    wire.run(lambda: wire.ended(8))


def test_none_without_a_ticket_for_it(make: Make) -> None:
    ticket = ticket_of(make())
    assert isinstance(ticket.content, tls.SessionTicket)
    plain = attrs.evolve(ticket, content=replace(ticket.content, max_early_data_size=None))
    for wire in (make(), make(plain), make(ticket_of(make()), early=False)):
        wire.engine.connect(wire.now)
        assert not wire.engine.early
        with pytest.raises(ValueError, match="0 streams"):
            wire.engine.open_stream(b"", True, None)
        assert completed(wire).early is None


def test_a_server_that_knows_the_ticket_no_more(make: Make) -> None:
    """All streams are gone as if they had never been; what is opened then begins anew."""
    wire = make(ticket_of(make()), given={}, max_streams=5)
    begin(wire, b"a", b"b" * 3_000, b"c")
    assert completed(wire) == HandshakeCompleted(False, False)
    assert wire.engine.next_stream_id == 0 and wire.engine.max_streams == 5
    assert [wire.engine.open_stream(b"%d" % each, True, None) for each in range(5)][-1] == 16
    with pytest.raises(ValueError, match="5 streams"):
        wire.engine.open_stream(b"", True, None)
    wire.run(lambda: all(map(wire.ended, range(0, 20, 4))))
    assert [wire.came(each) for each in range(0, 20, 4)] == [b"0", b"1", b"2", b"3", b"4"]
    ids = {e.stream_id for e in wire.seen if isinstance(e, theirs.StreamDataReceived)}
    assert ids == set(range(0, 20, 4))


def test_a_server_that_rejects_it_and_resumes(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    reject(monkeypatch)
    wire = make(ticket_of(make()), max_data=2_000)
    begin(wire, b"a" * 1_500)
    assert completed(wire) == HandshakeCompleted(True, False)
    stream_id = wire.engine.open_stream(b"b" * 1_900, True, None)
    wire.run(lambda: wire.ended(stream_id))
    assert wire.came(stream_id) == b"b" * 1_900, "by credit that nothing was taken from"


def reject(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have aioquic's servers leave early data aside."""
    made = tls.pull_client_hello

    def without(buf: Any) -> Any:
        hello = made(buf)
        hello.early_data = False
        return hello

    monkeypatch.setattr(tls, "pull_client_hello", without)


@pytest.mark.parametrize("lost", [{0}, {1}, {2}, {0, 1}, {1, 2, 3}])
def test_any_of_its_datagrams_is_lost(make: Make, lost: set[int]) -> None:
    wire = make(ticket_of(make()))
    numbers = iter(range(1_000))
    made = wire._to_server
    wire._to_server = lambda sent: None if next(numbers) in lost else made(sent)  # type: ignore
    opened = begin(wire, b"a" * 900, b"b" * 900, b"c" * 900)
    completed(wire)
    wire.run(lambda: all(map(wire.ended, opened)))
    assert [wire.came(each) for each in opened] == [each * 900 for each in (b"a", b"b", b"c")]


def test_the_servers_first_flight_is_lost(make: Make) -> None:
    wire = make(ticket_of(make()))
    wire.blocked = True
    opened = begin(wire, b"a" * 900)
    wire.settle(20)
    wire.blocked = False
    assert completed(wire).early is True
    wire.run(lambda: wire.ended(opened[0]))
    assert wire.came(0) == b"a" * 900


def test_a_server_that_speaks_another_version_by_now(make: Make) -> None:
    """Its sessions are those of one version (RFC 9369 5): nothing of the first flight stands."""
    about = {"wire": OneVersion, "supported_versions": [QuicProtocolVersion.VERSION_2]}
    wire = make(ticket_of(make()), **about)
    begin(wire, b"a", b"b" * 3_000)
    assert completed(wire) == HandshakeCompleted(False, False)
    assert wire.engine.handshake.version == "2"
    assert wire.engine.next_stream_id == 0 and wire.engine.max_streams == 128
    assert not wire.engine.early
    stream_id = wire.engine.open_stream(b"c", True, None)
    wire.run(lambda: wire.ended(stream_id))
    asked = [each.data for each in wire.seen if isinstance(each, theirs.StreamDataReceived)]
    assert asked == [b"c"]
    back = make(ticket_of_now(wire), wire=OneVersion)
    begin(back, b"d")
    assert completed(back) == HandshakeCompleted(False, False), "nor the other way round"


# what a server must not do ------------------------------------------------------------------


@pytest.mark.parametrize("lower", [{"max_data": 1_000}, {"max_stream_data": 1_000}])
def test_one_that_accepts_and_lowers_its_limits(make: Make, lower: dict[str, Any]) -> None:
    wire = make(ticket_of(make()), **lower)
    begin(wire, b"a")
    wire.run(lambda: bool(wire.of(ConnectionClosed)))
    [over] = wire.of(ConnectionClosed)
    assert (over.cause, over.code) == (Cause.VIOLATION, TransportCode.PROTOCOL_VIOLATION)
    assert "early data: accepted, but initial_max" in over.reason


def test_one_that_raises_its_limits(make: Make) -> None:
    ticket = ticket_of(make(max_stream_data=1_000))
    wire = make(ticket, max_stream_data=50_000)
    opened = begin(wire, b"a" * 30_000)
    assert completed(wire).early is True
    wire.run(lambda: wire.ended(opened[0]))
    assert wire.came(0) == b"a" * 30_000


def test_one_that_accepts_what_was_not_offered(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tls.push_encrypted_extensions
    monkeypatch.setattr(
        tls,
        "push_encrypted_extensions",
        lambda buf, said: made(buf, replace(said, early_data=True)),
    )
    wire = make()
    wire.engine.connect(wire.now)
    wire.run(lambda: bool(wire.of(ConnectionClosed)))
    [over] = wire.of(ConnectionClosed)
    assert (over.cause, over.code) == (Cause.VIOLATION, CRYPTO_ERROR + 110)
