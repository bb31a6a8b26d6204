"""Of many roots those are read that a chain needs, and nothing is refused before all are."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import attrs
import certifi
import pytest

from quiver.chain_verifier import ChainRefused, ChainVerifier, default_context
from quiver.quic.roots_by_name import FEW, RootsByName, many_certificates
from quiver.quic.trust_roots import roots_of
from quiver.testing import Authority
from tests.support.certificate_chains import CA, LEAF, chain_of, der, pem

ROOT = attrs.evolve(CA, common_name="the root")
PUBLIC = Path(certifi.where()).read_bytes()


@pytest.fixture(scope="module")
def strangers() -> list[bytes]:
    return many_certificates(PUBLIC)


def verifier_of(context: ssl.SSLContext, roots: RootsByName) -> ChainVerifier:
    made = ChainVerifier(context)
    made.roots = roots
    return made


def verdict(verifier: ChainVerifier, chain: list[bytes]) -> str:
    try:
        verifier.verify(chain, "a.example.test", "ecdsa")
    except ChainRefused as refused:
        return refused.said
    return "accepted"


def store(context: ssl.SSLContext) -> int:
    return context.cert_store_stats()["x509"]


# which are read -------------------------------------------------------------------------------


def test_openssl_reads_the_same(strangers: list[bytes]) -> None:
    context = default_context()
    context.load_verify_locations(cafile=certifi.where())
    assert sorted(context.get_ca_certs(binary_form=True)) == sorted(strangers)


def test_one_of_many_is_read(strangers: list[bytes]) -> None:
    leaf, root = map(der, chain_of(LEAF, ROOT))
    for shown in ([leaf], [leaf, root]):
        context = default_context()
        verifier = verifier_of(context, RootsByName([*strangers, root]))
        assert store(context) == 0
        for _ in range(2):
            assert verdict(verifier, shown) == "accepted"
            assert store(context) == 1


def test_roots_that_roots_lead_to_are_read(strangers: list[bytes]) -> None:
    """One that another one of them has signed is no end of the way."""
    leaf, below, root = map(der, chain_of(LEAF, CA, ROOT))
    context = default_context()
    verifier = verifier_of(context, RootsByName([below, *strangers, root]))
    assert verdict(verifier, [leaf]) == "accepted"
    assert store(context) == 2


def test_before_it_is_refused_all_are_read(strangers: list[bytes]) -> None:
    (leaf, _), (other, _) = chain_of(LEAF, ROOT), chain_of(LEAF, attrs.evolve(CA, common_name="b"))
    context = default_context()
    verifier = verifier_of(context, RootsByName(strangers))
    assert "unable to get local issuer" in verdict(verifier, [der(leaf)])
    assert store(context) == len(strangers)
    assert "unable to get local issuer" in verdict(verifier, [der(other)])


def test_a_name_in_another_spelling(strangers: list[bytes]) -> None:
    """To OpenSSL names are the same whatever their case and the kind of their strings."""
    leaf, root = map(der, chain_of(LEAF, ROOT))
    spelled = leaf.replace(b"\x0c\x08the root", b"\x0c\x08THE ROOT")
    assert spelled != leaf
    every = default_context()
    every.load_verify_locations(cadata=root)
    wanted = verdict(ChainVerifier(every), [spelled])
    assert "signature failure" in wanted  # so it has found the root
    assert verdict(verifier_of(default_context(), RootsByName([root])), [spelled]) == wanted


def test_roots_in_a_folder_may_lead_to_it(strangers: list[bytes], tmp_path: Path) -> None:
    leaf, below, root = chain_of(LEAF, CA, ROOT)
    (tmp_path / "below.pem").write_bytes(pem(below))
    subprocess.run(["openssl", "rehash", str(tmp_path)], check=True)
    context = default_context()
    context.load_verify_locations(capath=tmp_path)
    verifier = verifier_of(context, RootsByName([*strangers, der(root)]))
    assert verdict(verifier, [der(leaf)]) == "accepted"


@pytest.mark.parametrize("shown", [[], [b""], [b"none"], [b"\x30\x03\x02\x01"]])
def test_what_is_no_chain_asks_for_none(strangers: list[bytes], shown: list[bytes]) -> None:
    roots = RootsByName(strangers)
    assert roots.take_for(shown) == []
    assert len(roots) == len(strangers)


def test_one_that_cannot_be_read_spoils_no_other(strangers: list[bytes]) -> None:
    leaf, root = map(der, chain_of(LEAF, ROOT))
    broken = root[:-300] + bytes(300)
    verifier = verifier_of(default_context(), RootsByName([broken, *strangers, root]))
    assert verdict(verifier, [leaf]) == "accepted"
    verifier = verifier_of(default_context(), RootsByName([broken, *strangers]))
    assert verdict(verifier, [leaf]) != "accepted"


# which files ----------------------------------------------------------------------------------


def test_few_are_read_at_once(authority: Authority) -> None:
    assert many_certificates(authority.cadata * FEW) == []
    assert len(many_certificates(authority.cadata * (FEW + 1))) == FEW + 1


@pytest.mark.parametrize(
    "odd",
    [
        b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n",
        b"-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n-----END TRUSTED CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIIB*AAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nA: b\n\nMIIB\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\nMIIB\n",
    ],
)
def test_with_anything_odd_in_it_it_is_for_openssl(odd: bytes) -> None:
    assert many_certificates(PUBLIC + odd) == many_certificates(odd + PUBLIC) == []


def test_comments_and_other_lines_are_not_odd() -> None:
    text = b"# a - b -- c\n\n" + PUBLIC.replace(b"\n", b"\r\n") + b"more"
    assert many_certificates(text) == many_certificates(PUBLIC)


@pytest.mark.parametrize("cut", [b"", b"-----BEGIN CERTIFICATE-----\nMIIB\n"])
def test_a_file_of_many(authority: Authority, tmp_path: Path, cut: bytes) -> None:
    path = tmp_path / "many.pem"
    path.write_bytes(PUBLIC + authority.cadata + cut)
    if cut:
        with pytest.raises(ValueError, match="breaks off"):
            roots_of(str(path), None)
        return
    leaf = ssl.PEM_cert_to_DER_cert(Path(authority.issue()[0]).read_text())
    roots_of(str(path), None).value.verify([leaf], "localhost", "ecdsa")
    with Authority() as stranger, pytest.raises(ChainRefused):
        leaf = ssl.PEM_cert_to_DER_cert(Path(stranger.issue()[0]).read_text())
        roots_of(str(path), None).value.verify([leaf], "localhost", "ecdsa")


def test_each_is_taken_once(strangers: list[bytes]) -> None:
    roots = RootsByName(strangers)
    found = [each for root in strangers for each in roots.take_for([root])]
    assert sorted(found) == sorted(strangers)
    assert len(roots) == 0
    assert roots.take_all() == []
