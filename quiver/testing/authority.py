"""A throw-away certificate authority: EC P-256, its files in a temporary folder."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["LOOPBACK", "Authority"]

LOOPBACK = ("localhost", "127.0.0.1", "::1")

_HOUR = datetime.timedelta(hours=1)
_DAY = datetime.timedelta(days=1)
_NO_USE = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": False,
    "crl_sign": False,
    "encipher_only": False,
    "decipher_only": False,
}


class Authority:
    """A certificate authority that lives as long as this object, or the `with` around it.

    `cafile` is the path of its certificate (PEM): what a client is told to trust. `parent` is who
    signs that; without one it is a root.
    """

    def __init__(
        self, name: str = "Quiver throw-away CA", *, parent: Authority | None = None
    ) -> None:
        self._parent = parent
        self._folder = Path(tempfile.mkdtemp(prefix="quiver-ca-"))
        self._delete = weakref.finalize(self, _remove, self._folder, os.getpid())
        self._numbers = itertools.count(1)
        self._name = _common_name(name)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign_own()
        self.cafile = self._write("ca.pem", _pem_of(self._certificate))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Delete the files. Certificates that servers have loaded already go on working.

        In a child that was forked it does nothing: they are the parent's.
        """
        self._delete()

    @property
    def cadata(self) -> bytes:
        """The authority's certificate as PEM bytes."""
        return _pem_of(self._certificate)

    def issue(
        self,
        hosts: Sequence[str] = LOOPBACK,
        *,
        not_before: datetime.datetime | None = None,
        not_after: datetime.datetime | None = None,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
        self_signed: bool = False,
    ) -> tuple[str, str]:
        """Issue a server certificate for `hosts`; return the paths (certificate, key), both PEM.

        Without limits given it is valid from an hour ago for a day. An address among the hosts
        becomes an iPAddress name, everything else a dNSName (RFC 5280 4.2.1.6). `usage` is its
        extended key usage. With `self_signed` nobody vouches for it but its own key. Otherwise an
        intermediate's own certificate follows in the same file.
        """
        now = datetime.datetime.now(datetime.UTC)
        begins = not_before or min(now - _HOUR, (not_after or now) - _HOUR)
        ends = not_after or max(now, begins) + _DAY
        key = ec.generate_private_key(ec.SECP256R1())
        issuer, signer = (_common_name(hosts[0]), key) if self_signed else (self._name, self._key)
        signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        certificate = (
            self._leaf(key.public_key(), hosts, begins, ends, usage)
            .issuer_name(issuer)
            .add_extension(signed_by, critical=False)
            .sign(signer, hashes.SHA256())
        )
        chain = _pem_of(certificate)
        if self._parent is not None and not self_signed:
            chain += self.cadata
        stem = f"server-{next(self._numbers)}"
        return self._write(f"{stem}.pem", chain), self._write(f"{stem}.key", _pem_of_key(key))

    def intermediate(self, name: str = "Quiver throw-away intermediate CA") -> Authority:
        """An authority below this one: trust this, and what it issues is trusted with its chain."""
        return Authority(name, parent=self)

    def _sign_own(self) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        public = self._key.public_key()
        usage = x509.KeyUsage(**{**_NO_USE, "key_cert_sign": True, "crl_sign": True})
        signer = self._parent or self
        signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer._key.public_key())
        return (
            self._builder(self._name, public, now - 10 * _DAY, now + 10 * _DAY)
            .issuer_name(signer._name)
            .add_extension(signed_by, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(signer._key, hashes.SHA256())
        )

    def _leaf(
        self,
        public: ec.EllipticCurvePublicKey,
        hosts: Sequence[str],
        begins: datetime.datetime,
        ends: datetime.datetime,
        extended: x509.ObjectIdentifier,
    ) -> x509.CertificateBuilder:
        names = x509.SubjectAlternativeName([_name_of(host) for host in hosts])
        usage = x509.KeyUsage(**{**_NO_USE, "digital_signature": True})
        return (
            self._builder(_common_name(hosts[0]), public, begins, ends)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(names, critical=False)
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([extended]), critical=False)
        )

    def _builder(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        begins: datetime.datetime,
        ends: datetime.datetime,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        )

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        return str(path)


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _name_of(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem_of(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
