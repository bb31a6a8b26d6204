"""Servers whose transport parameters are at an extreme, or are none, over real sockets."""

from __future__ import annotations

import time

import pytest

import quiver
from quiver.quic.codes import TransportCode
from quiver.testing import Authority
from tests.support.engines.parameters import Change, says
from tests.support.servers.hostile import HostileOrigin, limited_client

LIMIT = 15.0


def test_what_a_server_must_not_say_is_told_by_name(authority: Authority) -> None:
    change = says(max_udp_payload_size=1199)
    with HostileOrigin(authority, parameters=change) as origin, limited_client(authority) as client:
        for _ in range(3):
            with pytest.raises(quiver.HandshakeFailed) as raised:
                client.get(f"{origin.url}/ok", timeout=LIMIT)
            assert raised.value.kind == "unrecoverable"
            assert raised.value.unprocessed
            assert "max_udp_payload_size=1199 is below 1200" in str(raised.value)
        origin.wait(lambda: origin.clients[0].closed is not None)
        assert origin.clients[0].closed == TransportCode.TRANSPORT_PARAMETER_ERROR
        assert origin.clients[0].by_transport
        assert origin.clients[0].asked == []


@pytest.mark.parametrize(
    "change", [says(max_idle_timeout=0), says(max_idle_timeout=None)], ids=["0", "left out"]
)
def test_without_an_idle_timeout_a_request_outlives_silence(
    authority: Authority, change: Change
) -> None:
    """Of 0 aioquic would make three probe timeouts, a tenth of a second here."""
    with HostileOrigin(authority, parameters=change) as origin, limited_client(authority) as client:
        request = quiver.Request("GET", "/held", timeout=LIMIT)
        held = client.pool(origin.url).ask(request, block=False)
        origin.wait_held()
        time.sleep(0.8)  # the silence itself
        origin.release()
        assert held.get().body == b"ok"
        assert len(origin.clients) == 1


def test_what_goes_up_is_no_longer_than_the_server_takes(authority: Authority) -> None:
    change = says(max_udp_payload_size=1300)
    with HostileOrigin(authority, parameters=change) as origin, limited_client(authority) as client:
        for _ in range(2):
            assert client.post(f"{origin.url}/ok", body=bytes(300_000), timeout=LIMIT).status == 200
        assert 1200 <= origin.longest <= 1300
