from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from quiver.testing import Authority
from tests.support.programs.runner import run_script


def loaded(path: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def names_of(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def test_issues_for_loopback(authority: Authority) -> None:
    certfile, _ = authority.issue()
    names = names_of(loaded(certfile))
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    addresses = names.get_values_for_type(x509.IPAddress)
    assert addresses == [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]


def test_is_signed_by_the_authority(authority: Authority) -> None:
    certfile, keyfile = authority.issue()
    loaded(certfile).verify_directly_issued_by(loaded(authority.cafile))
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(certfile, keyfile)
    assert ssl.create_default_context(cadata=authority.cadata.decode()).cert_store_stats()


def test_another_name(authority: Authority) -> None:
    certfile, _ = authority.issue(["example.com"])
    assert names_of(loaded(certfile)).get_values_for_type(x509.DNSName) == ["example.com"]


def test_an_intermediate_sends_its_chain(authority: Authority) -> None:
    with authority.intermediate() as below:
        certfile, _ = below.issue()
        leaf, middle = x509.load_pem_x509_certificates(Path(certfile).read_bytes())
        leaf.verify_directly_issued_by(middle)
        middle.verify_directly_issued_by(loaded(authority.cafile))
        assert middle == loaded(below.cafile)


def test_self_signed(authority: Authority) -> None:
    certificate = loaded(authority.issue(self_signed=True)[0])
    certificate.verify_directly_issued_by(certificate)


def test_another_usage(authority: Authority) -> None:
    certfile, _ = authority.issue(usage=ExtendedKeyUsageOID.CLIENT_AUTH)
    usages = loaded(certfile).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


@pytest.mark.parametrize("days", [-5, 5])
def test_limits_of_validity(authority: Authority, days: int) -> None:
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    limit = now + datetime.timedelta(days=days)
    expired, _ = authority.issue(not_after=limit)
    assert loaded(expired).not_valid_after_utc == limit
    assert loaded(expired).not_valid_before_utc < limit
    early, _ = authority.issue(not_before=limit)
    assert loaded(early).not_valid_before_utc == limit
    assert loaded(early).not_valid_after_utc > limit


def test_its_files_go_with_it() -> None:
    with Authority() as made:
        certfile, _ = made.issue()
        assert Path(certfile).exists()
    assert not Path(certfile).exists()
    assert not Path(made.cafile).exists()


@pytest.mark.long
def test_the_files_end_with_it_and_in_its_own_process() -> None:
    """A child that was forked ends, or leaves the `with`, without a harm to its parent's files."""
    said = run_script(
        """
        import os, sys
        from pathlib import Path
        from quiver.testing import Authority

        with Authority() as authority:
            child = os.fork()
            if not child:
                authority.close()
                sys.exit()
            print(os.waitpid(child, 0)[1], Path(authority.cafile).exists())
        print(Path(authority.cafile).parent.exists())
        dropped = Authority()
        folder = Path(dropped.cafile).parent
        del dropped
        print(folder.exists())
        """
    )
    assert said.splitlines() == ["0 True", "False", "False"]
