"""The key of a certificate is found by its place, and is the one that others find."""

from __future__ import annotations

import contextlib

import attrs
import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given
from hypothesis import strategies as st

from quiver.quic.shown_certificate import ShownCertificate
from tests.support.certificate_chains import CA, LEAF, chain_of, der, key_of

KEYS = ["rsa2048", "p256", "p384", "p521", "ed25519", "ed448", "secp256k1"]


def info(key: object) -> bytes:
    made: bytes = key.public_bytes(  # type: ignore[attr-defined] # of any kind
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return made


@pytest.mark.parametrize("kind", KEYS)
def test_the_key_and_its_algorithm_are_found(kind: str) -> None:
    text = der(chain_of(attrs.evolve(LEAF, key=kind), CA)[0])
    shown = ShownCertificate(text)
    assert info(shown.public_key()) == info(key_of(kind, 0).public_key())
    assert shown.public_bytes(Encoding.DER) == text
    assert b"\x06" + bytes([len(shown.key_algorithm)]) + shown.key_algorithm in text


GOOD = der(chain_of(LEAF, CA)[0])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\x30",
        b"\x30\x84",
        b"\x31" + GOOD[1:],
        GOOD + b"\0",
        GOOD[:-1],
        b"\x30\x80" + GOOD[4:] + b"\0\0",
        b"\x30\xff" + GOOD[4:],
        *(GOOD[:4] + bytes([0x30, 0x82]) + size + GOOD[8:] for size in (b"\0\0", b"\xff\xff")),
    ],
)
def test_what_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"certificate|tag|length"):
        ShownCertificate(text)


def test_a_certificate_of_version_1_has_no_number_before_its_key() -> None:
    version = bytes.fromhex("a003020102")
    begin = GOOD.index(version)
    text = bytearray(GOOD[:begin] + GOOD[begin + len(version) :])
    for place in (2, begin - 2):  # both lengths, of two bytes each
        size = int.from_bytes(text[place : place + 2], "big") - len(version)
        text[place : place + 2] = size.to_bytes(2, "big")
    assert info(ShownCertificate(bytes(text)).public_key()) == info(key_of("p256", 0).public_key())


@pytest.mark.filterwarnings("ignore:Parsed a serial number which wasn't positive")
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255), st.booleans())
@example(15, 0x80, False).via("a serial number below zero")
def test_where_others_read_it_too_the_key_is_the_same(place: int, new: int, cut: bool) -> None:
    text = GOOD[:place] + bytes([new]) + GOOD[place + 1 :]
    text = text[:place] if cut else text
    with contextlib.suppress(ValueError, x509.InvalidVersion, UnsupportedAlgorithm):
        theirs = x509.load_der_x509_certificate(text).public_key()
        assert info(ShownCertificate(text).public_key()) == info(theirs)
    with contextlib.suppress(ValueError):
        ShownCertificate(text)
