"""TLS over TCP in memory; and who is trusted, the same as over QUIC, in the same words."""

from __future__ import annotations

import contextlib
import pickle
import ssl
from pathlib import Path
from typing import Any

import attrs
import pytest

from quiver.config import PoolConfig
from quiver.origin import Origin
from quiver.quic.codes import CRYPTO_ERROR, alert_named
from quiver.quic.engine import Cause, ConnectionClosed, HandshakeCompleted
from quiver.tcp.byte_stream import ByteStreamFault, PlainStream
from quiver.tcp.tls_options import make_tls_options
from quiver.tcp.tls_stream import TlsStream
from tests.support.certificate_chains import (
    CA,
    LEAF,
    Certificate,
    chain_of,
    key_of,
    pem,
    pem_of_key,
)
from tests.support.engines.quic_wire import EngineWire

HOST = "a.example.test"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]

Pair = tuple[str, str]  # the paths of certificate and key


class Server:
    """The other end, in memory."""

    def __init__(self, certificate: Pair, **options: Any) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers(options.pop("ciphers", "ALL:@SECLEVEL=0"))  # it shows what it has
        context.load_cert_chain(*certificate)
        context.set_alpn_protocols(options.pop("alpn", ["h2"]))
        for name, value in options.items():
            setattr(context, name, value)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.shook_hands = False
        self.received = b""

    def receive(self, chunk: bytes) -> bytes:
        """Take bytes; what it answers."""
        self.incoming.write(chunk)
        try:
            if not self.shook_hands:
                self.tls.do_handshake()
                self.shook_hands = True
            while piece := self.tls.read(65_536):
                self.received += piece
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            pass
        return self.outgoing.read()


def files(folder: Path, *said: Certificate) -> tuple[PoolConfig, Pair]:
    *shown, root = chain_of(*said)
    certfile, keyfile = folder / "chain.pem", folder / "chain.key"
    certfile.write_bytes(pem(*shown))
    keyfile.write_bytes(pem_of_key(key_of(said[0].key, 0)))
    return PoolConfig(cadata=pem(root)), (str(certfile), str(keyfile))


def stream(config: PoolConfig, host: str = HOST) -> TlsStream:
    return make_tls_options(config, Origin("https", host), "h2").stream()


def shake_hands(client: TlsStream, server: Server, piece: int = 10**6) -> bytes:
    """Until neither has more to say. Returns what the client has received by then."""
    client.begin()
    received = b""
    while wire := client.take():
        answer = server.receive(wire)
        for at in range(0, len(answer), piece):
            received += client.receive(answer[at : at + piece])
    return received


@pytest.fixture
def good(tmp_path: Path) -> tuple[PoolConfig, Pair]:
    return files(tmp_path, LEAF, CA, CA)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("piece", [1, 10**6])
def test_bytes_both_ways(
    good: tuple[PoolConfig, Pair], version: ssl.TLSVersion, piece: int
) -> None:
    config, certificate = good
    client, server = stream(config), Server(certificate, maximum_version=version)
    shake_hands(client, server, piece)
    assert client.ready and not client.ended
    made = client.handshake(7)
    assert (made.alpn, made.max_streams) == ("h2", 7)
    assert made.version == version.name.replace("_", ".")
    assert "AES" in made.cipher and made.certificate is not None
    client.write(b"there " * 20_000)
    server.receive(client.take())
    assert server.received == b"there " * 20_000
    server.tls.write(b"back " * 20_000)
    assert client.receive(server.outgoing.read()) == b"back " * 20_000
    client.end()
    server.receive(client.take())
    server.tls.unwrap()
    assert client.receive(server.outgoing.read()) == b"" and client.ended


def test_no_session_is_resumed(good: tuple[PoolConfig, Pair]) -> None:
    """Each handshake shows the whole chain, though the server gives tickets."""
    config, certificate = good
    options = make_tls_options(config, Origin("https", HOST), "h2")
    context = Server(certificate).tls.context
    for _ in range(2):
        client, server = options.stream(), Server(certificate)
        server.tls = context.wrap_bio(server.incoming, server.outgoing, server_side=True)
        shake_hands(client, server)
        assert client.ready and not server.tls.session_reused
        assert client.handshake(1).certificate is not None


def test_a_session_of_ssl_belongs_to_its_context(good: tuple[PoolConfig, Pair]) -> None:
    """And cannot be written down: that is why there is none in the table of QUIC's tickets."""
    config, certificate = good
    options = make_tls_options(config, Origin("https", HOST), "h2")
    context = Server(certificate).tls.context

    def joined(session: ssl.SSLSession | None) -> ssl.SSLObject:
        up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = options.context.wrap_bio(down, up, server_hostname=HOST, session=session)
        server = context.wrap_bio(up, down, server_side=True)
        for side in (client, server, client, server, client):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
        with contextlib.suppress(ssl.SSLWantReadError):
            client.read(1)  # the tickets, in TLS 1.3
        return client

    session = joined(None).session
    assert session is not None and joined(session).session_reused
    other = make_tls_options(config, Origin("https", HOST), "h2").context
    with pytest.raises(ValueError, match="different SSLContext"):
        other.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=HOST, session=session)
    with pytest.raises(TypeError):
        pickle.dumps(session)


FAULTY: dict[str, tuple[Certificate, ...]] = {
    "good": (LEAF, CA, CA),
    "an RSA key": (attrs.evolve(LEAF, key="rsa2048"), CA),
    "for another host": (attrs.evolve(LEAF, names=("DNS:b.example.test", "IP:192.0.2.1")), CA),
    "for no host": (attrs.evolve(LEAF, names=None), CA),
    "expired": (attrs.evolve(LEAF, since=-3.0, until=-1.0), CA),
    "not yet valid": (attrs.evolve(LEAF, since=1.0, until=2.0), CA),
    "an issuer that has expired": (LEAF, attrs.evolve(CA, since=-3.0, until=-1.0), CA),
    "for clients": (attrs.evolve(LEAF, extended=("client",)), CA),
    "an issuer for clients": (LEAF, attrs.evolve(CA, extended=("client",)), CA),
    "an issuer that is no CA": (LEAF, attrs.evolve(CA, ca=False), CA),
    "a path too long": (LEAF, CA, attrs.evolve(CA, path_length=0), CA),
    "a weak key": (attrs.evolve(LEAF, key="rsa1024"), CA),
    "a weak digest": (attrs.evolve(LEAF, digest="sha1"), attrs.evolve(CA, key="rsa2048")),
    "an extension that nobody knows": (attrs.evolve(LEAF, critical=True), CA),
    "a name that the issuer may not give": (
        LEAF,
        attrs.evolve(CA, constraints=("DNS:other.test",)),
        CA,
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", FAULTY)
def test_who_is_trusted_over_quic_is_trusted_over_tcp_and_no_other(
    name: str, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    """The same alert, and the same words."""
    config, certificate = files(tmp_path, *FAULTY[name])
    over_quic = judged_over_quic(config, certificate)
    assert judged_over_tcp(config, certificate, version) == over_quic
    assert (over_quic is None) is (name in ("good", "an RSA key")), over_quic


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "host", "accepted"),
    [
        ("DNS:*.example.test", HOST, True),
        ("DNS:*.example.test", "b.a.example.test", False),
        ("DNS:*.example.test", "example.test", False),
        ("IP:192.0.2.1", "192.0.2.1", True),
        ("IP:2001:db8::1", "2001:db8::1", True),
        ("IP:192.0.2.1", "192.0.2.2", False),
        ("DNS:192.0.2.1", "192.0.2.1", False),
    ],
)
def test_whom_a_name_is_for(
    name: str, host: str, accepted: bool, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    config, certificate = files(tmp_path, attrs.evolve(LEAF, names=(name,)), CA)
    over_quic = judged_over_quic(config, certificate, host)
    assert judged_over_tcp(config, certificate, version, host) == over_quic
    assert (over_quic is None) is accepted, over_quic
    config = attrs.evolve(config, server_name=host)
    assert judged_over_quic(config, certificate) == over_quic
    assert judged_over_tcp(config, certificate, version) == over_quic


CHAINS = ("another root", "no intermediate", "self-signed", "trusting anybody")


@pytest.mark.parametrize("shown", CHAINS)
def test_chains_that_lead_nowhere(shown: str, tmp_path: Path) -> None:
    config, certificate = files(tmp_path, LEAF, CA, CA)
    if shown == "self-signed":
        Path(certificate[0]).write_bytes(pem(*chain_of(LEAF)))
    elif shown == "no intermediate":
        chain = chain_of(LEAF, CA, CA)
        Path(certificate[0]).write_bytes(pem(chain[0]))
    elif shown == "another root":
        config = PoolConfig(cadata=pem(chain_of(attrs.evolve(CA, key="p384"))[0]))
    else:
        config = PoolConfig(verify=False)
    over_quic = judged_over_quic(config, certificate)
    assert judged_over_tcp(config, certificate) == over_quic
    assert (over_quic is None) is (shown == "trusting anybody")


def judged_over_quic(
    config: PoolConfig, certificate: Pair, host: str = HOST
) -> tuple[int, str] | None:
    wire = EngineWire(config, certificate, host=host).connect()
    if wire.of(HandshakeCompleted):
        return None
    (over,) = [each for each in wire.events if isinstance(each, ConnectionClosed)]
    return over.code, over.reason


def judged_over_tcp(
    config: PoolConfig,
    certificate: Pair,
    version: ssl.TLSVersion = VERSIONS[-1],
    host: str = HOST,
) -> tuple[int, str] | None:
    client, server = stream(config, host), Server(certificate, maximum_version=version)
    try:
        shake_hands(client, server)
    except ByteStreamFault as fault:
        assert fault.closed.cause is Cause.VIOLATION
        client.end()
        hears_no_more_than_why(client, server, version)
        return fault.closed.code, fault.closed.reason
    assert client.ready and server.shook_hands
    return None


def test_a_certificate_of_ours_is_not_shown_to_who_is_refused(tmp_path: Path) -> None:
    for version in VERSIONS:
        config, certificate = files(tmp_path, attrs.evolve(LEAF, extended=("client",)), CA)
        own = attrs.evolve(config, certfile=certificate[0], keyfile=certificate[1])
        asks = {"verify_mode": ssl.CERT_OPTIONAL, "maximum_version": version}
        client, server = stream(own), Server(certificate, **asks)
        with pytest.raises(ByteStreamFault):
            shake_hands(client, server)
        hears_no_more_than_why(client, server, version)


def hears_no_more_than_why(client: TlsStream, server: Server, version: ssl.TLSVersion) -> None:
    """In TLS 1.3 ssl cannot tell it."""
    said = client.take()
    if version is ssl.TLSVersion.TLSv1_2:
        with pytest.raises(ssl.SSLError, match="alert"):
            server.receive(said)
    else:
        assert said == b""
    assert not server.shook_hands and client.take() == b""


@pytest.mark.parametrize("alpn", [["http/1.1"], ["h3"]])
def test_another_protocol(good: tuple[PoolConfig, Pair], alpn: list[str]) -> None:
    config, certificate = good
    client, server = stream(config), Server(certificate, alpn=alpn)
    with pytest.raises(ByteStreamFault) as caught:
        shake_hands(client, server)
    assert caught.value.closed.code == CRYPTO_ERROR + 120


def test_an_alert_is_the_servers_word(good: tuple[PoolConfig, Pair]) -> None:
    config, certificate = good
    client = stream(config)
    other = Server(certificate, ciphers="AES128-SHA", maximum_version=ssl.TLSVersion.TLSv1_2)
    client.begin()
    with pytest.raises(ssl.SSLError):
        other.receive(client.take())
    with pytest.raises(ByteStreamFault) as caught:
        client.receive(other.outgoing.read())
    closed = caught.value.closed
    assert (closed.cause, closed.code) == (Cause.PEER, CRYPTO_ERROR + 40)


def test_bytes_that_were_changed_on_their_way(good: tuple[PoolConfig, Pair]) -> None:
    config, certificate = good
    client, server = stream(config), Server(certificate)
    shake_hands(client, server)
    server.tls.write(b"content")
    record = bytearray(server.outgoing.read())
    record[-1] ^= 1
    with pytest.raises(ByteStreamFault, match="decryption failed or bad record mac"):
        client.receive(bytes(record))


def test_what_came_before_a_fault_counts_and_is_not_the_end(good: tuple[PoolConfig, Pair]) -> None:
    config, certificate = good
    client, server = stream(config), Server(certificate)
    shake_hands(client, server)
    server.tls.write(b"content")
    whole = server.outgoing.read()
    assert client.receive(whole + whole[:5] + bytes(len(whole) - 5)) == b"content"
    assert not client.ended and client.says_its_end
    assert client.fault is not None and "bad record mac" in str(client.fault)


@pytest.mark.parametrize(
    ("reason", "alert"),
    [
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", 40),
        ("TLSV1_ALERT_UNKNOWN_CA", 48),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", 116),
        ("TLSV1_UNRECOGNIZED_NAME", 112),
        ("TLSV1_ALERT_USER_CANCELLED", 90),
        ("WRONG_VERSION_NUMBER", None),
        ("TLSV1_ALERT_NOBODY_KNOWS", None),
    ],
)
def test_names_of_alerts(reason: str, alert: int | None) -> None:
    assert alert_named(reason) == alert


def test_bytes_as_they_are() -> None:
    plain = PlainStream("http/1.1")
    plain.begin()
    plain.write(b"a")
    plain.write(b"b")
    assert plain.take() == b"ab" and plain.take() == b""
    assert plain.receive(b"c") == b"c" and plain.handshake(1).alpn == "http/1.1"
    plain.end()
    assert not plain.says_its_end and plain.fault is None
