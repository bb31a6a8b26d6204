"""A server that is not who it should be: every caller is told at once, and why; nothing is sent."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

import quiver
from quiver.testing import Authority, Origin
from tests.support.chaos.background_load import Load, recovers
from tests.support.servers.hostile import HostileOrigin, RawPeer, answer_well
from tests.support.waiting import until

DAY = datetime.timedelta(days=1)
TIMEOUT = 3.0
NOW = datetime.datetime.now(datetime.UTC)

Pair = tuple[str, str]  # the paths of certificate and key


def expired(root: Authority) -> Pair:
    return root.issue(not_before=NOW - 2 * DAY, not_after=NOW - DAY)


def not_yet_valid(root: Authority) -> Pair:
    return root.issue(not_before=NOW + DAY, not_after=NOW + 2 * DAY)


def wrong_host(root: Authority) -> Pair:
    return root.issue(["elsewhere.example", "127.0.0.1"])


def wrong_address(root: Authority) -> Pair:
    return root.issue(["localhost", "192.0.2.1"])


def wrong_usage(root: Authority) -> Pair:
    return root.issue(usage=ExtendedKeyUsageOID.CLIENT_AUTH)


def self_signed(root: Authority) -> Pair:
    return root.issue(self_signed=True)


def unknown_issuer(root: Authority) -> Pair:
    with Authority("Somebody else's CA") as other:
        return kept(root, other.issue())


def whole_chain(root: Authority) -> Pair:
    with root.intermediate() as below:
        return kept(root, below.issue())


def incomplete_chain(root: Authority) -> Pair:
    certfile, keyfile = whole_chain(root)
    leaf, mark, _ = Path(certfile).read_text().partition("-----END CERTIFICATE-----\n")
    Path(certfile).write_text(leaf + mark)
    return certfile, keyfile


def kept(root: Authority, pair: Pair) -> Pair:
    """The same in files that live as long as `root`."""
    folder = Path(root.cafile).parent
    copies = []
    for path in map(Path, pair):
        copy = folder / f"{path.parent.name}-{path.name}"
        copy.write_bytes(path.read_bytes())
        copies.append(str(copy))
    certfile, keyfile = copies
    return certfile, keyfile


@attrs.frozen
class Row:
    """What is presented to whoever asks for `host`, and what he is told of it."""

    issue: Callable[[Authority], Pair]
    says: str
    host: str = "localhost"


REFUSED = [
    Row(expired, "it has expired"),
    Row(not_yet_valid, "it is not yet valid"),
    Row(wrong_host, "it is for another host: not for localhost, but for elsewhere.example"),
    Row(wrong_address, "it is for another host: not for 127.0.0.1", host="127.0.0.1"),
    Row(self_signed, "it is self-signed"),
    Row(unknown_issuer, "its issuer is unknown"),
    Row(incomplete_chain, "its issuer is unknown"),
    Row(wrong_usage, "it is not for a server"),
]
ACCEPTED = [Row(Authority.issue, ""), Row(whole_chain, ""), Row(Authority.issue, "", "127.0.0.1")]


def presented(authority: Authority, row: Row) -> Origin:
    certfile, keyfile = row.issue(authority)
    return Origin(authority=authority, certfile=certfile, keyfile=keyfile)


@pytest.fixture
def client(authority: Authority) -> Iterator[quiver.Client]:
    with quiver.Client(pools={"default": {"cafile": authority.cafile}}) as made:
        yield made


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.issue.__name__)
def test_refused(authority: Authority, client: quiver.Client, row: Row) -> None:
    with presented(authority, row) as origin:
        url = f"https://{row.host}:{origin.port}"

        def ask(client: quiver.Client, number: int) -> quiver.Response:
            return client.get(f"{url}/ok?id={number}", timeout=TIMEOUT)

        with Load(client, ask, callers=4) as load:
            load.wait_failed(8)
        load.check(within=TIMEOUT)
        for outcome in load.outcomes:
            assert isinstance(outcome.error, quiver.CertificateInvalid), outcome
            assert f"{url}: the server's certificate is refused: {row.says}" in str(outcome.error)
        assert origin.requests_served() == 0


@pytest.mark.parametrize("row", ACCEPTED, ids=["root", "whole chain", "address"])
def test_accepted(authority: Authority, client: quiver.Client, row: Row) -> None:
    with presented(authority, row) as origin:
        assert client.get(f"https://{row.host}:{origin.port}/ok", timeout=TIMEOUT).status == 200


def test_a_renewed_certificate_is_accepted_by_the_same_pool(
    authority: Authority, client: quiver.Client
) -> None:
    """A refusal is remembered for a moment only."""
    with presented(authority, REFUSED[0]) as bad:
        with pytest.raises(quiver.CertificateInvalid):
            client.get(bad.url + "/ok", timeout=TIMEOUT)
        port = bad.port
    certfile, keyfile = authority.issue()
    with Origin(authority=authority, certfile=certfile, keyfile=keyfile, port=port) as renewed:
        recovers(client, renewed.url + "/ok")


# our own ------------------------------------------------------------------------------------

OURS = {42: "bad_certificate", 48: "unknown_ca", 49: "access_denied", 116: "certificate_required"}
AT_ONCE = 2  # connections: no more are dialled between two pauses
PAUSES = 0.1 + 0.2 + 0.4  # seconds, of the first three
JITTER = 0.5  # what a pause may be shortened to


def refuse_with(alert: int) -> Callable[[RawPeer, int], None]:
    def refuse(peer: RawPeer, stream_id: int) -> None:
        peer.quic.close(0x100 + alert, 6, "")
        peer.touched()

    return refuse


@pytest.mark.parametrize("alert", OURS)
def test_ours_is_refused_and_nobody_hammers(
    authority: Authority, client: quiver.Client, alert: int
) -> None:
    """The server's word comes after our handshake. Those who ask again at once have it at once."""
    with HostileOrigin(authority, refuse_with(alert)) as server:
        url = server.url + "/attack"
        began = time.monotonic()
        with Load(client, lambda client, _: client.get(url, timeout=TIMEOUT), callers=8) as load:
            until(lambda: len(server.clients) > 3 * AT_ONCE, within=10 * TIMEOUT)
            took = time.monotonic() - began
        assert took >= PAUSES * JITTER
        for outcome in load.outcomes:
            assert isinstance(outcome.error, quiver.HandshakeFailed), outcome
            assert OURS[alert] in str(outcome.error) and "set certfile" in str(outcome.error)
        assert len(load.outcomes) > len(server.clients)
        server.attack = answer_well
        until(lambda: answered(client, url), within=10 * TIMEOUT)


def answered(client: quiver.Client, url: str) -> bool:
    try:
        return client.get(url, timeout=TIMEOUT).status == 200
    except quiver.HandshakeFailed:
        return False
