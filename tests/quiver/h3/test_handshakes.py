"""How handshakes end, and connections after them: with aioquic on both sides."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aioquic._buffer import Buffer
from aioquic.quic.events import HandshakeCompleted
from aioquic.quic.packet import encode_quic_version_negotiation, pull_quic_header
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from quiver.config import PoolConfig
from quiver.errors import (
    CertificateInvalid,
    ConnectionLost,
    ConnectTimeout,
    HandshakeFailed,
)
from quiver.h3 import events
from quiver.testing.authority import Authority
from tests.support.engines.http3_wire import LOST, Server, Wire, connected, dial

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
ORIGIN = "https://localhost:4433"


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as authority:
        yield authority


@pytest.fixture(scope="module")
def stranger() -> Iterator[Authority]:
    with Authority("A stranger") as stranger:
        yield stranger


def failed(wire: Wire) -> Any:
    """What a handshake that fails ends with, after some more time has passed."""
    wire.settle(30)
    assert [type(event) for event in wire.events] == [events.ConnectionEnded]
    assert wire.error.origin in str(wire.error)
    return wire.error


# certificates -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issued", "host", "said"),
    [
        ({"not_before": NOW - 3 * DAY, "not_after": NOW - DAY}, "localhost", "it has expired"),
        ({"not_before": NOW + DAY}, "localhost", "it is not yet valid"),
        ({"hosts": ["example.com"]}, "localhost", "it is for another host: not for localhost"),
        ({"hosts": ["localhost"]}, "127.0.0.1", "another host: not for 127.0.0.1, but for local"),
        ({"hosts": ["127.0.0.2"]}, "127.0.0.1", "another host: not for 127.0.0.1, but for 127.0.0"),
        ({"hosts": ["::2"]}, "::1", "another host: not for ::1, but for ::2"),
        ({"hosts": [f"h{n}.org" for n in range(200)]}, "localhost", "h4.org and 195 more"),
    ],
    ids=["expired", "early", "name", "address", "ipv4", "ipv6", "many"],
)
def test_a_certificate_is_refused_for_its_reason(
    authority: Authority, issued: dict[str, Any], host: str, said: str
) -> None:
    server = Server(authority.issue(**issued))
    error = failed(dial(PoolConfig(cafile=authority.cafile), server, host=host))
    assert isinstance(error, CertificateInvalid)
    assert said in str(error)
    assert server.terminated is not None  # it has been told


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_names_and_addresses_are_verified(authority: Authority, host: str) -> None:
    connected(PoolConfig(cadata=authority.cadata), Server(authority.issue([host])), host=host)


def test_an_unknown_issuer_is_named_so(authority: Authority, stranger: Authority) -> None:
    error = failed(dial(PoolConfig(cafile=stranger.cafile), Server(authority.issue())))
    assert isinstance(error, CertificateInvalid)
    assert "its issuer is unknown" in str(error)
    assert str(error).endswith(": set cafile or cadata, if it is to be trusted")


def self_signed(folder: Path) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW - DAY, NOW + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "certificate").write_bytes(certificate.public_bytes(pem))
    (folder / "key").write_bytes(key.private_bytes(pem, *plain))
    return str(folder / "certificate"), str(folder / "key")


def test_a_self_signed_certificate_is_named_so(authority: Authority, tmp_path: Path) -> None:
    error = failed(dial(PoolConfig(cafile=authority.cafile), Server(self_signed(tmp_path))))
    assert isinstance(error, CertificateInvalid)
    assert "it is self-signed" in str(error)


def test_unverified_is_unverified(authority: Authority) -> None:
    server = Server(authority.issue(["example.com"], not_after=NOW - DAY))
    connected(PoolConfig(verify=False), server)


# other handshakes ---------------------------------------------------------------------------


def test_another_protocol_is_a_failed_handshake(authority: Authority) -> None:
    server = Server(authority.issue(), alpn_protocols=["hq-interop"])
    error = failed(dial(PoolConfig(cafile=authority.cafile), server))
    assert isinstance(error, HandshakeFailed)
    assert "no_application_protocol" in str(error)


def test_another_version_is_a_failed_handshake(authority: Authority) -> None:
    wire = dial(PoolConfig(cafile=authority.cafile), None)
    first = wire._flying[0][3]
    header = pull_quic_header(Buffer(data=first), host_cid_length=8)
    refusal = encode_quic_version_negotiation(
        source_cid=header.destination_cid,
        destination_cid=header.source_cid,
        supported_versions=[0x1A2A3A4A],
    )
    wire.h3.receive(refusal, 0.02)
    error = failed(wire)
    assert isinstance(error, HandshakeFailed)
    assert "no common version" in str(error)


def test_no_answer_at_all_is_a_connect_timeout(authority: Authority) -> None:
    config = PoolConfig(cafile=authority.cafile, idle_timeout=3.0)
    error = failed(dial(config, None))
    assert isinstance(error, ConnectTimeout)


def test_a_server_that_closes_in_the_handshake(authority: Authority) -> None:
    server = Server(authority.issue())
    wire = dial(PoolConfig(cafile=authority.cafile), server)
    wire.run(lambda: server.quic is not None)
    assert server.quic is not None
    wire._flying.clear()  # its first flight is lost
    server.quic.close(0x100)
    error = failed(wire)
    assert isinstance(error, HandshakeFailed)
    assert "APPLICATION_ERROR (0xc)" in str(error)


# afterwards ---------------------------------------------------------------------------------


def test_a_server_that_closes_later_is_a_lost_connection(authority: Authority) -> None:
    server = Server(authority.issue())
    wire = connected(PoolConfig(cafile=authority.cafile), server)
    assert server.quic is not None
    server.quic.close(0x100, reason_phrase="bye")
    wire.settle(0.1)  # not after the draining period only
    assert isinstance(wire.error, ConnectionLost)
    assert (wire.error.code, wire.error.reason) == (0x100, "bye")
    assert "H3_NO_ERROR (0x100): bye" in str(wire.error)
    wire.settle(30)
    assert len(wire.of(events.ConnectionEnded)) == 1
    assert wire.h3.datagrams(wire.now) == []


class Refusing(Server):
    """Refuses us when it has seen all of the handshake."""

    def advance(self) -> None:
        assert self.quic is not None
        while (event := self.quic.next_event()) is not None:
            if isinstance(event, HandshakeCompleted):
                self.quic.close(0x174, 6, "show yours")


def test_a_refusal_over_the_wire(authority: Authority) -> None:
    wire = dial(PoolConfig(cafile=authority.cafile), Refusing(authority.issue()))
    wire.settle(30)
    assert [type(event) for event in wire.events] == [events.Ready, events.ConnectionEnded]
    assert type(wire.error) is HandshakeFailed and wire.error.unprocessed
    assert "set certfile (TLS certificate_required (0x174): show yours)" in str(wire.error)


def test_silence_is_a_lost_connection(authority: Authority) -> None:
    config = PoolConfig(cafile=authority.cafile, idle_timeout=3.0)
    wire = connected(config, Server(authority.issue()))
    wire.server = None
    wire.settle(30)
    assert isinstance(wire.error, ConnectionLost)
    assert "idle timeout" in str(wire.error)
    assert isinstance(wire.events[-1], events.ConnectionEnded)


def test_a_lossy_handshake_still_comes_about(authority: Authority) -> None:
    server = Server(authority.issue())
    connected(PoolConfig(cafile=authority.cafile), server, fates=[LOST, LOST])
