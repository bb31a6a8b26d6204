"""Quiver beside Python's own ssl: the same chains are accepted, and the same are refused.

ssl makes a handshake of TLS 1.3 in memory with a server that shows the chain, by the context that
`ssl.create_default_context` makes. Quiver verifies what aioquic would hand over. What it has for
TCP, whose ssl verifies nothing, shakes hands with the same server.

There is one exception: the key in a server's own certificate has to be DER (RFC 5280), and the
lengths around it definite. It is read to check the handshake's signature.
"""

from __future__ import annotations

import contextlib
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import attrs
import certifi
import pytest
from aioquic import tls
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from quiver.config import PoolConfig
from quiver.origin import Origin
from quiver.quic.aioquic.certificates import judge_by
from quiver.quic.aioquic.configuration import make_configuration
from quiver.quic.roots_by_name import FEW, many_certificates
from quiver.quic.trust_roots import Roots, roots_of
from quiver.tcp.byte_stream import ByteStreamFault
from quiver.tcp.tls_options import make_tls_options
from tests.support.certificate_chains import (
    CA,
    LEAF,
    Certificate,
    chain_of,
    changed,
    der,
    key_of,
    pem,
    pem_of_key,
)
from tests.support.short_form import examples

HOST: Final = "a.example.test"

STRANGERS: Final = b"".join(
    ssl.DER_cert_to_PEM_cert(each).encode()
    for each in many_certificates(Path(certifi.where()).read_bytes())[: FEW + 1]
)
"""So many that none of them, nor what comes after them, is read before it is needed."""

Odd = dict[str, tuple[dict[str, Any], bool | None]]
"""What is odd in a certificate, and whether it may be; None where that is up to OpenSSL."""


# the two sides --------------------------------------------------------------------------------


def for_tls_1_3(roots: list[x509.Certificate]) -> ssl.SSLContext:
    """As QUIC has it."""
    context = ssl.create_default_context(cadata=pem(*roots).decode())
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def ssl_accepts(server_side: ssl.SSLContext, roots: list[x509.Certificate], host: str) -> bool:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = for_tls_1_3(roots).wrap_bio(down, up, server_hostname=host)
    server = server_side.wrap_bio(up, down, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
            if side is client:
                return True
    raise AssertionError("the handshake did not end")


def who_shows(shown: list[x509.Certificate], key: Any) -> ssl.SSLContext:
    """A server whose own security is low: it shows what it has."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.set_ciphers("ALL:@SECLEVEL=0")
    made.set_alpn_protocols(["h2"])
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(pem(*shown) + pem_of_key(key))
        made.load_cert_chain(file.name)
    return made


def quiver_accepts_over_tcp(server_side: ssl.SSLContext, config: PoolConfig, host: str) -> bool:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = make_tls_options(config, Origin("https", host, 443), "h2").stream()
    server = server_side.wrap_bio(up, down, server_side=True)
    client.begin()
    for _ in range(3):
        up.write(client.take())
        with contextlib.suppress(ssl.SSLError):
            server.do_handshake()
        try:
            if client.receive_handshake(down.read()):
                return True
        except ByteStreamFault:
            assert client.take() == b"", "it goes on with who is refused"
            return False
    raise AssertionError("the handshake did not end")


def quiver_accepts(shown: list[x509.Certificate], config: PoolConfig, host: str) -> bool:
    configuration = make_configuration(config, Origin("https", host, 443))
    assert configuration.roots is not None and configuration.server_name is not None
    chain = [der(each) for each in shown]
    return quiver_refuses(configuration.roots, chain, configuration.server_name) is None


def quiver_refuses(roots: Roots, chain: list[bytes], host: str = HOST) -> str | None:
    """Why; None when it does not."""
    context: Any = tls.Context(is_client=True)
    judge_by(roots, host, context)
    entries = [(each, b"") for each in chain]
    try:
        context._set_peer_certificate(tls.Certificate(b"", certificates=entries))
        context._verify_chain(context._peer_certificate, roots.value)
    except tls.Alert as alert:
        assert str(alert), "there is no reason"
        return str(alert)
    return None


def both(
    said: list[Certificate],
    *,
    order: tuple[int, ...] | None = None,
    trusted: tuple[int, ...] | None = None,
    host: str = HOST,
) -> bool:
    """What both say of a chain: the certificates that are shown, and those that are trusted."""
    chain = chain_of(*said)
    shown = [chain[each] for each in (range(len(chain) - 1) if order is None else order)]
    roots = [chain[each] for each in ((len(chain) - 1,) if trusted is None else trusted)]
    server_side = who_shows(shown, key_of(said[0].key, 0))
    theirs = ssl_accepts(server_side, roots, host)
    over_tcp = quiver_accepts_over_tcp(server_side, PoolConfig(cadata=pem(*roots)), host)
    assert over_tcp is theirs, f"ssl accepts it: {theirs}"
    with tempfile.NamedTemporaryFile() as many:
        Path(many.name).write_bytes(STRANGERS + pem(*roots))
        for options in (
            {"cadata": pem(*roots)},
            {"verify": for_tls_1_3(roots)},
            {"cafile": many.name},
        ):
            config = PoolConfig.build(**options)
            assert quiver_accepts(shown, config, host) is theirs, f"ssl accepts it: {theirs}"
    return theirs


# one thing is odd -----------------------------------------------------------------------------


ROOT: Final = attrs.evolve(CA, key="rsa2048")
SUB: Final = attrs.evolve(CA, key="rsa2048")
WEAK_ROOT: Final = attrs.evolve(CA, key="rsa1024")

LEAVES: Final[Odd] = {
    "good": ({}, True),
    "no extended usage": ({"extended": None}, True),
    "any usage": ({"extended": ("any",)}, None),
    "for clients": ({"extended": ("client",)}, False),
    "for mail": ({"extended": ("mail",)}, False),
    "for servers and more": ({"extended": ("client", "server", "unknown")}, True),
    "no usage": ({"usage": None}, True),
    "no digitalSignature": ({"usage": ("key_cert_sign",)}, False),
    "keyEncipherment only": ({"usage": ("key_encipherment",)}, None),
    "keyAgreement only": ({"usage": ("key_agreement",)}, None),
    "says it is a CA": ({"ca": True}, None),
    "says nothing of CA": ({"ca": None}, True),
    "expired": ({"since": -3, "until": -1}, False),
    "not yet valid": ({"since": 1, "until": 3}, False),
    "unknown critical": ({"critical": True}, False),
    "no identifiers": ({"identifiers": False}, None),
    "RSA": ({"key": "rsa2048"}, True),
    "RSA of 1024": ({"key": "rsa1024"}, False),
    "P-384": ({"key": "p384"}, True),
    "P-521": ({"key": "p521"}, True),
    "P-192": ({"key": "p192"}, False),
    "P-224": ({"key": "p224"}, False),
    "secp256k1": ({"key": "secp256k1"}, False),
    "brainpool": ({"key": "brainpool256"}, False),
    "Ed25519": ({"key": "ed25519"}, True),
    "Ed448": ({"key": "ed448"}, True),
    "SHA-1": ({"digest": "sha1"}, False),
    "MD5": ({"digest": "md5"}, False),
    "SHA-224": ({"digest": "sha224"}, None),
    "SHA-512": ({"digest": "sha512"}, True),
}


@pytest.mark.one_in(4)
@pytest.mark.parametrize("name", LEAVES)
@pytest.mark.parametrize("below", ["a root", "an intermediate"])
def test_a_leaf(name: str, below: str) -> None:
    change, accepted = LEAVES[name]
    above = [ROOT] if below == "a root" else [SUB, ROOT]
    found = both([attrs.evolve(LEAF, **change), *above])
    assert accepted in (None, found)


ISSUERS: Final[Odd] = {
    "for mail": ({"extended": ("mail",)}, False),
    "for clients": ({"extended": ("client",)}, False),
    "for code": ({"extended": ("code",)}, False),
    "for servers": ({"extended": ("server",)}, True),
    "any usage": ({"extended": ("any",)}, None),
    "no CA": ({"ca": False}, False),
    "says nothing of CA": ({"ca": None}, None),
    "may not sign": ({"usage": ("crl_sign",)}, False),
    "no usage": ({"usage": None}, None),
    "expired": ({"since": -3, "until": -1}, False),
    "not yet valid": ({"since": 1, "until": 3}, False),
    "unknown critical": ({"critical": True}, False),
    "no identifiers": ({"identifiers": False}, None),
    "RSA of 1024": ({"key": "rsa1024"}, False),
    "P-192": ({"key": "p192"}, False),
    "P-224": ({"key": "p224"}, None),
    "P-521": ({"key": "p521"}, True),
    "Ed25519": ({"key": "ed25519"}, True),
    "brainpool": ({"key": "brainpool256"}, None),
    "path length": ({"path_length": 0}, True),
    "permits its names": ({"constraints": ("DNS:example.test",)}, True),
    "permits others": ({"constraints": ("DNS:example.org",)}, False),
    "excludes its names": ({"constraints": ("!DNS:example.test",)}, False),
    "permits addresses": ({"constraints": ("IP:192.0.2.0/24",)}, None),
    "constrains mail": ({"constraints": ("mail:example.org",)}, None),
    "constrained by a dot": ({"constraints": ("DNS:.example.test",)}, None),
}


@pytest.mark.parametrize("name", ISSUERS)
def test_an_intermediate(name: str) -> None:
    change, accepted = ISSUERS[name]
    found = both([LEAF, attrs.evolve(SUB, **change), ROOT])
    assert accepted in (None, found)


@pytest.mark.parametrize("name", ISSUERS)
def test_a_root(name: str) -> None:
    both([LEAF, attrs.evolve(ROOT, **ISSUERS[name][0])])


@pytest.mark.parametrize("digest", ["sha1", "md5"])
def test_weak_digests_count_but_for_the_roots_own(digest: str) -> None:
    assert not both([LEAF, attrs.evolve(SUB, digest=digest), ROOT])
    assert both([LEAF, SUB, attrs.evolve(ROOT, digest=digest)])


def test_the_path_may_be_too_long() -> None:
    assert both([LEAF, SUB, attrs.evolve(SUB, path_length=1), ROOT])
    assert not both([LEAF, SUB, attrs.evolve(SUB, path_length=0), ROOT])


SUBS: Final = [LEAF, SUB, SUB, ROOT]


@pytest.mark.parametrize(
    ("order", "accepted"),
    [
        ((0, 1, 2), True),
        ((0, 2, 1), True),
        ((0, 1, 2, 3), True),
        ((0, 1, 1, 2, 2), True),
        ((0, 1), False),
        ((0, 2), False),
        ((0,), False),
        ((0, 0, 1, 2), True),
    ],
)
def test_what_is_shown_besides(order: tuple[int, ...], accepted: bool) -> None:
    assert both(SUBS, order=order) is accepted


@pytest.mark.parametrize("trusted", [(0,), (1,), (2,), (0, 1), (1, 2)])
def test_what_is_trusted_is_no_root(trusted: tuple[int, ...]) -> None:
    """By the flag of a partial chain, which Python has by default since 3.13."""
    flags = ssl.create_default_context().verify_flags
    for order in ((0,), (0, 1), (0, 1, 2)):
        found = both(SUBS, order=order, trusted=trusted)
        whole = order[-1] + 1 >= min(trusted)
        assert found is (bool(flags & ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN) and whole)


@pytest.mark.parametrize("extended", [("server",), ("client",), None])
def test_a_self_signed_certificate(extended: tuple[str, ...] | None) -> None:
    alone = attrs.evolve(LEAF, extended=extended)
    both([alone], order=(0,), trusted=(0,))
    both([attrs.evolve(alone, ca=True, usage=None)], order=(0,), trusted=(0,))


# names ----------------------------------------------------------------------------------------


NAMES: Final = (
    *("DNS:a.example.test", "DNS:*.example.test", "DNS:*.test", "DNS:*", "DNS:*.*.test"),
    *("DNS:a*.example.test", "DNS:*a.example.test", "DNS:a.*.test", "DNS:.example.test"),
    *("DNS:A.EXAMPLE.test", "DNS:a.example.test.", "DNS:", "DNS:a..test", "DNS:a_b.example.test"),
    *("DNS:xn--bcher-kva.example.test", "DNS:xn--*.example.test", "DNS:*.xn--bcher-kva.test"),
    *("DNS:127.0.0.1", "IP:127.0.0.1", "IP:::1", "DNS:::1", "IP:::ffff:127.0.0.1", "DNS:*.0.0.1"),
    *("DNS:localhost", "mail:a@a.example.test"),
)
HOSTS: Final = (
    *("a.example.test", "A.example.TEST", "b.a.example.test", "example.test", "a_b.example.test"),
    *("xn--bcher-kva.example.test", "a.xn--bcher-kva.test", "test", "localhost", "com"),
    *("127.0.0.1", "::1", "::ffff:127.0.0.1", "127.0.0.2"),
)


@pytest.mark.one_in(28)
@pytest.mark.parametrize("name", NAMES)
def test_a_name(name: str) -> None:
    """Alone, and beside the one that is asked for: an odd one must not spoil it."""
    for host in HOSTS:
        both([attrs.evolve(LEAF, names=(name,)), ROOT], host=host)
    assert both([attrs.evolve(LEAF, names=(name, "DNS:a.example.test")), ROOT])
    assert both([attrs.evolve(LEAF, names=(name, "IP:127.0.0.2")), ROOT], host="127.0.0.2")


def test_the_common_name_counts_where_it_does_for_ssl() -> None:
    for names in (None, ("mail:a@example.test",), ("DNS:b.example.test",)):
        leaf = attrs.evolve(LEAF, names=names, common_name=HOST)
        both([leaf, ROOT])
        both([leaf, ROOT], host="b.example.test")


# many things are odd --------------------------------------------------------------------------


def certificates(base: Certificate, odd: Odd) -> st.SearchStrategy[Certificate]:
    """Like `base`, with none, one or two odd things at once."""
    changes = st.lists(st.sampled_from([change for change, _ in odd.values()]), max_size=2)
    return changes.map(
        lambda found: attrs.evolve(base, **{k: v for c in found for k, v in c.items()})
    )


@pytest.mark.long
@settings(max_examples=examples(150))
@given(data=st.data())
def test_any_chain(data: st.DataObject) -> None:
    names = st.lists(st.sampled_from(NAMES), max_size=3).map(tuple)
    leaf = data.draw(certificates(LEAF, LEAVES))
    if data.draw(st.booleans()):
        leaf = attrs.evolve(leaf, names=(*data.draw(names), "DNS:a.example.test"))
    above = data.draw(st.lists(certificates(SUB, ISSUERS), max_size=2))
    said = [leaf, *above, data.draw(certificates(ROOT, ISSUERS))]
    some = st.permutations(range(1, len(said))).flatmap(
        lambda order: st.integers(0, len(order)).map(lambda length: tuple(order[:length]))
    )
    usual = st.just(tuple(range(1, len(said))))
    order = (0, *data.draw(usual | some))
    trusted = data.draw(
        st.just((len(said) - 1,))
        | st.sets(st.sampled_from(range(len(said))), min_size=1).map(tuple)
    )
    both(said, order=order, trusted=trusted, host=data.draw(st.just(HOST) | st.sampled_from(HOSTS)))


# what only resembles X.509 ----------------------------------------------------------------------


RESEMBLES: Final = {
    "a flag that is 1": ("0603551d130101ff", "0603551d13010101"),
    "a version that there is not": ("a003020102", "a003020104"),
    "an underscore in a PrintableString": ("0c06615f6e616d65", "1306615f6e616d65"),
}


@pytest.mark.parametrize("name", RESEMBLES)
@pytest.mark.parametrize("place", [0, 1])
def test_what_ssl_takes_for_a_certificate_is_one(place: int, name: str) -> None:
    """Of a server and of an issuer, though it is no DER, or not as X.509 has it (RFC 5280)."""
    said = [LEAF, SUB, ROOT]
    said[place] = attrs.evolve(said[place], common_name="a_name")
    leaf, sub, root = chain_of(*said)
    chain, above = [der(leaf), der(sub)], (SUB, ROOT)[place]
    old, new = map(bytes.fromhex, RESEMBLES[name])
    chain[place] = changed((leaf, sub)[place], key_of(above.key, place + 1), old, new)
    with pytest.raises((ValueError, x509.InvalidVersion)):
        _ = x509.load_der_x509_certificate(chain[place])
    roots = roots_of(None, pem(root))
    roots.value.verify(chain, HOST, "ecdsa")
    assert quiver_refuses(roots, chain) is None
    assert quiver_refuses(roots, chain, "b.example.test") is not None


# made to cost ---------------------------------------------------------------------------------


def many_names() -> list[Certificate]:
    """Each name is compared with each constraint."""
    names = ("DNS:a.example.test", *(f"DNS:{n}.example.test" for n in range(1_000)))
    constraints = tuple(f"!DNS:{n}.other.test" for n in range(1_000))
    return [attrs.evolve(LEAF, names=names), attrs.evolve(CA, constraints=constraints), CA]


COSTLY: Final = {"many names": many_names(), "a long path": [LEAF, *[CA] * 90, CA]}


@pytest.mark.parametrize("name", COSTLY)
def test_what_is_made_to_cost_is_bounded(name: str) -> None:
    """By the 100 KiB that ssl takes of a chain: 10 to 30 ms, and not seconds."""
    *shown, root = chain_of(*COSTLY[name])
    verifier = roots_of(None, pem(root)).value
    began = time.thread_time()
    verifier.verify([der(each) for each in shown], HOST, "ecdsa")
    assert time.thread_time() - began < 1.0
