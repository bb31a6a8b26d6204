from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import certifi
import pytest

from quiver.config import PoolConfig
from quiver.errors import InvalidOptions, ResourceExhausted
from quiver.origin import Origin
from quiver.quic.aioquic.configuration import make_configuration
from quiver.quic.aioquic.qlog import QlogFolder
from quiver.quic.trust_roots import roots_of, system_roots
from quiver.testing.authority import Authority
from tests.support.descriptor_limit import none_left

ORIGIN = Origin("https", "localhost", 4443)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSLKEYLOGFILE", raising=False)


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with Authority() as authority:
        yield authority


def test_what_a_pool_is_told_reaches_aioquic() -> None:
    config = PoolConfig(idle_timeout=12.0, congestion_control="reno", datagrams=False)
    made = make_configuration(config, ORIGIN)
    assert made.is_client
    assert made.alpn_protocols == ["h3"]
    assert made.server_name == "localhost"
    assert made.congestion_control_algorithm == "reno"
    assert made.max_datagram_frame_size is None
    assert 12.0 < made.idle_timeout < 20.0  # a little longer than the pool's own
    assert make_configuration(PoolConfig(idle_timeout=None), ORIGIN).idle_timeout > 60
    assert make_configuration(PoolConfig(), ORIGIN).max_datagram_frame_size == 65_536


def test_a_server_name_replaces_the_host() -> None:
    config = PoolConfig(server_name="API.example.com")
    assert make_configuration(config, ORIGIN).server_name == "api.example.com"


def test_verification_is_on_unless_it_is_turned_off() -> None:
    assert make_configuration(PoolConfig(), ORIGIN).verify_mode == ssl.CERT_REQUIRED
    assert make_configuration(PoolConfig(verify=False), ORIGIN).verify_mode == ssl.CERT_NONE


def test_roots_come_from_options_then_the_system(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = system_roots()
    assert make_configuration(PoolConfig(), ORIGIN).roots is usual
    monkeypatch.setenv("SSL_CERT_FILE", authority.cafile)
    assert make_configuration(PoolConfig(), ORIGIN).roots is system_roots() is not usual
    made = make_configuration(PoolConfig(cafile=certifi.where()), ORIGIN)
    assert made.roots is roots_of(certifi.where(), None)
    made = make_configuration(PoolConfig(cadata=authority.cadata), ORIGIN)
    assert made.roots is roots_of(None, authority.cadata)
    both = PoolConfig(cafile=authority.cafile, cadata=authority.cadata)
    assert make_configuration(both, ORIGIN).roots is roots_of(authority.cafile, authority.cadata)
    assert make_configuration(PoolConfig(verify=False), ORIGIN).roots is None


def test_what_was_read_once_is_not_lost(authority: Authority, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("ca.pem", "own.pem", "own.key")]
    for path, source in zip(paths, (authority.cafile, *authority.issue()), strict=True):
        path.write_bytes(Path(source).read_bytes())
    cafile, certfile, keyfile = map(str, paths)
    config = PoolConfig(cafile=cafile, certfile=certfile, keyfile=keyfile)
    before = make_configuration(config, ORIGIN)
    for path in paths:
        path.unlink()
    after = make_configuration(config, ORIGIN)
    assert after.roots is before.roots
    assert (after.certificate, after.private_key) == (before.certificate, before.private_key)


@pytest.mark.parametrize("option", ["cafile", "certfile"])
def test_no_descriptor_for_a_file_is_not_its_fault(
    option: str, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "full.pem"
    path.write_bytes(Path(authority.cafile).read_bytes())
    config = PoolConfig.build(ORIGIN, **{option: str(path)})
    with none_left(), pytest.raises(ResourceExhausted, match=f"{option}=.*open") as error:
        make_configuration(config, ORIGIN)
    assert error.value.kind == "transient"
    assert error.value.origin == str(ORIGIN)


def test_roots_that_cannot_be_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("nothing")
    with pytest.raises(InvalidOptions, match="cafile=") as error:
        make_configuration(PoolConfig(cafile=str(bad)), ORIGIN)
    assert error.value.origin == "https://localhost:4443"
    broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(InvalidOptions, match="cadata"):
        make_configuration(PoolConfig(cadata=broken), ORIGIN)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(InvalidOptions, match="SSL_CERT_FILE="):
        make_configuration(PoolConfig(), ORIGIN)


def test_a_context_that_was_spoiled_after_it_was_given_is_refused_by_name() -> None:
    context = ssl.create_default_context()
    config = PoolConfig(verify=context)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with pytest.raises(InvalidOptions, match="say verify=False") as caught:
        make_configuration(config, ORIGIN)
    assert caught.value.origin == str(ORIGIN)


def test_keys_are_appended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "keys"
    path.write_text("first\n")
    monkeypatch.setenv("SSLKEYLOGFILE", str(path))
    log = make_configuration(PoolConfig(), ORIGIN).secrets_log_file
    assert log is not None
    log.write("second\n")
    log.flush()
    assert path.read_text() == "first\nsecond\n"
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path))
    with pytest.raises(InvalidOptions, match="SSLKEYLOGFILE="):
        make_configuration(PoolConfig(), ORIGIN)


def test_a_qlog_folder_that_went_away_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "qlog"
    folder.mkdir()
    config = PoolConfig(qlog_dir=str(folder))
    assert isinstance(make_configuration(config, ORIGIN).quic_logger, QlogFolder)
    folder.rmdir()
    with pytest.raises(InvalidOptions, match="qlog_dir="):
        make_configuration(config, ORIGIN)
