"""What docs/interop.md says of HTTP/3 and QUIC, and no other test shows: much is not there."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import quiver
from quiver.testing import Authority, LocalOrigin

ECN_BITS = 0b11  # of the octet of traffic class (RFC 3168 5)


@pytest.fixture
def server(authority: Authority) -> Iterator[LocalOrigin]:
    with LocalOrigin(authority=authority) as origin:
        yield origin


@pytest.fixture
def client(server: LocalOrigin) -> Iterator[quiver.Client]:
    with quiver.Client(cafile=server.cafile) as made:
        yield made


def test_datagrams_have_no_ecn_mark() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(60.0)
        port = listener.getsockname()[1]
        with quiver.Client() as client:
            pool = client.pool(f"https://127.0.0.1:{port}")
            asked = pool.ask(quiver.Request("GET", "/"), block=False)
            datagram, [(_, _, traffic_class)], _, _ = listener.recvmsg(2_048, 1_024)
            asked.cancel()
    assert len(datagram) >= 1_200
    assert traffic_class[0] & ECN_BITS == 0


def test_two_names_of_one_server_have_a_connection_each(
    client: quiver.Client, server: LocalOrigin
) -> None:
    for name in ("localhost", "127.0.0.1"):
        assert client.get(f"https://{name}:{server.port}/ok").status == 200
    assert server.connections_accepted() == 2


def test_an_address_is_validated_by_retry(authority: Authority) -> None:
    with (
        LocalOrigin(authority=authority, retry=True) as origin,
        quiver.Client(cafile=origin.cafile) as client,
    ):
        assert client.get(origin.url + "/ok").status == 200
        assert origin.connections_accepted() == 1


def test_a_tunnel_is_refused_at_the_call(client: quiver.Client, server: LocalOrigin) -> None:
    with pytest.raises(quiver.InvalidRequest, match="tunnels are not offered"):
        client.open_channel(server.url + "/", method="CONNECT")


def test_a_priority_is_a_field(client: quiver.Client, server: LocalOrigin) -> None:
    fields = client.get(server.url + "/headers", headers={"priority": "u=1, i"}).json()
    assert ["priority", "u=1, i"] in fields


def test_a_websocket_is_a_channel_of_bytes(client: quiver.Client, server: LocalOrigin) -> None:
    with client.open_channel(server.url + "/session", protocol="websocket") as channel:
        assert isinstance(next(channel), quiver.Response)
        channel.write(b"\x81\x02hi")  # a frame: ours to make, and to read
        assert next(channel) == quiver.StreamData(b"\x81\x02hi")


def test_qlogdir_is_not_heeded(
    server: LocalOrigin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QLOGDIR", str(tmp_path))
    with quiver.Client(cafile=server.cafile) as client:
        assert client.get(server.url + "/ok").status == 200
    assert list(tmp_path.iterdir()) == []


def test_a_connection_has_quic_1_and_h3(client: quiver.Client, server: LocalOrigin) -> None:
    connection = client.get(server.url + "/ok").connection
    assert connection is not None
    assert (connection.handshake.version, connection.protocol) == ("1", "h3")


HTTP3_ALONE: dict[str, dict[str, object]] = {
    "curl_cffi": {"http_version": "v3only"},
    "niquests": {"disable_http1": True, "disable_http2": True},
}


@pytest.mark.parametrize("module", HTTP3_ALONE)
def test_other_clients_are_answered_by_the_testing_origin(
    module: str, server: LocalOrigin, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = pytest.importorskip(module)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, authority.cafile)
    with contextlib.closing(library.Session(**HTTP3_ALONE[module])) as session:
        assert session.get(server.url + "/items/42").json() == {"id": 42}
        body = b"x" * 100_000
        assert session.post(server.url + "/echo", data=body).content == body
