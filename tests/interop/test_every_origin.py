"""One client for every origin, against Caddy (Go) with and without HTTP/3, and behind firewalls."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import quiver
from quiver.pool import choice
from quiver.testing import Authority
from tests.support.network.namespaces import Namespace, Unavailable
from tests.support.servers.independent import Caddy, free_port
from tests.support.waiting import until


class PartialCaddy(Caddy):
    """One that speaks what it is told to, over TCP at least."""

    def __init__(self, authority: Authority, protocols: str, **options: Any) -> None:
        named = f"servers {{\n    protocols {protocols}\n  }}"
        super().__init__(authority, options=named, **options)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True


@pytest.fixture
def quic_has_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "HEAD_START", 60.0)


@contextlib.contextmanager
def speaking(server: Caddy, **options: Any) -> Iterator[quiver.Client]:
    with quiver.Client(cafile=server.cafile, **options) as client:
        yield client


def version(client: quiver.Client, server: Caddy) -> str | None:
    response = client.get(server.url + "/small", timeout=30.0)
    assert response.body == b"ok"
    return response.http_version


@pytest.mark.usefixtures("quic_has_time")
@pytest.mark.parametrize(
    ("protocols", "spoken"), [("h1", "HTTP/1.1"), ("h1 h2", "HTTP/2"), ("h1 h2 h3", "HTTP/3")]
)
def test_what_is_spoken_is_found(authority: Authority, protocols: str, spoken: str) -> None:
    with PartialCaddy(authority, protocols) as server, speaking(server) as client:
        assert {version(client, server) for _ in range(5)} == {spoken}
        assert quiver.protocol_of(client.pool(server.url)) == spoken.lower()


def test_its_own_word_leads_to_http_3(authority: Authority) -> None:
    """Caddy names its own port in each answer over TCP."""
    with Caddy(authority) as server, speaking(server, policy="alt-svc") as client:
        assert version(client, server) == "HTTP/2", "nobody had said so"
        until(lambda: version(client, server) == "HTTP/3", what="it is heeded")


@pytest.mark.usefixtures("quic_has_time")
def test_its_word_leads_to_another_caddy(authority: Authority) -> None:
    with Caddy(authority) as third:
        more = f'header Alt-Svc `h3=":{third.port}"; ma=600`'
        with PartialCaddy(authority, "h1 h2", more=more) as server, speaking(server) as client:
            assert version(client, server) == "HTTP/2"
            until(lambda: version(client, server) == "HTTP/3", what="it is there")
            third.kill()
            until(lambda: _or_none(client, server) == "HTTP/2", within=30.0, what="it is back")
            assert {version(client, server) for _ in range(20)} == {"HTTP/2"}


def _or_none(client: quiver.Client, server: Caddy) -> str | None:
    try:
        return version(client, server)
    except quiver.TransientError:  # of what was open when it went
        return None


def test_a_word_that_leads_nowhere(authority: Authority) -> None:
    more = f'header Alt-Svc `h3=":{free_port()}", h3="nowhere.invalid:443"`'
    with PartialCaddy(authority, "h1 h2", more=more) as server, speaking(server) as client:
        assert {version(client, server) for _ in range(30)} == {"HTTP/2"}


@pytest.mark.usefixtures("quic_has_time")
def test_nothing_in_common(authority: Authority) -> None:
    with (
        PartialCaddy(authority, "h1") as server,
        speaking(server, protocols=("h3", "h2")) as client,
    ):
        with pytest.raises(quiver.HandshakeFailed, match="no_application_protocol") as caught:
            client.get(server.url + "/small")
        assert "does not speak HTTP/2 here (offered by ALPN: h2)" in str(caught.value)
        assert caught.value.__notes__[-1].startswith("over HTTP/3: connection refused")


BEHIND = """
import subprocess
import sys

import quiver
from quiver.testing import Authority, LocalOrigin
from tests.support.servers.http2_origin import Http2Origin

with Authority() as authority, Http2Origin(authority) as server:
    with LocalOrigin(authority=authority, port=server.port) as third:
        rule = ["ipproto", "udp", "dport", str(server.port), sys.argv[1], "pref", "5"]
        for family in ("-4", "-6"):
            subprocess.run(["ip", family, "rule", "add", *rule], check=True)
        with quiver.Client(cafile=authority.cafile) as client:
            for _ in range(5):
                print(client.get(server.url + "/ok").http_version)
        print(third.connections_accepted())
"""


@pytest.mark.parametrize("firewall", ["prohibit", "unreachable", "blackhole"])
def test_a_firewall_that_lets_no_udp_through(firewall: str) -> None:
    """The rules of this machine say so at once: TCP does not wait for its time."""
    try:
        namespace = Namespace()
    except Unavailable as missing:
        pytest.skip(str(missing))
    try:
        namespace.run(["ip", "link", "set", "lo", "up"])
        for family in ("-4", "-6"):  # rules of ours go before what is local
            namespace.run(["ip", family, "rule", "add", "lookup", "local", "pref", "100"])
            namespace.run(["ip", family, "rule", "del", "pref", "0"])
        done = subprocess.run(
            [*namespace.entering, sys.executable, "-c", BEHIND, firewall],
            cwd=Path(__file__).resolve().parents[2],
            capture_output=True,
            text=True,
            timeout=60.0,
        )
    finally:
        namespace.close()
    assert done.stdout.split() == ["HTTP/2"] * 5 + ["0"], done.stderr
