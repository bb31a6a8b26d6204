"""Chains of certificates of any kind, good and bad, made quickly: keys are made once and kept."""

from __future__ import annotations

import datetime
import functools
import ipaddress
from typing import Any, Final

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = [
    "CA",
    "LEAF",
    "Certificate",
    "chain_of",
    "changed",
    "der",
    "key_of",
    "pem",
    "pem_of_key",
]

NOW: Final = datetime.datetime.now(datetime.UTC)

_CURVES: Final[dict[str, type[ec.EllipticCurve]]] = {
    "p192": ec.SECP192R1,
    "p224": ec.SECP224R1,
    "p256": ec.SECP256R1,
    "p384": ec.SECP384R1,
    "p521": ec.SECP521R1,
    "secp256k1": ec.SECP256K1,
    "brainpool256": ec.BrainpoolP256R1,
}
_WEAK: Final = {"sha1": (hashes.SHA1(), b"\x05"), "md5": (hashes.MD5(), b"\x04")}
"""Digests that the builder refuses, and the last byte of their identifiers (RFC 8017 A.2.4)."""

_RSA_WITH: Final = bytes.fromhex("2a864886f70d0101")
_SHA256: Final = b"\x0b"

_USAGES: Final = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
    *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
EXTENDED: Final = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    "mail": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "code": ExtendedKeyUsageOID.CODE_SIGNING,
    "ocsp": ExtendedKeyUsageOID.OCSP_SIGNING,
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "unknown": x509.ObjectIdentifier("1.3.6.1.4.1.99999.1"),
}
_UNKNOWN: Final = x509.UnrecognizedExtension(
    x509.ObjectIdentifier("1.3.6.1.4.1.99999.2"), b"\x05\x00"
)


@attrs.frozen
class Certificate:
    """What one says. None leaves an extension out; a day is counted from now.

    `names` are `DNS:` names as they are, `IP:` addresses, or `mail:` addresses; `constraints`
    are those that it permits, with `!` before it those that it excludes.
    """

    key: str = "p256"
    common_name: str | None = None
    names: tuple[str, ...] | None = None
    ca: bool | None = None
    path_length: int | None = None
    usage: tuple[str, ...] | None = None
    extended: tuple[str, ...] | None = None
    constraints: tuple[str, ...] = ()
    since: float = -1.0
    until: float = 1.0
    digest: str = "sha256"
    critical: bool = False  # an extension that nobody knows
    identifiers: bool = True  # of its own key and its issuer's


LEAF: Final = Certificate(
    names=("DNS:a.example.test",),
    ca=False,
    usage=("digital_signature",),
    extended=("server",),
)
CA: Final = Certificate(ca=True, usage=("key_cert_sign", "crl_sign"))


@functools.cache
def key_of(kind: str, number: int = 0) -> Any:
    """A key; the same for the same `number`."""
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "ed448":
        return ed448.Ed448PrivateKey.generate()
    if kind.startswith("rsa"):
        return rsa.generate_private_key(65537, int(kind.removeprefix("rsa")))
    return ec.generate_private_key(_CURVES[kind]())


@functools.lru_cache(256)
def chain_of(*said: Certificate) -> list[x509.Certificate]:
    """A chain, each issued by the next, and the last by itself."""
    made = []
    for number, each in enumerate(said):
        above = min(number + 1, len(said) - 1)
        issuer = _name(said[above], above)
        signer = key_of(said[above].key, above)
        made.append(
            _signed(_builder(each, number, signer).issuer_name(issuer), signer, each.digest)
        )
    return made


def changed(certificate: x509.Certificate, signer: Any, old: bytes, new: bytes) -> bytes:
    """The certificate in DER with other bytes in it, signed once more by a key of RSA."""
    body = certificate.tbs_certificate_bytes.replace(old, new)
    assert len(old) == len(new) and body != certificate.tbs_certificate_bytes
    signature = signer.sign(body, padding.PKCS1v15(), hashes.SHA256())
    text = der(certificate).replace(certificate.tbs_certificate_bytes, body)
    return text.replace(certificate.signature, bytes(signature))


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def pem_of_key(key: Any) -> bytes:
    return bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _name(said: Certificate, number: int) -> x509.Name:
    name = said.common_name if said.common_name is not None else f"number {number}"
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _builder(said: Certificate, number: int, signer: Any) -> x509.CertificateBuilder:
    public = key_of(said.key, number).public_key()
    made = (
        x509.CertificateBuilder()
        .subject_name(_name(said, number))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW + said.since * datetime.timedelta(days=1))
        .not_valid_after(NOW + said.until * datetime.timedelta(days=1))
    )
    for extension, critical in _extensions(said, public, signer):
        made = made.add_extension(extension, critical)
    return made


def _extensions(said: Certificate, public: Any, signer: Any) -> list[tuple[Any, bool]]:
    found: list[tuple[Any, bool]] = []
    if said.ca is not None:
        found.append((x509.BasicConstraints(said.ca, said.path_length if said.ca else None), True))
    if said.usage is not None:
        found.append((x509.KeyUsage(**{each: each in said.usage for each in _USAGES}), True))
    if said.extended is not None:
        found.append((x509.ExtendedKeyUsage([EXTENDED[each] for each in said.extended]), False))
    if said.names is not None:
        found.append((x509.SubjectAlternativeName([_general(each) for each in said.names]), False))
    if said.constraints:
        permitted = [_general(each) for each in said.constraints if not each.startswith("!")]
        excluded = [_general(each[1:]) for each in said.constraints if each.startswith("!")]
        found.append((x509.NameConstraints(permitted or None, excluded or None), True))
    if said.critical:
        found.append((_UNKNOWN, True))
    if said.identifiers:
        issued_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        found += [(x509.SubjectKeyIdentifier.from_public_key(public), False), (issued_by, False)]
    return found


def _general(text: str) -> x509.GeneralName:
    kind, _, value = text.partition(":")
    if kind == "mail":
        return x509.RFC822Name(value)
    if kind == "IP":
        net = "/" in value
        return x509.IPAddress(ipaddress.ip_network(value) if net else ipaddress.ip_address(value))
    return x509.DNSName(value)


def _signed(builder: x509.CertificateBuilder, signer: Any, digest: str) -> x509.Certificate:
    if isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return builder.sign(signer, None)
    if digest not in _WEAK:
        return builder.sign(signer, getattr(hashes, digest.upper())())
    whole = builder.sign(signer, hashes.SHA256())
    if not isinstance(signer, rsa.RSAPrivateKey):
        return whole
    weak, last = _WEAK[digest]
    old, new = _RSA_WITH + _SHA256, _RSA_WITH + last
    body = whole.tbs_certificate_bytes.replace(old, new)
    signature = signer.sign(body, padding.PKCS1v15(), weak)
    text = der(whole).replace(whole.tbs_certificate_bytes, body).replace(old, new)
    return x509.load_der_x509_certificate(text.replace(whole.signature, signature))
