from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from quiver.h3.purpose import is_for_servers
from quiver.testing import Authority

USAGES = [
    (ExtendedKeyUsageOID.SERVER_AUTH, True),
    (ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE, True),
    (ExtendedKeyUsageOID.CLIENT_AUTH, False),
    (ExtendedKeyUsageOID.OCSP_SIGNING, False),
]


def loaded(path: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


@pytest.mark.parametrize(("usage", "may"), USAGES)
def test_only_some_usages_let_it(
    authority: Authority, usage: x509.ObjectIdentifier, may: bool
) -> None:
    certfile, _ = authority.issue(usage=usage)
    assert is_for_servers(loaded(certfile)) is may


def test_without_any_usage_it_may(authority: Authority) -> None:
    assert is_for_servers(loaded(authority.cafile))
