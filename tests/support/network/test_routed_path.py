"""The path itself: hosts that reach each other by a router, and nothing left of them."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from quiver.testing import Authority
from tests.support.network import namespaces
from tests.support.network.routed_path import RoutedPath, routed_path
from tests.support.network.topology import FAMILIES, Family

PING = """
import socket, sys
with socket.socket(getattr(socket, sys.argv[1]), socket.SOCK_DGRAM) as udp:
    udp.settimeout(10)
    udp.connect((sys.argv[2], 9))
    udp.send(b"anybody?")
    try:
        udp.recv(10)
    except OSError as error:
        print(error.strerror)
"""


def said_of(network: RoutedPath, family: Family) -> str:
    """What the client hears of a datagram to the server, where nobody listens."""
    name = "AF_INET" if family == "IPv4" else "AF_INET6"
    command = ["python3", "-c", PING, name, network.there.of(family)]
    return network.client.namespace.run(command).strip()


@pytest.mark.one_in(2)
@pytest.mark.parametrize("user", [False, True], ids=["as we are", "in a user namespace"])
def test_a_client_reaches_a_server_by_a_router(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, user: bool
) -> None:
    """Also in a user namespace, which is how anybody but root has one."""
    if user:
        monkeypatch.setattr(namespaces, "geteuid", lambda: 1000)
    with routed_path(authority) as network:
        for family in FAMILIES:
            assert said_of(network, family) == "Connection refused"
        network.router.route(network.there, "prohibit")
        assert said_of(network, "IPv4") == "No route to host"
        assert said_of(network, "IPv6") == "Permission denied"
        network.router.unroute(network.there, "prohibit")
        for family in FAMILIES:
            assert said_of(network, family) == "Connection refused"
        assert network.router.counted("Icmp OutDestUnreachs") >= 1
        assert network.router.counted("Icmp6OutDestUnreachs") >= 1


def test_nothing_is_left(authority: Authority) -> None:
    before = sorted(name for _, name in socket.if_nameindex())
    with routed_path(authority) as network:
        holders = [each.namespace.pid for each in (network.client, network.router, network.server)]
        inodes = {os.stat(f"/proc/{pid}/ns/net").st_ino for pid in holders}
        assert len(inodes) == 3 and os.stat("/proc/self/ns/net").st_ino not in inodes
    assert not any(Path(f"/proc/{pid}").exists() for pid in holders)
    assert sorted(name for _, name in socket.if_nameindex()) == before


@pytest.mark.parametrize("required", ["", "1"])
def test_a_machine_without_it_skips_what_is_not_required(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, required: str
) -> None:
    monkeypatch.setenv("QUIVER_REQUIRE_SERVERS", required)
    monkeypatch.setattr(namespaces, "_PATH", "/nowhere")
    assert shutil.which("ip", path=namespaces._PATH) is None
    outcome = pytest.fail.Exception if required else pytest.skip.Exception
    with pytest.raises(outcome, match="ip is not installed"), routed_path(authority):
        pass
