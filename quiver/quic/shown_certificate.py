"""A certificate as a server shows it: its key and names, whatever else may be odd in it.

ssl judges the certificate, and takes much that X.509 forbids: a "_" or "*" in a PrintableString, a
default that is written out. The library that has keys for us refuses to read such a one at all. So
the key is found here, by its place (RFC 5280 4.1):

    Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signature }
    TBSCertificate ::= SEQUENCE { [0] version?, serialNumber, signature, issuer, validity, subject,
                                  subjectPublicKeyInfo, ... }

Every tag on the way has to be the right one, and every length definite and within what it is in:
what is found here is what OpenSSL finds, or nothing.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key

__all__ = ["ShownCertificate", "certificate_names"]

_SEQUENCE: Final = 0x30
_INTEGER: Final = 0x02
_OBJECT_IDENTIFIER: Final = 0x06
_VERSION: Final = 0xA0
_TO_KEY: Final = (_INTEGER, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE, _SEQUENCE)
_ISSUER: Final = 2  # of these
_SUBJECT: Final = 4
_KEY: Final = 5


class ShownCertificate:
    """What a handshake needs of one, by the names that `cryptography` has for it.

    Attributes:
        key_algorithm: the object identifier of the key's, as it is encoded.

    Raises:
        ValueError: it is none.
    """

    def __init__(self, der: bytes) -> None:
        self._der = der
        self._key = _subject_public_key_info(der)
        self._read: PublicKeyTypes | None = None
        algorithm, _ = _taken(_SEQUENCE, _taken(_SEQUENCE, self._key)[0])
        self.key_algorithm: Final = _taken(_OBJECT_IDENTIFIER, algorithm)[0]

    def public_key(self) -> PublicKeyTypes:
        """Raises ValueError and UnsupportedAlgorithm."""
        if self._read is None:
            self._read = load_der_public_key(self._key)
        return self._read

    def public_bytes(self, encoding: Encoding) -> bytes:
        assert encoding is Encoding.DER
        return self._der


def certificate_names(der: bytes) -> tuple[bytes, bytes]:
    """Its issuer and its subject, each as it is encoded.

    Raises:
        ValueError: it is none.
    """
    values = _values(der)
    return values[_ISSUER], values[_SUBJECT]


def _subject_public_key_info(der: bytes) -> bytes:
    return _values(der)[_KEY]


def _values(der: bytes) -> list[bytes]:
    """What stands in it as far as the key, each value as it is encoded, without the version."""
    certificate, after = _taken(_SEQUENCE, der)
    if after:
        raise ValueError("something follows the certificate")
    rest, _ = _taken(_SEQUENCE, certificate)
    if rest[:1] == bytes([_VERSION]):
        _, rest = _taken(_VERSION, rest)
    values = []
    for tag in _TO_KEY:
        _, after = _taken(tag, rest)
        values.append(rest[: len(rest) - len(after)])
        rest = after
    return values


def _taken(tag: int, encoded: bytes) -> tuple[bytes, bytes]:
    """The content of the first value, which has this tag, and what follows it."""
    if len(encoded) < 2 or encoded[0] != tag:
        raise ValueError(f"there is no value with the tag {tag:#04x}")
    begin, length = 2, encoded[1]
    if length == 0x80:
        raise ValueError("its length is indefinite")
    if length > 0x80:
        begin += length & 0x7F
        length = int.from_bytes(encoded[2:begin], "big")
    if begin + length > len(encoded):
        raise ValueError("its length goes beyond its end")
    return encoded[begin : begin + length], encoded[begin + length :]
