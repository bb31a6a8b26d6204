"""What aioquic raises ends its own connection, by a name that blames the right side."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aioquic.quic.connection import QuicConnection
from cryptography import x509

from quiver.config import PoolConfig
from quiver.errors import (
    CertificateInvalid,
    HandshakeFailed,
    InternalError,
    ProtocolViolation,
    QuiverError,
)
from quiver.h3 import events
from quiver.h3.client_connection import ClientConnection
from quiver.h3.headers import request_fields
from quiver.origin import Origin
from quiver.quic.codes import CRYPTO_ERROR, TransportCode
from quiver.request import Request
from quiver.testing.authority import Authority
from tests.support.engines.http3_wire import Server, Wire, connected, dial

ORIGIN = Origin("https", "localhost", 4433)
GET = request_fields(Request("GET", "/"), ORIGIN)

RAISED = [
    IndexError("pop from empty list"),
    ValueError("odd"),
    AssertionError(),
    KeyError(7),
    struct.error("unpack"),
    RuntimeError("no"),
]


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as authority:
        yield authority


@pytest.fixture
def wire(authority: Authority) -> Wire:
    config = PoolConfig(cafile=authority.cafile)
    return connected(config, Server(authority.issue()), max_header_size=65_536)


def failing(error: BaseException, times: int = 1) -> Callable[..., Any]:
    """Stands for a method of aioquic's that raises, so often, and then is `pass`."""
    left = iter(range(times))

    def method(*_: Any, **__: Any) -> Any:
        if next(left, None) is not None:
            raise error
        return []

    return method


def ended_with(h3: ClientConnection) -> QuiverError:
    """The one ConnectionEnded of a connection, and nothing after it."""
    (closed,) = [each for each in h3.events() if isinstance(each, events.ConnectionEnded)]
    assert h3.closed
    h3.receive(b"more", 1e6)
    h3.tick(1e6)
    assert h3.events() == []
    assert h3.timer() is None
    return closed.error


def what_the_server_heard(wire: Wire) -> int:
    wire.settle()
    assert wire.server is not None
    assert wire.server.quic is not None
    event = wire.server.quic._close_event
    assert event is not None
    return event.error_code


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_raised_on_what_the_server_sent(wire: Wire, error: Exception) -> None:
    h3: Any = wire.h3
    h3._engine.receiver.take = failing(error)
    h3.receive(b"\x40 anything", wire.now)
    fault = ended_with(h3)
    assert isinstance(fault, ProtocolViolation)
    assert type(error).__name__ in str(fault)
    assert fault.__cause__ is error
    for datagram in h3.datagrams(wire.now):
        wire.server.receive(datagram, wire.now)  # type: ignore[union-attr]
    assert what_the_server_heard(wire) == TransportCode.PROTOCOL_VIOLATION


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("step", ["datagrams_to_send", "handle_timer"])
def test_raised_on_our_side(wire: Wire, step: str, error: Exception) -> None:
    h3: Any = wire.h3
    with pytest.MonkeyPatch.context() as patch:
        whole = getattr(QuicConnection, step)
        once = failing(error)

        def broken(quic: Any, *args: Any) -> Any:
            return once() or whole(quic, *args)

        patch.setattr(QuicConnection, step, broken)
        h3.ping(1)
        h3.probe()  # the long way
        h3.tick(wire.now)
        told = h3.datagrams(wire.now)
    fault = ended_with(h3)
    assert isinstance(fault, InternalError)
    assert (fault.kind, fault.__cause__) == ("unrecoverable", error)
    for datagram in told:
        wire.server.receive(datagram, wire.now)  # type: ignore[union-attr]
    assert what_the_server_heard(wire) == TransportCode.INTERNAL_ERROR


def test_raised_for_its_timer(wire: Wire) -> None:
    """Whoever asks when to come back is to come at once, for the end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QuicConnection, "get_timer", failing(IndexError("odd"), 100))
        due = wire.h3.timer()
    assert due is not None
    assert due <= wire.now
    assert isinstance(ended_with(wire.h3), InternalError)


@pytest.mark.parametrize(
    "step", ["datagrams_to_send", "handle_timer", "reset_stream", "send_ping", "close"]
)
def test_nothing_gets_out_when_all_fails(wire: Wire, step: str) -> None:
    """Not even when the connection cannot be closed any more."""
    h3: Any = wire.h3
    stream_id = h3.open_request(GET, None)
    with pytest.MonkeyPatch.context() as patch:
        for each in {step, "close", "datagrams_to_send", "handle_timer"}:
            patch.setattr(QuicConnection, each, failing(IndexError(), 100))
        h3.cancel(stream_id, 0x10C)
        h3.ping(1)
        h3.tick(wire.now)
        h3.datagrams(wire.now)
        h3.datagrams(wire.now)
        h3.close()
        assert h3.datagrams(wire.now) == []
    assert h3.closed


def test_a_file_of_ours_is_not_the_servers_fault(wire: Wire) -> None:
    h3: Any = wire.h3
    h3._engine.receiver.take = failing(OSError(28, "No space left on device"))
    h3.receive(b"\x40 anything", wire.now)
    assert isinstance(ended_with(h3), InternalError)


def test_raised_in_the_handshake(authority: Authority) -> None:
    wire = dial(PoolConfig(cafile=authority.cafile), Server(authority.issue()))
    h3: Any = wire.h3
    h3._engine.receiver.take = failing(IndexError("odd"))
    h3.receive(b"\xc0 anything", wire.now)
    fault = ended_with(h3)
    assert isinstance(fault, HandshakeFailed)
    assert "IndexError: odd" in str(fault)


@pytest.mark.parametrize("name", ["127.0.0.1", "*", "a*.example", "*.*.example", "", "a..b", "*.b"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_certificate_with_an_odd_name(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str, host: str
) -> None:
    """Some make the library that compares names raise."""
    monkeypatch.setattr("quiver.testing.authority._name_of", x509.DNSName)
    monkeypatch.setattr("quiver.testing.authority._common_name", lambda _: x509.Name([]))
    config = PoolConfig(cafile=authority.cafile)
    wire = dial(config, Server(authority.issue([name])), host=host)
    wire.settle()
    assert isinstance(wire.error, CertificateInvalid), wire.error
    assert what_the_server_heard(wire) == CRYPTO_ERROR + 42


def test_a_judge_that_raises_what_nobody_foresaw(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = LookupError("odd")
    monkeypatch.setattr("quiver.chain_verifier.ChainVerifier.verify", failing(error))
    wire = dial(PoolConfig(cafile=authority.cafile), Server(authority.issue()))
    wire.settle()
    assert isinstance(wire.error, CertificateInvalid)
    assert "LookupError: odd" in str(wire.error)
    assert wire.error.__cause__ is error
