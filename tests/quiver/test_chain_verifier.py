"""An SSLContext is asked for its verdict, and one that cannot be asked is refused."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quiver import chain_verifier
from quiver.chain_verifier import ChainRefused, ChainVerifier, default_context, is_context
from quiver.testing import Authority
from quiver.tls_flights import by_tls_1_2


def chain_of(certfile: str) -> list[bytes]:
    blocks = Path(certfile).read_text().split("-----BEGIN")[1:]
    return [ssl.PEM_cert_to_DER_cert("-----BEGIN" + block) for block in blocks]


def trusting(authority: Authority) -> ssl.SSLContext:
    context = default_context()
    context.load_verify_locations(cadata=authority.cadata.decode())
    return context


def verdict(context: ssl.SSLContext, chain: list[bytes], name: str = "localhost") -> str:
    try:
        ChainVerifier(context).verify(chain, name, "ecdsa")
    except ChainRefused as refused:
        return refused.said
    return "accepted"


def test_a_chain_is_accepted_by_its_root_and_name(authority: Authority) -> None:
    with authority.intermediate() as below:
        chain = chain_of(below.issue()[0])
    assert len(chain) == 2
    context = trusting(authority)
    assert verdict(context, chain) == verdict(context, chain, "127.0.0.1") == "accepted"
    assert "Hostname mismatch" in verdict(context, chain, "localhost.example")
    assert "IP address mismatch" in verdict(context, chain, "127.0.0.2")
    assert "unable to get local issuer" in verdict(default_context(), chain)
    assert "unable to get local issuer" in verdict(context, chain[:1])


def test_what_was_begun_judges_one_chain(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain, others = chain_of(authority.issue()[0]), chain_of(authority.issue(["a.example"])[0])
    context, made = default_context(), list[str]()
    verifier, wrap_bio = ChainVerifier(context), context.wrap_bio

    def counted(
        incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *, server_hostname: str
    ) -> ssl.SSLObject:
        made.append(server_hostname)
        return wrap_bio(incoming, outgoing, server_hostname=server_hostname)

    monkeypatch.setattr(context, "wrap_bio", counted)
    verifier.begin("localhost")
    verifier.begin("localhost")
    context.load_verify_locations(cadata=authority.cadata.decode())  # it trusts what comes later
    assert made == ["localhost"]
    verifier.verify(others, "a.example", "ecdsa")
    assert made == ["localhost", "a.example"], "what was begun is for its name alone"
    verifier.verify(chain, "localhost", "ecdsa")
    assert made == ["localhost", "a.example"]
    with pytest.raises(ChainRefused):
        verifier.verify(others, "localhost", "ecdsa")
    assert made == ["localhost", "a.example", "localhost"], "and for one chain"
    verifier.begin("a.example")
    verifier.begin("")  # nobody can be judged by that name
    with pytest.raises(ChainRefused, match="the name cannot be verified"):
        verifier.verify(chain, "", "ecdsa")
    verifier.begin("localhost")
    with pytest.raises(ChainRefused, match="Hostname mismatch"):
        verifier.verify(others, "localhost", "ecdsa")


def test_a_context_of_the_program_s_own_is_asked_as_it_is_then(authority: Authority) -> None:
    context = trusting(authority)
    verifier = ChainVerifier(context, given=True)
    verifier.begin("localhost")
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    with pytest.raises(ChainRefused, match="unable to get certificate CRL"):
        verifier.verify(chain_of(authority.issue()[0]), "localhost", "ecdsa")


def test_it_says_which_error_it_was(authority: Authority) -> None:
    with pytest.raises(ChainRefused) as caught:
        ChainVerifier(default_context()).verify(chain_of(authority.issue()[0]), "a", "ecdsa")
    assert caught.value.code == 20  # X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY


@pytest.mark.parametrize("chain", [[], [b""], [b"none"], [b"x" * 200_000], [b"\x30\x03\x02\x01"]])
def test_what_is_no_certificate_is_refused(authority: Authority, chain: list[bytes]) -> None:
    assert verdict(trusting(authority), chain) != "accepted"


def test_a_chain_longer_than_a_record_is_read(authority: Authority) -> None:
    (leaf,) = chain_of(authority.issue()[0])
    assert verdict(trusting(authority), [leaf] * 50) == "accepted"
    assert verdict(trusting(authority), [leaf] * 5_000) == "excessive message size"


@pytest.mark.parametrize("name", ["", ".example", "a" * 64 + ".example", "a\0b"])
def test_a_name_that_ssl_does_not_take_is_refused(authority: Authority, name: str) -> None:
    said = verdict(trusting(authority), chain_of(authority.issue()[0]), name)
    assert said.startswith("the name cannot be verified")


def only_tls_1_3(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    context.minimum_version = ssl.TLSVersion.TLSv1_3


def without_ecdhe(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    context.set_ciphers("kRSA")


def with_rsa_alone(context: ssl.SSLContext) -> None:
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    context.set_ciphers("ECDHE+aRSA")


def on_a_curve(name: str) -> Callable[[ssl.SSLContext], None]:
    def change(context: ssl.SSLContext) -> None:
        only_tls_1_3(context)
        context.set_ecdh_curve(name)

    return change


@pytest.mark.parametrize(
    "change",
    [
        only_tls_1_3,
        without_ecdhe,
        with_rsa_alone,
        *map(on_a_curve, ["X25519", "prime256v1", "secp384r1", "secp521r1"]),
    ],
)
def test_a_context_is_asked_by_the_tls_that_it_has(
    change: Callable[[ssl.SSLContext], None], authority: Authority
) -> None:
    context = trusting(authority)
    change(context)
    (leaf,) = chain_of(authority.issue()[0])
    for chain in ([leaf], [leaf] * 50):
        assert verdict(context, chain) == "accepted"
    assert "Hostname mismatch" in verdict(context, [leaf], "localhost.example")
    assert verdict(context, [leaf] * 5_000) == "excessive message size"
    for none in ([], [b""], [b"none"]):
        assert verdict(context, none) != "accepted"
    nobody = default_context()
    change(nobody)
    assert "unable to get local issuer" in verdict(nobody, [leaf])


def careless(context: ssl.SSLContext) -> None:
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE


def without_a_known_cipher(context: ssl.SSLContext) -> None:
    context.set_ciphers("kRSA")


def without_a_known_curve(context: ssl.SSLContext) -> None:
    on_a_curve("X448")(context)


class WithItsOwn(ssl.SSLContext):
    """As truststore's, which verifies in what it returns."""

    def wrap_bio(self, *args: Any, **options: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **options)


class Injected(WithItsOwn):
    """One whose setters work in ssl's place, as those of truststore and gevent do."""

    def __setattr__(self, name: str, value: object) -> None:
        vars(ssl.SSLContext.__mro__[-2])[name].__set__(self, value)


class WithItsOwnObject(ssl.SSLContext):
    sslobject_class = type("Object", (ssl.SSLObject,), {})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (careless, "verify=False"),
        (without_a_known_cipher, "does not come to verifying"),
        (without_a_known_curve, "does not come to verifying"),
    ],
)
def test_a_context_that_cannot_be_asked_is_refused(
    spoil: Callable[[ssl.SSLContext], None], said: str
) -> None:
    context = default_context()
    spoil(context)
    with pytest.raises(ValueError, match=said):
        ChainVerifier(context)


@pytest.mark.parametrize("cls", [WithItsOwn, WithItsOwnObject])
def test_a_class_that_may_verify_elsewhere_is_refused(cls: type[ssl.SSLContext]) -> None:
    with pytest.raises(ValueError, match=f"{cls.__name__} has .* give cafile"):
        ChainVerifier(cls(ssl.PROTOCOL_TLS_CLIENT))


@pytest.mark.parametrize("name", ["wrap_bio", "wrap_socket", "sslobject_class", "sslsocket_class"])
def test_so_is_a_context_that_was_changed(name: str) -> None:
    """As one that pins keys in the `do_handshake` of its sockets."""
    context = default_context()
    setattr(context, name, type("Pinned", (ssl.SSLSocket,), {}))
    with pytest.raises(ValueError, match=f"SSLContext has a {name} of its own"):
        ChainVerifier(context)


def test_a_class_in_place_of_ssls_own_does_not_matter(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `truststore.inject_into_ssl()` does it."""
    flags = default_context().verify_flags
    monkeypatch.setattr(ssl, "SSLContext", Injected)
    with pytest.raises(ValueError, match="Injected has a wrap_bio of its own"):
        ChainVerifier(ssl.create_default_context())
    chain = chain_of(authority.issue()[0])
    assert verdict(trusting(authority), chain) == "accepted"
    assert "unable to get local issuer" in verdict(default_context(), chain)
    assert default_context().verify_flags == flags


def test_a_server_context_is_refused() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(ValueError, match="does not come to verifying"):
        ChainVerifier(context)


def test_a_key_that_the_context_has_no_cipher_for_is_named(authority: Authority) -> None:
    context = trusting(authority)
    context.set_ciphers("ECDHE+aRSA")
    assert "no cipher for keys of ecdsa" in verdict(context, chain_of(authority.issue()[0]))


def test_what_does_not_verify_when_it_should_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The canary of what this stands on: that OpenSSL verifies once it has read the chain."""
    monkeypatch.setattr("quiver.tls_flights._CERTIFICATE", 22)  # CertificateStatus
    with pytest.raises(ValueError, match="does not come to verifying"):
        ChainVerifier(default_context())
    monkeypatch.undo()
    monkeypatch.setattr("quiver.chain_verifier.by_tls_1_2", lambda *_: b"")
    with pytest.raises(ValueError, match="that nobody can trust"):
        ChainVerifier(default_context())


def test_what_a_signal_raises_meanwhile_is_no_fault_of_the_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would lack a kind of key from then on."""

    made, late = by_tls_1_2, [ValueError("late")]

    def interrupted_once(*given: Any) -> bytes:
        if late:
            raise late.pop()
        return made(*given)

    monkeypatch.setattr(chain_verifier, "by_tls_1_2", interrupted_once)
    with pytest.raises(ValueError, match="late"):
        ChainVerifier(default_context())


def test_is_context() -> None:
    assert is_context(default_context())
    assert is_context(WithItsOwn(ssl.PROTOCOL_TLS_CLIENT))
    assert not is_context(ssl) and not is_context("ca.pem") and not is_context(None)
