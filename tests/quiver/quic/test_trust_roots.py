"""Roots from files, given ones and the system's."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import certifi
import pytest

from quiver.chain_verifier import ChainRefused, ChainVerifier
from quiver.quic import trust_roots
from quiver.quic.trust_roots import roots_by, roots_of, system_roots
from quiver.testing import Authority, Origin


def trusts(verifier: ChainVerifier, authority: Authority) -> bool:
    certfile, _ = authority.issue()
    leaf = ssl.PEM_cert_to_DER_cert(Path(certfile).read_text())
    try:
        verifier.verify([leaf], "localhost", "ecdsa")
    except ChainRefused:
        return False
    return True


def test_roots_of_a_file_and_given_ones_are_both_trusted(authority: Authority) -> None:
    with Authority() as other, Authority() as stranger:
        both = roots_of(authority.cafile, other.cadata).value
        assert [trusts(both, each) for each in (authority, other, stranger)] == [True, True, False]


def test_a_changed_file_is_trusted_from_the_next_look_on(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    with Authority() as before, Authority() as after:
        path.write_bytes(before.cadata)
        roots = roots_of(str(path), None)
        assert trusts(roots.value, before)
        path.write_bytes(after.cadata + b"\n")
        assert trusts(roots.value, after)
        assert not trusts(roots.value, before)


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda pem: b"",
    "text": lambda pem: b"these are no roots",
    "cut": lambda pem: pem[:-30],
    "cut in the second": lambda pem: pem + pem[:-30],
    "mutated": lambda pem: pem.replace(b"M", b"A"),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_what_holds_none_or_a_bad_one_is_refused(
    broken: Callable[[bytes], bytes], authority: Authority
) -> None:
    with pytest.raises(ValueError, match="certificate"):
        roots_of(None, broken(authority.cadata))


def test_the_same_are_read_once(authority: Authority) -> None:
    assert roots_of(authority.cafile, None) is roots_of(authority.cafile, None)


def test_what_openssl_reads_is_read(authority: Authority) -> None:
    text = b"# comment\nsubject: me\n" + authority.cadata.rstrip() + b"\n\n# more\n"
    assert trusts(roots_of(None, text).value, authority)
    old = authority.cadata.replace(b" CERTIFICATE-", b" X509 CERTIFICATE-")
    assert trusts(roots_of(None, old).value, authority)
    windows = authority.cadata.replace(b"\n", b"\r\n")
    assert trusts(roots_of(None, windows).value, authority)


def test_openssls_trusted_certificates_are_read(authority: Authority, tmp_path: Path) -> None:
    """They say what a root is trusted for, and are read from files, as ssl does."""
    for_servers, for_mail = tmp_path / "servers.pem", tmp_path / "mail.pem"
    for path, purpose in ((for_servers, "serverAuth"), (for_mail, "emailProtection")):
        command = ["openssl", "x509", "-in", authority.cafile, "-addtrust", purpose]
        subprocess.run([*command, "-trustout", "-out", str(path)], check=True)
    assert trusts(roots_of(str(for_servers), None).value, authority)
    assert not trusts(roots_of(str(for_mail), None).value, authority)


# the system's ---------------------------------------------------------------------------------


@pytest.fixture
def folder(authority: Authority, tmp_path: Path) -> Path:
    """A folder with the authority's certificate, by the name that OpenSSL looks for."""
    made = tmp_path / "roots"
    made.mkdir()
    shutil.copy(authority.cafile, made / "root.pem")
    subprocess.run(["openssl", "rehash", str(made)], check=True)
    return made


def system_trusts(authority: Authority) -> bool:
    """As ssl does, which is asked too."""
    ours = trusts(system_roots().value, authority)
    assert trusts(ChainVerifier(ssl.create_default_context()), authority) is ours
    return ours


def test_the_environment_names_a_file(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert not system_trusts(authority)
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    assert system_trusts(authority)


@pytest.mark.parametrize("file", [None, "", certifi.where()])
def test_the_environment_names_a_folder(
    file: str | None, authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    if file is not None:
        monkeypatch.setenv("SSL_CERT_FILE", file)
    monkeypatch.setenv("SSL_CERT_DIR", f"/nowhere:{folder}")
    assert system_trusts(authority)
    with Authority() as stranger:
        assert not system_trusts(stranger)


def test_the_environment_names_a_file_as_folder(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which OpenSSL takes for a store of roots since its release 3: `system_trusts` asks it."""
    monkeypatch.setenv("SSL_CERT_DIR", authority.cafile)
    assert system_trusts(authority) is (ssl.OPENSSL_VERSION_INFO >= (3,))
    with Authority() as stranger:
        assert not system_trusts(stranger)


def test_what_was_found_in_a_folder_is_kept(
    authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(folder))
    assert trusts(system_roots().value, authority)
    shutil.rmtree(folder)
    assert trusts(system_roots().value, authority)


def test_an_environment_that_names_nothing_to_be_read_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "")
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    with pytest.raises(OSError, match="no folder"):
        system_roots()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(FileNotFoundError):
        system_roots()


def test_where_the_system_has_none_they_are_certifis(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nothing = ssl.get_default_verify_paths()._replace(
        openssl_cafile=str(tmp_path / "none.pem"), openssl_capath=str(tmp_path)
    )
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: nothing)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    vars(trust_roots)["_system_roots"].cache_clear()
    try:
        assert system_roots() is roots_of(certifi.where(), None)
    finally:
        vars(trust_roots)["_system_roots"].cache_clear()


# what is made with the package ----------------------------------------------------------------

_AHEAD = """
import os, sys
log, broken, *given = sys.argv[1:]
from quiver.quic.trust_roots import roots_of
assert not os.path.exists(log)
try:
    roots_of(broken, None)
except ValueError:
    stores = [roots_of(each, None).value.context for each in given]
assert [context.cert_store_stats()["x509"] for context in stores] == [1, 1]
assert stores[0].get_ca_certs() != stores[1].get_ca_certs()
assert [context.keylog_filename for context in stores] == [None, None]
"""


@pytest.mark.parametrize("named", [False, True])
def test_the_first_roots_are_theirs_alone_who_give_them(
    named: bool, authority: Authority, tmp_path: Path
) -> None:
    """Also where the first could not be read. And a log of keys is made by who has keys."""
    log, broken = tmp_path / "keys", tmp_path / "broken.pem"
    environment = {**os.environ, **({"SSLKEYLOGFILE": str(log)} if named else {})}
    with Authority() as other, Authority() as third:
        broken.write_bytes(third.cadata + BROKEN["mutated"](third.cadata))
        given = [str(log), str(broken), authority.cafile, other.cafile]
        ran = [sys.executable, "-c", _AHEAD, *given]
        subprocess.run(ran, env=environment, check=True, timeout=60)


def test_a_log_of_keys_that_cannot_be_made_is_no_fault_of_the_import(tmp_path: Path) -> None:
    environment = {**os.environ, "SSLKEYLOGFILE": str(tmp_path / "none" / "keys")}
    ran = [sys.executable, "-c", "import quiver.quic.trust_roots"]
    subprocess.run(ran, env=environment, check=True, timeout=60)


_REPLACED = """
import ssl, sys

class Another(ssl.SSLContext): ...

ssl.SSLContext = Another  # Python's own ways with its attributes do not end then
import quiver
from quiver.errors import QuiverError
with quiver.Client(verify=False) as client:
    assert client.get(sys.argv[1] + "/ok", timeout=20.0).status == 200
with quiver.Client(cafile=sys.argv[2]) as client:
    try:
        client.get(sys.argv[1] + "/ok", timeout=20.0)
    except QuiverError as error:
        assert "RecursionError" in str(error)
"""


def test_whatever_keeps_it_from_being_made_is_told_who_needs_it(authority: Authority) -> None:
    with Origin(authority=authority) as origin:
        ran = [sys.executable, "-c", _REPLACED, origin.url, authority.cafile]
        subprocess.run(ran, check=True, timeout=60)


def test_a_context_of_the_programs_own_is_asked_as_it_is(authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    verifier = roots_by(context).value
    assert not trusts(verifier, authority)
    context.load_verify_locations(cafile=authority.cafile)
    assert trusts(verifier, authority)


def test_what_a_signal_raises_meanwhile_does_not_say_that_there_are_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others would be trusted from then on."""

    def interrupted(*_: object) -> os.stat_result:
        raise TimeoutError("late")

    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    trust_roots._system_roots.cache_clear()
    with monkeypatch.context() as within:
        within.setattr(os, "stat", interrupted)
        with pytest.raises(TimeoutError, match="late"):
            system_roots()
    assert system_roots().value
