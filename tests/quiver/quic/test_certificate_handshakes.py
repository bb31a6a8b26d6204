"""Chains in whole handshakes, and the signature that proves that the server has the key."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import Any

import attrs
import pytest
from aioquic import tls

from quiver.config import PoolConfig
from quiver.quic.codes import CRYPTO_ERROR
from quiver.quic.engine import Cause, ConnectionClosed, HandshakeCompleted
from tests.support.certificate_chains import (
    CA,
    LEAF,
    Certificate,
    chain_of,
    changed,
    key_of,
    pem,
    pem_of_key,
)
from tests.support.engines.quic_wire import EngineWire

HOST = "a.example.test"
SIGNATURES = {"p256": 0x0403, "p384": 0x0503, "p521": 0x0603, "ed25519": 0x0807, "ed448": 0x0808}
RSA = {"rsae": (0x0804, 0x0805, 0x0806), "pss": (0x0809, 0x080A, 0x080B)}


@pytest.fixture(autouse=True)
def _server_signs_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """aioquic's server does not know all that the client does."""
    known: Any = vars(tls)["SIGNATURE_ALGORITHMS"]
    for pss, rsae in zip(RSA["pss"], RSA["rsae"], strict=True):
        monkeypatch.setitem(known, pss, known[rsae])


def sign_with(monkeypatch: pytest.MonkeyPatch, algorithm: int) -> None:
    monkeypatch.setattr(tls.Context, "_signature_algorithms_for_private_key", lambda _: [algorithm])


def files(folder: Path, *said: Certificate) -> tuple[PoolConfig, tuple[str, str]]:
    *shown, root = chain_of(*said)
    certfile, keyfile = folder / "chain.pem", folder / "chain.key"
    certfile.write_bytes(pem(*shown))
    keyfile.write_bytes(pem_of_key(key_of(said[0].key, 0)))
    return PoolConfig(cadata=pem(root)), (str(certfile), str(keyfile))


def connected(config: PoolConfig, certificate: tuple[str, str], host: str = HOST) -> EngineWire:
    return EngineWire(config, certificate, host=host).connect()


def closed(wire: EngineWire) -> ConnectionClosed:
    (over,) = [each for each in wire.events if isinstance(each, ConnectionClosed)]
    assert not wire.of(HandshakeCompleted)
    return over


@pytest.mark.parametrize("key", SIGNATURES)
def test_a_key_signs_with_its_own_algorithm(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_with(monkeypatch, SIGNATURES[key])
    wire = connected(*files(tmp_path, attrs.evolve(LEAF, key=key), CA, CA))
    assert wire.of(HandshakeCompleted)


@pytest.mark.parametrize("algorithm", RSA["rsae"])
def test_an_rsa_key_signs_with_pss(
    algorithm: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_with(monkeypatch, algorithm)
    wire = connected(*files(tmp_path, attrs.evolve(LEAF, key="rsa2048"), CA))
    assert wire.of(HandshakeCompleted)


@pytest.fixture
def for_pss_alone(tmp_path: Path) -> tuple[PoolConfig, tuple[str, str]]:
    """A certificate of a key that is for RSASSA-PSS and nothing else (RFC 8017 A.2.3)."""
    certfile, keyfile = tmp_path / "own.pem", tmp_path / "own.key"
    command = "openssl req -x509 -newkey rsa-pss -pkeyopt rsa_keygen_bits:2048 -nodes -days 1"
    about = ["-subj", "/CN=pss", "-addext", f"subjectAltName=DNS:{HOST}"]
    written = ["-keyout", str(keyfile), "-out", str(certfile)]
    subprocess.run([*command.split(), *about, *written], check=True, capture_output=True)
    return PoolConfig(cafile=str(certfile)), (str(certfile), str(keyfile))


@pytest.mark.one_in(3)
@pytest.mark.parametrize("algorithm", RSA["pss"])
def test_a_key_for_pss_alone_signs_with_that(
    algorithm: int,
    for_pss_alone: tuple[PoolConfig, tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sign_with(monkeypatch, algorithm)
    assert connected(*for_pss_alone).of(HandshakeCompleted)


@pytest.mark.parametrize(
    ("key", "algorithm"), [("p256", 0x0503), ("p384", 0x0403), ("p521", 0x0403), ("p256", 0x0603)]
)
def test_a_key_does_not_sign_with_anothers_algorithm(
    key: str, algorithm: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8446 4.2.3 binds each to a curve."""
    sign_with(monkeypatch, algorithm)
    over = closed(connected(*files(tmp_path, attrs.evolve(LEAF, key=key), CA)))
    assert (over.cause, over.code) == (Cause.VIOLATION, CRYPTO_ERROR + 47)


def test_keys_of_rsa_do_not_sign_for_each_other(
    for_pss_alone: tuple[PoolConfig, tuple[str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sign_with(monkeypatch, RSA["rsae"][0])
    assert closed(connected(*for_pss_alone)).code == CRYPTO_ERROR + 47
    sign_with(monkeypatch, RSA["pss"][0])
    plain = files(tmp_path, attrs.evolve(LEAF, key="rsa2048"), CA)
    assert closed(connected(*plain)).code == CRYPTO_ERROR + 47


def test_no_chain_stands_for_a_key(tmp_path: Path) -> None:
    """A good chain, shown by one who has another key."""
    config, (certfile, keyfile) = files(tmp_path, LEAF, CA)
    Path(keyfile).write_bytes(pem_of_key(key_of("p256", 9)))
    over = closed(connected(config, (certfile, keyfile)))
    assert (over.cause, over.code) == (Cause.VIOLATION, CRYPTO_ERROR + 51)


def test_a_certificate_that_only_ssl_can_read_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With an underscore in a PrintableString, as old authorities have written them."""
    said = [attrs.evolve(LEAF, common_name="a_name"), attrs.evolve(CA, key="rsa2048")]
    (leaf, _), signer = chain_of(*said), key_of("rsa2048", 1)
    odd = changed(leaf, signer, b"\x0c\x06a_name", b"\x13\x06a_name")
    push: Any = vars(tls)["push_certificate"]

    def push_odd(buffer: Any, shown: tls.Certificate) -> None:
        push(buffer, tls.Certificate(shown.request_context, [(odd, b"")]))

    monkeypatch.setattr(tls, "push_certificate", push_odd)
    wire = connected(*files(tmp_path, *said))
    assert wire.of(HandshakeCompleted) and wire.engine.handshake.certificate == odd


REFUSED = {
    "sub-CA for mail": ([LEAF, attrs.evolve(CA, extended=("mail",)), CA], 43, "of an issuer"),
    "sub-CA that is none": ([LEAF, attrs.evolve(CA, ca=False), CA], 42, "invalid CA certificate"),
    "leaf for clients": ([attrs.evolve(LEAF, extended=("client",)), CA], 43, "purpose"),
    "expired": ([attrs.evolve(LEAF, since=-2, until=-1), CA], 45, "no longer valid"),
    "expired sub-CA": ([LEAF, attrs.evolve(CA, since=-2, until=-1), CA], 45, "has expired"),
    "not yet valid": ([attrs.evolve(LEAF, since=1, until=2), CA], 45, "not valid yet"),
    "weak key": ([attrs.evolve(LEAF, key="rsa1024"), CA], 42, "key too weak"),
    "other host": ([attrs.evolve(LEAF, names=("DNS:b.test",)), CA], 42, "doesn't match 'b.test'"),
    "no name": ([attrs.evolve(LEAF, names=None), CA], 42, "no subjectAltName"),
    "weak digest": (
        [attrs.evolve(LEAF, digest="sha1"), attrs.evolve(CA, key="rsa2048")],
        42,
        "digest algorithm too weak",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_says_why(name: str, tmp_path: Path) -> None:
    said, alert, reason = REFUSED[name]
    over = closed(connected(*files(tmp_path, *said)))
    assert (over.cause, over.code) == (Cause.VIOLATION, CRYPTO_ERROR + alert)
    assert reason in over.reason


def test_an_unknown_issuer_is_an_unknown_ca(tmp_path: Path) -> None:
    _, certificate = files(tmp_path, LEAF, CA)
    other = PoolConfig(cadata=pem(chain_of(attrs.evolve(CA, key="p384"))[0]))
    over = closed(connected(other, certificate))
    assert over.code == CRYPTO_ERROR + 48


def test_without_verification_the_key_is_still_proved(tmp_path: Path) -> None:
    _, certificate = files(tmp_path, LEAF, CA)
    careless = PoolConfig(verify=False)
    assert connected(careless, certificate).of(HandshakeCompleted)
    Path(certificate[1]).write_bytes(pem_of_key(key_of("p256", 9)))
    assert closed(connected(careless, certificate)).code == CRYPTO_ERROR + 51


def test_a_context_judges_by_its_own_rules(tmp_path: Path) -> None:
    """Roots in a folder, no look at the name, another security level."""
    _, certificate = files(tmp_path, attrs.evolve(LEAF, key="rsa1024"), CA)
    context = ssl.create_default_context(capath=str(tmp_path))
    over = closed(connected(PoolConfig(verify=context), certificate))
    assert "key too weak" in over.reason
    context.set_ciphers("DEFAULT:@SECLEVEL=1")
    over = closed(connected(PoolConfig(verify=context), certificate))
    assert over.code == CRYPTO_ERROR + 48
    (tmp_path / "root.pem").write_bytes(pem(chain_of(attrs.evolve(LEAF, key="rsa1024"), CA)[1]))
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
    assert connected(PoolConfig(verify=context), certificate).of(HandshakeCompleted)
    closed(connected(PoolConfig(verify=context), certificate, host="b.test"))
    context.check_hostname = False
    elsewhere = connected(PoolConfig(verify=context), certificate, host="b.test")
    assert elsewhere.of(HandshakeCompleted)


def test_a_context_that_wants_revocation_lists_gets_them(tmp_path: Path) -> None:
    config, certificate = files(tmp_path, LEAF, CA)
    assert config.cadata is not None
    context = ssl.create_default_context(cadata=config.cadata.decode())
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    over = closed(connected(PoolConfig(verify=context), certificate))
    assert "CRL" in over.reason
