"""Whom Quiver trusts: by default few, on request others, and it says whom it refuses and why."""

from __future__ import annotations

import datetime
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import quiver
from quiver.testing import Authority, Origin
from tests.support.certificate_chains import CA, LEAF, chain_of, key_of, pem, pem_of_key
from tests.support.network.host_names import Names
from tests.support.waiting import until

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


def get(url: str, **options: Any) -> quiver.Response:
    """One request on a client of its own with these options."""
    with quiver.Client(pools={"default": options}) as client:
        return client.get(url, timeout=10.0)


def refusal(url: str, **options: Any) -> str:
    """The message of the CertificateInvalid that a request ends in."""
    with pytest.raises(quiver.CertificateInvalid) as caught:
        get(url, **options)
    error = caught.value
    assert isinstance(error, ConnectionError)
    assert error.kind == "unrecoverable"
    assert error.origin is not None
    assert url.startswith(error.origin)
    prefix = f"{error.origin}: the server's certificate is refused: "
    assert str(error).startswith(prefix)
    return str(error).removeprefix(prefix)


def self_signed(folder: Path) -> tuple[str, str]:
    """A certificate for localhost that vouches for itself; the paths (certificate, key)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    certfile, keyfile = folder / "own.pem", folder / "own.key"
    certfile.write_bytes(certificate.public_bytes(pem))
    keyfile.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    return str(certfile), str(keyfile)


def presenting(authority: Authority, *hosts: str, **validity: Any) -> Origin:
    """An origin with a certificate for these hosts, and for localhost without any."""
    certfile, keyfile = authority.issue(hosts or ["localhost"], **validity)
    return Origin(authority=authority, certfile=certfile, keyfile=keyfile)


@pytest.fixture
def stranger() -> Iterator[Authority]:
    """An authority that has signed nothing here."""
    with Authority("a stranger") as made:
        yield made


# whom to trust --------------------------------------------------------------------------------


def test_the_default_roots_do_not_know_our_authority(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert refusal(origin.url + "/ok").startswith("its issuer is unknown (")
    assert origin.requests_served() == 0
    until(lambda: origin.connections_open() == 0)


def test_cafile(origin: Origin) -> None:
    assert get(origin.url + "/ok", cafile=origin.cafile).body == b"ok"


@pytest.mark.parametrize("as_text", [False, True])
def test_cadata(origin: Origin, authority: Authority, as_text: bool) -> None:
    pem = authority.cadata
    assert get(origin.url + "/ok", cadata=pem.decode() if as_text else pem).body == b"ok"


def test_the_environment_names_the_roots(
    origin: Origin, stranger: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", origin.cafile)
    assert get(origin.url + "/ok").body == b"ok"
    assert refusal(origin.url + "/ok", cafile=stranger.cafile)  # an option goes before it


def test_verify_false_trusts_anybody(tmp_path: Path, authority: Authority) -> None:
    certfile, keyfile = self_signed(tmp_path)
    with Origin(authority=authority, certfile=certfile, keyfile=keyfile) as origin:
        assert get(f"https://127.0.0.1:{origin.port}/ok", verify=False).body == b"ok"


def test_a_self_signed_certificate_may_be_its_own_root(tmp_path: Path) -> None:
    certfile, keyfile = self_signed(tmp_path)
    with Origin(certfile=certfile, keyfile=keyfile) as origin:
        assert get(origin.url + "/ok", cafile=certfile).body == b"ok"


def test_whom_one_origin_trusts_is_its_own_affair(origin: Origin, authority: Authority) -> None:
    """Neither a laxer rule nor roots hold for another port of the same host."""
    there = f"https://localhost:{origin.port}"
    with Origin(authority=authority) as other:
        rules = {there: {"verify": False}, "default": {"verify": True}}
        with quiver.Client(pools=rules) as client:
            assert client.get(there + "/ok").body == b"ok"
            with pytest.raises(quiver.CertificateInvalid):
                client.get(other.url + "/ok")
        assert other.requests_served() == 0


def test_nothing_is_sent_before_the_handshake(authority: Authority, tmp_path: Path) -> None:
    """No early data (RFC 9001 4.6), which anybody could send once more, though it is offered."""
    options = {"cafile": authority.cafile, "qlog_dir": str(tmp_path), "max_connections": 1}
    with (
        Origin(authority=authority, session_tickets=True) as origin,
        quiver.Client(pools={"default": options}) as client,
    ):
        for _ in range(2):
            assert client.get(origin.url + "/ok").body == b"ok"
            client.pool(origin.url).stop()
    kinds = [
        {
            event["data"]["header"]["packet_type"]
            for event in json.loads(file.read_text())["traces"][0]["events"]
            if event["name"] == "transport:packet_sent"
        }
        for file in tmp_path.iterdir()
    ]
    assert kinds == [{"initial", "handshake", "1RTT"}] * 2


# who is refused -------------------------------------------------------------------------------


def test_expired(authority: Authority) -> None:
    with presenting(authority, not_after=NOW - DAY) as origin:
        said = refusal(origin.url + "/ok", cafile=authority.cafile)
        assert said.startswith("it has expired")
        assert origin.requests_served() == 0


def test_not_yet_valid(authority: Authority) -> None:
    with presenting(authority, not_before=NOW + DAY) as origin:
        said = refusal(origin.url + "/ok", cafile=authority.cafile)
        assert said.startswith("it is not yet valid")


def test_wrong_host(authority: Authority) -> None:
    with presenting(authority, "a.example", "127.0.0.2") as origin:
        said = refusal(origin.url + "/ok", cafile=authority.cafile)
        assert said == "it is for another host: not for localhost, but for a.example, 127.0.0.2"
        assert origin.requests_served() == 0


def test_wrong_address(authority: Authority) -> None:
    """A name does not stand for its address, nor one address for another."""
    with presenting(authority, "localhost", "127.0.0.2") as origin:
        said = refusal(f"https://127.0.0.1:{origin.port}/ok", cafile=authority.cafile)
        assert said.startswith("it is for another host: not for 127.0.0.1, but for")
        assert "127.0.0.2" in said


def test_right_addresses(authority: Authority) -> None:
    with presenting(authority, "127.0.0.1", "::1") as origin:
        for host in ("127.0.0.1", "[::1]"):
            url = f"https://{host}:{origin.port}/ok"
            assert get(url, cafile=authority.cafile).body == b"ok"


def test_unknown_issuer(origin: Origin, stranger: Authority) -> None:
    for roots in ({"cafile": stranger.cafile}, {"cadata": stranger.cadata}):
        assert refusal(origin.url + "/ok", **roots).startswith("its issuer is unknown")


def test_self_signed(tmp_path: Path, authority: Authority) -> None:
    certfile, keyfile = self_signed(tmp_path)
    with Origin(authority=authority, certfile=certfile, keyfile=keyfile) as origin:
        said = refusal(origin.url + "/ok", cafile=authority.cafile)
        assert said.startswith("it is self-signed")


def test_an_intermediate_that_is_for_mail_vouches_for_no_server(tmp_path: Path) -> None:
    for purpose, accepted in (("server", True), ("mail", False)):
        chain = chain_of(LEAF, attrs.evolve(CA, extended=(purpose,)), CA)
        certfile, keyfile = tmp_path / "chain.pem", tmp_path / "chain.key"
        certfile.write_bytes(pem(*chain[:-1]))
        keyfile.write_bytes(pem_of_key(key_of(LEAF.key, 0)))
        options = {"cadata": pem(chain[-1]), "server_name": "a.example.test"}
        with Origin(certfile=str(certfile), keyfile=str(keyfile)) as origin:
            if accepted:
                assert get(origin.url + "/ok", **options).body == b"ok"
            else:
                said = refusal(origin.url + "/ok", **options)
                assert said.startswith("an issuer's certificate is not for servers")


def test_an_odd_name_spoils_no_other(authority: Authority) -> None:
    odd = ["127.0.0.1", "*", "*.*.test"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quiver.testing.authority._name_of", x509.DNSName)
        origin = presenting(authority, "localhost", *odd)
    with origin:
        assert get(origin.url + "/ok", cafile=authority.cafile).body == b"ok"


def test_wildcard_certificates_hold_for_one_label(authority: Authority, names: Names) -> None:
    for host in ("a.example.test", "a.b.example.test", "example.test"):
        names[host] = "127.0.0.1"
    with presenting(authority, "*.example.test") as origin:
        options = {"cafile": authority.cafile}
        assert get(f"https://a.example.test:{origin.port}/ok", **options).body == b"ok"
        for host in ("a.b.example.test", "example.test"):
            said = refusal(f"https://{host}:{origin.port}/ok", **options)
            assert said.endswith(f"not for {host}, but for *.example.test")


def test_server_name_is_asked_for_and_verified(authority: Authority) -> None:
    with presenting(authority, "inside.example") as origin:
        options = {"cafile": authority.cafile, "server_name": "inside.example"}
        response = get(origin.url + "/headers", **options)
        assert [":authority", f"localhost:{origin.port}"] in response.json()
        options["server_name"] = "localhost"
        assert "not for localhost" in refusal(origin.url + "/ok", **options)


def test_every_caller_that_waits_hears_of_it(origin: Origin, stranger: Authority) -> None:
    pool = quiver.HTTP3Pool.start(origin.url, cafile=stranger.cafile)
    asked = [pool.ask(quiver.Request("GET", "/ok"), block=False) for _ in range(20)]
    for future in asked:
        with pytest.raises(quiver.CertificateInvalid):
            future.get(timeout=5.0)
    pool.stop()


def test_no_common_protocol(authority: Authority) -> None:
    with Origin(authority=authority, alpn=("hq-interop",)) as origin:
        with pytest.raises(quiver.HandshakeFailed, match="protocol") as caught:
            get(origin.url + "/ok", cafile=authority.cafile)
        assert isinstance(caught.value, ConnectionError)


# for those who look inside --------------------------------------------------------------------


def test_secrets_are_logged_where_the_environment_says(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "keys.log"
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    for _ in range(2):
        assert get(origin.url + "/ok", cafile=origin.cafile).body == b"ok"
    lines = [line.split(" ") for line in log.read_text().splitlines()]
    assert all(len(line) == 3 and bytes.fromhex(line[1] + line[2]) for line in lines)
    assert stat.S_IMODE(log.stat().st_mode) == 0o600, "for its owner alone"
    labels = {label for label, _, _ in lines}
    assert {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"} <= labels
    assert len({random for _, random, _ in lines}) >= 2  # one for each connection


def test_a_key_log_that_is_there_becomes_its_owners_alone(
    origin: Origin, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log, link = tmp_path / "keys.log", tmp_path / "link"
    log.write_text("# another program's\n")
    log.chmod(0o664)
    link.symlink_to(log)
    monkeypatch.setenv("SSLKEYLOGFILE", str(link))
    assert get(origin.url + "/ok", cafile=origin.cafile).body == b"ok"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert log.read_text().startswith("# another program's\n") and "TRAFFIC" in log.read_text()


def test_one_qlog_file_for_each_connection(origin: Origin, tmp_path: Path) -> None:
    options = {"cafile": origin.cafile, "qlog_dir": str(tmp_path)}
    for _ in range(2):
        assert get(origin.url + "/items/7", **options).status == 200
    files = list(tmp_path.iterdir())
    assert len(files) == origin.connections_accepted()
    for file in files:
        (trace,) = json.loads(file.read_text())["traces"]
        assert trace["vantage_point"]["type"] == "client"
        names = {event["name"] for event in trace["events"]}
        assert {"transport:packet_sent", "transport:packet_received"} <= names
        assert "/items/7" in file.read_text()


def test_a_qlog_of_a_handshake_that_failed(
    origin: Origin, stranger: Authority, tmp_path: Path
) -> None:
    options = {"cafile": stranger.cafile, "qlog_dir": str(tmp_path)}
    assert refusal(origin.url + "/ok", **options)
    until(lambda: list(tmp_path.iterdir()))
    assert all(json.loads(file.read_text())["traces"] for file in tmp_path.iterdir())
