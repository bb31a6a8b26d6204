"""Whether a server is who it should be, by the chain that it has sent: over QUIC and over TCP.

`chain_verifier` has ssl judge it; what ssl says becomes TLS's alert and a reason, in OpenSSL's
words, and in ours where these say too little.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from quiver.chain_verifier import ChainRefused, ChainVerifier
from quiver.quic.shown_certificate import ShownCertificate

__all__ = ["CertificateRefused", "judge", "refusal"]

_BAD_CERTIFICATE: Final = 42
_ALERTS: Final = {
    **dict.fromkeys((2, 18, 19, 20, 21), 48),  # no way to a root: unknown_ca
    **dict.fromkeys((9, 10), 45),  # certificate_expired
    23: 44,  # certificate_revoked
    26: 43,  # unsupported_certificate
}
"""TLS's alerts (RFC 8446 6.2) for OpenSSL's X509_V_ERR, by its own table; else bad_certificate."""

_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_OTHER_PURPOSE: Final = 26
_OTHER_NAME: Final = frozenset({62, 64})  # host, address


class CertificateRefused(Exception):
    """The server is not who it should be.

    Attributes:
        alert: TLS's, for the server.
        reason: for people.
    """

    def __init__(self, alert: int, reason: str) -> None:
        super().__init__(reason)
        self.alert = alert
        self.reason = reason


def judge(
    verifier: ChainVerifier,
    chain: Sequence[bytes],
    name: str,
    shown: ShownCertificate | None = None,
) -> None:
    """Accept a chain, in DER as the server has sent it, for a host or address; or raise.

    Args:
        shown: its first certificate, if that has been read already.

    Raises:
        CertificateRefused: it is not accepted.
        ValueError, UnsupportedAlgorithm: the certificate's key cannot be read.
    """
    key = (shown or ShownCertificate(chain[0])).public_key()
    try:
        verifier.verify(chain, name, "rsa" if isinstance(key, rsa.RSAPublicKey) else "ecdsa")
    except ChainRefused as refused:
        raise refusal(refused, chain[0], name) from refused


def refusal(refused: ChainRefused, certificate: bytes, name: str) -> CertificateRefused:
    """The refusal of a certificate, in DER, as it is told."""
    alert = _ALERTS.get(refused.code, _BAD_CERTIFICATE)
    return CertificateRefused(alert, _reason(refused, certificate, name))


def _reason(refused: ChainRefused, certificate: bytes, name: str) -> str:
    said = refused.said.replace("self signed", "self-signed")  # as OpenSSL 3 has it
    try:
        read = x509.load_der_x509_certificate(certificate)
        return _in_our_words(refused, read, name) or said
    except Exception:  # noqa: BLE001 - it is refused anyway; what is odd in it may raise anything
        return said


def _in_our_words(refused: ChainRefused, certificate: x509.Certificate, name: str) -> str | None:
    now = datetime.datetime.now(datetime.UTC)
    if refused.code == _NOT_YET_VALID and now < certificate.not_valid_before_utc:
        return "Certificate is not valid yet"
    if refused.code == _EXPIRED and now > certificate.not_valid_after_utc:
        return "Certificate is no longer valid"
    if refused.code in _OTHER_NAME:
        names = ", ".join(repr(each) for each in _names(certificate))
        return f"hostname {name!r} doesn't match {names}" if names else "no subjectAltName"
    if refused.code == _OTHER_PURPOSE and _is_for_servers(certificate):
        return f"{refused.said} of an issuer"
    return None


def _names(certificate: x509.Certificate) -> list[str]:
    """Hosts and addresses that it is for."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    kinds = x509.DNSName | x509.IPAddress
    return [str(each.value) for each in extension.value if isinstance(each, kinds)]


def _is_for_servers(certificate: x509.Certificate) -> bool:
    """Whether its extended key usage lets it speak for one."""
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.SERVER_AUTH in usages
