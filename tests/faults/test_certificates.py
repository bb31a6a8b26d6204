"""A server that is not who it should be: every caller is told at once, and why; nothing is sent."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

import quiver
from quiver.testing import Authority, Origin
from tests.support.load import Load

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
    """A refusal is not remembered."""
    with presented(authority, REFUSED[0]) as bad:
        with pytest.raises(quiver.CertificateInvalid):
            client.get(bad.url + "/ok", timeout=TIMEOUT)
        port = bad.port
    certfile, keyfile = authority.issue()
    with Origin(authority=authority, certfile=certfile, keyfile=keyfile, port=port) as renewed:
        assert client.get(renewed.url + "/ok", timeout=TIMEOUT).status == 200
